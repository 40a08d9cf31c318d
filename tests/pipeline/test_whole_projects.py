"""Projects from targets to detections: three surveys at once, a user's own observatory, images and spectra."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skyvault.config import Settings
from skyvault.pipeline import Detection, Lightcurve, Project, Properties, Source, database
from skyvault.pipeline.faults import ParameterValueError
from skyvault.pipeline.tables import mjd_of_datetime
from skyvault.sandbox.faults import Fault
from skyvault.sandbox.light_curves import variable, variables

# the sandbox computes times of plates in several threads, between which Python's filters of warnings are one
pytestmark = pytest.mark.filterwarnings("ignore:ERFA function")


@pytest.fixture
def sandbox_everywhere(sandbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a user does with ``skyvault sandbox --env``: all archives of this process are the sandbox's."""
    monkeypatch.setenv("SKYVAULT_HOME", str(tmp_path / "home"))
    for archive, services in sandbox.endpoints().items():
        for service, url in services.items():
            monkeypatch.setenv(f"SKYVAULT_ENDPOINTS__{archive.upper()}__{service.upper()}", url)
    assert Settings().endpoint("ztf", "lightcurves", "").startswith(sandbox.url)
    return sandbox


def star_list(names: list[str], folder: Path) -> str:
    lines = ["name,ra,dec,mag,magerr"]
    lines += [f"{s.name},{s.ra_deg},{s.dec_deg},{s.mag},0.01" for s in variables() if s.name in names]
    path = folder / "targets.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def project_of(names: list[str], folder: Path, **kwargs: Any) -> Project:
    pars = {
        "obs_names": ["ZTF", "TESS", "DASCH"],
        "catalog_kwargs": {"filename": star_list(names, folder), "mag_filter_name": "V"},
        "obs_kwargs": {"reducer": {"mag_range": None, "radius": 3.0}},
        "TESS": {"magdiff_thresh": 3.0},
        "analysis_kwargs": {"num_injections": 0.0, "period_search": "never"},
        "executor": "serial",
        "cfg_file": False,
    }
    pars |= kwargs
    if "TESS" not in pars["obs_names"]:
        del pars["TESS"]
    return Project("variables", **pars)


