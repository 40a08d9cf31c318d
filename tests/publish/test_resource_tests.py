"""A resource's own tests are run: queries on what is published, addresses against a server made for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

RESOURCE = """\
schema: checked
title: Checked
description: A resource whose own tests say what must stay true of it, in queries and addresses.
creators: [Somebody]
subjects: [Catalogs]
licence: CC0-1.0
references: [10.1000/1]
examples: [{name: all, query: SELECT * FROM checked.stars}]
tables:
  stars: {source: stars.csv, description: Stars}
  names: {source: names.csv, description: Names}
files:
  spectra: {kind: spectra, rows: given, make: made, hook: changed, content_type: text/csv}
services: [scs, sia2, soda, ssa]
actions:
  - {hook: remembered, every: 1d}
tests:
  - {name: rows by query, query: SELECT * FROM checked.stars, rows: 2}
  - {name: cone, url: "/checked/stars/scs?RA=10&DEC=20&SR=1", rows: 1, content_type: text/xml}
  - {name: blanks, url: "/tap/sync?LANG=ADQL&FORMAT=csv&QUERY=SELECT ra FROM checked.stars", rows: 2}
  - {name: made, url: "/get/checked.spectra/a", contains: hello, content_type: text/csv}
  - {name: csv, url: "/tap/sync?LANG=ADQL&FORMAT=csv&QUERY=SELECT+max(ra)+AS+a+FROM+checked.stars", value: 11.0}
  - {name: closed, url: "/get/checked.spectra/none", status: 404}
  - {name: wrong rows, url: "/checked/stars/scs?RA=10&DEC=20&SR=1", rows: 7}
  - {name: wrong status, url: /nowhere}
  - {name: wrong type, url: /tap/capabilities, content_type: text/csv}
  - {name: elsewhere, url: "http://example.org/", rows: 1}
  - {name: neither}
"""
HOOKS = """
def given():
    yield {"id": "a", "s_ra": 10.0, "s_dec": 20.0}

def made(row):
    return "hello"

def changed(row, path, header):
    return row

def remembered():
    pass
"""


def test_what_does_not_hold_is_told_with_its_line(skyvault: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    (folder / "resource.yaml").write_text(RESOURCE)
    (folder / "hooks.py").write_text(HOOKS)
    (folder / "stars.csv").write_text("ra,dec\n10,20\n11,25\n")
    (folder / "names.csv").write_text("name\nVega\n")
    home = ("--home", tmp_path / "home")
    published = skyvault("publish", folder, *home)
    assert published.code == 0, published.err
    # what is forgotten after it was published
    (folder / "hooks.py").write_text(HOOKS.replace("remembered", "forgotten"))
    checked = skyvault("check", folder, *home)
    assert checked.code == 3, checked.err
    lines = [line for line in checked.out.splitlines() if line.startswith(("error", "warning: resource.yaml, line"))]
    told = [line.partition(": resource.yaml, line ")[2].partition("  ")[0].partition(": ") for line in lines]
    yaml = RESOURCE.splitlines()
    assert [(yaml[int(number) - 1].strip()[:25], sentence.partition(" (")[0]) for number, _, sentence in told] == [
        ("- {hook: remembered, ever", "hooks.py: there is no function 'remembered' in it"),
        ("services: [scs, sia2, sod", "sia2 is asked for, and the resource has no images"),
        ("services: [scs, sia2, sod", "soda is asked for, and the resource has no FITS images to cut out"),
        ("names: {source: names.csv", "it has no positions that were found: no cone search"),
        ("- {name: wrong rows, url:", "the test 'wrong rows' failed: 1 rows came, not 7"),
        ("- {name: wrong status, ur", "the test 'wrong status' failed: status 404 came, not 200"),
        ("- {name: wrong type, url:", "the test 'wrong type' failed: text/xml;charset=UTF-8 came, not text/csv"),
        (
            "- {name: elsewhere, url: ",
            "the test 'elsewhere' cannot be run: 'http://example.org/' leads to another service",
        ),
        ("- {name: neither}", "the test 'neither' failed: it has neither a query nor a url"),
    ]
