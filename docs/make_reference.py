"""Writes the pages of docs/reference from the code; a test checks that they are up to date.

Use: python docs/make_reference.py
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from skyvault.cli.main import COMMANDS, skyvault
from skyvault.config import FILE_NAME, PREFIX, Settings

HERE = Path(__file__).parent / "reference"


def settings_page() -> str:
    """The table of all settings, in the order of the code."""
    rows = []
    for field in dataclasses.fields(Settings):
        rows.append(f"| `{field.name}` | {field.metadata['shown']} | {field.metadata['description']} |")
    return f"""\
# Settings

<!-- Made by docs/make_reference.py from src/skyvault/config.py. -->

Every setting has a default that works. A setting is set by the environment variable `{PREFIX}` and its name in
capitals (`{PREFIX}MAXREC_DEFAULT=1000`), or by its name in a file `{FILE_NAME}`. What comes later in this list wins:
defaults, the `{FILE_NAME}` of the data directory, that of the current directory, the environment, the command line.
Sizes may have units (`100MB`, `2GiB`); times are seconds (`_s`) or days (`_days`). A wrong value or an unknown name is
refused with one sentence.

| Setting | Default | Meaning |
|---|---|---|
{chr(10).join(rows)}

## An example

```toml
# skyvault.toml
title = "Data Centre of the Lab"
base_url = "https://data.example.org/vo"
workers = 4
memory_limit = "8GB"
upload_hosts = ["data.example.org"]

[endpoints.heasarc]
tap = "https://heasarc.example.org/tap"
```

Three more variables are no settings: `SKYVAULT_DEBUG=1` shows the traceback of a fault, `SKYVAULT_SHARED` names the
directory of real data for the tests, `SKYVAULT_PYTHON` the Python that `./run setup` uses.
"""


def cli_page() -> str:
    """The --help of every command."""
    parts = [
        "# Command line",
        "",
        "<!-- Made by docs/make_reference.py from src/skyvault/cli. -->",
        "",
        "Exit codes: 0 done, 1 fault, 2 usage, 3 done with problems, 130 stopped. What went wrong is one sentence on",
        "stderr; `SKYVAULT_DEBUG=1` shows where in the code.",
        "",
        "```text",
        _help(skyvault, "skyvault"),
        "```",
    ]
    root = click.Context(skyvault, info_name="skyvault")
    for name in COMMANDS:
        command = skyvault.get_command(root, name)
        assert command is not None
        parts += ["", f"## skyvault {name}", "", "```text", _help(command, f"skyvault {name}"), "```"]
    return "\n".join(parts) + "\n"


def _help(command: click.Command, path: str) -> str:
    # -h too, as the command line has it: click keeps a command's help option as it was first asked for
    names = ["-h", "--help"]
    with click.Context(
        command, info_name=path, terminal_width=100, max_content_width=100, help_option_names=names
    ) as context:
        return command.get_help(context).strip()


def adql_page() -> str:
    """What the language can do, and all its functions."""
    from skyvault.adql.functions import by_name

    groups: dict[str, list[str]] = {}
    for function in sorted(by_name().values(), key=lambda function: function.name.lower()):
        forms = "<br>".join(f"`{signature.text}`" for signature in function.signatures)
        aliases = f" Also: {', '.join(f'`{alias}`' for alias in function.aliases)}." if function.aliases else ""
        groups.setdefault(_GROUPS.get(function.feature.rpartition("#")[2], "Optional"), []).append(
            f"| {forms} | {function.description.strip()}{aliases} |"
        )
    tables = []
    for title in dict.fromkeys((*_GROUPS.values(), "Optional")):
        if title in groups:
            tables += ["", f"### {title}", "", "| Form | Meaning |", "|---|---|", *groups[title]]
    return _ADQL + "\n".join(tables) + "\n"


_GROUPS = {"core": "Core", "features-adqlgeo": "Geometry", "features-udf": "User-defined functions"}
_ADQL = """\
# ADQL

