"""A session's tables and cutouts sent to programs that run beside, at a real hub; Aladin in notebooks."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse_single_table
from pyvo import samp

from skyvault.errors import NotFound, ParameterError, UsageError
from skyvault.find.samp import NoViewer
from skyvault.session.session import Session

pytestmark = pytest.mark.filterwarnings("ignore:.*dubious year")


@pytest.fixture
def session(sandbox: Any, sandbox_settings: Any, tmp_path: Path) -> Session:
    made = Session(str(tmp_path / "ry_cnc"), False, settings=sandbox_settings)
    return made.select_target("V* RY Cnc").select_refcat("apass")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Any]:
    started = samp.SAMPHubServer(
        web_profile=False, mode="single", addr="127.0.0.1", lockfile=str(tmp_path / "hub"), label="test"
    )
    started.start()
    yield started
    started.stop()


class Viewer:
    """A program at the hub that notes what it is sent."""

    def __init__(self, hub: Any) -> None:
        self._came = threading.Event()
        self._got: list[tuple[str, Any]] = []
        self.client = samp.SAMPIntegratedClient(name="Test viewer", addr="127.0.0.1")
        self.client.connect(hub=hub)
        for kind in ("image.load.fits", "table.load.votable"):
            self.client.bind_receive_notification(kind, self._receive)

    def _receive(self, _key: Any, _sender: Any, kind: str, told: Any, _extra: Any) -> None:
        self._got.append((kind, told))
        self._came.set()

    def last(self) -> tuple[str, str, Path]:
        """Kind, name and file of what came last."""
        assert self._came.wait(10)
        self._came.clear()
        kind, told = self._got[-1]
        return kind, told["name"], Path(unquote(urlsplit(told["url"]).path))


@pytest.fixture
def viewer(hub: Any) -> Iterator[Viewer]:
    made = Viewer(hub)
    yield made
    made.client.disconnect()


def test_a_light_curve_comes_without_its_rejected_rows(session: Session, hub: Any, viewer: Viewer) -> None:
    curve = session.lightcurve(0)
    curve.apply_standard_rejections(verbose=False)
    assert session.send(curve, hub=hub) == ("Test viewer",)
    kind, name, path = viewer.last()
    assert kind == "table.load.votable" and name == "Lightcurve of V* RY Cnc"
    table = parse_single_table(str(path)).to_table()
    assert len(table) == len(curve) - curve.is_rejected().sum()
    good = curve.is_good()
    assert np.allclose(
        np.asarray(table["magcal_magdep"].filled(np.nan))[~table["magcal_magdep"].mask], curve.magnitudes()[good]
    )
    assert str(table["ra_deg"].unit) == "deg" and table["time"][0] == curve.julian_dates()[~curve.is_rejected()][0]


def test_exposures_catalogue_and_a_cutout_come_too(session: Session, hub: Any, viewer: Viewer) -> None:
    exposures = session.exposures()
    session.send(exposures, hub=hub, name="plates")
    _, name, path = viewer.last()
    assert name == "plates" and len(parse_single_table(str(path)).to_table()) == len(exposures)
    session.send(session.refcat(), hub=hub)
    assert len(parse_single_table(str(viewer.last()[2])).to_table()) == len(session.refcat())
    seen = exposures.keep_only.has_imaging(verbose=False)[0]
    session.send(seen, hub=hub, to="test viewer")
    kind, _, path = viewer.last()
    assert kind == "image.load.fits" and path == session.path(session.cutout(seen, no_download=True))
    with fits.open(path) as file:
        assert file[0].data.ndim == 2
    session.send(str(path.relative_to(session.root)), hub=hub)
    assert viewer.last()[2] == path


def test_what_cannot_be_sent_is_one_sentence(session: Session, hub: Any, tmp_path: Path) -> None:
    rows = session.exposures().drop.has_imaging(verbose=False)
    for what, error in (
        (session.exposures(), NoViewer), (rows[0], NotFound), (17, ParameterError), ("none.fits", NotFound),
        (session.refcat()[0], ParameterError),
    ):  # fmt: skip
        with pytest.raises(error) as caught:
            session.send(what, hub=hub)
        assert "\n" not in str(caught.value)


def test_without_ipyaladin_one_sentence_says_what_to_do(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipyaladin", None)
    with pytest.raises(UsageError, match=r"ipyaladin, which is not installed.*skyvault\[live\]") as caught:
        session.aladin()
    assert "\n" not in str(caught.value)


def test_aladin_is_made_at_the_target_with_catalogue_and_cutout(session: Session) -> None:
    pytest.importorskip("ipyaladin", reason="ipyaladin is not installed (./run live installs it)")
    seen = session.exposures().keep_only.has_imaging(verbose=False)[0]
    widget = session.aladin(exposures=[seen])
    place = session.query().pos_as_skycoord()
    assert widget.target.separation(place).arcsec < 0.1 and widget.survey == "CDS/P/DSS2/color"
