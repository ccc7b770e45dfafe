"""One module per search type."""
