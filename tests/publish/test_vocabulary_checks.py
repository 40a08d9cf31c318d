"""skyvault check on the words of a resource: those that registries and clients do not know, with the nearest."""

from __future__ import annotations

from pathlib import Path

import pytest

from skyvault.publish.resource_checks import check_resource
from skyvault.publish.templates import TEMPLATES, make_resource

BASE = """\
schema: lab
title: Words
description: A resource with words of several vocabularies, made for tests only.
creators: [A. Astronomer]
licence: CC-BY-4.0
references: [10.1/x]
{more}
files:
  images: {{files: '*.fits'{files}}}
"""


def found(folder: Path, more: str = "", files: str = "") -> list[tuple[str, str, str]]:
    (folder / "a.fits").write_bytes(b"")
    (folder / "resource.yaml").write_text(BASE.format(more=more, files=files))
    quiet = ("is missing", "service", "hook")
    return [
        (one.severity, one.what, one.hint)
        for one in check_resource(folder)
        if not any(word in one.what for word in quiet)
    ]


@pytest.mark.parametrize(
    ("more", "files", "told", "hint"),
    [
        ("waveband: [Xray]", "", "'Xray' is no waveband", "X-ray"),
        ("content_level: [University]", "", "'University' is no content level", "content_level"),
        ("", ", companions: [{semantics: '#wieght', file: w.fits}]", "'#wieght' is no DataLink term", "weight"),
        ("", ", map: {dataproduct_type: picture}", "'picture' is no data product type", "product-type"),
        ("", ", map: {dataproduct_type: lightcurve}", "'lightcurve' is no data product type", "'light-curve'"),
        ("coverage: {spatial: 4/99999}", "", "do not exist at order 4", "Write a MOC"),
        ("coverage: {temporal: [[59000, 58000]]}", "", "is no span", "[first, last]"),
        ("coverage: {temporal: [[2459000, 2459001]]}", "", "are no MJD", "MJD"),
        ("coverage: {spectral: [[4.0e+14, 7.0e+14]]}", "", "are no metres", "metres"),
        ("services: [epntap]\ntables: {}", "", "", ""),
    ],
)
def test_a_word_nobody_knows_is_told_with_the_nearest(
    tmp_path: Path, more: str, files: str, told: str, hint: str
) -> None:
    findings = found(tmp_path, more, files)
    if not told:
        assert findings == []
        return
    assert any(told in what and hint in said for _, what, said in findings), findings


def test_words_of_the_vocabularies_are_fine(tmp_path: Path) -> None:
    more = "waveband: [X-ray, optical]\nsubjects: [Galaxies]\ncoverage: {spatial: 4/13 17-18, spectral: [[4.0e-7, 7.0e-7]]}"
    assert found(tmp_path, more, ", companions: [{semantics: '#preview', file: p.png}]") == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_use_words_that_are_known(tmp_path: Path, name: str) -> None:
    make_resource(name, tmp_path / "new")
    assert [one.what for one in check_resource(tmp_path / "new") if "is no" in one.what] == []
