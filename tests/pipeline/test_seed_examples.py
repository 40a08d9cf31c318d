"""The examples of AstroRetriever's page, one test each in its order, with other imports only, against the sandbox.

``VirtualTESS(...)``, ``obs.catalog`` and ``index`` are what the page leaves to the reader.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from skyvault.errors import ConfigError
from skyvault.pipeline import Catalog, Lightcurve, Project, RawPhotometry, Source, VirtualTESS, VirtualZTF, database

#: white dwarfs of the catalogue that ZTF is asked for
FEW = 6


@pytest.fixture(autouse=True)
def archives(sandbox: Any, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The sandbox in place of all archives, an empty data folder, no class of an earlier test."""
    for archive, services in sandbox.endpoints().items():
        for service, url in services.items():
            monkeypatch.setenv(f"SKYVAULT_ENDPOINTS__{archive.upper()}__{service.upper()}", url)
    for name in [one for one in sys.modules if one.partition(".")[0] in ("extensions", "src")]:
        monkeypatch.delitem(sys.modules, name)
    return sandbox


def white_dwarfs(number: int = FEW) -> Catalog:
    """The brightest that ZTF sees."""
    whole = Catalog(default="WD", cfg_file=False)
    rows = whole.data
    order = np.argsort(rows["phot_g_mean_mag"])
    return whole.make_smaller_catalog(
        order[(rows["dec"][order] > -28) & (rows["phot_g_mean_mag"][order] > 11.7)][:number]
    )


def test_testing_moves_the_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skyvault.pipeline import dataset

    monkeypatch.setattr(dataset, "DATA_ROOT", str(tmp_path / "other"), raising=False)
    assert dataset.data_root() == tmp_path / "other"


def test_using_an_observatory_to_download_data(archives: Any) -> None:
    truth = archives.emulations["mast"].truth
    tic_number = truth.ticid("V* RY Cnc")
    obs = VirtualTESS(cfg_file=False)
    source = obs.download_by_tic(tic_number)
    assert source.raw_photometry[0].number > 100


def test_using_a_catalog() -> None:
    index = 2
    obs = VirtualZTF(catalog=white_dwarfs(), cfg_file=False)
    cat_row = obs.catalog.get_row(index, "number", "dict")
    source = obs.fetch_source(cat_row, save=True, reduce=True)
    assert source.raw_photometry[0].check_file_exists()
    # a second call downloads nothing
    obs.download_from_observatory = None
    assert obs.fetch_source(cat_row, save=True, reduce=True).raw_photometry[0].number == source.raw_photometry[0].number


def test_getting_all_sources_from_a_catalog() -> None:
    obs = VirtualZTF(catalog=white_dwarfs(), cfg_file=False)
    obs.fetch_all_sources(start=0, stop=None, save=True, reduce=True)
    assert len(obs.sources) == FEW and not obs.failures_list


def test_a_project_runs_over_the_catalog() -> None:
    proj = Project(name="new_project", obs_names="TESS", catalog_kwargs={"default": "WDs"})
    report = proj.run(finish=3)
    assert report.done == 3 and len(proj.catalog) > 1000


def test_version_control_has_three_spellings() -> None:
    assert Project(name="a", version_control=True).pars.version_control is True
    project = Project(name="a", vc=True)
    assert project.pars.version_control is True
    project.pars.version_control = False
    project.pars.vc = True
    assert project.pars.version_control is True


def test_full_analysis_pipeline() -> None:
    proj = Project(
        name="default_test",  # must give a name to each project
        description="my project description",  # optional parameter example
        version_control=False,  # whether to use version control on products
        obs_names=["ZTF"],  # must give at least one observatory name
        # parameters to pass to the Analysis object:
        analysis_kwargs={
            "num_injections": 3,
            "finder_kwargs": {  # pass through Analysis into Finder
                "snr_threshold": 7.5,
            },
            "finder_module": "src.finder",  # can choose different module
            "finder_class": "Finder",  # can choose different class (e.g., MyFinder)
        },
        analysis_module="src.analysis",  # replace this with your code path
        analysis_class="Analysis",  # replace this with you class name (e.g., MyAnalysis)
        catalog_kwargs={"default": "WD"},  # load the default WD catalog
        # parameters to be passed into each observatory class
        obs_kwargs={"reducer": {"radius": 3, "gap": 40}},
        # specific instructions to be used by the ZTF observatory only
        ZTF={"credentials": {"username": "guy", "password": "12345"}},
    )
    proj.catalog = white_dwarfs()
    proj.ztf.catalog = proj.catalog
    proj.run()
    sources = proj.get_all_sources()
    assert len(sources) == FEW and all(one.properties is not None for one in sources)
    assert proj.output_folder is not None and (proj.output_folder / "config.yaml").is_file()
    assert "12345" not in (proj.output_folder / "config.yaml").read_text()
    assert list(proj.output_folder.glob("histograms_*.nc"))
    assert proj.analysis.finder.pars.snr_threshold == 7.5


