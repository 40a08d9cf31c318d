"""Whether what came looks like what was asked for: FITS, gzip, compress, tar; or a web page that says sorry."""

from __future__ import annotations

import re
from typing import Final

from skyvault.net.faults import WrongContent, said
from skyvault.net.remote_file import Packing, RemoteFile

#: enough for the 257 bytes before a tar archive's mark
HEAD_BYTES: Final = 1024
_WEB_PAGE: Final = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.I | re.S)
_TAR_STARTS: Final = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
#: FITS 4.0 section 3.1
_FITS_BLOCK: Final = 2880


def refuse_wrong_start(head: bytes, remote: RemoteFile) -> None:
    """Raise WrongContent when the first HEAD_BYTES (or all, if fewer) cannot belong to the file."""
    is_page_wanted = remote.content == "html" or remote.identity.partition("?")[0].endswith((".html", ".htm"))
    if not is_page_wanted and _WEB_PAGE.match(head):
        told = said(head)
        raise WrongContent(
            f"the archive sent a web page{f' ({told!r})' if told else ''} instead of the file",
            where=remote.name,
            hint="Look at the address in a browser; it may want a login, or be down.",
        )
    wanted = _start_fault(head, remote)
    if wanted:
        raise WrongContent(f"what came is no {wanted}: it begins with {head[:12]!r}", where=remote.name)


def _start_fault(head: bytes, remote: RemoteFile) -> str | None:
    if remote.packing is Packing.GZIP:
        return None if head.startswith(b"\x1f\x8b") else "gzip file"
    if remote.packing is Packing.COMPRESS:
        return None if head.startswith(b"\x1f\x9d") else "compress (.Z) file"
    if remote.packing is Packing.TAR:
        return None if head.startswith(_TAR_STARTS) or head[257:262] == b"ustar" else "tar archive"
    return None if remote.content != "fits" or is_fits_start(head) else "FITS file"


def is_fits_start(head: bytes) -> bool:
    """The first card of a FITS file (FITS 4.0 section 4.4.1)."""
    return head.startswith(b"SIMPLE  =")


def refuse_cut_fits(length: int, remote: RemoteFile) -> None:
    """A FITS file is whole blocks of 2,880 bytes: all that tells a short one where nobody gives the size."""
    if length == 0 or length % _FITS_BLOCK:
        raise WrongContent(
            f"the FITS file is cut: {length:,} bytes are no whole number of {_FITS_BLOCK:,}-byte blocks",
            where=remote.name,
        )
