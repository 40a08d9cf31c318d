"""The ephemeris service: the call of the seed's story of comet Encke, read as the story reads it."""

import urllib.error
import urllib.request
import warnings

import numpy as np
import pytest

CALL = "ephemcc.php?-from=vespa&-name=c:p/encke&-ep=1941-04-01&-nbd=90&-step=1d&-observer=500&-mime=votable"


@pytest.fixture
def ephemeris(sandbox):
    from astropy import table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its units are none
        return table.Table.read(f"{sandbox.url}/miriade/{CALL}")


@pytest.mark.filterwarnings("ignore:.*dubious year")  # UTC began in 1960
def test_the_storys_lines_turn_the_answer_into_degrees_and_dates(ephemeris):
    from astropy import units as u
    from astropy.coordinates import SkyCoord
    from astropy.time import Time

    assert len(ephemeris) == 90 and ephemeris["ra"].dtype.kind in "UO"
    parsed = SkyCoord(ephemeris["ra"], ephemeris["dec"], unit=(u.hourangle, u.deg))
    days = Time(ephemeris["epoch"]).mjd
    assert np.allclose(np.diff(days), 1.0) and days[0] == 30085.0
    steps = parsed[1:].separation(parsed[:-1]).deg
    assert steps.min() > 0.1 and steps.max() < 6.0
    assert np.abs(np.diff(steps)).max() < 0.5


def test_the_comet_comes_near_in_may(ephemeris):
    nearest = int(np.argmin(ephemeris["dist"]))
    assert 0.3 < ephemeris["dist"][nearest] < 0.7
    assert str(ephemeris["epoch"][nearest])[:7] in ("1941-05", "1941-06")


def test_neither_frame_nor_usable_unit_is_told(sandbox):
    with urllib.request.urlopen(f"{sandbox.url}/miriade/{CALL}", timeout=10) as answer:
        text = answer.read().decode()
    assert "COOSYS" not in text and "h:m:s" in text


@pytest.mark.parametrize("change", [("c:p/encke", "Vulcan"), ("-nbd=90", "-nbd=0"), ("1941-04-01", "yesterday")])
def test_what_cannot_be_computed_is_told_in_a_votable(sandbox, change):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{sandbox.url}/miriade/{CALL.replace(*change)}", timeout=10)
    with caught.value as answer:
        assert answer.code == 400 and b'value="ERROR"' in answer.read()
