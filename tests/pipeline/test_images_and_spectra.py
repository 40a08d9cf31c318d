"""Images, cutouts and spectra in pipelines: injected stars and lines come out as they went in."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from skyvault.pipeline import Catalog, Observatory, Source, VirtualDASCH, VirtualVO, VirtualZTF, database
from skyvault.pipeline.data_links import services_of
from skyvault.pipeline.faults import DataError, ParameterValueError
from skyvault.pipeline.image_files import read_image, zero_point_of
from skyvault.pipeline.raw_data import RawCutouts, RawSpectra
from skyvault.pipeline.spectrum import Spectrum
from skyvault.pipeline.spectrum_files import read_spectrum
from skyvault.sandbox.light_curves import variable
from skyvault.sandbox.rubin import TOKEN
from skyvault.science.aperture_photometry import BAD_PIXELS, NEAR_EDGE, SATURATED, measure
from skyvault.science.spectral_lines import continuum_of, find_lines

RA, DEC = 150.0, 20.0
SCALE = 1.0


def field(
    path: Path,
    mag: float,
    *,
    zero_point: float | None = 26.0,
    mjd: float = 60000.0,
    seed: int = 0,
    offset: Any = (0.0, 0.0),
    **cards: Any,
) -> Path:
    """A FITS image of 200 pixels a side: sky of 150 counts with its noise, 40 stars, and one of ``mag`` at (RA, DEC)."""
    rng = np.random.default_rng(seed)
    size, sigma, gain = 200, 1.3, 2.0
    x, y = rng.uniform(10, size - 10, 40), rng.uniform(10, size - 10, 40)
    far = np.hypot(x - 99.5, y - 99.5) > 25
    mags = np.append(rng.uniform(14.5, 17.0, far.sum()), mag)
    x, y = np.append(x[far], 99.5 + offset[0]), np.append(y[far], 99.5 + offset[1])
    grid_y, grid_x = np.mgrid[0:size, 0:size]
    counts = np.full((size, size), 150.0)
    for at_x, at_y, one in zip(x, y, mags, strict=True):
        flux = 10.0 ** (0.4 * ((zero_point or 26.0) - one))
        counts += (
            flux / (2 * np.pi * sigma**2) * np.exp(-0.5 * ((grid_x - at_x) ** 2 + (grid_y - at_y) ** 2) / sigma**2)
        )
    counts = rng.poisson(counts * gain) / gain
    header = fits.Header()
    header.update({
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": RA, "CRVAL2": DEC, "CRPIX1": 100.5, "CRPIX2": 100.5,
        "CDELT1": -SCALE / 3600, "CDELT2": SCALE / 3600, "GAIN": gain, "MJD-OBS": mjd, "EXPTIME": 30.0, "FILTER": "g", **cards,
    })  # fmt: skip
    if zero_point is not None:
        header["MAGZP"] = zero_point
    fits.PrimaryHDU(counts.astype(np.float32), header).writeto(path, overwrite=True)
    return path


class VirtualCamera(Observatory):
    """Images of this folder, as a user's own observatory has them."""

    obs_name = "CAMERA"

    def download_images(self, cat_row: Any, folder: Path, *, mags: Any, **cards: Any) -> tuple[Any, dict[str, Any]]:
        folder.mkdir(parents=True, exist_ok=True)
        names = []
        for number, mag in enumerate(mags):
            field(folder / f"{number}.fits", mag, mjd=60000.0 + number, seed=number, **cards)
            names.append(f"{number}.fits")
        return {"file": names, "mjd": 60000.0 + np.arange(len(names))}, {}


def camera(**kwargs: Any) -> VirtualCamera:
    return VirtualCamera(project="images", cfg_file=False, data_types="images", **kwargs)


ROW = {"name": "injected", "ra": RA, "dec": DEC, "mag": 18.0}


# --- images --------------------------------------------------------------------------------------------------------


