"""Pages that list a directory, as Apache's mod_autoindex writes them and as eROSITA's archive does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Final
from urllib.parse import quote

#: letters of a name that Apache shows
_NAME_WIDTH: Final = 33


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of such a page. Directories' names end with a slash, and have no size."""

    name: str
    modified: datetime
    size_bytes: int | None = None

    @property
    def is_directory(self) -> bool:
        return self.name.endswith("/")


def apache_page(path: str, entries: Sequence[Entry]) -> str:
    """The listing of a directory; ``path`` begins and ends with a slash. Sizes are rounded, as Apache rounds them."""
    parent = path.rstrip("/").rpartition("/")[0] + "/"
    sort = "".join(
        f'<th><a href="?C={letter};O={order}">{word}</a></th>'
        for letter, order, word in (
            ("N", "D", "Name"),
            ("M", "A", "Last modified"),
            ("S", "A", "Size"),
            ("D", "A", "Description"),
        )
    )
    rows = [
        '<tr><td valign="top"><img src="/icons/back.gif" alt="[PARENTDIR]"></td>'
        f'<td><a href="{quote(parent)}">Parent Directory</a></td><td>&nbsp;</td>'
        '<td align="right">  - </td><td>&nbsp;</td></tr>'
    ]
    for one in entries:
        icon, alt = ("folder", "DIR") if one.is_directory else ("compressed", "   ")
        size = "  - " if one.size_bytes is None else rounded_size(one.size_bytes)
        rows.append(
            f'<tr><td valign="top"><img src="/icons/{icon}.gif" alt="[{alt}]"></td>'
            f'<td><a href="{quote(one.name)}">{escape(_cut(one.name))}</a></td>'
            f'<td align="right">{one.modified:%Y-%m-%d %H:%M}  </td><td align="right">{size}</td><td>&nbsp;</td></tr>'
        )
    title = f"Index of {escape(path.rstrip('/'))}"
    rule = '<tr><th colspan="5"><hr></th></tr>'
    body = "\n".join(rows)
    return (
        '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">\n'
        f"<html>\n <head>\n  <title>{title}</title>\n </head>\n <body>\n<h1>{title}</h1>\n"
        f'  <table>\n   <tr><th valign="top"><img src="/icons/blank.gif" alt="[ICO]"></th>{sort}</tr>\n'
        f"   {rule}\n{body}\n   {rule}\n</table>\n</body></html>\n"
    )


def _cut(name: str) -> str:
    """A name as Apache shows it where it is too long for its column."""
    return name if len(name) <= _NAME_WIDTH else f"{name[: _NAME_WIDTH - 3]}..>"


def rounded_size(size: int) -> str:
    """A size as Apache shows it: 512, 1.5K, 24K, 3.2M."""
    if size < 1024:
        return f"{size:4d}"
    value = float(size)
    for letter in "KMGT":
        value /= 1024.0
        if value < 9.95:
            return f"{value:3.1f}{letter}"
        if value < 973.0:
            return f"{value:3.0f}{letter}"
    return f"{value:.0f}T"


def erodat_page(words: Sequence[str], entries: Sequence[Entry], modified: datetime) -> str:
    """The listing of a directory below eROSITA's download area; ``words`` are the directories on the way there.

    As at the archive, cells of files' dates are not closed, and around the table stand the site's own links.
    """
    path = "/".join(("", *words, ""))
    crumbs = "".join(
        f'<a href="{"../" * (len(words) - 1 - depth) or "./"}">{escape(word)}/</a>' for depth, word in enumerate(words)
    )
    rows = [
        '  <tr class="isdir"><td><a href="../">Parent directory</a></td><td>Directory</td>'
        f"<td>{modified:%Y-%m-%d %H:%M:%S}</td><td></td></tr>"
    ]
    for one in entries:
        name = escape(one.name)
        if one.is_directory:
            rows.append(
                f'  <tr class="isdir"><td><a href="{name}">{name}</a></td><td>Directory</td>'
                f"<td>{one.modified:%Y-%m-%d %H:%M:%S}</td><td></td></tr>"
            )
        else:
            rows.append(
                f'  <tr class="isfile"><td><a href="{name}" class=\'matomo_download\'>{name}</a></td><td>File</td>'
                f"<td>{one.modified:%Y-%m-%d %H:%M:%S}<td>{one.size_bytes}</td></tr>"
            )
    links = "\n".join(
        f'    <a href="{address}">{word}</a>'
        for address, word in (
            ("https://erosita.mpe.mpg.de/dr1/", "Main DR1 home"),
            ("/dr1/erodat/", "eRODat home"),
            ("/dr1/erodat/catalogue/search/", "Single position"),
            ("/dr1/erodat/data/download/", "Download area"),
            ("/dr1/erodat/data/basket/", "Basket"),
        )
    )
    table = "\n  \n".join(rows)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n\n<head>\n  <title>Directory listing for {escape(path)} | eRODat</title>\n'
        '  <link rel="stylesheet" href="/dr1/erodat/static/erodat.css">\n'
        '  <script type="text/javascript">\n    const regexfn = /<a.*>(.+)<\\/a>/;\n  </script>\n</head>\n\n<body>\n'
        f'  <div class="navbar">\n{links}\n  </div>\n\n  <div id="content">\n'
        f'<h2>Archive directory listing for\n  <a href="{"../" * len(words)}">/</a>{crumbs}\n</h2>\n\n'
        '<table id="files" class="display" style="width:100%;display:none">\n  <thead>\n    <tr>\n'
        "      <th>Name</th><th>Type</th><th>Date</th><th>Size</th>\n    </tr>\n  </thead>\n\n  <tbody>\n\n"
        f'{table}\n\n  </tbody>\n</table>\n  </div>\n\n  <footer>\n    <span><a href="https://www.mpe.mpg.de/impressum">'
        "Imprint</a></span>\n  </footer>\n\n</body>\n</html>\n"
    )
