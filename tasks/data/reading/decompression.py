"""Compressed files as streams; a damaged or truncated file is an error, never taken for the end."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

BLOCK = 1 << 20  # compressed bytes read at once


class Decompressed(io.RawIOBase):
    """A decompressed file, read from beginning to end."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._left = chunks, memoryview(b"")

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, into: memoryview, /) -> int:  # type: ignore[override]
        """Fill a buffer with the next bytes; return 0 at the end.

        Raises:
            OSError: the file is damaged or truncated.
        """
        try:
            while not self._left:  # an empty chunk is no end
                self._left = memoryview(next(self._chunks))
        except StopIteration:
            return 0
        except (zlib.error, zstandard.ZstdError, EOFError) as fault:
            raise OSError(f"its compressed data is damaged: {fault}") from fault
        size = min(len(into), len(self._left))
        into[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def open_decompressed(path: Path, suffix: str) -> io.BufferedReader:
    """Open a file for reading, decompressed if it is .gz or .zst."""
    stream = path.open("rb")
    if suffix.endswith(".gz"):
        return io.BufferedReader(Decompressed(_gzip_chunks(stream)), BLOCK)
    if suffix.endswith(".zst"):
        return io.BufferedReader(Decompressed(_zstandard_chunks(stream)), BLOCK)
    return stream


def recoded(stream: BinaryIO, encoding: str) -> io.BufferedReader:
    """Return a text file in any encoding as UTF-8 without a byte-order mark."""
    return io.BufferedReader(Decompressed(_recoded_chunks(stream, encoding)), BLOCK)


def _recoded_chunks(stream: BinaryIO, encoding: str) -> Iterator[bytes]:
    decoder, is_first = codecs.getincrementaldecoder(encoding)(), True
    try:
        while block := stream.read(BLOCK):
            text = decoder.decode(block)
            yield (text.removeprefix("\ufeff") if is_first else text).encode()
            is_first = False
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as fault:
        raise OSError(f"it is not in data.encoding {encoding}: {fault}") from fault


def _gzip_chunks(stream: BinaryIO) -> Iterator[bytes]:
    with stream, gzip.open(stream, "rb") as packed:
        while chunk := packed.read(BLOCK):
            yield chunk


def _zstandard_chunks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the content of every frame of a file; the library's own reader accepts a file that ends within a frame."""
    frame = None
    with stream:
        while block := stream.read(BLOCK):
            while block:
                frame = frame or zstandard.ZstdDecompressor().decompressobj()
                yield frame.decompress(block)
                block, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    if frame is not None:
        raise EOFError("it ends within a frame")
