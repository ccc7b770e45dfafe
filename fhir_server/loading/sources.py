"""Files to load: plain, gzip or Zstandard; a folder stands for every such file in it."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Final

import zstandard

from fhir_server.loading.errors import NotLoadable
from storage.projection.places import FIRST_TYPES

COMPRESSED: Final = (".gz", ".zst")
READ: Final = (".json", ".ndjson", ".jsonl")
LINES: Final = (".ndjson", ".jsonl")
MAX_DOCUMENT_BYTES: Final = 512 * 2**20
"""Largest document, unpacked: it is read into memory whole. Lines of NDJSON are read one by one."""
_LEADING_TYPE: Final = re.compile(r"[A-Z][A-Za-z]+")


@dataclass(frozen=True)
class Source:
    """One file."""

    path: Path

    @property
    def name(self) -> str:
        """How messages call it."""
        return str(self.path)

    @property
    def is_lines(self) -> bool:
        """Whether the file holds one resource a line (NDJSON)."""
        return _bare_suffix(self.path) in LINES

    @cached_property
    def size(self) -> int:
        """Bytes of the file as it lies there; 0 when it is gone."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def stage(self) -> int:
        """Files of one stage may be loaded at a time, those of a lower one come before.

        What others refer to comes first, because it decides where those live (settled §1.4): files of a name with a
        leading underscore, then files named after a resource type on which others depend.
        """
        if self.path.name.startswith("_"):
            return 0
        leading = _LEADING_TYPE.match(self.path.name)
        order = [*FIRST_TYPES, None]
        return 1 + order.index(leading[0] if leading and leading[0] in FIRST_TYPES else None)

    def read(self) -> bytes:
        """Return the whole content, unpacked; raises OSError, and NotLoadable when it is broken or too large."""
        with self._opened() as (content, _):
            data = content.read(MAX_DOCUMENT_BYTES + 1)
        if len(data) > MAX_DOCUMENT_BYTES:
            raise NotLoadable(f"the document is larger than {MAX_DOCUMENT_BYTES} bytes; send it in parts, or as NDJSON")
        return data

    def lines(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield (line number, bytes of the file read so far, line) of an NDJSON file, blank lines left out.

        Raises what `read` does; a line that is too large ends the file.
        """
        with self._opened() as (content, file):
            number = 0
            while line := content.readline(MAX_DOCUMENT_BYTES):
                number += 1
                if len(line) == MAX_DOCUMENT_BYTES:
                    raise NotLoadable(f"line {number} is larger than {MAX_DOCUMENT_BYTES} bytes")
                if line.strip():
                    yield number, file.tell(), line

    @contextmanager
    def _opened(self) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Give the unpacked content and the file below it."""
        try:
            with self.path.open("rb") as file:
                match self.path.suffix:
                    case ".gz":
                        yield gzip.GzipFile(fileobj=file), file  # type: ignore[misc]
                    case ".zst":
                        yield _unzstandard(file), file
                    case _:
                        yield file, file
        except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError):
            raise NotLoadable(f"this is no whole {self.path.suffix} file") from None


def _unzstandard(file: IO[bytes]) -> IO[bytes]:
    return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))


def _bare_suffix(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix in COMPRESSED else path.suffix


def find_sources(paths: Iterable[Path]) -> list[Source]:
    """Return the files that the paths name, folders searched through, in the order in which they are to be loaded.

    Files in a folder that are no JSON are left out, and so are lists of contents (`index.ndjson`). Raises
    NotLoadable for a path that is not there and for a named file of another kind.
    """
    found: dict[Path, Source] = {}
    for path in paths:
        if path.is_dir():
            files = (each for each in path.rglob("*") if each.is_file() and _bare_suffix(each) in READ)
            found.update((each, Source(each)) for each in files if not each.name.startswith("index."))
        elif not path.exists():
            raise NotLoadable(f"there is no file {path}")
        elif _bare_suffix(path) in READ:
            found[path] = Source(path)
        else:
            raise NotLoadable(f"{path} is no .json, .ndjson or .jsonl file (with or without .gz, .zst)")
    return sorted(found.values(), key=lambda source: (source.stage, source.name))
