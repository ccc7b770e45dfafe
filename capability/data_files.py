"""The data files of this room: where they are and how they are read."""

from pathlib import Path
from typing import Any

import msgspec

_FOLDER = Path(__file__).with_name("data")


def read_data(name: str) -> Any:
    """Return the JSON content of a file in `capability/data`."""
    return msgspec.json.decode(data_bytes(name))


def data_bytes(name: str) -> bytes:
    """Return the bytes of a file in `capability/data`."""
    return (_FOLDER / name).read_bytes()
