"""`python -m fhir_server`, and the script `fhir-server`."""

from __future__ import annotations

from fhir_server.cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