def test_an_injected_star_has_its_magnitude_within_its_errors(data_folder: Path) -> None:
    mags = 18.0 + 0.7 * np.sin(np.arange(24))
    source = camera().fetch_source(ROW, download_args={"mags": mags.tolist()})
    (curve,) = source.lightcurves
    assert curve.filter == "g" and curve.number == 24 and curve.altdata["flux_unit"] == "uJy"
    pull = (curve.data["mag"] - mags) / curve.data["magerr"]
    assert abs(pull.mean()) < 0.6 and 0.6 < pull.std() < 1.5
    assert np.abs(pull).max() < 4.5 and np.median(curve.data["magerr"]) < 0.15
    # the header names no scale of its times, and none is made up
    assert curve.altdata["time_scale"] is None


def test_photometry_of_images_is_kept_and_read_again(data_folder: Path) -> None:
    camera().fetch_source(ROW, download_args={"mags": [16.5, 17.0]})
    with database.current().session() as session:
        source = session.query(Source).one()
        (raw,) = source.raw_images
        assert raw.number == 2 and len(raw.paths()) == 2 and raw.check_data_exists()
        (curve,) = source.lightcurves
        assert np.allclose(curve.data["mag"], [16.5, 17.0], atol=0.05)
    # nothing is downloaded again: without arguments this observatory could not
    again = camera().fetch_source(ROW)
    assert again.lightcurves[0].number == 2
    raw = again.raw_images[0]
    raw.paths()[0].unlink()
    with pytest.raises(TypeError):
        camera().fetch_source(ROW)


def test_forced_photometry_stays_at_the_place_and_an_aperture_follows_the_star(tmp_path: Path) -> None:
    path = field(tmp_path / "a.fits", 16.0, offset=(1.2, -0.7))
    image = read_image(path)
    x, y = image.place(RA, DEC)
    assert np.allclose((x, y), 99.5, atol=1e-6)
    forced = measure(image.pixels, x, y, 3.0, fwhm=1.3 * 2.3548)
    followed = measure(image.pixels, x, y, 3.0, fwhm=1.3 * 2.3548, recentre=2.0)
    flux = 10.0 ** (0.4 * 10.0)
    assert forced.x == x and forced.flux < 0.95 * flux
    assert abs(followed.flux / flux - 1.0) < 0.04 and np.allclose((followed.x, followed.y), (100.7, 98.8), atol=0.1)


def test_a_star_that_moves_is_measured_where_it_has_come_to(data_folder: Path) -> None:
    # 2 arcsec a year since 2016.0, on an image of 2023.15
    years = 2000.0 + (60000.0 - 51544.5) / 365.25 - 2016.0
    row = {**ROW, "pmra": -1200.0, "pmdec": 1600.0, "epoch": 2016.0}
    args = {"mags": [16.5], "offset": (1.2 * years / SCALE, 1.6 * years / SCALE)}
    (curve,) = camera().fetch_source(row, download_args=args).lightcurves
    assert abs(curve.data["mag"][0] - 16.5) < 0.05
    (other,) = camera().fetch_source({**ROW, "name": "resting"}, download_args=args).lightcurves
    assert not abs(other.data["mag"][0] - 16.5) < 1.0


def test_errors_of_an_aperture_are_those_of_many_empty_places() -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(100.0, 5.0, (400, 400))
    found = [measure(image, x, y, 4.0) for x in range(30, 380, 25) for y in range(30, 380, 25)]
    fluxes = np.array([one.flux for one in found])
    assert abs(fluxes.std() / np.median([one.error for one in found]) - 1.0) < 0.15
    assert abs(fluxes.mean()) < 4.0 * fluxes.std() / np.sqrt(len(fluxes))


def test_bad_pixels_edges_and_saturation_are_flagged() -> None:
    image = np.random.default_rng(2).normal(0.0, 1.0, (60, 60))
    image[30, 30] = 5000.0
    mask = np.zeros(image.shape, bool)
    assert measure(image, 30, 30, 3.0, saturation=4000.0).flags == SATURATED
    mask[31, 30] = True
    assert measure(image, 30, 30, 3.0, mask=mask).flags == BAD_PIXELS
    assert measure(image, 1.0, 30, 3.0).flags & NEAR_EDGE
    assert measure(image, -5.0, 30, 3.0) is None


