"""Table definitions, one module per system."""
