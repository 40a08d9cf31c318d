"""Whole plates: pixels stay what they are, turned as they were solved, with solutions right at any binning."""

from __future__ import annotations

import base64
import gzip
import hashlib
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from processes import environment
from skyvault.errors import FormatError, NotFound, UsageError
from skyvault.session.mosaic import make_mosaic
from skyvault.session.mosaic_header import metadata_exposure, solutions_of

pytestmark = pytest.mark.filterwarnings("ignore:.*dubious year")

#: rotationDelta -> quarter turns of the stored image
TURNS = {0: 0, 90: -1, 180: 2, -180: 2, -90: 1, 270: 1, -270: -1, None: 0}


def header_text(cards: dict[str, Any]) -> str:
    header = fits.Header(cards)
    lines = [header.tostring(sep="", endcard=False, padding=False)[i : i + 80] for i in range(0, 80 * len(header), 80)]
    return base64.b64encode(gzip.compress("\n".join(lines).encode(), mtime=0)).decode()


def solution(tag: str = "", ra: float = 10.0, crpix: float = 1600.5) -> dict[str, Any]:
    return {
        f"CTYPE1{tag}": "RA---TAN", f"CTYPE2{tag}": "DEC--TAN", f"CRVAL1{tag}": ra, f"CRVAL2{tag}": 20.0,
        f"CRPIX1{tag}": crpix, f"CRPIX2{tag}": 1600.5, f"CD1_1{tag}": -4e-4, f"CD1_2{tag}": 1e-6, f"CD2_1{tag}": 1e-6,
        f"CD2_2{tag}": 4e-4, f"PV1_0{tag}": 1e-5, f"PV1_1{tag}": 1.0, f"PV1_2{tag}": 2e-5, f"PV2_1{tag}": 1.0,
    }  # fmt: skip


class OnePlate:
    """An archive of one plate of 40 x 56 binned pixels."""

    def __init__(self, rotation: int | None = 0, header: str | None = None, exposures: Any = None) -> None:
        self.pixels = np.random.default_rng(3).integers(-3, 9000, (40, 56)).astype(np.int16)
        self.asked: list[str] = []
        self.metadata: dict[str, Any] = {
            "series": "a",
            "plateNumber": 1267,
            "mosaic": {"b01Height": 640 + 7, "b01Width": 896 + 15, "scanNum": 1, "mosNum": 2, "b16OrigFileMD5": ""},
            "astrometry": {
                "b01HeaderGz": header_text(solution()) if header is None else header,
                "rotationDelta": rotation,
                "exposures": [{"number": 0, "midpointDate": "1901-02-03T04:05:06Z"}]
                if exposures is None
                else exposures,
            },
            "photometry": {"resultIdApass": None, "medianColortermAtlas": 0.4},
        }

    def mosaic_package(self, plate_id: str, binning: int) -> dict[str, Any]:
        self.asked.append("package")
        return {"metadata": self.metadata}

    def base_mosaic(self, plate_id: str, binning: int, target: Path) -> None:
        self.asked.append("base")
        image = fits.CompImageHDU(self.pixels, fits.Header({"OPERATOR": "Alison", "DATE-SCN": "2014-03-02T10-11-12"}))
        fits.HDUList([fits.PrimaryHDU(), image]).writeto(target)

    def plate(self, plate_id: str) -> dict[str, Any]:
        return {
            "plate_comment": "a café, and more",
            "mentions": [{"author": "A. Cannon", "notebook": "phaedra1", "page_num": 7}],
            "comment_astronomers": ["H. Leavitt"],
            "plate_images": [{"portion": "plate"}],
        }


