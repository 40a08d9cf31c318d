"""Images and tables sent to a viewer at a hub of this machine."""

import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse_single_table
from astropy.table import Table
from pyvo import samp

from skyvault.errors import FormatError, NotFound
from skyvault.find import send_image, send_table
from skyvault.find.samp import NoViewer


@pytest.fixture
def hub(tmp_path):
    """A hub of its own, at loopback only, known to nobody else."""
    started = samp.SAMPHubServer(
        web_profile=False, mode="single", addr="127.0.0.1", lockfile=str(tmp_path / "hub"), label="test"
    )
    started.start()
    yield started
    started.stop()


@pytest.fixture
def viewer(hub):
    """A program that notes what it is sent."""
    got, came = [], threading.Event()

    def receive(private_key, sender_id, mtype, params, extra):
        got.append((mtype, params))
        came.set()

    client = samp.SAMPIntegratedClient(name="Test viewer", addr="127.0.0.1")
    client.connect(hub=hub)
    for kind in ("image.load.fits", "table.load.votable"):
        client.bind_receive_notification(kind, receive)
    yield got, came
    client.disconnect()


def path_of(address):
    return Path(unquote(urlsplit(address).path))


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "an image.fits"
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(path)
    return path


def test_an_image_comes_to_the_viewer(hub, viewer, image):
    got, came = viewer
    assert send_image(image, hub=hub) == ("Test viewer",)
    assert came.wait(10)
    kind, told = got[0]
    assert kind == "image.load.fits" and told["name"] == "an image"
    assert path_of(told["url"]).read_bytes() == image.read_bytes()


def test_a_row_of_results_is_fetched_and_sent(hub, viewer, in_i, rubin, settings):
    got, came = viewer
    send_image(in_i[0], session=rubin.session, settings=settings, hub=hub, name="first")
    assert came.wait(10)
    with fits.open(path_of(got[0][1]["url"]), memmap=False) as hdus:
        assert hdus["MASK"].header["MP_SAT"] == 1
    assert "gt-" not in str(got)


def test_results_and_tables_come_as_votables(hub, viewer, in_i, settings):
    got, came = viewer
    send_table(in_i, settings=settings, hub=hub, name="exposures")
    assert came.wait(10)
    came.clear()
    table = parse_single_table(str(path_of(got[0][1]["url"])))
    assert len(table.array) == 128 and table.get_field_by_id_or_name("s_ra").unit == "deg"
    send_table(Table({"a": [1, 2]}), settings=settings, hub=hub, to="test VIEWER")
    assert came.wait(10)
    assert got[1][1]["name"] == "skyvault"


def test_without_a_hub_one_sentence_says_what_to_start(image, tmp_path, monkeypatch, settings):
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{tmp_path / 'nothing'}")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(NoViewer, match=r"no SAMP hub runs.*TOPCAT"):
        send_image(image)
    with pytest.raises(NoViewer, match="no SAMP hub"):
        send_table(Table({"a": [1]}), settings=settings)


def test_a_hub_where_nobody_listens_is_told(hub, image):
    with pytest.raises(NoViewer, match="no program at it takes images"):
        send_image(image, hub=hub)


def test_a_viewer_that_is_not_there_is_told_with_those_that_are(hub, viewer, image):
    with pytest.raises(NotFound, match=r"'Aladin'.*Test viewer"):
        send_image(image, hub=hub, to="Aladin")


def test_what_is_no_table_is_refused(hub, viewer, settings, tmp_path):
    with pytest.raises(FormatError, match="cannot be sent as a table"):
        send_table(5, settings=settings, hub=hub)
    assert not list(tmp_path.rglob("*.part*"))
