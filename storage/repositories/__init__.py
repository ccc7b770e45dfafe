"""One module per aggregate of the internal systems."""