def test_config_files_and_constructor_arguments() -> None:
    Path("configs").mkdir()
    Path("configs/project_name.cfg").write_text(
        "project: {obs_names: [demo], description: hi}\ncatalog: {default: test}\nfinder: {snr_threshold: 7.5}\n"
    )
    proj = Project(name="project_name", cfg_file="project_name.cfg", cfg_key="project")
    assert proj.pars.description == "hi" and proj.analysis.finder.pars.snr_threshold == 7.5
    # the default file is looked for, and only an explicit one must be there
    assert Project(name="project_name", catalog_kwargs={"default": "test"}).pars.description == "hi"
    assert Project(name="project_name", cfg_file=False, catalog_kwargs={"default": "test"}).pars.description == ""
    with pytest.raises(ConfigError, match="no configuration file"):
        Project(name="project_name", cfg_file="no_such.cfg")


def test_using_custom_arguments() -> None:
    proj = Project(
        name="default_test",  # must give a name to each project
        analysis_kwargs={"snr_threshold": 8.5},
    )
    assert proj.analysis.finder.pars.snr_threshold == 8.5


MY_ANALYSIS = '''
# extensions/my_analysis.py
from skyvault.pipeline import ParsAnalysis
from skyvault.pipeline import Analysis

class ParsMyAnalysis(ParsAnalysis):
    """
    Parameters for MyAnalysis class
    Will have all the parameters already defined in ParsAnalysis,
    but add another one as an example.
    """
    def __init__(self, **kwargs):
        super().__init__(**kwargs)

        # unlock this object to allow new add_par calls
        self._enforce_no_new_attrs = False
        self.num_kernels = self.add_par("num_kernels", 10, int, "number of kernels")

        # re-lock this object so users cannot set attributes not already defined
        self._enforce_no_new_attrs = True

class NewAnalysis(Analysis):
    """A class to do matched-filter analysis using multiple kernels. """
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.pars = ParsMyAnalysis(**kwargs)

    # override this part of the analysis
    def analyze_photometry(self, source):
        """
        Run analysis on lightcurves, overriding
        the simple analysis code in the base class.
        """
        ...
'''


def test_using_custom_code() -> None:
    Path("extensions").mkdir()
    Path("extensions/my_analysis.py").write_text(MY_ANALYSIS)
    proj = Project(
        name="default_test",  # must give a name to each project
        analysis_kwargs={"num_kernels": 20},
        analysis_module="extensions.my_analysis",
        analysis_class="NewAnalysis",
        catalog_kwargs={"default": "test"},
    )
    assert proj.analysis.pars.num_kernels == 20
    assert proj.run().done == 10
    # what is typed twice is refused, and what nobody knows, too
    with pytest.raises(AttributeError, match="Did you mean num_kernels"):
        proj.analysis.pars.num_kernals = 5


def test_loading_a_catalog() -> None:
    cat = Catalog(default="WD")
    cat.load()
    assert len(cat) > 1000 and cat.pars.mag_filter_name == "Gaia_G"


def test_downloading_data() -> None:
    proj = Project(name="default_test", obs_names=["ZTF"], catalog=white_dwarfs(12))
    obs = proj.observatories["ZTF"]  # can also use proj.observatories[0] or proj.ztf
    assert obs is proj.observatories[0] is proj.ztf
    obs.pars.num_threads_download = 0  # can use higher values for multi-threading
    obs.fetch_all_sources(0, 1000, save=True)  # grab first 1000 sources in catalog
    assert len(obs.sources) == len(obs.raw_data) == 12
    obs.pars.num_threads_download = 4
    obs.fetch_all_sources(0, 5, save=False)