<!-- Made by docs/make_reference.py; the functions are those of src/skyvault/adql/functions.py. -->

Skyvault speaks [ADQL 2.1](https://www.ivoa.net/documents/ADQL/) with all its optional features. What is not ADQL is
refused with line, column, the offending token and a suggestion.

```sql
WITH bright AS (
  SELECT source_id, ra, dec, mag_vt FROM demo.stars WHERE mag_vt < 5
)
SELECT TOP 10 b.source_id, o.obs_id, o.t_min
  FROM bright AS b JOIN ivoa.ObsCore AS o ON 1 = CONTAINS(POINT(b.ra, b.dec), o.s_region)
 ORDER BY b.mag_vt OFFSET 5
```

## Fast by position

All spellings of a cone use the index: `CONTAINS` either way round, `= 1` or `1 =`, `DISTANCE` of two points or four
numbers, `<` or `<=`; through subqueries, common tables, aliases and uploads; on coordinate columns and on POINT
columns. The same holds for joins by position and for `CONTAINS` and `INTERSECTS` with region columns, whether they are
typed or plain strings such as `POLYGON ICRS ...`. Edges of polygons are great circles; a point on an edge is inside.

## Beyond the standard

- `CASE WHEN ... THEN ... ELSE ... END`
- `FROM table TABLESAMPLE(percent)`
- arrays: elements `flux[1]` and slices `flux[5:10]` (from 1, both ends), `+ - * /` of arrays and numbers element by
  element, `arr_dot`, `arr_sum`, `arr_avg`, `arr_min`, `arr_max`, `arr_map(POWER(10, x), flux)`; `AVG`, `SUM`, `MIN` and
  `MAX` of array columns, which are arrays
- `MOC('4/13 17-18 8/3002')` and `MOC(6, CIRCLE(10, 20, 1))` in `CONTAINS` and `INTERSECTS`
- `ivo_specconv(wavelength, 'keV')`: spectral quantities in each other's units
- `IS NULL` on any expression

## Functions
"""


def formats_page() -> str:
    """What is read and written."""
    from skyvault.formats.registry import OUTPUT_FORMATS

    rows = []
    for one in OUTPUT_FORMATS:
        names = ", ".join(f"`{name}`" for name in one.short_names)
        others = ", ".join(f"`{media}`" for media in one.media_types if media != one.content_type) or "-"
        rows.append(f"| {names} | `{one.content_type}` | {others} | `{one.suffix}` |")
    table = "\n".join(["| Short names | Answered as | Also asked for by | Suffix |", "|---|---|---|---|", *rows])
    return _FORMATS.replace("TABLE_OF_RESULTS", table)


_FORMATS = """\
# Formats

<!-- Made by docs/make_reference.py; the results are those of src/skyvault/formats/registry.py. -->

## Files that can be published, uploaded or joined

A file is recognised by its content; the suffix decides only between text formats. All are read in batches, so that
size is limited by the disk, not by memory. Gzip around any of them is undone.

| Format | What comes along |
|---|---|
| Parquet | types; units, UCDs and descriptions when the file holds VOTable metadata (VOParquet) |
| VOTable 1.1-1.5 | everything: TABLEDATA, BINARY, BINARY2; FIELD, PARAM, GROUP, INFO, LINK, COOSYS, TIMESYS |
| FITS tables | types, TUNIT, TUCD, TCOMM, TNULL; binary and ASCII tables |
| ECSV | types, units, descriptions |
| CSV, TSV | names; types are inferred over the whole file |
| Arrow IPC | types; field metadata |

What cannot be read is refused with one sentence: what is wrong, at which byte or row, and what would help.

## Results

`RESPONSEFORMAT` (or `FORMAT`) of a TAP query, and `--format` of `skyvault query`, take a short name or a media type;
`-o FILE` goes by the suffix.

TABLE_OF_RESULTS

`votable` is BINARY2; `;serialization=TABLEDATA` and `;version=1.5` say it otherwise. `votable/mivot` and
`;version=1.5` say by data models which columns are positions, brightnesses and times (MIVOT). Parquet holds the
VOTable metadata (VOParquet), CSV has a header line, and NULL is empty there.

When rows were left out (MAXREC), VOTable says so inside (`QUERY_STATUS` = `OVERFLOW`); `skyvault query` says so on
stderr and ends with exit code 3.
"""

#: sections of a resource.yaml by the names of their classes, in the order people need them
SECTIONS = {
    "FilesSection": "files",
    "ThisFile": "this",
    "Companion": "companions",
    "ExtraColumn": "extra",
    "Hdf5Section": "hdf5",
    "OwnService": "services of files",
    "ServiceParameter": "parameters of a service",
    "TableSection": "tables",
    "ColumnWords": "columns",
    "FrameWords": "frame",
    "XpSection": "xp",
    "XpGrid": "grid of xp",
    "Person": "creators",
    "Coverage": "coverage",
    "Example": "examples",
    "Action": "actions",
    "RegressionTest": "tests",
    "RecordElsewhere": "records",
    "ServiceElsewhere": "services of records",
}


def resource_page() -> str:
    """Every key of a resource.yaml, section by section."""
    from skyvault.publish.resource_file import json_schema

    schema = json_schema()
    parts = [
        """\
# Keys of a resource.yaml

<!-- Made by docs/make_reference.py from src/skyvault/publish/resource.py. -->

How to use them is told in [publish images, spectra and light curves](../how-to/publish-images-and-spectra.md); whole
ones are in [examples](../../examples/README.md). `skyvault new --schema > resource.schema.json` prints the same for
editors: with `# yaml-language-server: $schema=resource.schema.json` as the first line of a `resource.yaml` they
complete keys and tell mistakes. Keys without a default must be there.

""",
        _keys_of(schema),
    ]
    known = schema["$defs"]
    for name in [*SECTIONS, *sorted(set(known) - set(SECTIONS))]:
        if name in known:
            words = " ".join(str(known[name].get("description", "")).split())
            parts.append(f"\n## {SECTIONS.get(name, name)}\n\n{words}\n\n{_keys_of(known[name])}")
    return "".join(parts)


def _keys_of(section: dict[str, Any]) -> str:
    needed = section.get("required", ())
    rows = []
    for key, value in section["properties"].items():
        default = "" if key in needed else _shown(value.get("default"))
        words = " ".join(str(value.get("description", "")).split()).replace("|", "\\|")
        rows.append(f"| `{key}` | {_kind(value)} | {default} | {words} |\n")
    return f"| Key | Kind | Default | Meaning |\n|---|---|---|---|\n{''.join(rows)}"


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return "none" if default in (None, [], "") or isinstance(default, dict) else f"`{default}`"


def _kind(value: dict[str, Any]) -> str:
    """What a value is, in a word or a few."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{SECTIONS.get(name, name)}](#{SECTIONS.get(name, name).replace(' ', '-')})"
    if "enum" in value or "const" in value:
        return ", ".join(f"`{one}`" for one in value.get("enum", [value.get("const")]))
    several = [one for one in value.get("anyOf", ()) if one.get("type") != "null"]
    if several:
        kinds = list(dict.fromkeys(_kind(one) for one in several))
        return "a value or expression" if len(kinds) > 3 else " or ".join(kinds)
    if value.get("type") == "array":
        return f"list of {_kind(value.get('items', {}))}"
    if value.get("type") == "object":
        inner = value.get("additionalProperties") or next(iter(value.get("patternProperties", {}).values()), None)
        return f"names to {_kind(inner)}" if isinstance(inner, dict) else "mapping"
    return {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}.get(
        str(value.get("type")), "value"
    )


PAGES = {
    "settings.md": settings_page,
    "cli.md": cli_page,
    "adql.md": adql_page,
    "formats.md": formats_page,
    "resource.md": resource_page,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
        print(f"wrote {HERE / name}")
