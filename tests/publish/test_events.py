"""Event lists and HDF5 files become datasets: places, times and energies as the missions write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from skyvault.config import Settings
from skyvault.errors import ConfigError, FormatError
from skyvault.publish.resource_publisher import PublishedResource, publish_resource
from skyvault.sandbox.event_files import HeldFile, Seen, file_bytes
from skyvault.sandbox.telescopes import TELESCOPES
from skyvault.science.event_lists import _hull, event_list_of
from skyvault.serve.local import query

HEAD = "schema: high\ntitle: High energies\ndescription: Events of several telescopes.\n"
HC = 1.239841984e-9


def rows(home: Path, adql: str) -> list[dict[str, Any]]:
    return [row for batch in query(adql, settings=Settings(home=home)).batches for row in batch.to_pylist()]


def publish(folder: Path, section: str) -> PublishedResource:
    (folder / "resource.yaml").write_text(f"{HEAD}files:\n  files: {section}\n")
    return publish_resource(folder, settings=Settings(home=folder / "home"))


# --- event lists ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mission", sorted(TELESCOPES))
def test_event_lists_of_every_mission_are_read(tmp_path: Path, mission: str) -> None:
    seen = Seen(mission, "0001", "Target", 187.3, -32.05, 55000.25, 20_000.0)
    path = tmp_path / "events.fits.gz"
    path.write_bytes(file_bytes(seen, HeldFile("events.fits.gz", "events", "INST")))
    found = event_list_of(path)
    assert 900 <= found.count < 1500 and (found.ra, found.dec) == (187.3, -32.05)
    assert found.begin_mjd == pytest.approx(55000.25, abs=1e-6)
    assert found.end_mjd == pytest.approx(55000.25 + 20_000 / 86_400, abs=1e-6)
    assert found.exposure_s == 20_000.0 and found.remarks == ()
    assert found.shortest_m is not None and found.longest_m is not None and 0 < found.shortest_m < found.longest_m
    if "X" in map(str.upper, TELESCOPES[mission].columns):
        assert found.outline is not None and found.fov_deg is not None and found.picture is not None
        field = TELESCOPES[mission].field_deg
        assert found.fov_deg == pytest.approx(2 * field * 2**0.5, rel=0.12)
        # the corners are as far from the middle as the pixels are
        east = (found.outline[:, 0] - 187.3) * np.cos(np.radians(-32.05))
        assert np.abs(east).max() == pytest.approx(field, rel=0.05)
        assert found.picture.sum() == found.count
        # the source is in the middle
        middle = tuple(size // 2 for size in found.picture.shape)
        assert found.picture[middle[0] - 30 : middle[0] + 30, middle[1] - 30 : middle[1] + 30].sum() > found.count / 3


@pytest.mark.shared
def test_real_event_lists_are_what_their_headers_say(shared_data: Path) -> None:
    chandra = event_list_of(shared_data / "xray" / "events" / "chandra_test.fits.gz")
    assert chandra.count == 4612 and chandra.exposure_s == pytest.approx(18279.3387)
    # energies are in eV there, and channels without energies give the same within two of them
    other = event_list_of(shared_data / "xray" / "events" / "chandra_noener_test.fits.gz")
    assert chandra.shortest_m == pytest.approx(HC / 11.989, rel=1e-3) == other.shortest_m
    # M 82 is in the outline
    assert chandra.outline is not None
    assert chandra.outline[:, 0].min() < 148.97 < chandra.outline[:, 0].max()
    assert chandra.outline[:, 1].min() < 69.68 < chandra.outline[:, 1].max()
    # the same list with MJDREF in one card or two, with TIMEZERO, and without its mission
    nustar = shared_data / "xray" / "nustar"
    begins = {name: event_list_of(nustar / f"monol_testA{name}.evt").begin_mjd for name in ("", "_mjdref", "_timezero")}
    assert begins[""] == begins["_mjdref"] == pytest.approx(Time(56122.926692, format="mjd", scale="tdb").utc.mjd)
    assert (begins["_timezero"] - begins[""]) * 86_400 == pytest.approx(0.2, abs=1e-4)  # type: ignore[operator]
    assert event_list_of(shared_data / "xray" / "events" / "nomission.evt.gz").shortest_m is None
    laxpc = event_list_of(shared_data / "xray" / "events" / "laxpc_file_read.fits.gz")
    assert laxpc.ra == 83.633213 and laxpc.begin_mjd == pytest.approx(59816.2324, abs=1e-3)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["nustar/lcurveA.fits", "nustar/srcA01.reg", "chandra/3c273.pi.gz",
                                  "nustar/monol_testA_timezero_gti.evt"])  # fmt: skip
def test_what_is_no_event_list_is_a_sentence(shared_data: Path, name: str) -> None:
    with pytest.raises(FormatError, match="event"):
        event_list_of(shared_data / "xray" / name)


def test_event_lists_are_observations_with_pictures(tmp_path: Path) -> None:
    for mission in ("chandra", "integral_pointed", "erosita"):
        seen = Seen(mission, f"{mission}-1", "NGC 1", 10.0, 20.0, 55000.0, 1000.0)
        (tmp_path / f"{mission}.evt").write_bytes(file_bytes(seen, HeldFile("a.evt", "events", "X")))
    (tmp_path / "torn.evt").write_bytes((tmp_path / "chandra.evt").read_bytes()[:9000])
    (tmp_path / "text.evt").write_text("no events")
    done = publish(tmp_path, "{kind: events, files: '*.evt'}")
    assert sorted(path for path, _ in done.problems) == ["text.evt", "torn.evt"]
    found = rows(
        tmp_path / "home",
        "SELECT * FROM ivoa.ObsCore WHERE dataproduct_type = 'event' AND 1 = INTERSECTS(s_region,"
        " CIRCLE('ICRS', 10, 20, 0.01)) AND em_min < 1e-8 ORDER BY obs_id",
    )
    assert [row["obs_id"] for row in found] == ["chandra-1", "erosita-1", "integral_pointed-1"]
    assert [row["s_region"].split()[0] for row in found] == ["POLYGON", "POLYGON", "CIRCLE"]
    assert found[0]["s_region_nominal"] == "CIRCLE ICRS 10.0000000 20.0000000 0.2"
    assert all(row["t_exptime"] == 1000 and row["target_name"] == "NGC 1" for row in found)
    pictures = list((tmp_path / "home").rglob("chandra.evt*.png"))
    assert len(pictures) == 2
    for one in pictures:
        pixels = np.asarray(Image.open(one))
        # bright in the middle on black
        assert pixels.max() == 255 and np.median(pixels) < 100
        middle = tuple(size // 2 for size in pixels.shape)
        assert pixels[middle[0] - 3 : middle[0] + 3, middle[1] - 3 : middle[1] + 3].mean() > 60


def test_an_event_list_without_events_is_at_its_pointing(tmp_path: Path) -> None:
    seen = Seen("chandra", "1", "NGC 1", 10.0, 20.0, 55000.0, 1000.0)
    (tmp_path / "a.fits").write_bytes(file_bytes(seen, HeldFile("a.fits", "events", "X")))
    with fits.open(tmp_path / "a.fits") as file:
        file["EVENTS"].data = file["EVENTS"].data[:0]
        file.writeto(tmp_path / "empty.fits")
    found = event_list_of(tmp_path / "empty.fits")
    assert (found.count, found.ra, found.outline, found.picture) == (0, 10.0, None, None)
    assert found.fov_deg == 0.4 and found.shortest_m == pytest.approx(HC / 12.0)


@settings(max_examples=60)
@given(arrays.arrays(np.float64, st.tuples(st.integers(3, 60), st.just(2)), elements=st.integers(-50, 50)))
def test_a_hull_holds_all_points_and_turns_one_way(points: Any) -> None:
    if np.linalg.matrix_rank(points - points[0]) < 2:
        return
    hull = _hull(points)
    after = np.roll(hull, -1, axis=0)
    for point in points:
        edge, to = after - hull, point - hull
        assert (edge[:, 0] * to[:, 1] - edge[:, 1] * to[:, 0] >= -1e-9).all()


# --- HDF5 ----------------------------------------------------------------------------------------------------------


def test_groups_of_hdf5_are_spectra(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["TELESCOP"] = "VLT"
        file.attrs["EXPTIME"] = 30.0
        for number in range(3):
            group = file.create_group(f"stars/s{number}")
            group["wave"] = np.linspace(400, 800, 50)
            group["wave"].attrs["unit"] = "nm"
            group["flux"] = np.r_[-9999.0, np.ones(49)]
            group.attrs.update(ra=10.0 + number, dec=20.0, OBJECT=f"Star {number}")
        file["stars/note"] = "no group"
    publish(
        tmp_path,
        "{kind: spectra, files: '*.h5', map: {t_min: 55000}, hdf5: {each: /stars/*, wavelength: wave, flux: flux,"
        " ra: ra, dec: dec, missing: [-9999]}}",
    )
    found = rows(tmp_path / "home", "SELECT * FROM high.files ORDER BY s_ra")
    assert [(row["s_ra"], row["target_name"], row["obs_id"]) for row in found] == [
        (10.0, "Star 0", "a_stars/s0"), (11.0, "Star 1", "a_stars/s1"), (12.0, "Star 2", "a_stars/s2")]  # fmt: skip
    assert found[0]["em_min"] == pytest.approx(4e-7) and found[0]["em_xel"] == 50
    assert found[0]["facility_name"] == "VLT" and found[0]["t_max"] == pytest.approx(55000 + 30 / 86_400)


def test_rows_of_hdf5_are_light_curves(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["t"] = 57000.0 + np.arange(20)
        file["m"] = 15 + np.arange(5)[:, None] + np.zeros((5, 20))
        file["names"] = [f"id{number}".encode() for number in range(5)]
        file["coordinates/ra"] = np.arange(5) * 10.0
        file["coordinates/dec"] = np.full(5, -5.0)
    publish(
        tmp_path,
        "{kind: timeseries, files: '*.hdf5', hdf5: {rows: true, time: t, flux: m, id: names, ra: coordinates/ra,"
        " dec: coordinates/dec, units: {time: mjd, flux: mag}}}",
    )
    found = rows(tmp_path / "home", "SELECT * FROM high.files ORDER BY s_ra")
    assert [(row["obs_id"], row["s_ra"], row["t_min"], row["t_xel"], row["o_ucd"]) for row in found] == [
        (f"a_id{number}", number * 10.0, 57000.0, 20, "phot.mag") for number in range(5)
    ]


def test_images_in_hdf5_have_their_wcs_in_attributes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image"] = np.arange(400.0).reshape(20, 20)
        file.attrs.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0, CRVAL2=20.0, CRPIX1=10.5, CRPIX2=10.5,
                          CDELT1=-0.01, CDELT2=0.01)  # fmt: skip
    publish(tmp_path, "{files: '*.h5', hdf5: {image: image}}")
    (row,) = rows(tmp_path / "home", "SELECT * FROM high.files WHERE 1 = CONTAINS(POINT(10.05, 20.05), s_region)")
    assert (row["s_xel1"], row["dataproduct_type"]) == (20, "image") and row["s_ra"] == pytest.approx(10.0)


def test_hdf5_that_leads_elsewhere_or_lacks_something_is_a_sentence(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.linspace(4000, 5000, 20).tobytes())
    flux = np.ones(20)

    def made(name: str) -> Any:
        return h5py.File(tmp_path / name, "w")

    with made("whole.h5") as file:
        file["w"], file["f"], file.attrs["ra"], file.attrs["dec"] = np.linspace(4000, 5000, 20), flux, 1.0, 2.0
    with made("external.h5") as file:
        file.create_dataset("w", (20,), "f8", external=[(str(secret), 0, 160)])
        file["f"] = flux
    with made("link.h5") as file:
        file["w"], file["f"] = h5py.ExternalLink("whole.h5", "w"), flux
    with made("virtual.h5") as file:
        layout = h5py.VirtualLayout((20,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "whole.h5"), "w", (20,))
        file.create_virtual_dataset("w", layout)
        file["f"] = flux
    with made("lacks.h5") as file:
        file["w"] = flux
    with made("group.h5") as file:
        file["w"] = flux
        file.create_group("f")
    with made("unequal.h5") as file:
        file["w"], file["f"] = flux, flux[:5]
    (tmp_path / "torn.h5").write_bytes((tmp_path / "whole.h5").read_bytes()[:500])
    done = publish(
        tmp_path,
        "{kind: spectra, files: '*.h5', map: {s_ra: 1, s_dec: 2}, hdf5: {wavelength: w, flux: f,"
        " units: {wavelength: Angstrom}}}",
    )
    told = dict(done.problems)
    assert sorted(told) == ["external.h5", "group.h5", "lacks.h5", "link.h5", "torn.h5", "unequal.h5", "virtual.h5"]
    assert told["external.h5"] == told["virtual.h5"] == "its 'w' lies in another file"
    assert told["link.h5"] == "it has no 'w'" and told["lacks.h5"] == "it has no 'f'"
    assert told["group.h5"] == "its 'f' is a group" and told["unequal.h5"] == "it has 20 wavelengths and 5 fluxes"
    assert told["torn.h5"].startswith("it cannot be read as HDF5")


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("{kind: spectra, files: '*.h5', hdf5: {flux: f}}", "hdf5: does not say where wavelength is"),
        ("{kind: events, files: '*.h5', hdf5: {flux: f}}", "events are not read from HDF5"),
        ("{kind: spectra, files: '*.h5', hdf5: {fluxes: f}}", "'files.files.hdf5.fluxes' is not a key"),
    ],
)
def test_a_section_that_lacks_a_path_is_a_sentence(tmp_path: Path, section: str, told: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["f"] = np.ones(5)
    with pytest.raises(ConfigError) as caught:
        publish(tmp_path, section)
    assert told in str(caught.value)
