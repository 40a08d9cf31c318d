"""The heads of real tables that DAXA's notebook printed conform to our declarations, mission by mission."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from skyvault.missions import Mission, mission_classes
from skyvault.missions.targets import TARGET_TYPES

MARKS = {
    "xm": "XMMPointed", "ch": "Chandra", "ea": "eRASS1DE", "ecpv": "eROSITACalPV", "nu": "NuSTARPointed",
    "xr": "XRISMPointed", "sw": "Swift", "ra": "ROSATAllSky", "rp": "ROSATPointed", "su": "Suzaku", "asca": "ASCA",
    "inte": "INTEGRALPointed",
}  # fmt: skip
#: ours, kept besides: the end of XRISM's proprietary time; the detector that tells ACIS-I from ACIS-S; the archive's links to CalPV's tarballs
EXTRA = {"Chandra": {"detector"}, "XRISMPointed": {"proprietary_end_date"}, "eROSITACalPV": {"download"}}
#: pandas prints the texts of a column right-aligned; these hold spaces or nothing and are not cut out
SPACED = {"target_name", "fits_type", "data_mode"}


def _heads(text: str) -> dict[str, tuple[list[str], dict[str, list[str]]]]:
    found = {}
    for part in re.split(r"^### ", text, flags=re.M):
        mark = part.partition(".all_obs_info")[0]
        if mark not in MARKS or "rows x" not in part:
            continue
        names: list[str] = []
        cells: dict[str, list[str]] = {}
        for block in re.split(r"\n\s*\n", part.partition("\n")[2]):
            lines = block.rstrip().splitlines()
            if len(lines) < 3:
                continue
            header = lines[0].rstrip("\\").rstrip()
            ends = [(m.group(), m.end()) for m in re.finditer(r"\S+", header)]
            names += [name for name, _ in ends]
            for line in lines[1:]:
                if not re.match(r"\d+ ", line):
                    continue
                begin = len(re.match(r"\d+", line)[0])  # type: ignore[index]
                for name, end in ends:
                    cells.setdefault(name, []).append(line[begin:end].strip())
                    begin = end
        found[MARKS[mark]] = (names, cells)
    return found


@pytest.fixture
def heads(shared_data: Path) -> dict[str, tuple[list[str], dict[str, list[str]]]]:
    return _heads((shared_data / "daxa" / "missions_notebook_tables.txt").read_text(encoding="utf-8"))


def test_the_columns_are_those_of_the_notebook(
    heads: dict[str, tuple[list[str], dict[str, list[str]]]], mission_class: type[Mission]
) -> None:
    names, _ = heads[mission_class.__name__]
    ours = {column.name for column in mission_class.declaration.columns}
    assert ours - EXTRA.get(mission_class.__name__, set()) == set(names)


def test_the_values_fit_the_declared_kinds(
    heads: dict[str, tuple[list[str], dict[str, list[str]]]], mission_class: type[Mission]
) -> None:
    _, cells = heads[mission_class.__name__]
    declared = mission_class.declaration
    assert len(cells["ObsID"]) == 10
    assert all(re.match(declared.id_pattern, one) for one in cells["ObsID"]), cells["ObsID"]
    assert set(cells.get("target_category", [])) <= TARGET_TYPES.keys()
    patterns = {
        "float": r"-?\d+\.\d+", "int": r"\d+", "bool": r"True|False",
        "time": r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d+)?)?|NaT", "duration": r"\d+ days \d\d:\d\d:\d\d(\.\d+)?",
    }  # fmt: skip
    for column in declared.columns:
        if column.name not in cells or column.kind == "text" or column.name in SPACED:
            continue
        pattern = patterns[column.kind]
        if mission_class.__name__ == "eROSITACalPV" and column.name == "duration":
            pattern = r"\d+\.\d"  # DAXA left seconds here alone; ours is a duration as everywhere else
        for cell in cells[column.name]:
            assert re.fullmatch(pattern, cell), f"{column.name}: {cell!r}"


def test_instruments_that_made_an_observation_are_known(
    heads: dict[str, tuple[list[str], dict[str, list[str]]]],
) -> None:
    for name in ("Chandra", "ROSATPointed"):
        _, cells = heads[name]
        assert set(cells["instrument"]) <= set(mission_classes()[name].declaration.instruments)
