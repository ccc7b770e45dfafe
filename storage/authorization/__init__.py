"""What the authorization server remembers, one module per concept."""