def test_zero_points_are_taken_from_whatever_a_header_states() -> None:
    assert zero_point_of({"MAGZP": 26.2}) == 26.2
    assert abs(zero_point_of({"FLUXMAG0": 63095734448.0}) - 27.0) < 1e-6
    assert zero_point_of({"BUNIT": "nJy"}) == 31.4
    # ACS/WFC F606W in 2003: 26.493 (ACS Data Handbook)
    assert abs(zero_point_of({"PHOTFLAM": 7.862481e-20, "PHOTPLAM": 5921.10}) - 26.49) < 0.01
    assert zero_point_of({"MAGZP": True, "BUNIT": "adu"}) is None


def test_images_without_a_zero_point_give_counts_and_say_so(data_folder: Path) -> None:
    source = camera().fetch_source(ROW, save=False, download_args={"mags": [17.0, 16.0], "zero_point": None})
    (curve,) = source.lightcurves
    assert (curve.altdata["flux_unit"], curve.altdata["magnitudes"]) == ("count", "relative")
    assert abs(curve.data["mag"][0] - curve.data["mag"][1] - 1.0) < 0.1


def test_a_damaged_image_is_a_problem_of_its_own_and_the_others_are_measured(data_folder: Path) -> None:
    obs = camera()
    source = obs.fetch_source(ROW, reduce=False, download_args={"mags": [18.0, 18.0, 18.0]})
    (raw,) = source.raw_images
    raw.paths()[1].write_bytes(raw.paths()[1].read_bytes()[:4000])
    raw.paths()[2].write_bytes(b"<html>not an image</html>")
    (curve,) = obs.reduce(source)
    assert curve.number == 1 and len(curve.altdata["problems"]) == 2
    with pytest.raises(DataError, match="cannot be read as an image"):
        read_image(raw.paths()[2])


def test_kinds_of_data_an_observatory_does_not_have_are_refused_in_a_sentence(data_folder: Path) -> None:
    with pytest.raises(ParameterValueError, match="CAMERA has no spectra"):
        VirtualCamera(project="x", cfg_file=False, data_types="spectra").fetch_source(ROW)


def test_rows_of_images_are_made_of_files_alone(data_folder: Path) -> None:
    Path("one.csv").write_text("name,ra,dec,mag\ninjected,150.0,20.0,18.0\n")
    catalog = Catalog(filename=str(Path("one.csv").absolute()), cfg_file=False)
    camera().fetch_source(ROW, save=True, download_args={"mags": [17.0, 17.5]})
    (data_folder / "CAMERA" / "RA150" / "CAMERA_images_damaged.h5").write_bytes(b"no file")
    for path in data_folder.glob("pipeline.sqlite*"):
        path.unlink()
    database._in_use = None
    obs = camera(catalog=catalog)
    assert obs.populate_sources() == 1 and len(obs.failures_list) == 1
    with database.current().session() as session:
        source = session.query(Source).one()
        assert source.raw_photometry == [] and source.raw_images[0].number == 2
        assert obs.reduce(source.raw_images[0], source=source)[0].number == 2


@pytest.mark.shared
def test_a_star_injected_into_a_real_image_has_its_magnitude(shared_data: Path, tmp_path: Path) -> None:
    found = 0
    for path in sorted((shared_data / "images/legacypipe").rglob("*ooi*.fits*"))[:40]:
        try:
            image = read_image(path)
        except DataError:
            continue
        height, width = image.pixels.shape
        if min(height, width) < 80 or not np.isfinite(image.pixels).all():
            continue
        empty = [
            one for x in range(30, width - 30, 12) for y in range(30, height - 30, 12)
            if (one := measure(image.pixels, x + 0.3, y - 0.2, 6.0)) is not None and abs(one.flux) < 3.0 * one.error
        ]  # fmt: skip
        if not empty:
            continue
        place = min(empty, key=lambda one: abs(one.flux))
        flux, sigma = 60.0 * place.error, 1.8
        grid_y, grid_x = np.mgrid[0:height, 0:width]
        star = np.exp(-0.5 * ((grid_x - place.x) ** 2 + (grid_y - place.y) ** 2) / sigma**2) / (2 * np.pi * sigma**2)
        got = measure(image.pixels + flux * star, place.x, place.y, 6.0, fwhm=2.3548 * sigma)
        assert abs(got.flux - flux) < 4.5 * got.error, path.name
        assert abs(2.5 * np.log10(got.flux / flux)) < 0.1
        found += 1
    assert found >= 3


