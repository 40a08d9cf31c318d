"""Spectra in files: the many ways wavelengths and fluxes are kept (SDSS, DESI, IVOA Spectrum, plain tables, images).

One reader serves collections that are published, pipelines and sessions: :func:`spectra_in` gives spectra as the file
has them, :func:`spectra_of` with wavelengths in vacuum in metres, ascending or not as the file has them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from skyvault.errors import FormatError, SkyvaultError
from skyvault.quiet import quiet
from skyvault.science.cutouts import unpacked
from skyvault.science.reprojected import in_a_line
from skyvault.science.spectrum_columns import (
    Described,
    SpectrumColumns,
    error_of_ivar,
    is_spectrum,
    medium_of,
    position_of,
    spectrum_of,
)

if TYPE_CHECKING:
    from skyvault.formats.stream import TableStream
    from skyvault.model.table import Column

Floats = NDArray[np.float64]

#: rows of a table that may be a spectrum, and spectra of one file
_MOST: Final = 20_000_000
_MOST_SPECTRA: Final = 1_000_000
#: bytes of a file that is given whole, and of a plain text
_MOST_BYTES: Final = 500_000_000
_MOST_TEXT_BYTES: Final = 100_000_000
_FITS: Final = (".fits", ".fit", ".fts")
#: axes of images that are no spectrum's
_NOT_SPECTRAL: Final = ("RA-", "DEC-", "GLON", "GLAT", "ELON", "ELAT", "TIME", "UTC", "STOKES")


@dataclass(frozen=True, slots=True)
class Spectrum:
    """One spectrum. ``wavelength`` in metres (vacuum), ``flux`` in ``flux_unit``, shapes (n,); ``error`` as flux.

    ``words`` are what the file says beside the numbers; ``key`` tells several spectra of a file apart.
    """

    wavelength: Floats
    flux: Floats
    error: Floats | None
    flux_unit: str | None
    ra: float | None
    dec: float | None
    words: Any
    hdu: int | None = None
    key: str | None = None
    name: str | None = None

    @property
    def length(self) -> int:
        return len(self.wavelength)

    @classmethod
    def of(cls, one: SpectrumColumns) -> Spectrum:
        return cls(
            one.vacuum_m(), one.flux, one.error, one.flux_unit, one.ra, one.dec, one.words, one.hdu, one.key, one.name
        )


def spectra_of(path: Path) -> list[Spectrum]:
    """The spectra of a file. Raises FormatError with what is wrong when there is none."""
    return [Spectrum.of(one) for one in spectra_in(path)]


def spectrum_of_columns(
    arrays: Mapping[str, Any], units: Mapping[str, str | None], words: Any, key: str | None = None
) -> Spectrum:
    """The spectrum of arrays named as columns of files are: wavelength, flux, error ... Raises FormatError."""
    described = [Described(name, unit=units.get(name) or "") for name in arrays]
    return Spectrum.of(spectrum_of(described, arrays.__getitem__, words, key=key))


def spectra_in(source: Path | bytes, name: str = "") -> list[SpectrumColumns]:
    """The spectra of a file, or of its bytes, as they are. Raises FormatError with what is wrong when there is none."""
    where = name or (source.name if isinstance(source, Path) else "spectrum")
    try:
        with quiet():
            found = list(_spectra(source, where))
    except FormatError as problem:
        raise FormatError(problem.what, where=where, hint=problem.hint) from None
    except SkyvaultError as problem:
        raise FormatError(f"it cannot be read as a spectrum ({problem.what})", where=where) from None
    except Exception as problem:  # damaged files fail in many ways
        raise FormatError(f"it cannot be read as a spectrum ({in_a_line(problem)})", where=where) from None
    if not found:
        raise FormatError("no column of wavelengths with one of fluxes is in it", where=where)
    return found


def _spectra(source: Path | bytes, where: str) -> Iterator[SpectrumColumns]:
    if isinstance(source, Path):
        plain = source.name.lower().removesuffix(".gz").removesuffix(".bz2")
        if plain.endswith(_FITS):
            yield from _of_fits(source)
            return
        if source.stat().st_size > _MOST_BYTES:
            raise FormatError(f"it is larger than {_MOST_BYTES:,} bytes")
        source = source.read_bytes()
    raw = unpacked(source, where, _MOST_BYTES)
    if raw.startswith(b"SIMPLE"):
        yield from _of_fits(io.BytesIO(raw))
        return
    found = False
    try:
        for one in _of_table(raw, where):
            found = True
            yield one
    except FormatError:
        if found or not _is_text(raw):
            raise
        spectrum = _of_text(raw)
        if spectrum is None:
            raise
        yield spectrum
        return
    if not found and _is_text(raw) and (spectrum := _of_text(raw)) is not None:
        yield spectrum


# --- FITS -----------------------------------------------------------------------------------------------------------


def _of_fits(source: Any) -> Iterator[SpectrumColumns]:
    from astropy.io import fits

    with fits.open(source, memmap=False) as file:
        if "B_WAVELENGTH" in file and "FIBERMAP" in file:
            yield from _desi(file)
            return
        for number, hdu in enumerate(file):
            columns = getattr(hdu, "columns", None)
            if columns is None or hdu.data is None or len(hdu.data) > _MOST:
                continue
            described = [
                Described(one.name, str(hdu.header.get(f"TUCD{i}", "")), str(one.unit or ""),
                          str(hdu.header.get(f"TUTYP{i}", "")))
                for i, one in enumerate(columns, start=1)
            ]  # fmt: skip
            if not is_spectrum(described):
                continue
            yield from _rows(described, hdu.data.__getitem__, _words(file[0].header, hdu.header), number)
            # further tables of the kind are exposures that this one sums up (SDSS)
            return
        yield from _of_image(file)


def _desi(file: Any) -> Iterator[SpectrumColumns]:
    """Coadded spectra of the Dark Energy Spectroscopic Instrument: three arms, a row a target."""
    fibers = file["FIBERMAP"].data
    arms = [arm for arm in ("B", "R", "Z") if f"{arm}_WAVELENGTH" in file]
    waves = [np.asarray(file[f"{arm}_WAVELENGTH"].data, np.float64) for arm in arms]
    wavelength = np.concatenate(waves)
    order = np.argsort(wavelength, kind="stable")
    for row in range(len(fibers)):
        flux = np.concatenate([np.asarray(file[f"{arm}_FLUX"].data[row], np.float64) for arm in arms])
        ivar = np.concatenate([np.asarray(file[f"{arm}_IVAR"].data[row], np.float64) for arm in arms])
        target = str(fibers["TARGETID"][row])
        yield SpectrumColumns(
            wavelength[order],
            "Angstrom",
            flux[order],
            "1e-17 erg s-1 cm-2 Angstrom-1",
            error_of_ivar(ivar[order]),
            medium="vacuum",
            words=_words(file[0].header, file[f"{arms[0]}_FLUX"].header),
            ra=float(fibers["TARGET_RA"][row]),
            dec=float(fibers["TARGET_DEC"][row]),
            hdu=file.index_of("FIBERMAP"),
            key=target,
            name=target,
        )


def _of_image(file: Any) -> Iterator[SpectrumColumns]:
    """Images along a linear or logarithmic spectral axis (FITS paper III); a second row holds the errors."""
    header, data = file[0].header, file[0].data
    kind = str(header.get("CTYPE1", "")).upper()
    step = header.get("CDELT1") or header.get("CD1_1")
    if data is None or "CRVAL1" not in header or not isinstance(step, int | float):
        return
    is_said = kind.startswith(("WAVE", "LAMBDA", "AWAV", "FREQ", "ENER"))
    rows = np.atleast_2d(np.asarray(data, np.float64).squeeze())
    # one row of pixels with an axis of its own is a spectrum even where nothing says so
    if rows.ndim != 2 or not (is_said or (len(rows) == 1 and not kind.startswith(_NOT_SPECTRAL))):
        return
    pixels = np.arange(rows.shape[1], dtype=np.float64) + 1 - float(header.get("CRPIX1", 1.0))
    axis = float(header["CRVAL1"]) + pixels * float(step)
    is_log = str(header.get("DC-FLAG", "0")).strip() == "1" or kind.endswith("-LOG10")
    described = Described("loglam" if is_log else "frequency" if kind.startswith("FREQ") else "wavelength",
                          unit="" if is_log else str(header.get("CUNIT1", "")).strip())  # fmt: skip
    flux = Described("flux", unit=str(header.get("BUNIT", "") or ""))
    columns = [flux]
    values = {"flux": rows[0]}
    if 1 < len(rows) <= 4:
        columns.append(Described("error"))
        values["error"] = rows[1]
    found = spectrum_of(columns, values.__getitem__, header, hdu=0, axis=(described, axis))
    medium = medium_of(header) if not is_log or kind else None
    yield SpectrumColumns(found.axis, found.unit, found.flux, found.flux_unit, found.error, None, medium, header,
                          *position_of(header), 0)  # fmt: skip


def _words(first: Any, own: Any) -> Any:
    """The table's header, with what only the file's first one says."""
    whole = own.copy()
    for card in first.cards:
        if card.keyword and card.keyword not in whole and card.keyword not in ("COMMENT", "HISTORY"):
            whole.append(card)
    return whole


# --- tables ---------------------------------------------------------------------------------------------------------


def _of_table(raw: bytes, where: str) -> Iterator[SpectrumColumns]:
    import pyarrow as pa

    from skyvault.formats import open_table

    stream = open_table(raw, name=where)
    columns = stream.table.columns
    described = [Described(one.name, one.ucd or "", one.unit or "", one.utype or "") for one in columns]
    if stream.error:
        raise FormatError(f"the service says: {stream.error[:200]}")
    axis = _axis_param(stream)
    if not is_spectrum([*described, axis[0]] if axis else described):
        return
    batches, count = [], 0
    for batch in stream.batches:
        count += batch.num_rows
        if count > _MOST:
            raise FormatError(f"it has more than {_MOST:,} rows")
        batches.append(batch)
    if stream.error:
        raise FormatError(stream.error)
    if not count:
        raise FormatError("it has no rows")
    table = pa.Table.from_batches(batches)

    def values(name: str) -> Any:
        return _numbers(table.column([one.name for one in columns].index(name)))

    yield from _rows(described, values, _said(stream), None, axis)


def _numbers(column: Any) -> Any:
    """A column as numbers (n,), or (n, m) where its cells are vectors of one length."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    if pa.types.is_list(array.type):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        flat = np.asarray(pc.cast(array.flatten(), pa.float64()).to_numpy(zero_copy_only=False))
        if len(set(lengths.tolist())) != 1:
            raise FormatError("its cells are vectors of different lengths")
        return flat.reshape(len(array), -1)
    return np.asarray(pc.cast(array, pa.float64()).to_numpy(zero_copy_only=False))


