"""Notebooks of tutorials say what their pages say, and run from an empty folder, and again without a network."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from docs.test_examples import FENCE, matches
from processes import PROJECT, environment

TUTORIALS = PROJECT / "docs" / "tutorials"
PICTURES = ("plates.png", "plates_seen.png", "exposures.png", "folded.png", "blink.gif")


@pytest.fixture(scope="module")
def make_notebooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_notebooks", PROJECT / "docs" / "make_notebooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_notebook_is_that_of_the_page(make_notebooks: ModuleType) -> None:
    for name in make_notebooks.PAGES:
        written = (TUTORIALS / f"{name}.ipynb").read_text(encoding="utf-8")
        assert written == make_notebooks.notebook(name), "run: python docs/make_notebooks.py"
        # nobody's outputs are kept
        assert all(not cell["outputs"] for cell in json.loads(written)["cells"] if cell["cell_type"] == "code")


def run(folder: Path) -> list[tuple[str, list[str]]]:
    """Runs the century of a star in a real kernel: what each cell printed, and the kinds of pictures it showed."""
    nbformat = pytest.importorskip("nbformat")
    from nbclient import NotebookClient

    notebook = nbformat.read(TUTORIALS / "century-of-a-star.ipynb", as_version=4)
    NotebookClient(
        notebook, timeout=110, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            said = "".join(one.text for one in cell.outputs if one.output_type == "stream" and one.name == "stdout")
            shown = [kind for one in cell.outputs if "data" in one for kind in one.data if kind.startswith("image/")]
            found.append((said, shown))
    return found


# the page itself, from which the notebook is made, is run each time by test_examples.py
@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_notebook_runs_from_an_empty_folder_and_again_without_a_network(
    sandbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skyvault.sandbox.faults import Fault

    folder = tmp_path / "work"
    folder.mkdir()
    for name, value in (environment() | sandbox.environment()).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SKYVAULT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    first = run(folder)
    page = (TUTORIALS / "century-of-a-star.md").read_text(encoding="utf-8")
    expected = [body for language, body in FENCE.findall(page) if language == "text"]
    # the session tells in a notebook what it does
    printed = ["\n".join(line for line in text.splitlines() if not line.startswith("- ")) for text, _ in first[1:]]
    said = [first[0][0], *(text for text in printed if text and not text.startswith("Writing"))]
    assert len(said) == len(expected)
    for got, wanted in zip(said, expected, strict=True):
        assert matches(got, wanted), f"{got}\nis not\n{wanted}"
    assert sum(len(shown) for _, shown in first) == 4
    assert all((folder / name).stat().st_size > 10_000 for name in PICTURES)

    sandbox.faults.set(Fault("unreachable"))
    again = run(folder)
    period = re.compile(r"all together: (1\.09294\d) d")
    last = [number for number, (text, _) in enumerate(first) if text.startswith("321 exposures; 280 rows")]
    assert [again[number][0] for number in last] == [first[number][0] for number in last] and last
    (one,), (other,) = (period.findall("".join(text for text, _ in found)) for found in (first, again))
    assert one == other
