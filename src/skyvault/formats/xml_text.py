"""Text on its way into an XML document, and small XML documents on their way in.

No document with a DOCTYPE is read: entities are how XML reaches other files and how bombs are made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from skyvault.errors import FormatError

#: What XML 1.0, section 2.2, does not allow even as a character reference.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: Nothing read here has a reason to be deeper.
_DEPTH_LIMIT = 100


def clean(text: str) -> str:
    """The text without characters that XML 1.0 forbids."""
    return _ILLEGAL.sub("", text)


# xml.sax.saxutils does the same but imports urllib.request, a tenth of a server's start
_IN_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_IN_ATTRIBUTE = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}
)


def text(content: object) -> str:
    """The content, fit to stand between tags."""
    return clean(str(content)).translate(_IN_TEXT)


def attributes(pairs: Iterable[tuple[str, object | None]]) -> str:
    """Attributes, each with a blank before it; those whose value is None are left out."""
    return "".join(
        f' {name}="{clean(str(value)).translate(_IN_ATTRIBUTE)}"' for name, value in pairs if value is not None
    )


def element(tag: str, content: object | None, *pairs: tuple[str, object | None]) -> str:
    """A simple element, or nothing when its content is None."""
    return "" if content is None else f"<{tag}{attributes(pairs)}>{text(content)}</{tag}>"


def read_small(document: bytes, *, limit: int = 16_000_000) -> Element:
    """The tree of a short document; names are "{namespace}local".

    Raises FormatError, with line and column, for what is not XML, has a DOCTYPE, is larger than ``limit`` bytes or
    nested too deeply.
    """
    if len(document) > limit:
        raise FormatError(f"the XML document has {len(document)} bytes, more than the {limit} that are read")
    parser = expat.ParserCreate(namespace_separator="}")
    builder = TreeBuilder()
    depth = 0

    def name(raw: str) -> str:
        return "{" + raw if "}" in raw else raw

    def refuse(*_: object) -> None:
        raise FormatError(
            "the XML document has a DOCTYPE, which is not read",
            where=f"line {parser.CurrentLineNumber}",
            hint="Remove it; no VO document needs one.",
        )

    def start(tag: str, pairs: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEPTH_LIMIT:
            raise FormatError(f"the XML document is nested more than {_DEPTH_LIMIT} deep")
        builder.start(name(tag), {name(key): value for key, value in pairs.items()})

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name(tag))

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.buffer_text = True
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        raise FormatError(
            f"this is not an XML document ({expat.ErrorString(error.code)})",
            where=f"line {error.lineno}, column {error.offset + 1}",
        ) from None
    except (ValueError, LookupError) as error:
        raise FormatError(f"this is not an XML document ({error})") from None
    root: Element = builder.close()
    return root
