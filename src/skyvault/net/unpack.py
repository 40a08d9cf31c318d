"""Files as archives pack them (.gz, .Z, .tar.gz), unpacked beside their place and renamed when whole."""

from __future__ import annotations

import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

from skyvault.errors import FormatError
from skyvault.net.content import HEAD_BYTES, is_fits_start
from skyvault.net.faults import WrongContent
from skyvault.net.partial import disk_fault
from skyvault.net.remote_file import Packing, RemoteFile
from skyvault.net.stopping import look

_BLOCK: Final = 1 << 20
#: of a file within an archive: folders above it, and bytes of each name (NAME_MAX of all usual disks)
_MOST_FOLDERS: Final = 64
_LONGEST_NAME: Final = 255


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """Against files made to fill a disk: bytes in all, files in an archive, and how many times longer it may get."""

    total_bytes: int = 200_000_000_000
    files: int = 200_000
    ratio: float = 1100.0


def unpack(packed: Path, target: Path, remote: RemoteFile, limits: UnpackLimits | None = None) -> int | None:
    """Unpack ``packed`` to ``target`` as declared; the bytes on disk, None for a directory.

    Nothing is at ``target`` before all is well. Raises WrongContent for a damaged, cut or hostile file, StoreError
    for a full disk.
    """
    limits = limits or UnpackLimits()
    beside = target.with_name(f"{target.name}.unpacking")
    _remove(beside)
    try:
        if remote.packing is Packing.TAR:
            _unpack_tar(packed, beside, remote, limits)
            _replace_directory(beside, target)
            return None
        written = _unpack_stream(packed, beside, remote, limits)
        if remote.verify is not None:
            remote.verify(beside)
        os.replace(beside, target)
        return written
    except OSError as error:
        _remove(beside)
        raise disk_fault(error, target) from None
    except BaseException:
        _remove(beside)
        raise


def _unpack_stream(packed: Path, beside: Path, remote: RemoteFile, limits: UnpackLimits) -> int:
    most = min(limits.total_bytes, int(packed.stat().st_size * limits.ratio) + 65_536)
    written = 0
    with packed.open("rb") as source, beside.open("wb", buffering=0) as sink:
        pieces = _gunzip(source) if remote.packing is Packing.GZIP else _uncompress(source)
        try:
            for piece in pieces:
                look()
                if written == 0 and remote.content == "fits" and not is_fits_start(piece[:HEAD_BYTES]):
                    raise WrongContent("what is packed inside is no FITS file", where=remote.name)
                written += len(piece)
                if written > most:
                    raise WrongContent(f"the file unpacks to more than {most:,} bytes", where=remote.name)
                sink.write(piece)
        except (zlib.error, FormatError) as error:
            reason = error.what if isinstance(error, FormatError) else "its compression is damaged"
            raise WrongContent(f"the file cannot be unpacked: {reason}", where=remote.name) from None
    return written


def _gunzip(source: BinaryIO) -> Iterator[bytes]:
    """Members one after the other (RFC 1952); zeros after the last are padding. zlib checks each CRC and length."""
    stream = zlib.decompressobj(wbits=31)
    rest = source.read(_BLOCK)
    while True:
        piece = stream.decompress(rest, _BLOCK)
        if piece:
            yield piece
        if not stream.eof:
            # zlib may hold output back without needing input for it
            rest = stream.unconsumed_tail or source.read(_BLOCK)
            if not rest and not piece:
                raise FormatError("it is cut")
            continue
        rest = stream.unused_data.lstrip(b"\0")
        while not rest and (more := source.read(_BLOCK)):
            rest = more.lstrip(b"\0")
        if not rest:
            return
        if not rest.startswith(b"\x1f"):
            raise FormatError("there is something else after its end")
        stream = zlib.decompressobj(wbits=31)


def _uncompress(source: BinaryIO) -> Iterator[bytes]:
    from skyvault.net.lzw import unlzw  # numpy, which most fetches do not need

    return unlzw(source)


def _unpack_tar(packed: Path, beside: Path, remote: RemoteFile, limits: UnpackLimits) -> None:
    beside.mkdir()
    total = count = 0
    most = min(limits.total_bytes, int(packed.stat().st_size * limits.ratio) + 65_536)
    files: set[PurePosixPath] = set()
    try:
        with tarfile.open(packed, "r:*") as archive:
            for member in archive:
                look()
                count += 1
                total += member.size
                if count > limits.files or total > most:
                    raise WrongContent(
                        f"the archive holds more than {limits.files:,} files or {most:,} bytes", where=remote.name
                    )
                _refuse_member(member, files, remote)
                archive.extract(member, beside, filter="data")
            # the compression's own checksum comes after the end that tarfile reads to
            rest: Any = archive.fileobj
            while rest is not None and rest.read(_BLOCK):
                pass
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise WrongContent(f"the tar archive is damaged or cut ({type(error).__name__})", where=remote.name) from None
    except OSError as error:
        if error.errno is None:  # gzip's and bz2's own complaints
            raise WrongContent(f"the tar archive is damaged ({error})", where=remote.name) from None
        raise
    if count == 0:
        raise WrongContent("the tar archive is empty", where=remote.name)


def _refuse_member(member: tarfile.TarInfo, files: set[PurePosixPath], remote: RemoteFile) -> None:
    """Only plain files and directories below the target, whatever an archive says; ``files`` came before."""
    path = PurePosixPath(member.name)
    shown = repr(member.name[:100])
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or "\0" in member.name:
        raise WrongContent(f"the tar archive wants to write outside its folder: {shown}", where=remote.name)
    if not (member.isfile() or member.isdir()):
        raise WrongContent(f"the tar archive has a link or device in it: {shown}", where=remote.name)
    is_odd = (
        not member.name.isprintable()
        or len(path.parts) > _MOST_FOLDERS
        or any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts)
        or (member.isfile() and not path.parts)
        or not files.isdisjoint(path.parents)
    )
    if is_odd:
        raise WrongContent(f"the tar archive has a name in it that no file can have: {shown}", where=remote.name)
    if member.isfile():
        files.add(path)


def _replace_directory(beside: Path, target: Path) -> None:
    """A directory cannot be renamed over another that is not empty: the old one steps aside for a moment."""
    aside = target.with_name(f"{target.name}.replaced")
    _remove(aside)
    if target.exists():
        os.rename(target, aside)
    os.rename(beside, target)
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
