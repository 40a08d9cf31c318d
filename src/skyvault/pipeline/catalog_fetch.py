"""Fetching the file of a known target list, once."""

from __future__ import annotations

from pathlib import Path

from skyvault.net.download import Downloader
from skyvault.net.remote_file import Order, Packing, RemoteFile


def fetch_catalog(url: str, target: Path) -> Path:
    """The file at ``url`` as ``target``, unpacked. Raises what fetching raises."""
    remote = RemoteFile(url=url, label=f"target list {target.name}", packing=Packing.of(url))
    target.parent.mkdir(parents=True, exist_ok=True)
    from skyvault.missions.connections import default_archives

    # the client of all archives: with the manners, retries and credentials that the settings give
    Downloader(default_archives().client).fetch(Order(remote, target))
    return target
