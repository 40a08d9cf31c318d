"""FITS files with wrong bytes, or too few, are found out by what they say of themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skyvault.net.faults import WrongContent
from skyvault.net.fits_sums import refuse_damaged_fits
from skyvault.net.remote_file import digest_told


@pytest.fixture
def events(tmp_path: Path) -> Path:
    from astropy.io import fits

    rng = np.random.default_rng(1)
    table = fits.BinTableHDU.from_columns(
        [fits.Column("TIME", "D", array=rng.random(3000)), fits.Column("NAME", "PA()", array=["a", "bcd"] * 1500)],
        name="EVENTS",
    )
    image = fits.ImageHDU(rng.integers(0, 99, (37, 41)).astype(np.int16), name="IMAGE")
    path = tmp_path / "events.fits"
    fits.HDUList([fits.PrimaryHDU(), table, image]).writeto(path, checksum=True)
    return path


def test_an_intact_file_passes_and_so_does_one_without_sums(events: Path, tmp_path: Path) -> None:
    from astropy.io import fits

    refuse_damaged_fits(events, "events")
    with fits.open(events) as hdus:
        hdus.writeto(tmp_path / "plain.fits")
    for name in ("plain.fits", "events.fits"):
        refuse_damaged_fits(tmp_path / name, name)


def test_a_wrong_byte_anywhere_is_found(events: Path, tmp_path: Path) -> None:
    whole = events.read_bytes()
    for at in np.random.default_rng(2).integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[at] ^= 0x55
        path = tmp_path / "damaged.fits"
        path.write_bytes(damaged)
        with pytest.raises(WrongContent):
            refuse_damaged_fits(path, "damaged")


@pytest.mark.parametrize("missing", [1, 2880, 5000, 20000])
def test_a_file_that_is_cut_is_told(events: Path, missing: int) -> None:
    events.write_bytes(events.read_bytes()[:-missing])
    try:
        refuse_damaged_fits(events, "events")
    except WrongContent as told:
        assert "cut" in str(told) and "HDU" in str(told)
    else:
        # whole HDUs may be missing at the end, which only the size can tell
        assert len(events.read_bytes()) % 2880 == 0


def test_headers_made_to_harm_are_refused(tmp_path: Path) -> None:
    def header(*cards: str) -> bytes:
        return "".join(card.ljust(80) for card in (*cards, "END")).ljust(2880).encode()

    for cards in (
        ("SIMPLE  =  T", "BITPIX  =  8", "NAXIS   =  1", "NAXIS1  = 99999999999999999999"),
        ("SIMPLE  =  T", "BITPIX  =  7", "NAXIS   =  1", "NAXIS1  = 3"),
        ("SIMPLE  =  T", "BITPIX  =  8", "NAXIS   =  1", "NAXIS1  = -3"),
        ("SIMPLE  =  T", "BITPIX  =  8", "NAXIS   =  999999"),
        ("SIMPLE  =  T",),
    ):
        (tmp_path / "bad.fits").write_bytes(header(*cards))
        with pytest.raises(WrongContent):
            refuse_damaged_fits(tmp_path / "bad.fits", "bad")


def test_checksums_in_headers_of_answers_are_read() -> None:
    md5 = "kAFQmDzST7DWlj99KOF/cg=="
    told = digest_told({"content-md5": md5})
    assert told is not None and str(told) == "md5:900150983cd24fb0d6963f7d28e17f72"
    assert digest_told({"x-goog-hash": f"crc32c=n03x6A==,md5={md5}"}) == told
    assert digest_told({"digest": f"MD5={md5}"}) == told
    sha = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
    best = digest_told({"repr-digest": f"sha-256=:{sha}:", "content-md5": md5})
    assert best is not None and best.algorithm == "sha256"
    assert digest_told({"content-md5": md5}, is_whole=False) is None
    for nonsense in ({"content-md5": "no"}, {"digest": "md5=="}, {"content-md5": md5, "content-encoding": "gzip"}, {}):
        assert digest_told(nonsense) is None
