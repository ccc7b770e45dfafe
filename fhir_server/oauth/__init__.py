"""Tokens, keys, clients, scopes."""