# --- cutouts of surveys --------------------------------------------------------------------------------------------


def test_cutouts_of_ztf_give_the_variable_its_light_curve(data_folder: Path, sandbox_settings: Any) -> None:
    star = variable("V* RY Cnc")
    obs = VirtualZTF(
        project="cutouts",
        cfg_file=False,
        data_types="cutouts",
        settings=sandbox_settings,
        image_filters=["zr"],
        max_images=25,
    )
    source = obs.fetch_source({"name": "RY Cnc", "ra": star.ra_deg, "dec": star.dec_deg, "mag": star.mag})
    (raw,) = source.raw_cutouts
    assert isinstance(raw, RawCutouts) and raw.number == 25 and raw.altdata["left_out"] > 0
    (curve,) = source.lightcurves
    assert curve.filter == "zr" and curve.altdata["time_scale"] == "tdb" and curve.altdata["flux_unit"] == "uJy"
    # one and the same magnitude: images of the sandbox show every star as it usually is
    assert curve.data["mag"].std() < 0.05
    photometry = VirtualZTF(project="cutouts", cfg_file=False, settings=sandbox_settings).fetch_source(
        {"name": "RY Cnc", "ra": star.ra_deg, "dec": star.dec_deg, "mag": star.mag}, save=False
    )
    usual = np.median(
        np.concatenate([c.data["mag"][~c.is_flagged] for c in photometry.lightcurves if c.filter == "zr"])
    )
    assert abs(np.median(curve.data["mag"]) - usual) < 0.1


def test_cutouts_of_plates_are_kept_and_no_flux_is_made_of_blackening(data_folder: Path, sandbox_settings: Any) -> None:
    star = variable("V* RY Cnc")
    obs = VirtualDASCH(project="cutouts", cfg_file=False, data_types="cutouts", settings=sandbox_settings, max_images=3)
    source = obs.fetch_source({"name": "RY Cnc", "ra": star.ra_deg, "dec": star.dec_deg, "mag": star.mag})
    (raw,) = source.raw_cutouts
    assert raw.number == 3 and all(read_image(path).place(star.ra_deg, star.dec_deg) for path in raw.paths())
    assert source.lightcurves == []


# --- services of the Virtual Observatory ---------------------------------------------------------------------------


def rubin(sandbox: Any, settings: Any, **kwargs: Any) -> VirtualVO:
    return VirtualVO(
        name="RUBIN", project="vo", cfg_file=False, settings=settings, tap_url=sandbox.endpoints()["rubin"]["tap"],
        credentials={"token": TOKEN}, tap_where="calib_level = 2 AND lsst_band = 'i'", **kwargs,
    )  # fmt: skip


def test_cutouts_come_by_obstap_datalink_and_soda_with_the_stars_flux(
    data_folder: Path, sandbox: Any, sandbox_settings: Any
) -> None:
    from skyvault.sandbox.rubin_images import stars_of
    from skyvault.sandbox.rubin_sky import images

    image = next(one for one in images() if one.level == 2 and one.band == "i" and "Diff" not in one.subtype)
    x, y, ra, dec, flux = stars_of(image)
    inside = np.flatnonzero((np.hypot(x - 200, y - 200) < 120) & (flux < 50_000) & (flux > 5_000))
    lonely = max(inside, key=lambda i: np.sort(np.hypot(x - x[i], y - y[i]))[1])
    row = {"name": "a star", "ra": float(ra[lonely]), "dec": float(dec[lonely])}
    obs = rubin(sandbox, sandbox_settings, cutout_radius=90.0, reducer={"zero_point": 31.4})
    source = obs.fetch_source(row)
    (raw,) = source.raw_cutouts
    assert raw.number > 0 and raw.altdata["cut_by_archive"] == raw.number
    assert max(path.stat().st_size for path in raw.paths()) < 200_000
    assert {curve.filter[0] for curve in source.lightcurves} == {"i"}
    measured = np.concatenate([curve.data["flux"] for curve in source.lightcurves]) * 1000.0
    assert abs(np.median(measured) / flux[lonely] - 1.0) < 0.15


