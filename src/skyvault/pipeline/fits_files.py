"""Data sets in FITS: one table extension a data set, in the order given, and what is known in a last table, ABOUT.

``astropy.table.Table.read(path, hdu=1)`` reads the first. Types that FITS does not know are kept as wider ones and
come back as they were.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.pipeline.data_files import MOST_ABOUT, MOST_BYTES, Stored, about_of
from skyvault.pipeline.faults import DataError
from skyvault.pipeline.table_rows import Rows
from skyvault.quiet import quiet

#: numpy's kind and size -> FITS' binary table code (FITS standard 4.0, table 18) and the type it is stored as
_CODES: Final = {
    "f8": ("D", ">f8"), "f4": ("E", ">f4"), "f2": ("E", ">f4"), "i8": ("K", ">i8"), "i4": ("J", ">i4"),
    "i2": ("I", ">i2"), "i1": ("I", ">i2"), "u1": ("B", "u1"), "u2": ("J", ">i4"), "u4": ("K", ">i8"),
}  # fmt: skip
_ABOUT: Final = "ABOUT"


class Fits:
    """Data sets as extensions of a FITS file."""

    def made(self, datasets: Sequence[Stored]) -> bytes:
        from astropy.io import fits

        hdus: list[Any] = [fits.PrimaryHDU()]
        for one in datasets:
            about = json.loads(one.about)
            hdus.append(_image(one) if one.rows.dtype.names is None else _table(one, about.get("units") or {}))
        texts = [
            json.dumps([one.key, one.rows.dtype.str if one.rows.dtype.names is None else _kinds(one.rows), about])
            for one, about in ((one, one.about.decode("ascii")) for one in datasets)
        ]
        letters = np.empty(len(texts), object)
        letters[:] = [np.frombuffer(text.encode("ascii"), np.uint8) for text in texts]
        last = fits.BinTableHDU.from_columns([fits.Column("dataset", "PB()", array=letters)], name=_ABOUT)
        sink = io.BytesIO()
        fits.HDUList([*hdus, last]).writeto(sink)
        return sink.getvalue()

    def keys(self, path: Path) -> list[str]:
        with _opened(path) as hdus:
            return [one[0] for one in _held(hdus)]

    def take(self, path: Path, key: str) -> tuple[Rows, dict[str, Any]]:
        with _opened(path) as hdus:
            for number, (name, kinds, about) in enumerate(_held(hdus), 1):
                if name == key:
                    hdu = hdus[number]
                    if hdu.size > MOST_BYTES:
                        raise ValueError(f"it holds more than {MOST_BYTES / 2**30:.0f} GiB")
                    if isinstance(kinds, str):
                        return np.asarray(hdu.data, np.dtype(kinds)), about_of(about)
                    return _rows(hdu.data, np.dtype([(name, kind) for name, kind in kinds])), about_of(about)
        raise KeyError(key)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyWarning

    with quiet(AstropyWarning):
        # damage is found by what is missing then, and by the checksum
        try:
            with path.open("rb") as file, fits.open(file, memmap=False, character_as_bytes=True) as hdus:
                yield hdus
        except fits.VerifyError as error:
            raise ValueError(str(error)) from None


def _held(hdus: Any) -> list[list[Any]]:
    try:
        column = hdus[_ABOUT].data["dataset"]
    except KeyError:
        raise ValueError("it is no file of data sets, or its end is missing") from None
    if sum(len(letters) for letters in column) > 2 * MOST_ABOUT:
        raise ValueError("its description is too long")
    return [json.loads(np.asarray(letters, np.uint8).tobytes()) for letters in column]


def _kinds(rows: Rows) -> list[list[str]]:
    return [[name, rows.dtype[name].str] for name in rows.dtype.names or ()]


def _image(one: Stored) -> Any:
    from astropy.io import fits

    return fits.ImageHDU(one.rows.astype(np.uint8) if one.rows.dtype.kind == "b" else one.rows, name=_label(one.key))


def _table(one: Stored, units: dict[str, str]) -> Any:
    from astropy.io import fits

    columns: list[Any] = []
    known: set[str] = set()
    for name in one.rows.dtype.names or ():
        kind = one.rows.dtype[name]
        if kind.shape or one.rows.ndim != 1:
            raise DataError(f"the column {name!r} of {one.key} has more than one value a row", hint="Take hdf5.")
        if kind.kind == "S":
            code, values = f"{kind.itemsize}A", one.rows[name]
        elif kind.kind == "b":
            code, values = "L", one.rows[name]
        elif kind.str[1:] in _CODES:
            code, stored = _CODES[kind.str[1:]]
            values = one.rows[name].astype(stored)
        else:
            raise DataError(f"the column {name!r} of {one.key} is of a type FITS does not know", hint="Take hdf5.")
        label = _label(name)
        if label.lower() in known:
            # FITS does not tell upper from lower case; the true names are in ABOUT
            label = f"{label}_{len(columns) + 1}"
        known.add(label.lower())
        columns.append(fits.Column(label, code, unit=units.get(name), array=values))
    return fits.BinTableHDU.from_columns(columns, nrows=len(one.rows), name=_label(one.key))


def _label(name: str) -> str:
    """A name of the characters FITS recommends, short enough for a card."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)[:60]


def _rows(data: Any, kinds: np.dtype[Any]) -> Rows:
    rows = np.zeros(0 if data is None else len(data), kinds)
    if not len(rows):
        return rows
    stored = data.view(np.ndarray)
    names = stored.dtype.names or ()
    if len(names) != len(kinds.names or ()):
        raise ValueError("it has lost columns")
    # by place: names may have been changed for FITS
    for name, theirs in zip(kinds.names or (), names, strict=True):
        column = stored[theirs]
        rows[name] = column == ord("T") if kinds[name].kind == "b" else column
    return rows
