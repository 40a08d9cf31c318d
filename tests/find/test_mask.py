"""Masks of images: planes by their names, laid over the image in colours that a legend tells."""

import numpy as np
import pytest
from astropy.io import fits

from skyvault.errors import FormatError, NotFound, UsageError
from skyvault.find import Mask, read_mask, show_image
from skyvault.sandbox.rubin_images import MASK_PLANES, file_bytes
from skyvault.sandbox.rubin_sky import exposures


@pytest.fixture(scope="module")
def exposure(tmp_path_factory):
    image = next(one for one in exposures()[0] if one.visit == 214437)
    path = tmp_path_factory.mktemp("masks") / "exposure.fits"
    path.write_bytes(file_bytes(image))
    return path


def test_the_header_names_the_planes(exposure):
    mask = read_mask(exposure)
    assert mask.planes == MASK_PLANES
    with fits.open(exposure, memmap=False) as hdus:
        bits = hdus["MASK"].data
        assert (mask.plane("DETECTED") == ((bits & 32) != 0)).all()
        assert (mask.is_set(["SAT", "EDGE"]) == ((bits & 18) != 0)).all()
    assert mask.counts()["EDGE"] == 400 * 400 - 390 * 390
    assert "DETECTED" in repr(mask)


def test_a_plane_that_is_not_there_is_told_with_those_that_are(exposure):
    with pytest.raises(NotFound, match=r"no plane 'CLOUD'.*SAT"):
        read_mask(exposure).plane("CLOUD")


def test_bits_without_names_can_be_told_apart(tmp_path):
    bits = np.zeros((4, 4), np.uint8)
    bits[1, 1], bits[2, 2] = 1, 128
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(bits, name="MASK")]).writeto(tmp_path / "plain.fits")
    assert read_mask(tmp_path / "plain.fits").planes == {"BIT0": 0, "BIT7": 7}


def test_the_sign_is_a_bit_as_others():
    hdu = fits.ImageHDU(np.full((2, 2), -(2**31), np.int32), name="MASK")
    hdu.header["MP_LAST"] = 31
    hdu.header["MP_WRONG"] = 99
    mask = read_mask(fits.HDUList([fits.PrimaryHDU(), hdu]))
    assert mask.planes == {"LAST": 31} and mask.plane("LAST").all()


@pytest.mark.parametrize("data", [None, np.zeros((3, 3), np.float32), np.zeros((2, 3, 3), np.int16)])
def test_what_is_no_mask_is_refused(data):
    hdu = fits.ImageHDU(data, name="MASK")
    with pytest.raises(FormatError, match="mask"):
        read_mask(fits.HDUList([fits.PrimaryHDU(), hdu]))


def test_a_file_without_mask_says_what_it_has():
    with pytest.raises(FormatError, match=r"no mask.*IMAGE"):
        read_mask(fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 2)), name="IMAGE")]))


def test_planes_are_painted_and_told_by_a_legend(exposure, tmp_path):
    plain = show_image(exposure)
    figure = show_image(exposure, mask=True, mask_transparency=50, has_colour_bar=True, save=tmp_path / "masked.png")
    axes = figure.axes[0]
    painted = axes.images[1].get_array()
    mask = read_mask(exposure)
    assert (painted[..., 3][mask.plane("DETECTED")] == 0.5).all()
    assert (painted[..., 3][mask.bits == 0] == 0).all()
    present = [name for name, count in mask.counts().items() if count]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == present
    assert not plain.legends and len(figure.axes) == 2


def test_planes_are_chosen_by_name(exposure):
    figure = show_image(exposure, mask=["EDGE"], mask_transparency=0)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["EDGE"]
    with pytest.raises(NotFound):
        show_image(exposure, mask="CLOUD")


def test_a_mask_of_another_size_is_refused(exposure):
    with pytest.raises(UsageError, match=r"3 x 2 and 400 x 400"):
        show_image(exposure, mask=Mask(np.zeros((2, 3), np.uint8), {"BAD": 0}))
    with pytest.raises(UsageError, match="per cent"):
        show_image(exposure, mask=True, mask_transparency=101)


def test_planes_of_a_file_are_shown_by_their_names(exposure):
    figure = show_image(exposure, hdu="variance")
    low, high = figure.axes[0].images[0].get_clim()
    assert 3000 < low < high < 8000
    with pytest.raises(UsageError, match=r"no image named 'FLAT'.*VARIANCE"):
        show_image(exposure, hdu="FLAT")
