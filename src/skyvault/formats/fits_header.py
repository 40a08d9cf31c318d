"""The header of a FITS unit: cards of eighty characters, read and written (FITS Standard 4.0, section 4)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

from skyvault.errors import FormatError

BLOCK = 2880
_CARD = 80
_MAX_BLOCKS = 10_000

Value: TypeAlias = "str | int | float | bool | None"

_STRING = re.compile(r"\s*'((?:[^']|'')*)'\s*(?:/(.*))?")
_OTHER = re.compile(r"\s*([^/]*?)\s*(?:/(.*))?")
_PRINTABLE = re.compile(rb"[\x20-\x7e]*")


@dataclass(frozen=True, slots=True)
class Card:
    """One keyword; ``value`` is None for COMMENT, HISTORY and the like, whose text is the ``comment``."""

    keyword: str
    value: Value
    comment: str


class Header:
    """The cards of one unit, looked up by keyword (the first wins)."""

    def __init__(self, cards: list[Card]) -> None:
        self.cards = cards
        self._values: dict[str, Card] = {}
        for card in cards:
            self._values.setdefault(card.keyword, card)

    def value(self, keyword: str) -> Value:
        """The value, None when the card is absent or without one."""
        card = self._values.get(keyword)
        return card.value if card else None

    def comment(self, keyword: str) -> str:
        """What stands behind the slash, but not the phrases cfitsio puts there by itself."""
        card = self._values.get(keyword)
        text = card.comment.strip() if card else ""
        return "" if text.lower().startswith(("label for", "name of", "column ", "field ")) else text

    def text(self, keyword: str, default: str) -> str:
        value = self.value(keyword)
        return value if isinstance(value, str) else default

    def whole(self, keyword: str, default: int) -> int:
        value = self.value(keyword)
        return value if isinstance(value, int) and not isinstance(value, bool) else default

    def number(self, keyword: str, default: float) -> float:
        value = self.value(keyword)
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else default

    def flag(self, keyword: str) -> bool:
        return self.value(keyword) is True

    def data_bytes(self) -> int:
        """Bytes of the data that follow, filled up to whole blocks (FITS 4.0, section 4.4.1)."""
        axes = self.whole("NAXIS", 0)
        if axes <= 0:
            return 0
        sizes = [self.whole(f"NAXIS{index}", 0) for index in range(1, min(axes, 999) + 1)]
        if sizes and sizes[0] == 0 and self.flag("GROUPS"):
            sizes = sizes[1:]
        product = 1
        for size in sizes:
            product *= max(size, 0)
        bits = (
            abs(self.whole("BITPIX", 8)) * max(self.whole("GCOUNT", 1), 0) * (max(self.whole("PCOUNT", 0), 0) + product)
        )
        return -(-bits // 8 // BLOCK) * BLOCK


def read_header(file: BinaryIO, *, name: str, first: bool) -> Header | None:
    """The header that begins here; afterwards the file stands at its data. None at the end of the file.

    Raises FormatError when the first unit is no FITS header or END never comes.
    """
    start = file.tell()
    cards: list[bytes] = []
    for number in range(_MAX_BLOCKS):
        block = file.read(BLOCK)
        if number == 0 and first and not block.startswith(b"SIMPLE"):
            raise FormatError("This is no FITS file: it does not begin with SIMPLE", where=f"{name}, byte 0")
        if number == 0 and not first and not block.startswith(b"XTENSION"):
            return None  # special records or padding after the last unit
        for place in range(0, len(block) - _CARD + 1, _CARD):
            card = block[place : place + _CARD]
            if card[:8] == b"END     " or card.rstrip() == b"END":
                return Header(_parse(cards))
            cards.append(card)
        if len(block) < BLOCK:
            raise FormatError(
                "The FITS header has no END",
                where=f"{name}, byte {start + number * BLOCK + len(block)}",
                hint="The file was cut short.",
            )
    raise FormatError("The FITS header is longer than 28 MB", where=f"{name}, byte {start}")


def _parse(raw: Iterable[bytes]) -> list[Card]:
    cards: list[Card] = []
    for line in raw:
        text = line.decode("latin-1")
        keyword = text[:8].rstrip()
        if keyword == "CONTINUE" and cards and isinstance(cards[-1].value, str):
            # long strings (FITS 4.0, section 4.2.1.2): an ampersand says that more follows
            match = _STRING.fullmatch(text[8:])
            last = cards[-1]
            assert isinstance(last.value, str)
            if match and last.value.endswith("&"):
                longer = last.value[:-1] + match[1].replace("''", "'").rstrip()
                cards[-1] = Card(last.keyword, longer, (last.comment + " " + (match[2] or "").strip()).strip())
                continue
        if text[8:10] != "= ":
            if keyword == "HIERARCH" and "=" in text:
                name, _, rest = text[8:].partition("=")
                value, comment = _value(rest)
                cards.append(Card(" ".join(name.split()), value, comment))
            elif keyword or text.strip():
                cards.append(Card(keyword, None, text[8:].rstrip()))
            continue
        value, comment = _value(text[10:])
        cards.append(Card(keyword, value, comment))
    return cards


def _value(text: str) -> tuple[Value, str]:
    match = _STRING.fullmatch(text)
    if match:
        return match[1].replace("''", "'").rstrip(), (match[2] or "").strip()
    match = _OTHER.fullmatch(text)
    if match is None:
        return None, ""
    told, comment = match[1], (match[2] or "").strip()
    if told in ("T", "F"):
        return told == "T", comment
    if re.fullmatch(r"[+-]?[0-9]{1,30}", told):
        return int(told), comment
    try:
        return float(told.upper().replace("D", "E")), comment
    except ValueError:
        return (told or None), comment


# --- writing --------------------------------------------------------------------------------------------------------


def card(keyword: str, value: Value = None, comment: str = "") -> bytes:
    """One card, or several with CONTINUE for a long text; anything but ASCII becomes "?"."""
    name = keyword.upper().ljust(8)
    if value is None:
        body = _ascii(comment)
        pieces = [body[place : place + 72] for place in range(0, max(len(body), 1), 72)]
        return b"".join((name + piece).ljust(_CARD).encode() for piece in pieces)
    if isinstance(value, str):
        return _text_cards(name, value, comment)
    told = ("T" if value else "F") if isinstance(value, bool) else _number(value)
    line = f"{name}= {told:>20}"
    if comment:
        line += f" / {_ascii(comment)}"
    return line[:_CARD].ljust(_CARD).encode()


def _number(value: int | float) -> str:
    return repr(value).upper() if isinstance(value, float) else str(value)


def _ascii(text: str) -> str:
    return "".join(char if " " <= char <= "~" else " " if char in "\t\r\n" else "?" for char in text)


def _text_cards(name: str, value: str, comment: str) -> bytes:
    text = _ascii(value).replace("'", "''")
    if len(text) <= 68:
        line = f"{name}= '{text:<8}'"
        if comment and len(line) + 3 < _CARD:
            line += f" / {_ascii(comment)}"
        return line[:_CARD].ljust(_CARD).encode()
    lines: list[str] = []
    while text:
        size = 67 if len(text) > 68 else 68
        if size < len(text) and text[size - 1] == "'" and text[:size].count("'") % 2:
            size -= 1  # a doubled quote may not be torn apart
        piece, text = text[:size], text[size:]
        start = f"{name}= " if not lines else "CONTINUE  "
        lines.append(f"{start}'{piece}{'&' if text else ''}'".ljust(_CARD))
    return "".join(lines).encode()


def blocks(cards: Iterable[bytes]) -> bytes:
    """Cards with END, filled up to whole blocks."""
    body = b"".join(cards) + b"END".ljust(_CARD)
    return body.ljust(-(-len(body) // BLOCK) * BLOCK)
