"""Parameters: names that may be shortened but not misspelt, types, files, precedence, and what a version depends on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from processes import environment
from skyvault.errors import ConfigError, UsageError
from skyvault.pipeline import Analysis, Catalog, Finder, Parameters, Project
from skyvault.pipeline.catalog import make_test_catalog


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


# --- every clause of how parameters are matched --------------------------------------------------------------------


def test_an_exact_name_wins_over_names_that_begin_with_it() -> None:
    pars = ParsTried(cfg_file=False)
    pars.add_par("plot", 1, int, "shorter than another name")
    pars.plot = 5
    assert (pars.plot, pars.plotting_value) == (5, True)


def test_aliases_obey_the_same_rules_as_names() -> None:
    pars = ParsTried(cfg_file=False, WHO=4)
    assert pars.integer_parameter == 4 and "whole" in pars
    pars.add_alias("entire", "integer_parameter")
    pars.ent = 6
    # two aliases of one parameter are no ambiguity
    pars.add_alias("entirely", "integer_parameter")
    assert pars.enti == 6


def test_shorthands_case_and_underscores_can_each_be_switched() -> None:
    pars = ParsTried(cfg_file=False)
    pars._allow_shorthands = False
    with pytest.raises(AttributeError, match="no attribute 'integer'"):
        _ = pars.integer
    assert pars.Integer_Parameter == 10
    pars._ignore_case = False
    with pytest.raises(AttributeError):
        _ = pars.Integer_Parameter
    with pytest.raises(AttributeError):
        _ = pars.integerparameter
    pars._remove_underscores = True
    assert pars.integerparameter == 10


def test_a_parameter_declared_twice_or_a_name_that_is_locked_is_refused() -> None:
    pars = ParsTried(cfg_file=False)
    with pytest.raises(ValueError, match="declared twice"):
        pars.add_par("words", 1, int)
    with pytest.raises(AttributeError, match="no attribute 'color'"):
        pars.color = "red"
    pars._enforce_no_new_attrs = False
    pars.color = "red"
    assert pars.color == "red" and "color" not in pars.to_dict()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("integer_parameter", 1.5, "int"), ("nullable_parameter", "x", "int or None"), ("words", 3, "set")],
)
def test_the_type_that_is_wanted_is_named(name: str, value: object, told: str) -> None:
    with pytest.raises(TypeError, match=f"must be of type {told}"):
        ParsTried(cfg_file=False, **{name: value})


def test_whole_numbers_are_numbers_and_kinds_of_data_have_many_names() -> None:
    pars = Parameters(cfg_file=False)
    pars.add_par("size", 1.0, float, "a size")
    pars.size = 2
    assert pars.size == 2
    pars.data_types = ["lcs", "thumbnail", "phot"]
    assert pars.data_types == ["cutouts", "photometry"]
    with pytest.raises(ValueError, match="'radio' is no kind of data"):
        pars.data_types = "radio"


def test_copies_compare_alike_until_one_is_changed(capsys: pytest.CaptureFixture[str]) -> None:
    pars = ParsTried(cfg_file=False)
    other = pars.copy()
    assert pars.compare(other)
    other.plotting_value = False
    assert not pars.compare(other, verbose=True) and "plotting_value: True against False" in capsys.readouterr().out
    assert pars.compare(other, critical=True) and pars.compare(other, ignore=["plotting_value"])
    pars.words.add("b")
    assert other.words == {"a"}


def test_help_tells_names_types_defaults_and_meanings(capsys: pytest.CaptureFixture[str]) -> None:
    ParsTried(cfg_file=False, password="hunter2").show_pars()
    told = capsys.readouterr().out
    assert "integer_parameter = 10 (int; default 10): a number" in told and "hunter2" not in told
    assert ParsTried.get_default_cfg_key() == "tried"
    Finder(cfg_file=False).help()
    told = capsys.readouterr().out
    assert told.startswith("Finder: Looks for") and "detect(" in told and "snr_threshold = 5.0" in told


def test_a_file_is_found_by_the_projects_name_in_any_case_and_here_before_configs(data_folder: Path) -> None:
    Path("configs").mkdir()
    Path("configs/MINE.yml").write_text("tried: {integer_parameter: 1}")
    assert ParsTried(project="mine").integer_parameter == 1
    Path("mine.yaml").write_text("tried: {integer_parameter: 2}")
    assert ParsTried(project="mine").integer_parameter == 2
    Path("other.cfg").write_text("special: {sub: {integer_parameter: 3}}")
    assert ParsTried(cfg_file="other", cfg_key="special", cfg_sub_key="sub").integer_parameter == 3
    with pytest.raises(AttributeError, match="Did you mean integer_parameter"):
        Path("wrong.yaml").write_text("tried: {interger_parameter: 3}")
        ParsTried(cfg_file="wrong.yaml")


def test_numbers_that_yaml_takes_for_texts_are_numbers(data_folder: Path) -> None:
    Path("some.yaml").write_text("analysis: {period_min: 1e-3}\nfinder: {snr_threshold: 1e1}")
    analysis = Analysis(cfg_file="some.yaml")
    assert (analysis.pars.period_min, analysis.finder.pars.snr_threshold) == (0.001, 10.0)


def test_arguments_of_parts_are_handed_down_through_their_owners(data_folder: Path) -> None:
    project = Project(
        "nested", cfg_file=False, catalog_kwargs={"default": "test"}, obs_names=["demo", "ZTF"],
        obs_kwargs={"reducer": {"gap": 40}}, ZTF={"cone_search_radius": 1.5},
        analysis_kwargs={
            "num_injections": 3, "finder_kwargs": {"snr_threshold": 7.5}, "simulator_kwargs": {"shapes": ["dip"]},
            "quality_kwargs": {"offset_threshold": 2.0}, "histogram_kwargs": {"source_coords": {"mag": [10, 20, 1]}},
        },
    )  # fmt: skip
    assert project.analysis.finder.pars.snr_threshold == 7.5 and project.analysis.sim.pars.shapes == ["dip"]
    assert project.analysis.checker.pars.offset_threshold == 2.0
    assert project.analysis.all_scores.pars.source_coords == {"mag": [10, 20, 1]}
    assert {one.pars.reduce_kwargs["gap"] for one in project.observatories} == {40}
    assert project.ztf.pars.cone_search_radius == 1.5 and project.analysis.finder.pars.project == "NESTED"
    for wrong, nearest in (("finder_kwargs", "snr_threshold"), ("simulator_kwargs", "min_width")):
        with pytest.raises(AttributeError, match=f"Did you mean {nearest}"):
            Project(
                "nested",
                cfg_file=False,
                catalog_kwargs={"default": "test"},
                analysis_kwargs={wrong: {f"{nearest}s": 1.0}},
            )


def test_a_file_speaks_to_every_part_under_its_own_key(data_folder: Path) -> None:
    Path("spoken.yaml").write_text("""
