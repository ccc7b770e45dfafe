"""What requests and answers of the patient graph API hold, for checking and for its OpenAPI description."""