def test_too_many_datasets_are_an_error_and_never_a_silent_cut(
    data_folder: Path, sandbox: Any, sandbox_settings: Any
) -> None:
    from skyvault.sandbox.rubin_sky import images

    image = next(one for one in images() if one.level == 2 and one.band == "i")
    row = {"name": "x", "ra": image.ra_deg, "dec": image.dec_deg}
    with pytest.raises(ParameterValueError, match="more than 1 datasets"):
        obs = rubin(sandbox, sandbox_settings, max_datasets=1)
        obs.pars.tap_where = ""
        obs.fetch_source(row)


def test_descriptors_of_services_are_read_and_entities_refused() -> None:
    body = b"""<VOTABLE xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="meta" utype="adhoc:service" ID="cut">
      <PARAM name="standardID" value="ivo://ivoa.net/std/SODA#sync-1.0"/><PARAM name="accessURL" value="https://a.org/cut?x=1"/>
      <GROUP name="inputParams"><PARAM name="ID" ref="d" value=""/><PARAM name="POS" value=""/><PARAM name="RUN" value="7"/></GROUP>
      </RESOURCE></VOTABLE>"""
    service = services_of(body, "test")["cut"]
    assert service.url("ivo://x?a&b", 10.0, -5.0, 0.1) == (
        "https://a.org/cut?x=1&ID=ivo%3A%2F%2Fx%3Fa%26b&RUN=7&POS=CIRCLE+10.000000000+-5.000000000+0.100000000"
    )
    with pytest.raises(Exception, match="entities"):
        services_of(b'<!DOCTYPE a [<!ENTITY b "c">]>' + body, "test")


def test_spectra_come_by_ssa_with_their_times(data_folder: Path, sandbox: Any, sandbox_settings: Any) -> None:
    from skyvault.sandbox.vo_services import QUASAR_DEG, SPECTRA

    obs = VirtualVO(
        name="SPECTRA", project="vo", cfg_file=False, settings=sandbox_settings, data_types="spectra",
        ssa_url=sandbox.endpoints()["vo"]["ssa"],
    )  # fmt: skip
    source = obs.fetch_source({"name": "quasar", "ra": QUASAR_DEG[0], "dec": QUASAR_DEG[1]})
    assert len(source.spectra) == SPECTRA
    first = source.spectra[0]
    assert (first.series_number, first.series_total, first.number) == (1, SPECTRA, 200)
    assert np.allclose((first.wavelength_min, first.wavelength_max), (400.0, 900.0))
    assert first.mjds.tolist() == [51000.0] and first.medium is None
    with database.current().session() as session:
        kept = session.query(Source).one()
        assert [one.series_number for one in kept.spectra] == list(range(1, SPECTRA + 1))
        assert kept.raw_spectra[0].number == 200 * SPECTRA and isinstance(kept.raw_spectra[0], RawSpectra)
        again = kept.spectra[0]
        assert np.allclose(again.data["flux"], first.data["flux"]) and again.raw_data is kept.raw_spectra[0]
        assert np.allclose(np.nanmedian(again.data["normalised"]), 1.0, atol=0.1)


# --- spectra -------------------------------------------------------------------------------------------------------


def made_spectrum(seed: int = 0, lines: Any = ((656.28, 3.0, 0.4), (486.13, -0.5, 0.5))) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    wave = np.linspace(400.0, 900.0, 4000)
    flux = 1.0 + 0.5 * np.sin(wave / 120.0)
    for centre, height, sigma in lines:
        flux = flux * (1.0 + height * np.exp(-0.5 * ((wave - centre) / sigma) ** 2))
    error = np.full(len(wave), 0.03)
    return wave, flux + rng.normal(0.0, error), error