project: {obs_names: [demo], description: from a file}
catalog: {default: test}
observatories: {save_reduced: false, DEMO: {seed: 9}}
analysis: {num_injections: 2}
finder: {snr_threshold: 6}
quality: {offset_threshold: 4}
simulator: {shapes: [flare]}
""")
    project = Project("spoken")
    assert (project.pars.description, project.analysis.pars.num_injections) == ("from a file", 2)
    assert project.demo.pars.seed == 9 and project.demo.pars.save_reduced is False
    assert (project.analysis.finder.pars.snr_threshold, project.analysis.checker.pars.offset_threshold) == (6, 4)
    # file < constructor < attribute
    later = Project("spoken", analysis_kwargs={"finder_kwargs": {"snr_threshold": 7}})
    assert later.analysis.finder.pars.snr_threshold == 7
    later.analysis.finder.pars.snr_threshold = 8.0
    assert later.output_config()["finder"]["snr_threshold"] == 8.0


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
    nested = {"finder_kwargs": {"snr_threshold": 5.0}, "simulator_kwargs": {}}
    assert made(analysis_kwargs=nested) == plain
    assert made(verbose=5, source_batch_size=7, description="other", DEMO={"credentials": {"password": "x"}}) == plain
    assert made(analysis_kwargs={"snr_threshold": 5}) == plain
    others = [
        made(analysis_kwargs={"snr_threshold": 6.0}), made(DEMO={"seed": 3}), made(obs_names=["DEMO", "ZTF"]),
        made(analysis_kwargs={"quality_kwargs": {"offset_threshold": 9.0}}),
    ]  # fmt: skip
    changed = make_test_catalog()
    changed["ra"][3] += 1e-6
    others += [made(catalog=Catalog(data=changed, default="test", cfg_file=False))]
    assert len({plain, *others}) == 6


def test_a_version_knows_the_commit_of_the_users_repository(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import skyvault

    def code(**kwargs: Any) -> str:
        return str(Project("kept", catalog_kwargs={"default": "test"}, **kwargs).output_config()["code"])

    assert code() == f"skyvault {skyvault.__version__}"
    Path("repository/configs").mkdir(parents=True)
    Path("repository/configs/kept.yaml").write_text("project: {obs_names: demo}")
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "1"]):
        subprocess.run(["git", *command], cwd="repository", check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd="repository", capture_output=True, text=True, check=True)
    assert code(cfg_file="repository/configs/kept.yaml") == head.stdout.strip()
    monkeypatch.setenv("RETRIEVER_GIT_HASH", "abc")
    assert code() == "abc"


FINDER = "from skyvault.pipeline import Finder\nclass Mine(Finder):\n    {}\n"


def test_a_version_knows_the_content_of_every_custom_class(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skyvault.pipeline.versions import config_hash

    seen = []
    for body in ("pass", "pass  # changed", "pass"):
        Path("own_finder.py").write_text(FINDER.format(body))
        monkeypatch.delitem(sys.modules, "own_finder", raising=False)
        project = Project(
            "own", cfg_file=False, catalog_kwargs={"default": "test"},
            analysis_kwargs={"finder_module": "own_finder", "finder_class": "Mine"},
        )  # fmt: skip
        document = project.output_config()
        assert list(document["modules"]) == ["own_finder"]
        seen.append(config_hash(document))
    assert seen[0] == seen[2] != seen[1]


def test_two_classes_of_one_name_are_not_mistaken_for_each_other(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finder() -> Any:
        return Analysis(cfg_file=False, finder_module="twin_finder", finder_class="Mine").finder

    monkeypatch.delitem(sys.modules, "twin_finder", raising=False)
    for folder in ("one", "two"):
        Path(folder).mkdir()
        Path(folder, "twin_finder.py").write_text(FINDER.format(f"method = '{folder}'"))
    monkeypatch.chdir("one")
    assert finder().method == "one"
    monkeypatch.chdir("../two")
    with pytest.raises(UsageError, match="there are two modules 'twin_finder'"):
        finder()
    monkeypatch.delitem(sys.modules, "twin_finder", raising=False)
    assert finder().method == "two"


@pytest.mark.parametrize(
    ("module", "name", "told"),
    [
        ("no_such_module", "Mine", "cannot be imported"), ("os.path", "join", "has no class"),
        ("pathlib", "Path", "is no Finder"), ("../evil", "Mine", "no name of a module"),
    ],
)  # fmt: skip
def test_a_class_that_cannot_be_used_says_why(module: str, name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Analysis(cfg_file=False, finder_module=module, finder_class=name)


def test_a_class_typed_at_a_prompt_is_told_by_its_text() -> None:
    from skyvault.pipeline.custom_code import code_of

    made = []
    for threshold in (3, 3, 4):
        scope: dict[str, Any] = {"__name__": "__prompt__"}
        exec(
            f"from skyvault.pipeline import Finder\nclass Typed(Finder):\n    def peaks(self, a, b): return {threshold}",
            scope,
        )
        made.append(code_of(scope["Typed"](cfg_file=False)))
    assert list(made[0]) == ["__prompt__.Typed"] and made[0] == made[1] != made[2]


def test_secrets_are_in_no_file_hash_or_text_of_a_project(data_folder: Path) -> None:
    hidden = "hunter2-and-more"
    project = Project(
        "hidden", cfg_file=False, obs_names=["demo"], catalog_kwargs={"default": "test"},
        database=f"sqlite:///{data_folder}/x.sqlite?token={hidden}", DEMO={"credentials": {"password": hidden}},
        analysis_kwargs={"finder_kwargs": {}},
    )  # fmt: skip
    project.demo.pars.reduce_kwargs = {"gap": 3, "api_key": hidden}
    told = str(project.output_config()) + repr(project.pars) + project.described() + str(project.pars.to_dict())
    project.demo.pars.save(data_folder / "saved.yaml")
    assert hidden not in told + (data_folder / "saved.yaml").read_text()


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
