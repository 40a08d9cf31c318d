"""A directory of an archive as its web page lists it: names below it and nothing else, read without trust.

Apache's and nginx's index pages and eRODat's are alike in this: each file is a link whose text is its name.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

from skyvault.net.addresses import shown_address
from skyvault.net.auth import Password
from skyvault.net.client import HttpClient
from skyvault.net.faults import Unreachable, WrongContent, said

_PAGE_BYTES: Final = 32_000_000
_MOST_ENTRIES: Final = 200_000
#: a page that came damaged is asked for again so often
_READS: Final = 3
_NAME: Final = re.compile(r"[A-Za-z0-9_+@=,~#%^(){}\[\] -][A-Za-z0-9_.+@=,~#%^(){}\[\] -]{0,254}")
#: texts that are nothing but names of data files or directories
_FILE_NAME: Final = re.compile(r"[\w.+-]+\.(gz|Z|fits|fit|FIT|FTZ|evt|img|tar)|[A-Za-z0-9][\w+-]*/")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?|\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d(:\d\d)?")
_SIZE: Final = re.compile(r"(?<![\w.])(\d[\d,]*(?:\.\d+)?)\s?([KMGT]?)i?B?(?![\w.])", re.IGNORECASE)
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or directory; ``about_bytes`` is its size as far as the page tells, often rounded."""

    name: str
    is_directory: bool
    about_bytes: int | None = None


class ArchiveTree:
    """Directories of one archive, each asked for once. Shared by threads."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._known: dict[str, dict[str, Entry]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def entries(self, url: str, credential: Password | None = None) -> dict[str, Entry]:
        """What is in the directory at ``url`` (with a slash at its end), by name.

        Raises Missing, Refused, Unreachable, and WrongContent for a page that is no listing.
        """
        with self._lock:
            one = self._locks.setdefault(url, threading.Lock())
        with one:
            if url not in self._known:
                self._known[url] = self._read(url, credential)
            return self._known[url]

    def _read(self, url: str, credential: Password | None) -> dict[str, Entry]:
        for left in range(_READS - 1, -1, -1):
            answer = self._client.get(url, credential=credential, limit_bytes=_PAGE_BYTES)
            try:
                return read_listing(answer.body, url)
            except WrongContent:
                if not left:
                    raise
        raise Unreachable("the directory cannot be listed", where=shown_address(url))


def read_listing(page: bytes, url: str) -> dict[str, Entry]:
    """The files and directories a page lists directly below ``url``, by name; other links are passed over.

    A page that is cut or damaged is refused rather than taken for a shorter one: links must be closed, and their
    text must begin as their address ends. Raises WrongContent.
    """
    reader = _Links()
    reader.feed(page.decode("utf-8", "replace"))
    reader.close()
    where = shown_address(url)
    text = page[-2000:].lower()
    if b"<html" in page[:5000].lower() and b"</html" not in text:
        raise WrongContent("the archive's list of files is cut", where=where)
    found: dict[str, Entry] = {}
    wrong, is_lost = 0, False
    above = set(urlsplit(url).path.split("/"))
    for href, shown, rest in reader.links:
        entry = _entry(href, rest, url)
        if entry is None:
            # the text of a file, but not its address
            is_lost |= _FILE_NAME.fullmatch(shown.strip()) is not None and shown.strip("/ ") not in above
            continue
        wrong += not _is_same(entry.name, shown)
        found[entry.name] = entry
        if len(found) > _MOST_ENTRIES:
            raise WrongContent(f"the archive lists more than {_MOST_ENTRIES:,} files in one directory", where=where)
    if reader.is_broken or is_lost or 0 < wrong < len(found):
        raise WrongContent("the archive's list of files came damaged", where=where, hint="Try again.")
    if not found and not re.search(rb"<title>[^<]*(index|listing|directory)", page[:5000], re.IGNORECASE):
        told = said(page)
        raise WrongContent(f"the archive's page lists no files{f' but says {told!r}' if told else ''}", where=where)
    return found


def _entry(href: str, rest: str, url: str) -> Entry | None:
    """The file a link leads to, if it lies directly below the directory."""
    try:
        here, there = urlsplit(url), urlsplit(urljoin(url, href))
    except ValueError:
        return None
    if (there.scheme, there.netloc) != (here.scheme, here.netloc) or there.query or href.startswith("?"):
        return None
    base, path = unquote(here.path), unquote(there.path)
    if not path.startswith(base) or path == base:
        return None
    name = path[len(base) :]
    is_directory = name.endswith("/")
    name = name.removesuffix("/")
    if not _NAME.fullmatch(name) or name.endswith((".part", ".part.json", ".unpacking")):
        return None
    return Entry(name, is_directory, None if is_directory else _size(rest))


def _is_same(name: str, shown: str) -> bool:
    """Apache cuts long names: ``acisf03205N006_evt2..>``."""
    text = shown.strip().removesuffix("/")
    cut = re.sub(r"(\.\.\.|\.\.>|\u2026)$", "", text)
    return text == name or (cut != text and name.startswith(cut))


def _size(rest: str) -> int | None:
    sizes = _SIZE.findall(_DATE.sub(" ", rest))
    if not sizes:
        return None
    number, unit = sizes[-1]
    return int(float(number.replace(",", "")) * _UNITS[unit.upper()])


class _Links(HTMLParser):
    """Links of a page: address, text, and the text up to the next link."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[tuple[str, str, str]] = []
        self.is_broken = False
        #: opened and not closed yet
        self._is_html = False
        self._href: str | None = None
        self._shown: list[str] = []
        self._rest: list[str] = []
        self._pending: tuple[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._flush()
            given = dict(attrs)
            # a link without an address is none, unless it is a place to jump to
            self.is_broken |= self._href is not None or not given.keys() & {"href", "name", "id"}
            self._href, self._shown = given.get("href") or "", []
            self.is_broken |= any(mark in self._href for mark in '<>"\n')
        elif tag == "tr":
            self._flush()
        elif tag == "html":
            self._is_html = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "html":
            self._is_html = False
        if tag == "a":
            if self._href is None:
                self.is_broken = True
            else:
                self._pending = (self._href, "".join(self._shown))
            self._href, self._rest = None, []

    def handle_data(self, data: str) -> None:
        # the rest of a tag whose beginning or quotes are damaged
        self.is_broken |= "href=" in data or "</a" in data
        (self._shown if self._href is not None else self._rest).append(data)
        if self._href is None:
            self._rest.append(" ")

    def close(self) -> None:
        super().close()
        self._flush()
        self.is_broken |= self._href is not None or self._is_html

    def _flush(self) -> None:
        if self._pending is not None:
            self.links.append((*self._pending, "".join(self._rest)))
        self._pending = None