@pytest.mark.parametrize("rotation", TURNS)
@pytest.mark.parametrize("strip", [1, 1 << 30])
def test_the_image_is_turned_and_its_pixels_are_kept(
    tmp_path: Path, rotation: int | None, strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skyvault.session.mosaic._STRIP_BYTES", strip)
    archive: Any = OnePlate(rotation)
    shown, was_there = make_mosaic(archive, "A1267", 16, tmp_path)
    assert (shown, was_there) == ("mosaics/a01267_16.fits", False)
    with fits.open(tmp_path / shown, memmap=False) as file:
        file.verify("exception")
        assert np.array_equal(file[0].data, np.rot90(archive.pixels, TURNS[rotation]))
        assert [hdu.name for hdu in file] == ["PRIMARY", "EXPOSURS", "PHOTOS", "PEOPLE", "ORIGHDR"]
        header = file[0].header
        assert (header["D_PLATE"], header["D_SCNNUM"], header["D_MOSNUM"]) == ("a01267", 1, 2)
        assert header["DATE-SCN"] == "2014-03-02T15:11:12.000"
        assert header["DATE-OBS"] == "1901-02-03T04:05:06.000"
        assert header["D_MCTAT"] == 0.4 and "D_RIDAP" not in header
        assert file["PEOPLE"].data["name"].tolist() == ["H. Leavitt", "A. Cannon"]
        assert file["ORIGHDR"].header["OPERATOR"] == "Alison"
    assert make_mosaic(archive, "a01267", 16, tmp_path) == (shown, True)
    assert archive.asked == ["package", "base"]


def test_a_place_has_the_same_coordinates_at_any_binning(tmp_path: Path) -> None:
    archive: Any = OnePlate()
    shown, _ = make_mosaic(archive, "a01267", 16, tmp_path)
    header = fits.getheader(tmp_path / shown)
    assert (header["CRPIX1"], header["CD1_1"]) == (100.5, -4e-4 * 16)
    cards = solution() | {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "NAXIS1": 896, "NAXIS2": 640}
    full = WCS(fits.Header(cards | {"CUNIT1": "deg", "CUNIT2": "deg"}))
    binned = WCS(header)
    for x, y in ((0.0, 0.0), (30.0, 20.0), (55.0, 39.0)):
        # the centre of binned pixel n is 16 n + 7.5 in full pixels, counted from 0
        np.testing.assert_allclose(
            binned.wcs_pix2world(x, y, 0), full.wcs_pix2world(16 * x + 7.5, 16 * y + 7.5, 0), rtol=0, atol=1e-9
        )


def test_several_solutions_lose_a_letter_each(tmp_path: Path) -> None:
    cards = solution("A", 10.0) | solution("B", 11.0) | solution("C", 12.0) | solution("", 12.0)
    archive: Any = OnePlate(
        header=header_text(cards),
        exposures=[None, {"number": 4, "midpointDate": "1901-01-01T00:00:00Z"}, {"number": 5}, {"number": 6}],
    )
    shown, _ = make_mosaic(archive, "a01267", 16, tmp_path)
    with fits.open(tmp_path / shown, memmap=False) as file:
        header, exposures = file[0].header, file["EXPOSURS"].data
        assert [header[key] for key in ("CRVAL1", "CRVAL1A", "CRVAL1B")] == [10.0, 11.0, 12.0]
        assert "CRVAL1C" not in header
        assert [header[key] for key in ("D_NEXP", "D_NSOL", "D_NENS", "D_NSNE")] == [3, 3, 1, 1]
        assert (header["D_MDEXP"], header["D_MDSOL"]) == (4, 1)
        assert exposures["expnum"].tolist()[1:] == [4, 5, 6]
        assert exposures["solnum"].tolist()[:3] == [0, 1, 2]


def test_the_best_dated_exposure_with_a_solution_gives_the_keywords() -> None:
    dated = {"midpointDate": "1901-01-01T00:00:00Z"}
    assert metadata_exposure([], 0) is None
    assert metadata_exposure([None, {}], 0) is None
    assert metadata_exposure([{}, dated], 2) == 1
    assert metadata_exposure([dated, dated], 2) == 0
    assert metadata_exposure([dated, dated | {"durMin": 3.0}], 2) == 1
    assert metadata_exposure([dated | {"dateAccDays": 1.0}, dated | {"dateAccDays": 0.01}], 2) == 1


@pytest.mark.parametrize("exposures", [[], None, "no"])
def test_a_plate_without_exposures_or_astrometry_is_made_too(tmp_path: Path, exposures: Any) -> None:
    archive: Any = OnePlate(header="", exposures=[])
    archive.metadata["astrometry"]["exposures"] = exposures
    if exposures == "no":
        del archive.metadata["astrometry"], archive.metadata["photometry"]
    shown, _ = make_mosaic(archive, "a01267", 16, tmp_path)
    assert fits.getheader(tmp_path / shown)["D_NSOL"] == 0


@pytest.mark.parametrize(
    "text",
    [
        "not base64!",
        base64.b64encode(b"not gzip").decode(),
        header_text(solution())[:200],
        header_text({"CTYPE1": "RA---TAN", "CRPIX1": "x"}),
        header_text(solution("A") | solution("C")),
        base64.b64encode(gzip.compress(b" " * 80_000_000)).decode(),
    ],
)
def test_damaged_astrometry_is_one_sentence(text: str) -> None:
    with pytest.raises(FormatError, match="astrometry cannot be read") as caught:
        solutions_of(text)
    assert "\n" not in str(caught.value)


def test_what_is_not_the_plate_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    archive: Any = OnePlate()
    archive.metadata["mosaic"]["b01Width"] = 1600
    with pytest.raises(FormatError, match=r"\(40, 56\) pixels where the archive tells \(40, 100\)"):
        make_mosaic(archive, "a01267", 16, tmp_path)
    base = tmp_path / "base_mosaics" / "a01267_16.fits.fz"
    base.write_bytes(base.read_bytes()[:3000])
    with pytest.raises(FormatError, match="Delete it"):
        make_mosaic(archive, "a01267", 16, tmp_path)
    assert not list((tmp_path / "mosaics").glob("*"))
    archive.metadata = {}
    with pytest.raises(NotFound, match="a01267"):
        make_mosaic(archive, "a01267", 16, tmp_path)
    nobody: Any = object()
    with pytest.raises(UsageError, match="no whole plates"):
        make_mosaic(nobody, "a01267", 16, tmp_path)


def test_the_bases_digest_is_told_in_hexadecimal(tmp_path: Path) -> None:
    archive: Any = OnePlate()
    digest = hashlib.md5(b"base", usedforsecurity=False)
    archive.metadata["mosaic"] |= {"b16OrigFileMD5": base64.b64encode(digest.digest()).decode(), "b16OrigFileSize": 4}
    shown, _ = make_mosaic(archive, "a01267", 16, tmp_path)
    header = fits.getheader(tmp_path / shown)
    assert (header["D_ORGMD5"], header["D_ORGSZ"]) == (digest.hexdigest(), 4)


def test_a_disk_that_fills_leaves_no_half_plate(tmp_path: Path) -> None:
    """A process that may write 8 kB a file makes a plate of 4,480 bytes and its header and tables."""
    program = textwrap.dedent(
        f"""
        import resource, sys
        from pathlib import Path
        sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]!r}
        from test_mosaic import OnePlate
        from skyvault.errors import StoreError
        from skyvault.session.mosaic import make_mosaic
        root = Path({str(tmp_path)!r})
        archive = OnePlate()
        base = root / "base_mosaics" / "a01267_16.fits.fz"
        base.parent.mkdir()
        archive.base_mosaic("a01267", 16, base)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))
        try:
            make_mosaic(archive, "a01267", 16, root)
        except StoreError as problem:
            print(problem)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment(), timeout=60
    )
    assert "cannot be written" in done.stdout, done.stderr
    assert list((tmp_path / "mosaics").iterdir()) == []
