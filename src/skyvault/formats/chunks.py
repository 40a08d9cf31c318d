"""A file that is written by a library and read off piece by piece: how Parquet and Arrow files are streamed."""

from __future__ import annotations

import io
from typing import Any


class ChunkSink(io.RawIOBase):
    """Collects what is written until it is taken. It can tell its position but not go back."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        """All bytes written since the last time."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