def _rows(
    described: list[Described],
    values: Any,
    words: Any,
    hdu: int | None,
    axis: tuple[Described, Any] | None = None,
) -> Iterator[SpectrumColumns]:
    """One spectrum down the columns, or one in each row where the cells are vectors."""
    held: dict[str, Any] = {}

    def whole(name: str) -> Any:
        if name not in held:
            held[name] = np.asarray(values(name))
        return held[name]

    names = {one.name.lower(): one.name for one in described}
    shapes = {name: np.shape(whole(name)) for name in names.values() if name.lower() in _VECTORS}
    count = max((shape[0] for shape in shapes.values() if len(shape) == 2), default=1)
    if count > _MOST_SPECTRA:
        raise FormatError(f"it has more than {_MOST_SPECTRA:,} spectra")
    for row in range(count):
        yield spectrum_of(
            described,
            whole if count == 1 else partial(_cell, whole, row),
            words,
            hdu=hdu,
            key=None if count == 1 else str(row + 1),
            axis=axis,
        )


def _cell(whole: Callable[[str], Any], row: int, name: str) -> Any:
    return whole(name)[row]


#: columns whose cells may be whole spectra
_VECTORS: Final = frozenset({"flux", "wavelength", "wave", "lambda", "loglam", "spec", "spectrum", "flux_density"})


