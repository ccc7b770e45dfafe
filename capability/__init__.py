"""What this server can do, as data."""
