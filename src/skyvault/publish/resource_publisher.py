"""Publish what a resource.yaml describes: its tables, its collections of files, and what goes with them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyvault.errors import ConfigError, IngestError
from skyvault.model.hook_service import HookParameter, HookService
from skyvault.publish.collection import PRODUCTS, collection_table
from skyvault.publish.datasets import Recipe
from skyvault.publish.epn_columns import TABLE
from skyvault.publish.epntap import publish_epn_file, publish_epn_of_collections
from skyvault.publish.file_ingest import ingest_files
from skyvault.publish.header_cards import header_findings
from skyvault.publish.ingest_state import IngestState
from skyvault.publish.merging import merged_once
from skyvault.publish.publisher import Published, Publisher, publish, table_name
from skyvault.publish.query_table import publish_query
from skyvault.publish.registered import refuse_other, register
from skyvault.publish.resource import OwnService
from skyvault.publish.resource_file import ResourceFile, read_resource
from skyvault.publish.resource_words import refuse_what_cannot_be, remarks_on
from skyvault.publish.row_datasets import ingest_rows
from skyvault.publish.xp_publisher import publish_xp
from skyvault.store.building import disk_faults
from skyvault.store.home_ledger import open_home_ledger
from skyvault.store.layout import Layout

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.model.ports import Progress
    from skyvault.publish.checker import Finding
    from skyvault.publish.file_ingest import Ingested
    from skyvault.publish.resource import Resource


@dataclass(slots=True)
class PublishedCollection:
    """A collection of files as it was published."""

    name: str
    rows: int
    seconds: float
    ingested: Ingested
    version: int | None
    #: cards that its columns are made of and no header has
    findings: tuple[Finding, ...] = ()


@dataclass(slots=True)
class PublishedResource:
    """What one resource.yaml has published."""

    path: Path
    tables: list[Published] = field(default_factory=list)
    collections: list[PublishedCollection] = field(default_factory=list)
    #: names of what runs by itself from now on
    actions: list[str] = field(default_factory=list)
    #: what of the YAML will not be understood as it was meant
    remarks: list[Finding] = field(default_factory=list)

    @property
    def problems(self) -> list[tuple[str, str]]:
        """Files that could not be read, with what is wrong."""
        return [one for collection in self.collections for one in collection.ingested.problems]


def publish_resource(
    path: Path,
    *,
    settings: Settings | None = None,
    home: Path | None = None,
    only: Sequence[str] = (),
    processes: int | None = None,
    progress: Progress | None = None,
    is_load: bool = True,
) -> PublishedResource:
    """Publish a resource.yaml (or the folder that holds it); ``only`` names some of its tables and collections.

    ``is_load``: its actions that run ``on: loaded`` are to run then.

    Raises ConfigError (with the line; of expressions and hooks that could never work before anything is published),
    and for a table what :func:`skyvault.publish.publisher.publish` raises. Files that cannot be read are listed in the
    result; what is published already stays until what replaces it is whole.
    """
    from skyvault.config import Settings as Configuration

    settings = settings or Configuration(**({"home": home} if home is not None else {}))
    file = read_resource(path)
    refuse_other(file, settings)
    resource = file.resource
    names = [*resource.tables, *resource.files, *resource.xp]
    if unknown := [one for one in only if one not in names]:
        raise ConfigError(
            f"there is no {unknown[0]!r} in it", where=file.path.name, hint=f"There are {', '.join(names)}."
        )
    refuse_what_cannot_be(file)
    done = PublishedResource(file.path, remarks=remarks_on(file))
    with merged_once(settings, progress):
        for name, section in resource.tables.items():
            if section.source is None or (only and name not in only):
                continue
            source = (file.root / section.source).resolve()
            if not source.is_file():
                raise ConfigError(f"there is no file {section.source!r}", where=file.place("tables", name, "source"))
            if _is_epn(resource, name):
                if name != TABLE:
                    raise ConfigError(
                        f"an EPN-TAP table is named {TABLE}", where=file.place("tables", name), hint=f"Call it {TABLE}."
                    )
                done.tables.append(
                    publish_epn_file(
                        source,
                        schema=resource.schema_name,
                        settings=settings,
                        overrides=overrides_of(section),
                        skip_bad=section.skip_bad,
                        progress=progress,
                        more={"resource": resource_facts(resource)},
                    )
                )
                continue
            done.tables.append(
                publish(
                    source,
                    name=f"{resource.schema_name}.{name}",
                    settings=settings,
                    obscore=section.obscore,
                    overrides=overrides_of(section),
                    skip_bad=section.skip_bad,
                    progress=progress,
                    more={"resource": resource_facts(resource)},
                )
            )
        for name in resource.files:
            if only and name not in only:
                continue
            done.collections.append(_publish_files(file, name, settings, processes, progress))
        for name in resource.xp:
            if only and name not in only:
                continue
            spectra = publish_xp(file, name, settings, resource_facts(resource), progress=progress)
            done.collections.append(
                PublishedCollection(spectra.name, spectra.rows, spectra.seconds, spectra.ingested, spectra.version)
            )
    for name, section in resource.tables.items():
        if section.query is None or (only and name not in only):
            continue
        done.tables.append(
            publish_query(
                section.query,
                name=f"{resource.schema_name}.{name}",
                settings=settings,
                where=file.place("tables", name, "query"),
                obscore=section.obscore,
                overrides=overrides_of(section),
                progress=progress,
                more={"resource": resource_facts(resource)},
            )
        )
    granules = [one.name for one in done.collections]
    if "epntap" in resource.services and TABLE not in resource.tables and granules and not only:
        facts = {"resource": resource_facts(resource)}
        done.tables.append(
            publish_epn_of_collections(
                granules, schema=resource.schema_name, settings=settings, more=facts, progress=progress
            )
        )
    done.remarks += [one for collection in done.collections for one in collection.findings]
    register(file, settings, is_load=is_load)
    done.actions = [action.name or action.hook for action in resource.actions]
    return done


def _is_epn(resource: Resource, name: str) -> bool:
    """Whether a table is one of EPN-TAP: it is said of it, or of its name."""
    return resource.tables[name].epntap or ("epntap" in resource.services and name == TABLE)


def overrides_of(section: Any) -> dict[str, Any]:
    """What a section says of a table, as :func:`skyvault.publish.inference.infer` takes it."""
    given = {key: getattr(section, key) for key in ("title", "description", "id") if getattr(section, key) is not None}
    if section.position is not None:
        given["position"] = [section.position] if isinstance(section.position, str) else list(section.position)
    if section.frame is not None:
        given["frame"] = (
            section.frame if isinstance(section.frame, str) else section.frame.model_dump(exclude_none=True)
        )
    columns = {name: words.model_dump(exclude_none=True) for name, words in section.columns.items()}
    return {**given, **({"columns": columns} if columns else {})}


def _publish_files(
    file: ResourceFile, name: str, settings: Settings, processes: int | None, progress: Progress | None
) -> PublishedCollection:
    began = time.perf_counter()
    resource, section = file.resource, file.resource.files[name]
    full_name = table_name(f"{resource.schema_name}.{name}", file.path)
    layout = Layout.of(settings)
    with disk_faults(settings.home):
        layout.make()
    made = layout.home / "products" / full_name
    document = resource.model_dump(mode="json", by_alias=True, exclude_none=True)
    recipe = Recipe(full_name, section, file.root, made, file.hooks, settings.authority, settings, document)
    state = IngestState(layout.home / "ingest" / f"{full_name}.sqlite")
    try:
        if section.rows is not None:
            ingested = ingest_rows(recipe, state, progress=progress)
        else:
            with _told_of_patterns(file, name):
                ingested = ingest_files(recipe, state, processes=processes, progress=progress)
        table = collection_table(name, section, resource, state)
        if not state.has_datasets():
            first = ingested.problems[0]
            raise IngestError(
                f"none of its {ingested.problem_count:,} files can be published; {first[0]}: {first[1]}",
                where=file.place("files", name),
            )
        empty = tuple(header_findings(file, name, frozenset(state.kinds())))
        left_out = table.left_out()
        beside = {PRODUCTS: table.products(), **({} if left_out is None else {"left_out": left_out})}
        with open_home_ledger(layout) as ledger:
            publisher = Publisher(layout, ledger.holdings, settings, progress)
            holding, _ = publisher.publish_stream(
                table.spec,
                table.stream(),
                obscore=section.obscore is not False,
                beside=beside,
                more={"collection": collection_facts(file, name, made), "resource": resource_facts(resource)},
            )
        state.remove_gone(made)
    finally:
        state.close()
    return PublishedCollection(full_name, holding.nrows, time.perf_counter() - began, ingested, holding.version, empty)


@contextmanager
def _told_of_patterns(file: ResourceFile, name: str) -> Iterator[None]:
    """What is wrong with the whole folder, and no file in it, is told with the line of the patterns."""
    try:
        yield
    except (ConfigError, IngestError) as problem:
        if problem.where == file.root.name:
            problem.where = file.place("files", name, "files")
        raise


def resource_facts(resource: Resource) -> dict[str, Any]:
    """What is said of the whole resource: pages, results and registry records tell it of each of its tables.

    The keys are those of a resource.yaml without its tables and files; ``creators`` are always mappings with a name,
    ``licence_url`` is the address a licence's short name means.
    """
    facts = resource.model_dump(
        mode="json",
        by_alias=True,
        exclude_none=True,
        exclude={"root", "tables", "files", "xp", "actions", "records", "tests"},
    )
    facts["creators"] = [{"name": one} if isinstance(one, str) else one for one in facts["creators"]]
    if resource.licence_url is not None:
        facts["licence_url"] = resource.licence_url
    return facts


def collection_facts(file: ResourceFile, name: str, made: Path) -> dict[str, Any]:
    """What the server must know of a collection to hand out its files."""
    section = file.resource.files[name]
    return {
        "root": str(file.root),
        "made": str(made),
        "hooks": str(file.hooks),
        "kind": section.kind,
        "links": section.links,
        "link_lifetime_s": section.link_lifetime_s,
        "embargo_for": section.embargo_for,
        # cutouts are of FITS
        "services": [one for one in file.resource.services if one != "soda" or section.hdf5 is None],
        "made_of_rows": section.rows is not None,
        "content_type": None if section.rows is None else section.content_type,
        "hook_services": [_service(one).facts() for one in section.services],
    }


def _service(section: OwnService) -> HookService:
    parameters = tuple(
        HookParameter(
            name, one.type, one.unit, one.ucd, one.xtype, one.description, one.min, one.max, tuple(one.values),
            one.default, one.required,
        )
        for name, one in section.parameters.items()
    )  # fmt: skip
    return HookService(
        section.name, section.hook, section.semantics, section.description, section.content_type, parameters
    )