def test_injected_lines_are_found_at_their_wavelengths_with_their_equivalent_widths() -> None:
    wave, flux, error = made_spectrum()
    found = find_lines(wave, flux, error, np.ones(len(wave), bool), threshold=6.0)
    by_wave = sorted(found, key=lambda one: one.wavelength)
    assert [round(one.wavelength, 0) for one in by_wave] == [486.0, 656.0]
    absorption, emission = by_wave
    assert abs(emission.wavelength - 656.28) < 0.03 and abs(absorption.wavelength - 486.13) < 0.1
    assert emission.snr > 50.0 and absorption.snr < -10.0
    # areas of Gaussians
    assert abs(emission.equivalent_width + 3.0 * 0.4 * np.sqrt(2 * np.pi)) < 0.15
    assert abs(absorption.equivalent_width - 0.5 * 0.5 * np.sqrt(2 * np.pi)) < 0.1
    assert abs(emission.fwhm - 0.4 * 2.3548) < 0.35


def test_noise_alone_has_no_lines() -> None:
    counts = [len(find_lines(*made_spectrum(seed, ()), np.ones(4000, bool), threshold=5.5)) for seed in range(30)]
    assert sum(counts) <= 1


def test_the_continuum_passes_under_lines_and_over_gaps() -> None:
    wave, flux, _ = made_spectrum(3)
    usable = (wave < 600.0) | (wave > 620.0)
    continuum = continuum_of(wave, np.where(usable, flux, 1e6), usable)
    assert np.abs(continuum / (1.0 + 0.5 * np.sin(wave / 120.0)) - 1.0).max() < 0.06


def test_a_spectrum_keeps_its_medium_and_unit_and_is_read_again(data_folder: Path) -> None:
    wave, flux, error = made_spectrum()
    columns = [fits.Column("loglam", "D", array=np.log10(wave * 10.0)), fits.Column("flux", "D", "1E-17 erg/cm^2/s/Ang", array=flux),
               fits.Column("ivar", "D", array=error**-2.0), fits.Column("and_mask", "J", array=np.zeros(len(wave)))]  # fmt: skip
    file = io.BytesIO()
    first = fits.PrimaryHDU()
    first.header["MJD-OBS"], first.header["EXPTIME"] = 55000.0, 900.0
    fits.HDUList([first, fits.BinTableHDU.from_columns(columns)]).writeto(file)
    values, about = read_spectrum(file.getvalue(), "made")
    assert (about["wavelength_unit"], about["medium"], about["mjd"]) == ("Angstrom", "vacuum", 55000.0)
    assert np.allclose(values["fluxerr"], error)

    class VirtualSpectrograph(Observatory):
        obs_name = "SPECTROGRAPH"

        def download_spectra(self, cat_row: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
            return {"spectrum": np.zeros(len(wave), int), **values}, {"spectra": [about]}

    obs = VirtualSpectrograph(project="spectra", cfg_file=False, data_types="spectra")
    obs.fetch_source(ROW)
    with database.current().session() as session:
        (kept,) = session.query(Spectrum).all()
        assert (kept.medium, kept.flux_unit) == ("vacuum", "1E-17 erg/cm^2/s/Ang")
        assert np.allclose(kept.data["wavelength"], wave) and abs(kept.snr_median - 33.0) < 10.0


@pytest.mark.shared
def test_lines_of_a_real_quasar_are_where_they_should_be(shared_data: Path) -> None:
    path = shared_data / "spectra/sdss/spec-0332-52367-0639.fits.gz"
    columns, about = read_spectrum(path.read_bytes(), path.name)
    assert about["medium"] == "vacuum"
    usable = np.isfinite(columns["fluxerr"])
    wave = columns["wavelength"] / 10.0
    found = find_lines(wave, columns["flux"], columns["fluxerr"], usable, threshold=7.0)
    assert found
    with fits.open(path) as file:
        redshift = float(file[2].data["Z"][0])
    rest = [one.wavelength / (1.0 + redshift) for one in found if one.snr > 0][:3]
    # H alpha with [N II], and the two [O III], vacuum wavelengths; the broad one within its width
    for line, width in ((656.46, 1.5), (500.82, 0.3), (496.03, 0.3)):
        assert min(abs(one - line) for one in rest) < width, (line, rest)
