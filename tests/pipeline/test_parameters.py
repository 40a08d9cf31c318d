"""Parameters: names that may be shortened but not misspelt, types, files, precedence, and what a version depends on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from processes import environment
from skyvault.errors import ConfigError
from skyvault.pipeline import Parameters, Project


class ParsTried(Parameters):
    default_cfg_key = "tried"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_par("integer_parameter", 10, int, "a number")
        self.add_par("plotting_value", True, bool, "whether to plot", critical=False)
        self.add_par("nullable_parameter", 1, (int, None), "a number or nothing")
        self.add_par("words", {"a"}, set, "some words")
        self.add_par("password", "", str, "a secret", secret=True)
        self.add_alias("whole", "integer_parameter")


def test_names_may_be_shortened_and_written_in_any_case() -> None:
    pars = ParsTried(cfg_file=False)
    pars.INT = 3
    assert (pars.integer_parameter, pars["whole"], pars.n) == (3, 3, 1)
    assert "pl" in pars and "nothing" not in pars


def test_what_could_be_several_or_is_misspelt_is_refused_with_the_nearest_name() -> None:
    pars = ParsTried(cfg_file=False)
    with pytest.raises(AttributeError, match=r"password, plotting_value, project"):
        pars.p  # noqa: B018
    with pytest.raises(AttributeError, match="Did you mean plotting_value"):
        pars.plottin_valu = False
    with pytest.raises(AttributeError, match="Did you mean integer_parameter"):
        ParsTried(cfg_file=False, integr_parameter=2)


def test_a_wrong_type_changes_nothing() -> None:
    pars = ParsTried(cfg_file=False)
    with pytest.raises(TypeError, match="must be of type int, not str"):
        pars.integer_parameter = "seven"
    assert pars.integer_parameter == 10
    pars.nullable_parameter = None
    pars._enforce_type_checks = False
    pars.integer_parameter = "seven"


def test_update_merges_sets_and_read_replaces_them() -> None:
    pars = ParsTried(cfg_file=False)
    pars.update({"words": ["b"]})
    assert pars.words == {"a", "b"}
    pars.read({"words": {"c"}})
    assert pars.words == {"c"}


def test_a_file_is_below_arguments_and_those_below_attributes(data_folder: Path) -> None:
    Path("configs").mkdir()
    Path("configs/mine.yaml").write_text("tried: {integer_parameter: 5, nullable_parameter: 6, plotting_value: false}")
    pars = ParsTried(project="Mine", nullable_parameter=7)
    pars.plotting_value = True
    assert (pars.integer_parameter, pars.nullable_parameter, pars.plotting_value) == (5, 7, True)
    assert ParsTried(project="mine", cfg_file=False).integer_parameter == 10
    assert ParsTried(cfg_file="configs/MINE").integer_parameter == 5


def test_a_file_that_is_named_must_be_there_and_be_yaml(data_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"no configuration file 'nowhere\.yaml'"):
        ParsTried(cfg_file="nowhere.yaml")
    Path("bad.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match="not valid YAML"):
        ParsTried(cfg_file="bad.yaml")
    Path("evil.yaml").write_text("tried: !!python/object/apply:os.system ['true']")
    with pytest.raises(ConfigError, match="not valid YAML"):
        ParsTried(cfg_file="evil.yaml")


def test_secrets_are_never_written_or_shown(tmp_path: Path) -> None:
    pars = ParsTried(cfg_file=False, password="hunter2")
    pars.save(tmp_path / "pars.yaml")
    assert "hunter2" not in (tmp_path / "pars.yaml").read_text() + pars.described() + repr(pars) + str(pars.to_dict())


def test_an_illegal_project_name_is_refused() -> None:
    assert Parameters(project="my first-project", cfg_file=False).project == "MY_FIRST_PROJECT"
    for name in ("1st", "a$b", "../up"):
        with pytest.raises(ValueError, match="Cannot legalize name"):
            Parameters(project=name, cfg_file=False)


# --- versions ------------------------------------------------------------------------------------------------------

HASH = """
import sys
from skyvault.pipeline import Project
from skyvault.pipeline.versions import config_hash
p = Project("hashed", obs_names=["ZTF", "DEMO"], catalog_kwargs={"default": "test"}, cfg_file=False)
print(config_hash(p.output_config()))
"""


def test_the_checksum_of_a_version_is_the_same_in_every_process(data_folder: Path) -> None:
    seen = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", HASH], capture_output=True, text=True, check=True,
            env=environment() | {"PYTHONHASHSEED": seed, "RETRIEVER_DATA": str(data_folder)},
        )  # fmt: skip
        seen.add(done.stdout.strip())
    assert len(seen) == 1 and len(seen.pop()) == 64


def test_the_checksum_depends_on_what_changes_results_and_on_nothing_else(data_folder: Path) -> None:
    from skyvault.pipeline.versions import config_hash

    def made(**kwargs: Any) -> str:
        defaults: dict[str, Any] = {"catalog_kwargs": {"default": "test"}, "cfg_file": False}
        return config_hash(Project("hashed", **{**defaults, **kwargs}).output_config())

    plain = made()
    assert made(verbose=5, source_batch_size=7, description="other", DEMO={"credentials": {"password": "x"}}) == plain
    assert made(analysis_kwargs={"snr_threshold": 5}) == plain
    others = [
        made(analysis_kwargs={"snr_threshold": 6.0}), made(DEMO={"seed": 3}), made(obs_names=["DEMO", "ZTF"]),
        made(analysis_kwargs={"quality_kwargs": {"offset_threshold": 9.0}}),
    ]  # fmt: skip
    assert len({plain, *others}) == 5


# --- the seed's own class ------------------------------------------------------------------------------------------

MY_ANALYSIS = '''
from skyvault.pipeline import Analysis, ParsAnalysis

class ParsMyAnalysis(ParsAnalysis):
    """Parameters for MyAnalysis class"""
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._enforce_no_new_attrs = False
        self.num_kernels = self.add_par("num_kernels", 10, int, "number of kernels")
        self._enforce_no_new_attrs = True

class NewAnalysis(Analysis):
    """A class to do matched-filter analysis using multiple kernels. """
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.pars = ParsMyAnalysis(**kwargs)

    def analyze_photometry(self, source):
        source.classification = f"seen with {self.pars.num_kernels}"
'''


def test_the_seeds_extension_runs(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("extensions").mkdir()
    Path("extensions/my_analysis.py").write_text(MY_ANALYSIS)
    for name in [one for one in sys.modules if one.startswith("extensions")]:
        monkeypatch.delitem(sys.modules, name)
    assert os.getcwd() not in sys.path
    project = Project(
        name="default_test", analysis_kwargs={"num_kernels": 20}, analysis_module="extensions.my_analysis",
        analysis_class="NewAnalysis", catalog_kwargs={"default": "test"},
    )  # fmt: skip
    assert project.run().done == 10
    assert {one.classification for one in project.get_all_sources()} == {"seen with 20"}
    assert list(project.output_config()["modules"]) == ["extensions.my_analysis"]
    with pytest.raises(AttributeError, match="num_kernals"):
        Project(
            name="x", analysis_kwargs={"num_kernals": 2}, analysis_module="extensions.my_analysis",
            analysis_class="NewAnalysis", catalog_kwargs={"default": "test"},
        )  # fmt: skip
