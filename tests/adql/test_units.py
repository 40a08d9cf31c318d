"""VOUnits 1.1: every unit read, written and converted; what is no unit refused in a sentence."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from astropy import units
from hypothesis import given
from hypothesis import strategies as st

from skyvault.adql.units import conversion_factor, parse_unit, power, product, quotient, same_unit, write_unit
from skyvault.errors import UnitError

BASE = """
A a adu Angstrom angstrom arcmin arcsec AU au Ba barn beam bin bit byte B C cd chan count ct D d deg erg eV F G g H h Hz
J Jy K lm lx lyr m mag mas min mol N Ohm Pa pc ph photon pix pixel R rad Ry s S solLum solMass solRad sr Sun T ta u V
voxel W Wb yr % dB
"""


@pytest.mark.parametrize("symbol", BASE.split())
def test_every_symbol_of_vounits_is_known_and_written_back(symbol: str) -> None:
    unit = parse_unit(symbol)
    assert conversion_factor(symbol, write_unit(unit)) == pytest.approx(1)


@pytest.mark.parametrize(
    "prefix", ["d", "c", "m", "u", "n", "p", "f", "a", "z", "y", "da", "h", "k", "M", "G", "T", "P", "E"]
)
def test_si_prefixes_scale(prefix: str) -> None:
    assert conversion_factor(f"{prefix}Hz", "Hz") == pytest.approx(float(units.Unit(f"{prefix}Hz").to("Hz")))


@pytest.mark.parametrize(("symbol", "size"), [("KiB", 2**10), ("MiB", 2**20), ("GiB", 2**30), ("TiB", 2**40)])
def test_binary_prefixes_scale(symbol: str, size: int) -> None:
    assert conversion_factor(symbol, "byte") == size


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("km/s", "km.s**-1"),
        ("km s-1", "km.s**-1"),
        ("mas.yr-1", "mas/yr"),
        ("erg/s/cm**2/Hz", "erg.s**-1.cm**-2.Hz**-1"),
        ("10-16erg/s/cm2", "1e-16 erg.s-1.cm-2"),
        ("10**3.km", "1000 km"),
        ("m2.s-1", "m**2/s"),
        ("W/m^2", "W.m-2"),
        ("(m/s)**2", "m2.s-2"),
        ("sqrt(Hz)", "Hz**(1/2)"),
        ("s**0.5", "s**(1/2)"),
        ("/s", "Hz**1"),
        ("e-/s", "electron/s"),
        ("µm", "um"),
        ("percent", "%"),
        ("degrees", "deg"),
        ("mag/arcsec2", "mag.arcsec**-2"),
        ("", "1"),
    ],
)
def test_the_habits_of_real_tables_are_understood(text: str, same: str) -> None:
    assert conversion_factor(text, same) == pytest.approx(1)


@pytest.mark.parametrize(
    ("one", "other", "factor"),
    [
        ("deg", "rad", math.pi / 180),
        ("arcsec", "deg", 1 / 3600),
        ("mas/yr", "deg/yr", 1 / 3.6e6),
        ("km/s", "m/s", 1e3),
        ("%", "", 0.01),
        ("mmag", "mag", 1e-3),
        ("erg/s/cm2", "W/m2", 1e-3),
        ("Jy", "W.m**-2.Hz**-1", 1e-26),
        ("deg2", "sr", (math.pi / 180) ** 2),
        ("yr", "d", 365.25),
        ("ta", "d", 365.24219),
        ("'Martian day'", "'Martian day'", 1),
        ("'Martian day'/km", "'Martian day'/m", 1e-3),
        ("log(Hz)", "log(Hz)", 1),
        ("mag(AB)", "mag(AB)", 1),
    ],
)
def test_units_of_one_kind_are_converted(one: str, other: str, factor: float) -> None:
    assert conversion_factor(one, other) == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("deg", "m"),
        ("nm", "GHz"),
        ("keV", "nm"),
        ("mag", "dex"),
        ("mag", "dB"),
        ("mag", ""),
        ("mag(AB)", "mag"),
        ("'x'", "'y'"),
        ("deg", ""),
        ("ct", "ph"),
    ],
)
def test_units_of_different_kinds_are_not_converted(one: str, other: str) -> None:
    with pytest.raises(UnitError, match="cannot be converted"):
        conversion_factor(one, other)


@pytest.mark.parametrize(
    "text",
    ["quux", "km//s", "m**", "m)", "(m", "&", "10**999999 m", "m**(1/0)", "m/", ".", "**", "-", "m" * 1000, "(" * 50],
)  # fmt: skip
def test_what_is_no_unit_is_refused(text: str) -> None:
    if text == "-":
        assert write_unit(parse_unit(text)) == ""
        return
    with pytest.raises(UnitError, match="not a unit"):
        parse_unit(text)


def test_products_quotients_and_powers_of_units() -> None:
    assert product("mas/yr", "yr") == "mas"
    assert product("deg", None) == "deg"
    assert product("quux", "deg") is None
    assert quotient("deg", "deg") is None
    assert quotient(None, "d") == "d**-1"
    assert quotient("km", "s") == "km/s"
    assert power("deg", Fraction(2)) == "deg**2"
    assert power("m**2", Fraction(1, 2)) == "m"
    assert same_unit("km/s", "km.s-1")
    assert not same_unit("km/s", None)


@given(st.text(max_size=30) | st.text("mskgHzJy0123456789.*/()-+^' %", max_size=30))
def test_any_text_is_a_unit_or_refused(text: str) -> None:
    try:
        unit = parse_unit(text)
    except UnitError:
        return
    assert isinstance(write_unit(unit), str)
