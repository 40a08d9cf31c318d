"""Gaia XP spectra published: sampled as they are read, a table of vectors and a row of ObsCore for each spectrum."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from skyvault.errors import ConfigError, FormatError, IngestError, SkyvaultError
from skyvault.formats.arrow import arrow_type
from skyvault.formats.stream import TableStream
from skyvault.model.frames import axis_name
from skyvault.model.table import Column, CoordinateFrame, Info, Table
from skyvault.publish.collection import PRODUCTS
from skyvault.publish.file_ingest import Ingested, files_of
from skyvault.publish.publisher import Publisher, table_name
from skyvault.publish.xp_observations import XpObservations
from skyvault.publish.xp_positions import XpPositions, places_of_numbers, xp_positions
from skyvault.science.xp_files import XpSpectra, xp_spectra
from skyvault.science.xp_instrument import XpDesign
from skyvault.science.xp_sampling import grids, sample_xp
from skyvault.store.building import disk_faults, rows_of
from skyvault.store.home_ledger import open_home_ledger
from skyvault.store.layout import Layout
from skyvault.store.snapshot import Spec

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.model.ports import Progress
    from skyvault.publish.resource import Resource
    from skyvault.publish.resource_file import ResourceFile
    from skyvault.publish.xp_section import XpSection

FLUX_UNIT: Final = "W.m**-2.nm**-1"
#: spectra sampled at once by a thread; so small that a thread more costs little memory
_AT_ONCE: Final = 512
#: problems and remarks that are told
_TOLD: Final = 10_000


@dataclass(slots=True)
class PublishedXp:
    """XP spectra as they were published: the table of vectors and that of observations."""

    name: str
    rows: int
    seconds: float
    ingested: Ingested
    version: int | None
    observations: str


def publish_xp(
    file: ResourceFile, name: str, settings: Settings, facts: dict[str, Any], *, progress: Progress | None = None
) -> PublishedXp:
    """Publish the section ``xp: name`` of a resource; ``facts`` are the resource's.

    Memory does not grow with the number of spectra. A file that cannot be read is told in the result with what is
    wrong; of a damaged one the spectra before the damage are taken. Raises ConfigError, IngestError when there is
    nothing to publish, and what :meth:`Publisher.publish_stream` raises.
    """
    began = time.perf_counter()
    resource, section = file.resource, file.resource.xp[name]
    layout = Layout.of(settings)
    with disk_faults(settings.home):
        layout.make()
    full_name = table_name(f"{resource.schema_name}.{name}", file.path)
    design = _design(file, name, section)
    paths = [file.root / one.path for one in sorted(_listed(file, section), key=lambda one: one.path)]
    if not paths:
        raise IngestError(f"no file matches {section.files!r}", where=file.place("xp", name), hint="Look at files:.")
    with ExitStack() as stack:
        positions = None
        if section.positions is not None:
            source = (file.root / section.positions).resolve()
            if not source.is_file():
                raise ConfigError(f"there is no file {section.positions!r}", where=file.place("xp", name, "positions"))
            try:
                positions = stack.enter_context(xp_positions(source, layout.temporary))
            except FormatError as problem:
                raise ConfigError(str(problem), where=file.place("xp", name, "positions")) from None
        table = _table(full_name, resource, section, design)
        reading = _Reading(paths, file.root, table, design, section.realisations, positions, settings.threads)
        names = table.column_names
        place = (names.index("ra"), names.index("dec"), names.index("ssa_location"))
        with open_home_ledger(layout) as ledger:
            publisher = Publisher(layout, ledger.holdings, settings, progress)
            try:
                holding, _ = publisher.publish_stream(
                    Spec(table, *place), TableStream(table, reading.batches()), more={"resource": facts}
                )
            except _Nothing:
                first = reading.problems[0] if reading.problems else (str(section.files), "there is no spectrum in it")
                raise IngestError(
                    f"none of its {len(paths):,} files can be published; {first[0]}: {first[1]}",
                    where=file.place("xp", name),
                ) from None
            told = XpObservations(holding.table, settings.authority, section, design)
            publisher.publish_stream(
                told.spec(),
                TableStream(told.table, told.rows(rows_of(layout, holding.table, holding.snapshot))),
                obscore=section.obscore,
                beside={PRODUCTS: told.products(rows_of(layout, holding.table, holding.snapshot))},
                more={"collection": _collection_facts(file, section), "resource": facts},
            )
    return PublishedXp(
        holding.name, holding.nrows, time.perf_counter() - began, reading.ingested(), holding.version, told.table.name
    )


class _Nothing(IngestError):
    """No spectrum came."""


def _listed(file: ResourceFile, section: XpSection) -> Iterator[Any]:
    return files_of(file.root, section.files, section.ignore)


def _design(file: ResourceFile, name: str, section: XpSection) -> XpDesign:
    grid = section.grid
    folder = None if section.instrument is None else (file.root / section.instrument).resolve()
    try:
        return XpDesign.of(grids(grid.start, grid.stop, grid.step), folder)
    except FormatError as problem:
        raise ConfigError(str(problem), where=file.place("xp", name, "instrument")) from None
    except SkyvaultError as problem:
        raise ConfigError(problem.what, where=file.place("xp", name, "grid")) from None


def _table(full_name: str, resource: Resource, section: XpSection, design: XpDesign) -> Table:
    """The described table of vectors; its spectral axis is a PARAM that the vectors refer to."""
    m = len(design.wavelength_nm)
    drawn = (
        f"mean of {section.realisations} realisations drawn from the covariance of the coefficients"
        if section.realisations
        else "from the coefficients"
    )
    spread = "standard deviation of the realisations" if section.realisations else "from the covariance"
    axis = Column(
        "spectral",
        "double",
        str(m),
        unit="nm",
        ucd="em.wl",
        utype="spec:Spectrum.Data.SpectralAxis.Value",
        description="Wavelengths that the vectors of flux are given at",
        id="spectral",
        value=" ".join(f"{one:.10g}" for one in design.wavelength_nm),
    )
    axis = replace(axis, id=axis_name(axis))
    columns = (
        Column("source_id", "long", ucd="meta.id;meta.main", description=f"{section.release} source", principal=True,
               nullable=False),
        Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", description="Right ascension", ref="icrs",
               principal=True, nullable=False),
        Column("dec", "double", unit="deg", ucd="pos.eq.dec;meta.main", description="Declination", ref="icrs",
               principal=True, nullable=False),
        Column("ssa_location", "double", "2", "point", "deg", "pos.eq", description="The place as a point", ref="icrs",
               nullable=False),
        Column("position_from", "char", "*", ucd="meta.note",
               description="Where the place is from: positions (the catalogue), file, or source_id (to 0.5 arcmin)"),
        Column("bands", "char", "*", ucd="instr.bandpass", description="Spectra there are: BP+RP, BP or RP"),
        Column("flux", "float", str(m), unit=FLUX_UNIT, ucd="phot.flux.density;em.wl",
               utype="spec:Spectrum.Data.FluxAxis.Value", description=f"Flux: {drawn}", ref=axis.id, principal=True),
        Column("flux_error", "float", str(m), unit=FLUX_UNIT, ucd="stat.error;phot.flux.density;em.wl",
               utype="spec:Spectrum.Data.FluxAxis.Accuracy.StatError", description=f"Error of the flux: {spread}",
               ref=axis.id, principal=True),
    )  # fmt: skip
    infos = [Info("rights", resource.licence, resource.rights)] if resource.licence else []
    return Table(
        full_name,
        columns,
        title=section.title or resource.title,
        description=section.description or resource.description,
        params=(axis,),
        frames=(CoordinateFrame("icrs", "ICRS", epoch=None),),
        infos=tuple(infos),
    )


@dataclass(slots=True)
class _Reading:
    """The spectra of all files on their way into the table; what was wrong and odd is kept by the way."""

    paths: Sequence[Path]
    root: Path
    table: Table
    design: XpDesign
    realisations: int
    positions: XpPositions | None
    threads: int
    problems: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Sampled spectra, in the order of the files; some threads are ahead of whoever takes them."""
        count = 0
        with ThreadPoolExecutor(max(1, self.threads), thread_name_prefix="skyvault-xp") as pool:
            waiting: deque[Future[pa.RecordBatch]] = deque()
            try:
                for spectra, ra, dec, origin in self._placed():
                    waiting.append(pool.submit(self._sampled, spectra, ra, dec, origin))
                    if len(waiting) > self.threads:
                        batch = waiting.popleft().result()
                        count += batch.num_rows
                        yield batch
                while waiting:
                    batch = waiting.popleft().result()
                    count += batch.num_rows
                    yield batch
            finally:
                for one in waiting:
                    one.cancel()
        if not count:
            raise _Nothing("there is no spectrum")

    def _placed(self) -> Iterator[tuple[XpSpectra, Any, Any, Any]]:
        for path in self.paths:
            local = path.relative_to(self.root).as_posix()
            taken, by_number = 0, 0
            try:
                for spectra in xp_spectra(path):
                    for first in range(0, len(spectra), _AT_ONCE):
                        part = spectra[first : first + _AT_ONCE]
                        ra, dec, origin = self._places(part)
                        by_number += int((origin == _SOURCE_ID).sum())
                        taken += len(part)
                        yield part, ra, dec, origin
            except (FormatError, OSError) as problem:
                what = problem.what if isinstance(problem, FormatError) else f"it cannot be read ({problem.strerror})"
                after = f" (its first {taken:,} spectra are published)" if taken else ""
                self.problems.append((local, f"{what}{after}"))
                continue
            if by_number and self.positions is not None:
                self.remarks.append((local, f"{by_number:,} of its sources are not in the table of positions"))

    def _places(self, spectra: XpSpectra) -> tuple[Any, Any, Any]:
        """Places, and which of three origins each is from."""
        n = len(spectra)
        ra, dec, origin = np.full(n, np.nan), np.full(n, np.nan), np.full(n, _SOURCE_ID, np.int8)
        if self.positions is not None:
            ra, dec = self.positions.find(spectra.source_id)
            origin[_on_sky(ra, dec)] = _POSITIONS
        if spectra.ra is not None and spectra.dec is not None:
            use = (origin == _SOURCE_ID) & _on_sky(spectra.ra, spectra.dec)
            ra[use], dec[use], origin[use] = spectra.ra[use], spectra.dec[use], _FILE
        rest = origin == _SOURCE_ID
        if rest.any():
            ra[rest], dec[rest] = places_of_numbers(spectra.source_id[rest])
        return ra % 360.0, dec, origin

    def _sampled(self, spectra: XpSpectra, ra: Any, dec: Any, origin: Any) -> pa.RecordBatch:
        found = sample_xp(self.design, spectra.bp, spectra.rp, spectra.source_id, self.realisations)
        bands = spectra.bp.present * 1 + spectra.rp.present * 2
        arrays = [
            pa.array(spectra.source_id),
            pa.array(ra),
            pa.array(dec),
            _vectors(np.stack([ra, dec], axis=1)),
            pa.array(_ORIGINS[origin]),
            pa.array(_BANDS[bands], mask=bands == 0),
            _vectors(found.flux.astype(np.float32)),
            _vectors(found.error.astype(np.float32)),
        ]
        fields = [pa.field(one.name, arrow_type(one)) for one in self.table.columns]
        return pa.RecordBatch.from_arrays(
            [array.cast(one.type) for array, one in zip(arrays, fields, strict=True)], schema=pa.schema(fields)
        )

    def ingested(self) -> Ingested:
        return Ingested(
            len(self.paths) - len(self.problems), 0, 0, tuple(self.problems[:_TOLD]), tuple(self.remarks[:_TOLD]),
            len(self.problems), len(self.remarks),
        )  # fmt: skip


_SOURCE_ID, _POSITIONS, _FILE = 0, 1, 2
_ORIGINS: Final = np.array(["source_id", "positions", "file"], object)
_BANDS: Final = np.array(["", "BP", "RP", "BP+RP"], object)


def _on_sky(ra: Any, dec: Any) -> Any:
    return np.isfinite(ra) & (np.abs(dec) <= 90.0)


def _vectors(values: Any) -> pa.ListArray:
    """Rows of a matrix as arrays of one column."""
    n, m = values.shape
    return pa.ListArray.from_arrays(pa.array(np.arange(0, (n + 1) * m, m), pa.int32()), pa.array(values.reshape(-1)))


def _collection_facts(file: ResourceFile, section: XpSection) -> dict[str, Any]:
    """What the server must know of the collection to hand out its spectra."""
    return {
        "root": str(file.root),
        "made": str(file.root),
        "hooks": str(file.hooks),
        "kind": "spectra",
        "links": section.links,
        "link_lifetime_s": section.link_lifetime_s,
        "embargo_for": [],
        "services": list(file.resource.services),
        "made_of_rows": True,
        "content_type": "application/x-votable+xml",
        "hook_services": [],
    }
