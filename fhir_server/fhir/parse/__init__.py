"""From the query string to the search tree."""