def _axis_param(stream: TableStream) -> tuple[Described, Any] | None:
    """Wavelengths that are said once for all rows: a PARAM that the vectors refer to."""
    wanted = {column.ref for column in stream.table.columns if column.ref}
    param: Column
    for param in stream.table.params:
        if param.is_array and param.id in wanted and param.value and (param.ucd or "").startswith("em."):
            numbers = np.array(re.split(r"[\s,]+", param.value.strip()), np.float64)
            return Described(param.name, param.ucd or "", param.unit or "", param.utype or ""), numbers
    return None


def _said(stream: TableStream) -> dict[str, Any]:
    """What is said beside the table, by name in upper case."""
    found: dict[str, Any] = {one.name.upper(): one.value for one in (*stream.infos, *stream.table.infos)}
    found |= {param.name.upper(): param.value for param in stream.table.params}
    utypes = {(param.utype or "").lower(): param.value for param in stream.table.params}
    for ending in ("coverage.location.value", "target.pos"):
        place = next((value for utype, value in utypes.items() if utype.endswith(ending)), None)
        if place is not None:
            found.setdefault("POSITION", place)
    return found


# --- plain text -----------------------------------------------------------------------------------------------------


def _is_text(raw: bytes) -> bool:
    head = raw[:4096]
    return len(raw) <= _MOST_TEXT_BYTES and b"\0" not in head and not head.lstrip().startswith(b"<")


def _of_text(raw: bytes) -> SpectrumColumns | None:
    """Lines of numbers with blanks between: wavelength, flux, perhaps an error; remarks behind #, % or !."""
    lines = raw.decode("utf-8", "replace").splitlines()
    remarks = [line.lstrip("#%! \t") for line in lines[:200] if line.lstrip()[:1] in ("#", "%", "!")]
    numbers = [line for line in lines if line.strip() and line.lstrip()[:1] not in ("#", "%", "!")]
    try:
        table = np.loadtxt(numbers, dtype=np.float64, ndmin=2)
    except ValueError:
        return None
    if table.shape[0] < 2 or table.shape[1] < 2:
        return None
    named = [line.split() for line in remarks if len(line.split()) == table.shape[1]]
    names = next((one for one in named if is_spectrum([Described(name) for name in one])), None)
    names = names or ["wavelength", "flux", "error", *(f"column{i}" for i in range(4, table.shape[1] + 1))]
    described = [Described(name) for name in names[: table.shape[1]]]
    return spectrum_of(described, lambda name: table[:, names.index(name)], {})
