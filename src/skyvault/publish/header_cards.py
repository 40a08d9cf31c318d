"""Header cards that a collection's expressions name and that no file has: a misspelt one gives an empty column."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from skyvault.errors import SkyvaultError
from skyvault.publish.checker import Finding
from skyvault.publish.file_ingest import files_of
from skyvault.publish.mapping import FACTS, is_expression, parsed
from skyvault.publish.resource_file import ResourceFile
from skyvault.publish.resource_words import values_of

#: files whose headers are looked at
_LOOKED_AT: Final = 25
#: with these an expression says itself what is to be done without a card
_CHOICES: Final = (ast.IfExp, ast.BoolOp, ast.Compare)


def header_findings(file: ResourceFile, name: str, filled: frozenset[str] | None = None) -> Iterator[Finding]:
    """A finding for each card that columns of the collection ``name`` are made of and that is in no header.

    The headers of the first 25 files are looked at; where there are more files, the sentence says so. ``filled`` are
    the columns that hold a value after all files were read: nothing is said of those, and an empty one that is one
    card as it is proves that no file has it.
    """
    section = file.resource.files[name]
    wanted = {}
    for keys, value in values_of(section).items():
        if keys[0] not in ("map", "extra", "embargo") or not is_expression(value):
            continue
        try:
            tree = parsed(str(value))
        except SkyvaultError:
            # told with the other expressions
            continue
        if cards := cards_of(tree):
            wanted[keys] = (tree, cards)
    if filled is not None:
        wanted = {keys: told for keys, told in wanted.items() if keys[0] != "embargo" and str(keys[1]) not in filled}
    if not wanted or section.rows is not None:
        return
    left = set().union(*(cards for _, cards in wanted.values()))
    named = set(left)
    known: set[str] = set()
    looked_at = read = 0
    for one in files_of(file.root, section.files, section.ignore):
        looked_at += 1
        if looked_at > _LOOKED_AT or not left:
            # the others are only counted
            continue
        try:
            for header in headers_of(file.root / one.path, file, name):
                left -= {card for card in left if card in header or card.replace("_", "-") in header}
                known |= {str(card) for card in header}
        except SkyvaultError:
            # told when it is published
            continue
        read += 1
    if not left or not read:
        return
    for keys, (tree, cards) in wanted.items():
        missing = sorted(cards & left)
        if not missing or (_chooses(tree) and (filled is None or cards & named - left)):
            # it may have another value by itself: only an empty column tells
            continue
        is_sure = looked_at <= _LOOKED_AT or (filled is not None and isinstance(tree, ast.Name))
        for card in missing:
            near = get_close_matches(card, sorted(one.replace("-", "_") for one in known), n=1, cutoff=0.7)
            files = f"{looked_at:,} file{'s' if looked_at > 1 else ''}"
            yield Finding(
                "warning" if is_sure else "note",
                file.place("files", name, *keys),
                f"{card!r} is in no header of {name} ({files if is_sure else f'the first {_LOOKED_AT} of {files}'})",
                f"Did you mean {near[0]}?" if near else "",
            )


def cards_of(tree: ast.expr) -> set[str]:
    """The names in an expression that are cards of a header."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}
    return names - FACTS - {"key"}


def headers_of(path: Path, file: ResourceFile, name: str) -> list[Any]:
    """The headers that expressions see of the datasets in one file. Raises FormatError."""
    section = file.resource.files[name]
    if section.hdf5 is not None:
        from skyvault.publish.hdf5_datasets import paths_of
        from skyvault.science.hdf5_values import hdf5_values

        return [one.words for one in hdf5_values(path, paths_of(section.hdf5, section.kind, name))]
    if section.kind == "images":
        from skyvault.science.fits_images import images_of

        return [image.header for image in images_of(path, wanted=section.hdu)]
    if section.kind == "spectra":
        from skyvault.science.spectrum_files import spectra_of

        return [spectrum.words for spectrum in spectra_of(path)]
    if section.kind == "timeseries":
        from skyvault.science.time_series_files import time_series_of

        return [time_series_of(path).words]
    from skyvault.science.event_lists import event_list_of

    return [event_list_of(path).words]


def _chooses(tree: ast.expr) -> bool:
    return any(
        isinstance(node, _CHOICES)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "first")
        for node in ast.walk(tree)
    )
