"""Files to load: plain, gzip or Zstandard; a folder stands for every such file in it."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import zstandard

COMPRESSED: Final = (".gz", ".zst")
READ: Final = (".json", ".ndjson", ".jsonl")


@dataclass(frozen=True, slots=True)
class Source:
    """One file; `name` is how messages call it."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def is_lines(self) -> bool:
        """Whether the file holds one resource a line (NDJSON)."""
        return _bare_suffix(self.path) in {".ndjson", ".jsonl"}

    def read(self) -> bytes:
        """Return the whole content, decompressed; raises OSError."""
        data = self.path.read_bytes()
        if self.path.suffix == ".gz":
            return gzip.decompress(data)
        if self.path.suffix == ".zst":
            return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
        return data

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield (line number, line) of an NDJSON file, blank lines left out."""
        for number, line in enumerate(io.BytesIO(self.read()), start=1):
            if line.strip():
                yield number, line


def _bare_suffix(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix in COMPRESSED else path.suffix


def find_sources(paths: Iterable[Path]) -> list[Source]:
    """Return the files that the paths name, folders searched through, in order of name.

    Files in a folder that are no JSON are left out, and so are lists of contents (`index.ndjson`). Raises
    FileNotFoundError for a path that is not there and ValueError for a named file of another kind.
    """
    found: list[Source] = []
    for path in paths:
        if path.is_dir():
            files = sorted(each for each in path.rglob("*") if each.is_file() and _bare_suffix(each) in READ)
            found.extend(Source(each) for each in files if not each.name.startswith("index."))
        elif not path.exists():
            raise FileNotFoundError(f"{path} does not exist")
        elif _bare_suffix(path) in READ:
            found.append(Source(path))
        else:
            raise ValueError(f"{path} is no .json, .ndjson or .jsonl file (with or without .gz, .zst)")
    # What others refer to first: practitioners and hospitals before patients; rows of tables likewise stand alone.
    return sorted(found, key=lambda source: (not source.name.startswith("_"), str(source.path)))
