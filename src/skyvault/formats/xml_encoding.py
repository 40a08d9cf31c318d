"""An XML document's characters, whatever encoding it declares (XML 1.0, section 4.3.3)."""

from __future__ import annotations

import codecs
import re

from skyvault.errors import FormatError
from skyvault.formats.source import ByteSource

_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']""")


class Utf8Reader:
    """The document's bytes as UTF-8, whatever encoding it declares (XML 1.0, section 4.3.3)."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._decoder: codecs.IncrementalDecoder | None = None
        self._ended = False
        start = source.peek(1024)
        encoding = _encoding_of(start)
        if encoding is None:
            declared = _DECLARED.match(start.removeprefix(codecs.BOM_UTF8))
            encoding = declared[1].decode("ascii") if declared else "utf-8"
        if start.startswith(codecs.BOM_UTF8):
            source.read(3)
        normalised = encoding.lower().replace("_", "-")
        if normalised in ("utf-8", "utf8", "us-ascii", "ascii"):
            return
        try:
            info = codecs.lookup(encoding)
            wide = normalised.startswith(("utf-16", "utf-32"))
            if not wide and codecs.encode("<?xml ", encoding) != b"<?xml ":
                raise LookupError(encoding)
            self._decoder = info.incrementaldecoder("strict") if info.incrementaldecoder else None
        except (LookupError, TypeError, ValueError) as exc:
            raise FormatError(
                f"The document declares the encoding {encoding!r}, which is not known here",
                where=source.name,
                hint="Save it as UTF-8.",
            ) from exc

    def read(self, size: int) -> bytes:
        """More bytes of UTF-8; b"" at the end."""
        while not self._ended:
            before = self._source.position
            block = self._source.read(size)
            if self._decoder is None:
                return block
            self._ended = not block
            try:
                text = self._decoder.decode(block, final=self._ended)
            except UnicodeDecodeError as exc:
                raise FormatError(
                    f"Characters are not in the encoding the document declares ({exc.encoding})",
                    where=f"{self._source.name}, byte {before + exc.start}",
                ) from exc
            if text:
                return text.encode()
        return b""


def _encoding_of(start: bytes) -> str | None:
    """The encoding told by a byte order mark or by zero bytes around the first characters."""
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if start.startswith(b"<\x00"):
        return "utf-16-le"
    if start.startswith(b"\x00<"):
        return "utf-16-be"
    return None
