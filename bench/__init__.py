"""Measures this server beside the bare stack it is built on; see README.md."""
