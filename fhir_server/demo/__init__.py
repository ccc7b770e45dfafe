"""A demonstration: sample rows and resources, users and apps."""
