"""One module per interaction."""