@pytest.mark.parametrize("count", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_stars_with_three_surveys_end_in_detections_of_the_variables(
    count: int, data_folder: Path, sandbox_everywhere: Any, tmp_path: Path
) -> None:
    # eclipsing, symbiotic and irregular ones come first, then planets' stars, binaries and white dwarfs
    stars = [star.name for star in variables() if 0.5 < star.mag < 17.0][:count]
    proj = project_of(stars, tmp_path)
    report = proj.run()
    assert (report.done, report.failed) == (count, 0), proj.get_problems()
    with database.current().session() as session:
        sources = {one.name: one for one in session.query(Source)}
        seen = {name: {raw.observatory for raw in one.raw_photometry} for name, one in sources.items()}
        assert all(which == {"ZTF", "TESS", "DASCH"} for which in seen.values())
        # deep eclipses stand out of the light curves, constant stars do not
        by_name: dict[str, list[Detection]] = {name: [] for name in stars}
        for one in session.query(Detection).where(Detection.quality_flag.is_(False)):
            by_name[one.source_name].append(one)
        ry = variable("V* RY Cnc")
        dips = [one for one in by_name[ry.name] if one.snr < 0]
        assert {one.observatory for one in dips} >= {"ZTF", "TESS"} or len(dips) >= 2
        for one in dips:
            mjd = mjd_of_datetime(one.peak_time)
            assert ry.change(np.array([mjd]))[0] > 0.2, (one.observatory, mjd)
            curve = session.get(Lightcurve, one.lightcurve_id)
            assert curve is not None and (curve.observatory, curve.filter) == (one.observatory, one.filter)
            assert curve.time_start <= one.peak_time <= curve.time_end
        constant = [star.name for star in variables() if star.kind == "constant" and star.name in stars]
        assert all(len(by_name[name]) <= 2 for name in constant)
        assert {one.has_data for one in session.query(Properties)} == {True}
    # a second run has nothing to do and asks nobody
    sandbox_everywhere.faults.set(Fault("refused"))
    again = project_of(stars, tmp_path).run()
    assert (again.done, again.skipped) == (0, count)


def test_one_archive_that_is_down_is_a_problem_of_the_sources_and_what_came_is_kept(
    data_folder: Path, sandbox_everywhere: Any, tmp_path: Path
) -> None:
    names = ["V* RY Cnc", "HD 5501"]
    sandbox_everywhere.faults.set(Fault("refused", archive="mast", times=1))
    proj = project_of(names, tmp_path)
    assert proj.run().failed == 1
    (problem,) = proj.get_problems()
    assert (problem["observatory"], problem["step"]) == ("TESS", "download")
    sandbox_everywhere.faults.set(Fault("missing", archive="ztf"), Fault("missing", archive="dasch"))
    # only what failed is asked for: the raw data of the others are in their files
    report = project_of(names, tmp_path).run()
    assert (report.done, report.skipped, report.failed) == (1, 1, 0) and proj.get_problems() == []


@pytest.mark.parametrize("executor", ["local"])
def test_processes_have_connections_of_their_own(
    executor: str, data_folder: Path, sandbox_everywhere: Any, tmp_path: Path
) -> None:
    names = ["V* RY Cnc", "HD 5501", "GD 358", "KIC 8462852"]
    proj = project_of(names, tmp_path, obs_names=["ZTF"], executor=executor, source_batch_size=1, num_workers=2)
    del_tess = proj  # the parent has asked, too: its connections are not the children's
    del_tess.ztf.fetch_raw(
        {"name": "first", "ra": variable(names[0]).ra_deg, "dec": variable(names[0]).dec_deg}, save=False
    )
    report = proj.run()
    assert (report.done, report.failed) == (4, 0), proj.get_problems()


# --- a user's own ---------------------------------------------------------------------------------------------------

OWN = """
import numpy as np
from skyvault.pipeline.observatory import ParsObservatory, VirtualObservatory

class ParsObsMine(ParsObservatory):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.add_par("depth", 0.0, float, "how deep the dip is, magnitudes")
        self.download_pars_list = ["depth"]

class VirtualMINE(VirtualObservatory):
    pars_class = ParsObsMine

    def download_from_observatory(self, cat_row, **kwargs):
        rng = np.random.default_rng(1)
        mjd = 60000.0 + np.arange(200.0)
        mag = cat_row["mag"] + 0.02 * rng.standard_normal(200)
        mag[100] += self.pars.depth
        return {"mjd": mjd, "mag": mag, "magerr": np.full(200, 0.02), "filter": ["r"] * 200}, {"exptime": 30.0}

    def reduce_photometry(self, dataset, source=None, **kwargs):
        curves = super().reduce_photometry(dataset, source)
        for curve in curves:
            curve.altdata["touched_by"] = "me"
        return curves
"""


@pytest.mark.parametrize("how", ["in this folder", "in extensions", "by name"])
def test_an_observatory_of_ones_own_takes_part_in_a_project(
    how: str, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = {"in this folder": "mine.py", "in extensions": "extensions/mine.py", "by name": "surveys/deep.py"}[how]
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(OWN)
    for module in ("mine", "extensions", "extensions.mine", "surveys", "surveys.deep"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    mine: dict[str, Any] = {"depth": 0.5}
    if how == "by name":
        mine |= {"obs_module": "surveys.deep", "obs_class": "VirtualMINE"}
    proj = Project(
        "own", obs_names=["DEMO", "MINE"], MINE=mine, catalog_kwargs={"default": "test"}, cfg_file=False, executor="serial",
        analysis_kwargs={"num_injections": 0.0},
    )  # fmt: skip
    assert proj.mine.pars.depth == 0.5 and proj.run().failed == 0
    found = [one for one in proj.get_detections() if one.observatory == "MINE"]
    assert len(found) == 10 and all(one.snr < -5.0 for one in found)
    with database.current().session() as session:
        curve = session.query(Source).first().get_data("MINE", level="reduced")[0]
        assert curve.altdata["touched_by"] == "me"
    for module in ("mine", "extensions.mine", "extensions", "surveys.deep", "surveys"):
        sys.modules.pop(module, None)


def test_an_observatory_nobody_knows_is_refused_with_a_hint(data_folder: Path) -> None:
    with pytest.raises(ParameterValueError, match="no observatory 'NOWHERE'") as caught:
        Project("x", obs_names="NOWHERE", catalog_kwargs={"default": "test"}, cfg_file=False)
    assert "obs_module" in str(caught.value)


# --- other kinds of data --------------------------------------------------------------------------------------------


def test_images_and_spectra_end_in_detections_with_pixels_and_wavelengths(data_folder: Path, tmp_path: Path) -> None:
    Path("camera.py").write_text(f"""
import sys
from pathlib import Path
import numpy as np
sys.path.insert(0, {str(Path(__file__).parent)!r})
from skyvault.pipeline import Observatory
from astropy.io import fits

class VirtualCAMERA(Observatory):
    def download_images(self, cat_row, folder, **kwargs):
        folder.mkdir(parents=True, exist_ok=True)
        names = []
        for number in range(6):
            rng = np.random.default_rng(number)
            grid_y, grid_x = np.mgrid[0:120, 0:120]
            image = rng.normal(100.0, 5.0, (120, 120))
            stars = [(30, 40, 20000), (80, 90, 30000), (20, 100, 25000), (100, 20, 15000), (59.5, 59.5, 12000)]
            if number == 3:
                stars.append((66.0, 52.0, 9000))
            for x, y, flux in stars:
                image += flux / (2 * np.pi * 1.69) * np.exp(-0.5 * ((grid_x - x) ** 2 + (grid_y - y) ** 2) / 1.69)
            header = fits.Header()
            header.update({{"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": cat_row["ra"], "CRVAL2": cat_row["dec"],
                "CRPIX1": 60.5, "CRPIX2": 60.5, "CDELT1": -1 / 3600, "CDELT2": 1 / 3600, "MAGZP": 27.0, "EXPTIME": 60.0,
                "FILTER": "r"}})
            fits.PrimaryHDU(image.astype("f4"), header).writeto(folder / f"{{number}}.fits", overwrite=True)
            names.append(f"{{number}}.fits")
        return {{"file": names, "mjd": 60000.0 + np.arange(6.0), "filter": ["r"] * 6}}, {{}}

    def download_spectra(self, cat_row, **kwargs):
        rng = np.random.default_rng(5)
        wave = np.linspace(4000.0, 8000.0, 3000)
        flux = 1.0 + 0.02 * rng.standard_normal(3000) + 2.0 * np.exp(-0.5 * ((wave - 6564.6) / 4.0) ** 2)
        about = {{"wavelength_unit": "Angstrom", "medium": "vacuum", "flux_unit": "erg/s/cm2/A", "mjd": 60001.0}}
        return {{"spectrum": np.zeros(3000, int), "wavelength": wave, "flux": flux, "fluxerr": np.full(3000, 0.02)}}, {{"spectra": [about]}}
""")
    sys.modules.pop("camera", None)
    Path("one.csv").write_text("name,ra,dec,mag\nstar,150.0,20.0,16.8\n")
    proj = Project(
        "kinds", obs_names="CAMERA", data_types=["images", "spectra"], cfg_file=False, executor="serial",
        catalog_kwargs={"filename": str(Path("one.csv").absolute())}, analysis_kwargs={"num_injections": 0.0},
    )  # fmt: skip
    assert proj.run().failed == 0, proj.get_problems()
    assert "spectrum_finder" in proj.output_config() and "image_finder" in proj.output_config()
    found = proj.get_detections()
    (line,) = [one for one in found if one.method == "spectral lines"]
    assert abs(line.wavelength_peak - 656.46) < 0.02 and line.wavelength_start < 656.0 < 657.0 < line.wavelength_end
    assert line.data_types == ["spectra"] and line.snr > 50.0
    (new,) = [one for one in found if one.method == "new on images"]
    assert abs(new.pixel_x - 66.0) < 0.3 and abs(new.pixel_y - 52.0) < 0.3 and new.extra_scores["image"] == 3
    assert new.data_types == ["images"] and new.filter == "r"
    with database.current().session() as session:
        props = session.query(Properties).one().props
        assert (props["num_spectra"], props["num_lines"], props["num_images"], props["num_new_on_images"]) == (
            1,
            1,
            6,
            1,
        )
        (curve,) = session.query(Source).one().lightcurves
        assert abs(np.median(curve.data["mag"]) - (27.0 - 2.5 * np.log10(12000))) < 0.05
        assert len(session.query(Source).one().spectra[0].lines) == 1
    assert proj.run().done == 0
    sys.modules.pop("camera", None)
