"""Images on the sky: opened, asked for what they really contain, and drawn as they were when somebody looked."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from skyvault.errors import FormatError, NotFound
from skyvault.find import open_image, really_contains, show_image
from skyvault.find.footprint import ImageWarning, footprint_wcs
from skyvault.find.image_header import read_header
from skyvault.sandbox.rubin_images import file_bytes
from skyvault.sandbox.rubin_sky import exposures

POINT = (62.0, -37.0)
REGION = "POLYGON ICRS 62.045708 -37.018191 62.177779 -36.787420 61.894356 -36.683272 61.761576 -36.913711"


@pytest.fixture(scope="module")
def first_image(tmp_path_factory):
    """The tutorial's first image in i, which has the point in its padding only."""
    image = next(one for one in exposures()[0] if one.visit == 214437)
    path = tmp_path_factory.mktemp("images") / "first.fits"
    path.write_bytes(file_bytes(image))
    return path


def average_hash(path):
    """512 bits: which of 16 x 16 patches are brighter than the mean, and which are more coloured."""
    from matplotlib.image import imread

    colours = imread(path)[..., :3]
    bits = []
    for plane in (colours.mean(axis=2), colours.max(axis=2) - colours.min(axis=2)):
        height, width = (size // 16 * 16 for size in plane.shape)
        patches = plane[:height, :width].reshape(16, height // 16, 16, width // 16).mean(axis=(1, 3))
        bits.append(patches > patches.mean())
    return np.array(bits)


#: of the picture that was looked at: grid, orange circle in the corner, violet outline, arrows to the upper right
#: (north) and left (east)
LOOKED_AT = "ffffffffe001e001e001e001e001e001f001e001e001e001e001ffffffffffff3fff2001200120012001206121c120c12001200120012001200128013fff0000"


def test_the_picture_is_the_one_that_was_looked_at(first_image, tmp_path):
    show_image(first_image, target=POINT, region=REGION, save=tmp_path / "shown.png")
    bits = average_hash(tmp_path / "shown.png").ravel()
    seen = np.unpackbits(np.frombuffer(bytes.fromhex(LOOKED_AT), np.uint8)).astype(bool)
    assert int((bits != seen).sum()) <= 12, np.packbits(bits).tobytes().hex()


def test_arrows_point_to_the_north_and_east_of_the_sky(first_image):
    figure = show_image(first_image)
    axes = figure.axes[0]
    wcs = footprint_wcs(read_header(first_image))
    tips = {text.get_text(): text.get_position() for text in axes.texts if text.get_text() in ("N", "E")}
    middle = wcs.pixel_to_world(199.5, 199.5)
    for letter, angle in (("N", 0.0), ("E", 90.0)):
        there = wcs.pixel_to_world(*tips[letter])
        assert abs((middle.position_angle(there).deg - angle + 180) % 360 - 180) < 0.5


def test_only_headers_are_read_to_tell_what_an_image_contains(in_i, rubin, monkeypatch):
    received = []
    inner = rubin.session.send

    def send(request, **how):
        response = inner(request, **how)
        if "/storage/" in request.url:
            received.append((response.status_code, int(response.headers["content-length"])))
        return response

    monkeypatch.setattr(rubin.session, "send", send)
    told = really_contains([in_i[row] for row in range(5)], POINT, session=rubin.session)
    assert told.tolist() == [False, True, True, False, True]
    assert {status for status, _ in received} == {206}
    assert sum(size for _, size in received) < 5 * 130_000


def test_the_header_is_that_of_the_whole_file(first_image):
    with fits.open(first_image, memmap=False) as hdus:
        for number in range(len(hdus)):
            assert read_header(first_image, number)["EXTNAME"] == hdus[number].header["EXTNAME"]
        assert WCS(hdus[1].header).footprint_contains(_coordinate()) == really_contains(first_image, POINT)[0]


def _coordinate():
    from astropy.coordinates import SkyCoord

    return SkyCoord(*POINT, unit="deg")


def test_a_compressed_image_is_as_large_as_its_picture(tmp_path, first_image):
    with fits.open(first_image, memmap=False) as hdus:
        packed = fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(hdus[1].data, hdus[1].header)])
        packed.writeto(tmp_path / "packed.fits")
    assert footprint_wcs(read_header(tmp_path / "packed.fits")).pixel_shape == (400, 400)


def test_what_cannot_be_told_is_masked_and_warned_of(tmp_path, first_image):
    (tmp_path / "page.fits").write_bytes(b"<html>login</html>" * 1000)
    (tmp_path / "cut.fits").write_bytes(first_image.read_bytes()[:1000])
    with pytest.warns(ImageWarning, match="2 of 3 images cannot be looked at"):
        told = really_contains([first_image, tmp_path / "page.fits", tmp_path / "cut.fits"], POINT)
    assert told.mask.tolist() == [False, True, True] and not told[0]


def test_a_remote_image_is_fetched_once_and_opened(in_i, settings, rubin):
    for _ in range(2):
        with open_image(in_i[0], session=rubin.session, settings=settings) as hdus:
            assert hdus[1].data.shape == (400, 400)
    assert len(list((settings.home / "cache" / "images").glob("*.fits"))) == 1


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(NotFound, match="no such file"):
        open_image(tmp_path / "nothing.fits")
    (tmp_path / "text.fits").write_text("hello")
    with pytest.raises(FormatError, match="no FITS file"):
        open_image(tmp_path / "text.fits")
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "nowhere.fits")
    with pytest.raises(FormatError, match="no WCS"):
        show_image(tmp_path / "nowhere.fits")
