"""Who is the same person within an organization: comparison of records, pairs to review, merges."""
