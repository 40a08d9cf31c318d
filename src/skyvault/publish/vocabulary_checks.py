"""Words of a resource that are not those the Virtual Observatory agrees on, with the nearest that are; its coverage."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from skyvault.errors import NotFound, SkyvaultError
from skyvault.model.region import Moc
from skyvault.publish.checker import Finding
from skyvault.publish.epn_columns import TABLE
from skyvault.publish.mapping import is_expression
from skyvault.publish.resource_file import ResourceFile
from skyvault.vocabularies import Vocabulary, vocabulary

#: wavelengths (metres) and days (MJD) beyond which a number is of another unit
_LONGEST_M: Final = 1e5
_LATEST_MJD: Final = 200_000.0


def vocabulary_findings(file: ResourceFile) -> Iterator[Finding]:
    """What registries and clients would not understand."""
    resource = file.resource
    for index, word in enumerate(resource.subjects):
        yield from _word(file, "uat", word, "subject", "subjects", index)
    for index, word in enumerate(resource.waveband):
        yield from _word(file, "messenger", word, "waveband", "waveband", index)
    for index, word in enumerate(resource.content_level):
        yield from _word(file, "content_level", word, "content level", "content_level", index)
    for name, section in file.resource.files.items():
        for index, companion in enumerate(section.companions):
            keys = ("files", name, "companions", index, "semantics")
            yield from _word(file, "datalink/core", companion.semantics, "DataLink term", *keys, severity="error")
        kind = section.map.get("dataproduct_type")
        if isinstance(kind, str) and not is_expression(kind):
            yield from _word(file, "product-type", kind, "data product type", "files", name, "map", "dataproduct_type")
    if "epntap" in resource.services and TABLE not in resource.tables and not resource.files:
        yield Finding("error", file.place("services"), f"epntap needs a table {TABLE}, or files", "skyvault new epntap")
    if "hips" in resource.services and not any(one.kind == "images" for one in resource.files.values()):
        yield Finding("error", file.place("services"), "hips needs files that are images", "")
    yield from _coverage(file)


def _word(
    file: ResourceFile, name: str, word: str, what: str, *keys: str | int, severity: str = "warning"
) -> Iterator[Finding]:
    try:
        words: Vocabulary = vocabulary(name)
    except NotFound:
        return
    found = words.find(word)
    if found is None:
        near = words.nearest(word)
        told = " or ".join(repr(words.terms[one].label if name == "uat" else one) for one in near)
        hint = f"Did you mean {told}?" if near else f"See {words.source.split()[0]}."
        yield Finding(severity, file.place(*keys), f"{word!r} is no {what}", hint)  # type: ignore[arg-type]
    elif found.is_deprecated:
        hint = f"Use {found.use_instead!r}." if found.use_instead else ""
        yield Finding("note", file.place(*keys), f"the {what} {word!r} is out of use", hint)


def _coverage(file: ResourceFile) -> Iterator[Finding]:
    said = file.resource.coverage
    if said.spatial is not None:
        try:
            if not len(Moc.from_text(said.spatial).ranges):
                yield Finding("warning", file.place("coverage", "spatial"), "the coverage covers nothing", "")
        except SkyvaultError as problem:
            yield Finding("error", file.place("coverage", "spatial"), problem.what, "Write a MOC: 4/13 17-18 8/3002.")
    for key, spans, most, unit in (
        ("temporal", said.temporal, _LATEST_MJD, "MJD"),
        ("spectral", said.spectral, _LONGEST_M, "metres"),
    ):
        for index, span in enumerate(spans):
            place = file.place("coverage", key, index)
            if len(span) != 2 or not all(map(math.isfinite, span)) or span[0] > span[-1]:
                yield Finding("error", place, f"{span} is no span", "Write [first, last].")
            elif abs(span[1]) > most or (key == "spectral" and span[0] < 0):
                yield Finding("warning", place, f"{span} are no {unit}", f"Spans are in {unit}.")
