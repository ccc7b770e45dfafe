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
from typing import IO, Any, Final

import zstandard

from fhir_server.loading.errors import NotLoadable
from storage.projection.places import FIRST_TYPES

COMPRESSED: Final = (".gz", ".zst")
READ: Final = (".json", ".ndjson", ".jsonl")
LINES: Final = (".ndjson", ".jsonl")
MAX_DOCUMENT_BYTES: Final = 512 * 2**20
"""Largest document, unpacked: it is read into memory whole. Lines of NDJSON are read one by one."""
CHUNK_BYTES: Final = 16 * 2**10
"""Packed bytes that are unpacked at a time; a few may stand for very many."""
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
                        yield io.BufferedReader(_Zstandard(file)), file
                    case _:
                        yield file, file
        except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError):
            raise NotLoadable(f"this is no whole {self.path.suffix} file") from None


class _Zstandard(io.RawIOBase):
    """Unpacked content of a file of Zstandard frames; the library's own reader takes a file cut off for its end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._packed = b""
        self._unpacked = b""
        self._any = False

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with what follows; raises EOFError within a frame, and where there is none at all."""
        while not self._unpacked:
            self._packed = self._packed or self._file.read(CHUNK_BYTES)
            if not self._packed:
                if self._frame is not None or not self._any:
                    raise EOFError
                return 0
            self._unpack()
        count = min(len(buffer), len(self._unpacked))
        buffer[:count] = self._unpacked[:count]
        self._unpacked = self._unpacked[count:]
        return count

    def _unpack(self) -> None:
        frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
        self._unpacked = frame.decompress(self._packed)
        self._packed = frame.unused_data if frame.eof else b""
        self._frame = None if frame.eof else frame
        self._any = True


def _bare_suffix(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix in COMPRESSED else path.suffix


def find_sources(paths: Iterable[Path]) -> list[Source]:
    """Return the files that the paths name, folders searched through, in the order in which they are to be loaded.

    Files in a folder that are no JSON are left out, and so are lists of contents (`index.ndjson`). Raises
    NotLoadable for a path that is not there, for a folder without such files, and for a named file of another kind.
    """
    found: dict[Path, Source] = {}
    for path in paths:
        if path.is_dir():
            files = [each for each in path.rglob("*") if each.is_file() and _bare_suffix(each) in READ]
            if not files:
                raise NotLoadable(f"there is no .json, .ndjson or .jsonl file in {path}")
            found.update((each, Source(each)) for each in files if not each.name.startswith("index."))
        elif not path.exists():
            raise NotLoadable(f"there is no file {path}")
        elif _bare_suffix(path) in READ:
            found[path] = Source(path)
        else:
            raise NotLoadable(f"{path} is no .json, .ndjson or .jsonl file (with or without .gz, .zst)")
    return sorted(found.values(), key=lambda source: (source.stage, source.name))
