"""Orders at a pharmacy: what its events say, folded into prescriptions."""
