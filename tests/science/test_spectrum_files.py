"""One reader of spectra for collections, pipelines and sessions: many forms of files give the same numbers."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from skyvault.errors import FormatError
from skyvault.pipeline.faults import DataError
from skyvault.pipeline.spectrum_files import read_spectrum as read_in_pipeline
from skyvault.science.spectrum_columns import known_unit, vacuum_of_air
from skyvault.science.spectrum_files import spectra_in, spectra_of, spectrum_of_columns
from skyvault.session.spectra import read_spectrum as read_in_session

WAVE = np.linspace(400.0, 800.0, 41)
FLUX = np.exp(-(((WAVE - 550.0) / 90.0) ** 2))
ERROR = np.full(41, 0.02)


def fits_table(columns: list[fits.Column], **words: Any) -> bytes:
    held = io.BytesIO()
    first = fits.PrimaryHDU()
    first.header.update(words)
    fits.HDUList([first, fits.BinTableHDU.from_columns(columns)]).writeto(held)
    return held.getvalue()


def votable(
    axis: str = 'name="wavelength" unit="nm"', flux: str = 'name="flux"', error: str = 'name="flux_error"'
) -> bytes:
    rows = "".join(
        f"<TR><TD>{a!r}</TD><TD>{b!r}</TD><TD>{c!r}</TD></TR>"
        for a, b, c in zip(WAVE.tolist(), FLUX.tolist(), ERROR.tolist(), strict=True)
    )
    return (
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>'
        f'<FIELD datatype="double" {axis}/><FIELD datatype="double" {flux}/><FIELD datatype="double" {error}/>'
        '<PARAM name="Pos" datatype="double" arraysize="2" value="10.5 -20.25"'
        ' utype="spec:Spectrum.Char.SpatialAxis.Coverage.Location.Value"/>'
        f"<DATA><TABLEDATA>{rows}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    ).encode()


def csv(header: str, *columns: Any, separator: str = ",") -> bytes:
    lines = [separator.join(repr(float(one)) for one in row) for row in zip(*columns, strict=True)]
    return "\n".join([header, *lines, ""]).encode()


FORMS = {
    "FITS, Angstrom": fits_table([fits.Column("WAVE", "D", "Angstrom", array=WAVE * 10), fits.Column("Flux", "D", array=FLUX),
                                  fits.Column("ERR", "D", array=ERROR)]),
    "FITS, logarithms and inverse variances": fits_table(
        [fits.Column("loglam", "D", array=np.log10(WAVE * 10)), fits.Column("flux", "D", array=FLUX),
         fits.Column("ivar", "D", array=ERROR**-2)]),
    "FITS, a spectrum in one cell": fits_table(
        [fits.Column("wavelength", "41D", "um", array=[WAVE / 1e3]), fits.Column("flux", "41D", array=[FLUX]),
         fits.Column("sigma", "41D", array=[ERROR])]),
    "FITS, packed": gzip.compress(fits_table([fits.Column("lambda", "D", "nm", array=WAVE), fits.Column("flux", "D", array=FLUX),
                                              fits.Column("error", "D", array=ERROR)])),
    "VOTable, by name": votable(),
    "VOTable, by UCD": votable('name="x" ucd="em.wl" unit="nm"', 'name="y" ucd="phot.flux.density;em.wl"',
                               'name="z" ucd="stat.error;phot.flux.density;em.wl"'),
    "VOTable, by utype": votable('name="x" utype="spec:Spectrum.Data.SpectralAxis.Value" unit="nm"',
                                 'name="y" utype="spec:Spectrum.Data.FluxAxis.Value"',
                                 'name="z" utype="spec:Spectrum.Data.FluxAxis.Accuracy.StatError"'),
    "CSV without units, nm": csv("wavelength,flux,flux_error", WAVE, FLUX, ERROR),
    "CSV without units, Angstrom": csv("wavelength,flux,flux_error", WAVE * 10, FLUX, ERROR),
    "CSV, frequencies": csv("frequency,flux,err", 299792458.0 / (WAVE * 1e-9), FLUX, ERROR),
    "text with a header": csv("# lambda flux err", WAVE * 10, FLUX, ERROR, separator=" "),
    "text without one": csv("", WAVE * 10, FLUX, ERROR, separator="   "),
}  # fmt: skip


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_form_gives_the_same_spectrum_to_all_three(form: str, tmp_path: Path) -> None:
    path = tmp_path / ("spectrum.fits.gz" if form == "FITS, packed" else "spectrum.dat")
    path.write_bytes(FORMS[form])
    (published,) = spectra_of(path)
    np.testing.assert_allclose(published.wavelength, WAVE * 1e-9, rtol=1e-12)
    columns, about = read_in_pipeline(FORMS[form], "made")
    nm = columns["wavelength"] * (1.0 * u.Unit(about["wavelength_unit"])).to_value("nm")
    drawn = read_in_session(path)
    for wavelength, flux, error in (
        (published.wavelength * 1e9, published.flux, published.error),
        (nm, columns["flux"], columns["fluxerr"]),
        (drawn.wavelength, drawn.flux, drawn.error),
    ):
        order = np.argsort(wavelength)
        np.testing.assert_allclose(wavelength[order], WAVE, rtol=1e-12)
        np.testing.assert_allclose(flux[order], FLUX, rtol=1e-12)
        assert error is not None
        np.testing.assert_allclose(error[order], ERROR, rtol=1e-9)


def test_place_medium_and_flags_are_what_the_file_says() -> None:
    (found,) = spectra_in(FORMS["VOTable, by name"])
    assert (found.ra, found.dec, found.medium) == (10.5, -20.25, None)
    columns = [fits.Column("wave", "D", "Angstrom", array=WAVE * 10), fits.Column("flux", "D", "adu", array=FLUX),
               fits.Column("mask", "J", array=np.arange(41) % 2 * 4)]  # fmt: skip
    raw = fits_table(columns, RA=400.0, DEC=5.0, AIRORVAC="air", EXPTIME=600.0)
    (found,) = spectra_in(raw)
    assert (found.ra, found.dec, found.medium, found.flux_unit) == (40.0, 5.0, "air", "adu")
    values, about = read_in_pipeline(raw, "made")
    assert about["medium"] == "air" and about["exptime"] == 600.0 and set(values["flag"]) == {0, 1}
    np.testing.assert_allclose(values["wavelength"], WAVE * 10)
    # what is published is in vacuum: sodium's line of 589.592 nm in air is at 589.756
    assert vacuum_of_air(np.array([589.5924e-9]))[0] == pytest.approx(589.7558e-9, abs=2e-13)
    np.testing.assert_allclose(found.vacuum_m(), vacuum_of_air(WAVE * 1e-9))


def test_vectors_in_rows_are_spectra_each_with_the_axis_they_have_in_common(tmp_path: Path) -> None:
    table = Table({"wavelength": np.stack([WAVE, WAVE]) * u.nm, "flux": np.stack([FLUX, 2 * FLUX])})
    table.write(tmp_path / "two.fits")
    found = spectra_of(tmp_path / "two.fits")
    assert [one.key for one in found] == ["1", "2"]
    np.testing.assert_allclose(found[1].flux, 2 * FLUX)
    values = " ".join(f"{one:g}" for one in WAVE)
    rows = "".join(f"<TR><TD>{' '.join(map(repr, (k * FLUX).tolist()))}</TD></TR>" for k in (1, 2, 3))
    document = (
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>'
        f'<PARAM ID="axis" name="spectral" datatype="double" arraysize="41" unit="nm" ucd="em.wl" value="{values}"/>'
        '<FIELD name="flux" datatype="double" arraysize="41" ref="axis"/>'
        f"<DATA><TABLEDATA>{rows}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    ).encode()
    shared = spectra_in(document)
    assert len(shared) == 3
    np.testing.assert_allclose(shared[2].flux, 3 * FLUX)
    np.testing.assert_allclose(shared[2].vacuum_m(), WAVE * 1e-9)


@pytest.mark.parametrize(
    ("words", "factor"),
    [
        ({"CTYPE1": "WAVE", "CUNIT1": "nm", "CRVAL1": 400.0, "CDELT1": 10.0}, 1.0),
        ({"CRVAL1": 4000.0, "CD1_1": 100.0}, 1.0),
        ({"CRVAL1": 4100.0, "CDELT1": 100.0, "CRPIX1": 2.0, "CUNIT1": "Angstroms", "CTYPE1": "LINEAR"}, 1.0),
    ],
)
def test_images_of_one_line_are_spectra(words: dict[str, Any], factor: float, tmp_path: Path) -> None:
    hdu = fits.PrimaryHDU(FLUX)
    hdu.header.update(words)
    hdu.writeto(tmp_path / "line.fits")
    (found,) = spectra_of(tmp_path / "line.fits")
    np.testing.assert_allclose(found.wavelength, WAVE * 1e-9 * factor)
    two = fits.PrimaryHDU(np.ones((4, 5)))
    two.header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 1.0, "CDELT1": 1.0})
    two.writeto(tmp_path / "sky.fits")
    with pytest.raises(FormatError, match="no column of wavelengths"):
        spectra_of(tmp_path / "sky.fits")


def test_arrays_from_elsewhere_are_a_spectrum() -> None:
    found = spectrum_of_columns({"wavelength": WAVE, "flux": FLUX}, {"wavelength": "nm", "flux": "Jy"}, {}, "star 1")
    assert (found.key, found.flux_unit, found.error) == ("star 1", "Jy", None)
    np.testing.assert_allclose(found.wavelength, WAVE * 1e-9)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (csv("a,b", WAVE, FLUX), "no column of wavelengths"),
        (csv("wavelength,flux", [1.0], [2.0]), "fewer than two"),
        (votable('name="wavelength" unit="kg"'), "'kg', which is no unit of the spectrum"),
        (b"wavelength,flux\nred,1\nblue,2\n", "no numbers|cannot be read"),
        (b"", "."),
        (b"hello\n", "."),
        (b"\x00" * 100, "."),
        (b"SIMPLE  =                    T" + b" " * 90, "cannot be read|no column"),
    ],
)
def test_what_is_no_spectrum_is_one_sentence(raw: bytes, told: str) -> None:
    with pytest.raises(FormatError, match=told) as caught:
        spectra_in(raw, "made")
    assert "\n" not in str(caught.value) and "made" in str(caught.value)
    with pytest.raises(DataError):
        read_in_pipeline(raw, "made")


@given(st.sampled_from(sorted(FORMS)), st.integers(0, 10_000), st.binary(max_size=20), st.booleans())
def test_damage_is_a_spectrum_or_a_sentence(form: str, place: int, noise: bytes, is_cut: bool) -> None:
    raw = FORMS[form]
    place %= len(raw)
    damaged = raw[:place] + noise + (b"" if is_cut else raw[place + len(noise) :])
    try:
        found = spectra_in(damaged, "made")
    except FormatError as problem:
        assert "\n" not in str(problem)
    else:
        assert all(one.axis.shape == one.flux.shape for one in found)


def test_units_are_known_by_many_words() -> None:
    for word in ("Angstrom", "ANGSTROMS", "A", "AA", "0.1 nm"):
        assert known_unit(word) == "Angstrom"
    assert known_unit("microns") == "um" and known_unit("GHz") == "GHz"
    assert known_unit("kg") is None and known_unit("((") is None
