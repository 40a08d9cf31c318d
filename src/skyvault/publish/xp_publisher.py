"""Gaia XP spectra published: sampled as they are read, a table of vectors and a row of ObsCore for each spectrum."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import ConfigError, FormatError, IngestError, SkyvaultError
from skyvault.formats.stream import TableStream
from skyvault.model.frames import axis_name
from skyvault.model.table import Column, CoordinateFrame, Info, Table
from skyvault.publish.collection import PRODUCTS
from skyvault.publish.file_ingest import Ingested, files_of
from skyvault.publish.publisher import Publisher, table_name
from skyvault.publish.xp_kept_samples import XpSamples, recipe_of
from skyvault.publish.xp_observations import XpObservations
from skyvault.publish.xp_positions import xp_positions
from skyvault.publish.xp_reading import NoSpectrum, XpReading
from skyvault.science.xp_instrument import XpDesign
from skyvault.science.xp_sampling import grids
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

    Memory does not grow with the number of spectra. Stopped anywhere, it goes on after the last whole file; files that
    have not changed are not read again. A file that cannot be read is told in the result with what is wrong; of a
    damaged one the spectra before the damage are taken. Raises ConfigError, IngestError when there is nothing to
    publish, and what :meth:`Publisher.publish_stream` raises.
    """
    began = time.perf_counter()
    resource, section = file.resource, file.resource.xp[name]
    layout = Layout.of(settings)
    with disk_faults(settings.home):
        layout.make()
    full_name = table_name(f"{resource.schema_name}.{name}", file.path)
    design = _design(file, name, section)
    files = sorted(files_of(file.root, section.files, section.ignore), key=lambda one: one.path)
    if not files:
        raise IngestError(f"no file matches {section.files!r}", where=file.place("xp", name), hint="Look at files:.")
    with ExitStack() as stack:
        positions, source = None, None
        if section.positions is not None:
            source = (file.root / section.positions).resolve()
            if not source.is_file():
                raise ConfigError(f"there is no file {section.positions!r}", where=file.place("xp", name, "positions"))
            try:
                positions = stack.enter_context(xp_positions(source, layout.temporary))
            except FormatError as problem:
                raise ConfigError(str(problem), where=file.place("xp", name, "positions")) from None
        table = _table(full_name, resource, section, design)
        recipe = recipe_of(section.grid.model_dump(), section.realisations, _folder(file, section), source)
        samples = XpSamples(layout.home / "ingest" / f"{full_name}.xp", recipe)
        reading = XpReading(file.root, files, table, design, section.realisations, positions, samples, settings.threads)
        names = table.column_names
        place = (names.index("ra"), names.index("dec"), names.index("ssa_location"))
        with open_home_ledger(layout) as ledger:
            publisher = Publisher(layout, ledger.holdings, settings, progress)
            try:
                holding, _ = publisher.publish_stream(
                    Spec(table, *place), TableStream(table, reading.batches()), more={"resource": facts}
                )
            except NoSpectrum:
                first = reading.problems[0] if reading.problems else (str(section.files), "there is no spectrum in it")
                raise IngestError(
                    f"none of its {len(files):,} files can be published; {first[0]}: {first[1]}",
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
        samples.forget_others()
    return PublishedXp(
        holding.name, holding.nrows, time.perf_counter() - began, reading.ingested(), holding.version, told.table.name
    )


def _folder(file: ResourceFile, section: XpSection) -> Path | None:
    return None if section.instrument is None else (file.root / section.instrument).resolve()


def _design(file: ResourceFile, name: str, section: XpSection) -> XpDesign:
    grid = section.grid
    try:
        return XpDesign.of(grids(grid.start, grid.stop, grid.step), _folder(file, section))
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
