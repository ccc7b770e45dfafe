"""HTTP, OAuth, command line: the composition root."""
