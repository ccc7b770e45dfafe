"""The data files of this room: where they are and how they are read."""

import gzip
from functools import lru_cache
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


@lru_cache(maxsize=4)
def packed_lines(name: str) -> list[bytes]:
    """Return the lines of a gzipped NDJSON file in `capability/data`; the last few files stay in memory."""
    return gzip.decompress(data_bytes(name)).splitlines()
