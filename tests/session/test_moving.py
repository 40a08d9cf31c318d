"""Comets and asteroids on exposures: by upload to a service, from a table, and among a session's plates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table
from astropy.time import Time

from skyvault.errors import NotFound, ParameterError, SkyvaultError, UsageError
from skyvault.sandbox.faults import Fault
from skyvault.sandbox.vo_services import PLATES, QUASAR_DEG, plates
from skyvault.science.ephemeris import Ephemeris
from skyvault.session.session import Session

pytestmark = pytest.mark.filterwarnings("ignore:.*dubious year")


@pytest.fixture
def session(sandbox: Any, sandbox_settings: Any, tmp_path: Path) -> Session:
    return Session(str(tmp_path / "comet"), False, settings=sandbox_settings)


def slow_object() -> Table:
    """Something that stays by the quasar for half a century, moving a degree meanwhile."""
    days = np.arange(12_000.0, 33_000.0, 10.0)
    return Table({"epoch": days, "ra": QUASAR_DEG[0] + (days - days[0]) / 21_000, "dec": np.full(len(days), QUASAR_DEG[1]),
                  "mv": np.full(len(days), 14.0)})  # fmt: skip


def test_a_service_finds_by_upload_what_a_local_match_of_all_its_plates_finds(session: Session, sandbox: Any) -> None:
    there = session.match_ephemeris(slow_object(), sandbox.endpoints()["vo"]["tap"])
    everything = Table(
        rows=[{name: row[name] for name in ("obs_id", "t_min", "t_max", "s_region")} for row in plates()]
    )
    here = session.match_ephemeris(slow_object(), exposures=everything)
    assert set(there["obs_id"]) == set(here["obs_id"]) and len(there) == len(here)
    assert 0.6 * PLATES < len(here) <= PLATES
    assert here["object_ra"].unit == "deg" and here["motion"].unit == "arcsec"
    assert (np.asarray(here["object_mag"]) == 14.0).all() and np.isnan(here["depth_margin"]).all()
    assert (np.diff(np.asarray(here["area"])) >= -1e-9).all()


def test_a_designation_is_asked_of_miriade_and_matched_with_plates(session: Session, sandbox: Any) -> None:
    session.select_target("V* RY Cnc").select_refcat("apass")
    found = session.match_ephemeris("p/encke", begin="1930-01-01", days=3000, step_days=2)
    assert {"exposure", "local_id", "object_mjd"} <= set(found.colnames)
    exposures = session.exposures()
    for row in found[:5]:
        assert str(exposures.exposure_id(int(row["local_id"]))) == row["exposure"]
        assert abs(exposures.julian_dates()[int(row["local_id"])] - 2_400_000.5 - row["object_mjd"]) < 0.2
        assert row["from_centre"] < 90


def test_encke_in_1941_stands_where_the_sandbox_says(session: Session) -> None:
    from skyvault.sandbox.miriade import ENCKE_1941, seen_from_earth
    from skyvault.session.moving import ephemeris_of

    asked = ephemeris_of(session, "p/encke", begin="1941-04-01", days=90)
    assert isinstance(asked, Ephemeris) and len(asked) == 90
    truth = seen_from_earth(ENCKE_1941, asked.mjd[40] + 2_400_000.5)
    assert asked.ra[40] == pytest.approx(truth.ra_deg, abs=1e-5) and asked.dec[40] == pytest.approx(
        truth.dec_deg, abs=1e-5
    )
    assert asked.magnitude[40] == pytest.approx(truth.mag, abs=0.01)


def test_bad_input_is_one_sentence(session: Session, sandbox: Any) -> None:
    service = sandbox.endpoints()["vo"]["tap"]
    bare = Table({"epoch": [1.0, 2.0], "ra": [1.0, 2.0]})
    for wish, error in (
        (lambda: session.match_ephemeris(bare, service), ParameterError),
        (lambda: session.match_ephemeris("p/encke", service), ParameterError),
        (lambda: session.match_ephemeris("no such body", service, begin="1941-04-01"), NotFound),
        (lambda: session.match_ephemeris("p/encke", service, begin="1941-04-01", days=1), ParameterError),
        (lambda: session.match_ephemeris(slow_object(), exposures=bare), ParameterError),
        (lambda: session.match_ephemeris(slow_object()), UsageError),
    ):
        with pytest.raises(error) as caught:
            wish()  # type: ignore[no-untyped-call]
        assert isinstance(caught.value, SkyvaultError) and "\n" not in str(caught.value)
    sandbox.faults.set(Fault("html", archive="miriade"))
    with pytest.raises(SkyvaultError) as caught:
        session.match_ephemeris("p/encke", service, begin="1941-04-01")
    assert "\n" not in str(caught.value)


def test_exposures_with_unreadable_outlines_match_nothing(session: Session) -> None:
    row = next(one for one in plates()[:PLATES])
    table = Table(
        {"t_min": [row["t_min"]] * 3, "t_max": [row["t_max"]] * 3, "s_region": [row["s_region"], "BLOB 1 2", ""]}
    )
    found = session.match_ephemeris(slow_object(), exposures=table)
    assert len(found) <= 1
    assert all(one == row["s_region"] for one in found["s_region"])


def test_plates_are_matched_by_their_true_outlines(session: Session, sandbox: Any) -> None:
    """Of something that wanders over the corners of plates, exactly those are found that it lies on at mid-exposure."""
    from skyvault.sandbox.plates import plates as all_plates

    session.select_target("V* RY Cnc").select_refcat("apass")
    exposures, truth = session.exposures(Time("1936-01-01"), Time("1938-06-01")), all_plates()
    days = np.arange(27_000.0, 30_000.0, 20.0)
    wander = Table({"epoch": days, "ra": 130.0 + 4.0 * np.sin(days / 900), "dec": 19.8 + 4.0 * np.cos(days / 700)})
    found = session.match_ephemeris(wander)
    solved = found[np.asarray(found["outline"]) == "plate"]
    names = {truth.plate_id(row) + f"m{truth.mosnum[row]}s{truth.solnum[row]}": row for row in range(len(truth))}
    lies_on = set()
    for number in range(len(exposures)):
        name = str(exposures.exposure_id(number))
        if not exposures[number].has_imaging():
            continue
        row = names[name]
        when = truth.mjd_utc[row]
        inside = truth.pixel_of(130.0 + 4.0 * np.sin(when / 900), 19.8 + 4.0 * np.cos(when / 700))[2]
        if inside[row]:
            lies_on.add(name)
    mine = set(np.asarray(solved["exposure"]).tolist())
    # half an hour before or after, and a ten-thousandth of a degree, may decide at an edge
    assert len(mine ^ lies_on) <= 2 and len(mine) > 4, (mine - lies_on, lies_on - mine)
    # the circles alone would have been too many
    assert set(np.asarray(found["outline"]).tolist()) == {"plate", "circle"}
    areas = np.asarray(solved["area"])
    assert (np.diff(areas[np.isnan(solved["depth_margin"])]) >= -1e-6).all()
    # kept: not asked again
    sandbox.faults.set(Fault("unreachable"))
    again = session.match_ephemeris(wander)
    assert np.array_equal(again["exposure"], found["exposure"])


@pytest.mark.parametrize("text", ["", "[]", "null", '{"a00001": [[1, 2, 3]]}', '{"a00001": 3}', "\x00"])
def test_damaged_outlines_are_asked_for_again(session: Session, text: str) -> None:
    from skyvault.session.plate_outlines import PlateOutlines

    session.select_target("V* RY Cnc").select_refcat("apass")
    path = session.path(".skyvault", "outlines.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    row = session.exposures().keep_only.has_imaging(verbose=False)[0]
    name = (row.plate_id(), int(row["solnum"]))
    assert list(PlateOutlines(session).of([name], most_asked=5)) == [name]
    assert PlateOutlines(session).of([("zz00001", 0)], most_asked=5) == {}
