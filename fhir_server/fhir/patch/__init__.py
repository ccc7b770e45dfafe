"""Patches: what a PATCH asks for, and what becomes of the resource."""
