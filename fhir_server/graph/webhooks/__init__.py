"""Webhooks that come in: who signed them, what they say, and what becomes of it (docs/webhooks.md)."""