def test_reducing_lightcurves() -> None:
    Project(name="made", obs_names=["ZTF"], catalog=white_dwarfs()).ztf.fetch_all_sources(0, 3)
    from skyvault.pipeline.dataset import data_root

    found = max(data_root().glob("ZTF/RA*/*.h5"), key=lambda path: path.stat().st_size)
    Path("my_raw_data.h5").write_bytes(found.read_bytes())
    obs = VirtualZTF(
        name="ZTF",
        credentials={"username": "guy", "password": "12345"},
        reducer={"gap": 60},
    )
    data = RawPhotometry(filename="my_raw_data.h5")
    data.load()
    obs.pars.reducer = {"gap": 60}
    lcs = obs.reduce(data, data_type="photometry")
    assert len(lcs) > 1 and all(isinstance(lc, Lightcurve) for lc in lcs)
    obs.pars.reducer = {"gap": 10_000}
    assert len(obs.reduce(data, data_type="photometry")) < len(lcs)


@pytest.fixture
def done() -> Project:
    """A project of the demo observatory that has run."""
    proj = Project(name="proj_name", catalog_kwargs={"default": "test"})
    proj.run()
    return proj


def test_working_with_the_database(done: Project) -> None:
    from skyvault.pipeline.database import Session

    session = Session()
    sources = session.scalars(sa.select(Source)).all()
    assert len(sources) == 10
    name = sources[3].name
    source = session.scalars(sa.select(Source).where(Source.name == name)).first()
    assert source is sources[3]
    new_object = Source(name="new", ra=1.0, dec=2.0, project="proj_name")
    session.add(new_object)
    data = session.scalars(sa.select(RawPhotometry).where(RawPhotometry.source_id == source.id)).first()
    assert data is not None and data.check_file_exists()
    data.delete_data_from_disk()
    session.delete(data)
    session.commit()
    assert not data.check_file_exists()
    session.delete(new_object)
    session.rollback()
    session.close()


def test_a_script_reduces_again_and_commits(done: Project) -> None:
    from skyvault.pipeline.database import Session

    obs = done.demo
    with Session() as session:
        source = session.scalars(sa.select(Source).where(Source.name == done.catalog.names[2])).first()
        assert source is not None
        data = source.raw_photometry[0]
        lcs = obs.reduce(data, data_type="photometry")
        for lc in lcs:
            lc.save()
            source.lightcurves.append(lc)
            session.add(lc)
        session.commit()
        assert len(source.lightcurves) == 2


def test_smart_sessions(done: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from skyvault.pipeline.database import Session, SmartSession

    with SmartSession() as session:
        assert session.scalars(sa.select(Source)).first() is not None
    with Session() as outer:
        with SmartSession(outer) as inner:
            assert inner is outer
        assert outer.scalars(sa.select(Source)).first() is not None
    with SmartSession(False) as none:
        assert none.scalars(sa.select(Source)).all() == []
    monkeypatch.setattr(database, "NO_DB_SESSION", True)
    with SmartSession() as none:
        assert none.scalars(sa.select(Source)).first() is None


def test_loading_data_from_disk(done: Project) -> None:
    from skyvault.pipeline.database import Session

    with Session() as session:
        source = session.scalars(sa.select(Source)).first()
        assert source is not None
        raw_data, lc = source.raw_photometry[0], source.lightcurves[0]
        raw_data.save()
        assert raw_data.filename == f"RA{int(source.ra):03d}/DEMO_photometry_{source.name}.h5"
        assert str(raw_data.get_fullname()).endswith(f"/DEMO/{raw_data.filename}")
        lc.save()
        assert lc.filename == f"RA{int(source.ra):03d}/DEMO_photometry_{source.name}_reduced.h5"
        assert str(lc.get_fullname()).endswith(f"/PROJ_NAME/{lc.filename}")
        assert lc.filekey == f"{source.name}_reduction_01_of_01"


def test_datasets_come_from_the_database_and_plot_themselves(done: Project) -> None:
    from skyvault.pipeline.database import Session

    with Session() as session:
        data = session.scalars(
            sa.select(RawPhotometry).where(RawPhotometry.source_name == done.catalog.names[0])
        ).first()
        assert data is not None
        mag_array = data.data["mag"]
        assert len(mag_array) == 100 and len(data.times) == len(data.mjds) == 100
        axes = data.plot()
        assert axes.yaxis_inverted() and axes.get_xlabel() == "MJD"
        assert len(data.source_name) and data.sources[0].plot_photometry(ftype="flux").get_ylabel() == "flux (µJy)"


def test_existing_data_make_a_database_that_was_lost(done: Project) -> None:
    done.demo.populate_sources()
    with database.Session() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(RawPhotometry)) == 10


def test_every_class_tells_its_parameters(done: Project, capsys: pytest.CaptureFixture[str]) -> None:
    done.help()
    told = capsys.readouterr().out
    for word in ("Project", "Catalog", "VirtualDemoObs", "Analysis", "Finder", "snr_threshold", "QualityChecker"):
        assert word in told
