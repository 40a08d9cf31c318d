"""Every name that daschlab's page and its digest tell is here: methods, arguments, selections, actions, columns."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import skyvault.session as package
from skyvault.session import (
    ExposureRow,
    Exposures,
    Extract,
    Lightcurve,
    PhotometryPoint,
    RefcatSourceRow,
    RefcatSources,
    Session,
    SessionQuery,
)
from skyvault.session.columns import exposure_columns, photometry_columns, refcat_columns
from skyvault.session.exposures import ExposureSelector
from skyvault.session.lightcurve import LightcurveSelector
from skyvault.session.photometry import PhotometrySelector

pytestmark = pytest.mark.shared

CLASSES: tuple[Any, ...] = (
    Session, SessionQuery, Exposures, ExposureRow, RefcatSources, RefcatSourceRow, Lightcurve, PhotometryPoint, Extract,
    ExposureSelector, PhotometrySelector, LightcurveSelector,
)  # fmt: skip
#: names in the digest that are Python's or another package's
OF_OTHERS = {
    "int", ".sum", "table.ACTION.SELECTION", "table.ACTION.not_.SELECTION", "add_image_layer", "center_on_coordinates",
    "layers.add_image_layer", "layers.add_table_layer", "pywwt.jupyter.connect_to_app",
}  # fmt: skip


#: columns that no archive sends: the session makes them
ADDED = {"local_id", "refcat", "reject", "exp_local_id"}


@pytest.fixture
def page(shared: Path) -> str:
    return (shared / "reference" / "seeds" / "1-daschlab-session.txt").read_text()


def digest(shared: Path, number: int) -> str:
    text = (shared / "reference" / "daschlab.md").read_text()
    return next(part for part in re.split(r"^## ", text, flags=re.MULTILINE) if part.startswith(f"{number}. "))


def test_signatures_of_the_page_are_those_of_sessions(page: str) -> None:
    documented = page[page.index("Methods Documentation") :]
    found = re.findall(r"^(?:async )?(\w+)\(([^()]*(?:\[[^]]*\])?[^()]*)\)", documented, re.MULTILINE)
    seen = set()
    for name, arguments in found:
        if not hasattr(Session, name):
            continue
        parameters = inspect.signature(getattr(Session, name)).parameters
        head = ast.parse(f"def f({arguments}): ...").body[0]
        assert isinstance(head, ast.FunctionDef)
        wanted = [argument.arg for argument in head.args.args]
        own = [one for one in parameters if one != "self"]
        assert own[: len(wanted)] == wanted, (name, wanted, own)
        defaults = [ast.literal_eval(one) for one in head.args.defaults]
        for argument, default in zip(wanted[len(wanted) - len(defaults) :], defaults, strict=True):
            assert parameters[argument].default == default, (name, argument)
        # what is new may be left out
        assert all(
            parameters[one].default is not inspect.Parameter.empty
            for one in own[len(wanted) :]
            if parameters[one].kind is not inspect.Parameter.VAR_POSITIONAL
        ), name
        seen.add(name)
    assert len(seen) >= 14, seen


@pytest.mark.parametrize("section", [3, 5, 6, 7, 8, 9, 10])
def test_everything_called_in_the_digest_is_there(shared: Path, section: int) -> None:
    names = set(re.findall(r"`([A-Za-z_.]+)\(", digest(shared, section))) - OF_OTHERS
    assert names
    missing = [
        name
        for name in sorted(names)
        if not hasattr(package, name.split(".")[-1]) and not any(hasattr(kind, name.split(".")[-1]) for kind in CLASSES)
    ]
    assert missing == []


def test_selections_stand_where_the_digest_says(shared: Path) -> None:
    text = digest(shared, 6)
    for head, kind in (
        ("Selections common to both:", ExposureSelector),
        ("Selections common to both:", PhotometrySelector),
        ("Exposures only:", ExposureSelector),
        ("Photometry only:", PhotometrySelector),
        ("Lightcurve only:", LightcurveSelector),
    ):
        sentence = text[text.index(head) :].split("\n")[0].split(". ")[0].split(";")[0]
        names = re.findall(r"`(\w+)\(", sentence)
        assert names
        for name in names:
            assert callable(getattr(kind, name)), (head, name)
    for table in (Exposures, Lightcurve):
        for action in ("match", "count", "keep_only", "drop", "reject", "reject_unless", "split_by"):
            assert hasattr(table, action)


def test_columns_are_those_of_the_digest(shared: Path) -> None:
    text = digest(shared, 5)
    for number, columns in (("5.1", refcat_columns()), ("5.3", photometry_columns())):
        part = text[text.index(f"### {number}") :].split("\n### ")[0]
        names = set()
        for line in re.findall(r"^\| ([^|]+) \|", part, re.MULTILINE)[1:]:
            for word in line.split("(")[0].split(","):
                if re.fullmatch(r"[a-z_0-9]+", word.strip()):
                    names.add(word.strip())
        # "sxt_iso0 … sxt_iso7" is no single word; the session adds the last
        missing = names - {str(column.name) for column in columns} - ADDED
        assert missing == set(), number
    known = {str(column.name) for column in exposure_columns()}
    for refcat in ("apass", "atlas"):
        assert {f"lim_mag_{refcat}", f"median_colorterm_{refcat}", f"result_id_{refcat}"} <= known
    assert {f"sxt_iso{number}" for number in range(8)} <= {str(column.name) for column in photometry_columns()}


def test_other_names_that_scripts_use_mean_the_same() -> None:
    from skyvault.errors import SkyvaultError

    assert package.InteractiveError is SkyvaultError
    assert set(package.SUPPORTED_REFCATS) == {"apass", "atlas"}
    assert package.source_name_to_fs_name("V* RY Cnc") == "v_ry_cnc"
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError):
        package.no_such_name  # noqa: B018
