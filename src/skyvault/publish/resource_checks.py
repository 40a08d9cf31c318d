"""What a resource lacks to be a good citizen of the Virtual Observatory, and its own regression tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from skyvault.errors import SkyvaultError
from skyvault.publish.checker import Finding
from skyvault.publish.frame_checks import frame_findings
from skyvault.publish.header_cards import header_findings
from skyvault.publish.hook_checks import hook_findings, service_findings
from skyvault.publish.resource_file import ResourceFile, read_resource
from skyvault.publish.resource_tests import Ask, Fetch, run_tests
from skyvault.publish.resource_words import column_findings, expression_findings
from skyvault.publish.vocabulary_checks import vocabulary_findings


def check_resource(path: Path, ask: Ask | None = None, fetch: Fetch | None = None) -> list[Finding]:
    """What is missing or wrong in a resource.yaml; with ``ask`` (a query to rows) its tests are run, too.

    Those with an address are run with ``fetch`` (an address below the service's root to its answer).
    Raises ConfigError when the resource cannot be read at all.
    """
    file = read_resource(path)
    findings = [*_metadata(file), *vocabulary_findings(file), *expression_findings(file), *column_findings(file)]
    findings += [*_extras(file), *_sources(file)]
    findings += [*hook_findings(file), *service_findings(file), *frame_findings(file)]
    if ask is not None:
        findings += run_tests(file, ask, fetch)
    return findings


def _metadata(file: ResourceFile) -> Iterator[Finding]:
    resource = file.resource
    wanted = (
        ("creators", resource.creators, "Who made the data? Without names nobody can cite them."),
        ("subjects", resource.subjects, "Registries find a resource by concepts of the Unified Astronomy Thesaurus."),
        ("licence", resource.licence or resource.rights, "Nobody may use data whose licence is not known: CC-BY-4.0?"),
        ("references", resource.references or resource.bibcode or resource.doi, "Where are the data described?"),
        ("examples", resource.examples, "People begin with a query that works."),
        ("tests", resource.tests, "What must stay true of what is published?"),
    )
    for key, value, hint in wanted:
        if not value:
            yield Finding("warning", file.path.name, f"{key} is missing", hint)
    if resource.licence and resource.licence_url is None:
        yield Finding("warning", file.place("licence"), f"{resource.licence!r} is no licence that is known",
                      "Use an SPDX name such as CC-BY-4.0, or the licence's address.")  # fmt: skip
    if len(resource.description.split()) < 8:
        yield Finding("warning", file.place("description"), "the description is very short", "Say what the data are.")


def _extras(file: ResourceFile) -> Iterator[Finding]:
    for name, section in file.resource.files.items():
        for key, extra in section.extra.items():
            place = file.place("files", name, "extra", key)
            if extra.type != "text" and extra.unit is None:
                yield Finding("note", place, f"{key} has no unit", 'Give unit: "", where it has none.')
            if extra.description is None:
                yield Finding("note", place, f"{key} has no description", "Say what it is.")


def _sources(file: ResourceFile) -> Iterator[Finding]:
    from skyvault.publish.file_ingest import files_of

    try:
        root = file.root
    except SkyvaultError as problem:
        yield Finding("error", file.place("root"), problem.what, problem.hint or "")
        return
    for name, table in file.resource.tables.items():
        if table.source is not None and not (root / table.source).is_file():
            yield Finding("error", file.place("tables", name, "source"), f"there is no file {table.source!r}", "")
    for name, section in file.resource.files.items():
        if section.rows is not None:
            continue
        place = file.place("files", name, "files")
        try:
            if next(iter(files_of(root, section.files, section.ignore)), None) is None:
                yield Finding("error", place, f"no file matches {section.files!r}", "")
            else:
                yield from header_findings(file, name)
        except SkyvaultError as problem:
            yield Finding("error", place, problem.what, problem.hint or "")
    for name, spectra in file.resource.xp.items():
        if next(iter(files_of(root, spectra.files, spectra.ignore)), None) is None:
            yield Finding("error", file.place("xp", name, "files"), f"no file matches {spectra.files!r}", "")
        if spectra.positions is None:
            yield Finding("note", file.place("xp", name), "places follow from source_id, right to half an arcminute",
                          "Name a table with source_id, ra and dec under positions:.")  # fmt: skip
        elif not (root / spectra.positions).is_file():
            yield Finding("error", file.place("xp", name, "positions"), f"there is no file {spectra.positions!r}", "")
