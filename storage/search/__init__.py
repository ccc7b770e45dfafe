"""From the search tree to SQL."""
