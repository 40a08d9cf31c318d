"""Gaia XP spectra: read as the archive gives them, sampled as GaiaXPy does, and with errors of realisations."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyvault.errors import FormatError, ParameterError
from skyvault.science import xp_sampling
from skyvault.science.xp_files import XpSpectra, xp_spectra
from skyvault.science.xp_instrument import XpDesign, band_instrument, hermite_functions
from skyvault.science.xp_sampling import CORRELATIONS, XpCoefficients, correlation_roots, grids, sample_xp

_CALIBRATED: Mapping[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "xp_calibrated.json").read_text(encoding="utf-8")
)["files"]
_GRIDS = {"400 to 800 every 10": grids(400, 800, 10), "340 to 1000 every 30": grids(340, 1000, 30)}
_DESIGN = XpDesign.of(grids(400, 800, 10))


def read(path: Path) -> XpSpectra:
    """All spectra of a small file."""
    parts = list(xp_spectra(path))
    bands = [
        XpCoefficients(
            *(np.concatenate([getattr(getattr(part, band), what) for part in parts])
              for what in ("values", "errors", "correlations"))
        )
        for band in ("bp", "rp")
    ]  # fmt: skip
    return XpSpectra(np.concatenate([part.source_id for part in parts]), *bands)


@pytest.fixture(scope="session")
def folder(shared_data: Path) -> Path:
    return shared_data / "spectra" / "gaia_xp" / "xp_continuous"


@pytest.fixture(scope="session")
def three(folder: Path) -> XpSpectra:
    return read(folder / "XP_CONTINUOUS_RAW_with_missing_BP.csv")


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize("ending", [".ecsv", ".fits", ".xml"])
def test_the_archives_formats_give_the_same_spectra(folder: Path, three: XpSpectra, ending: str) -> None:
    other = read(folder / f"XP_CONTINUOUS_RAW_with_missing_BP{ending}")
    assert other.source_id.tolist() == three.source_id.tolist()
    for band in ("bp", "rp"):
        a, b = getattr(three, band), getattr(other, band)
        assert a.present.tolist() == b.present.tolist()
        np.testing.assert_array_equal(a.values, b.values)
        np.testing.assert_allclose(a.errors, b.errors, rtol=1e-6)
        np.testing.assert_allclose(a.correlations, b.correlations, rtol=1e-6, atol=1e-9)


@pytest.mark.shared
def test_arrays_of_parquet_are_read_and_places_where_the_file_has_them(three: XpSpectra, tmp_path: Path) -> None:
    path = tmp_path / "xp.parquet"
    pq.write_table(as_table(three).append_column("ra", pa.array([1.0, 2.0, 3.0])).append_column("dec", pa.array([4.0, 5.0, 6.0])), path)  # fmt: skip
    (found,) = xp_spectra(path)
    assert found.ra is not None and found.dec is not None
    assert found.ra.tolist() == [1.0, 2.0, 3.0] and found.dec.tolist() == [4.0, 5.0, 6.0]
    np.testing.assert_array_equal(found.rp.values, three.rp.values)
    assert found.bp.present.tolist() == three.bp.present.tolist()


@pytest.mark.shared
def test_a_spectrum_without_bp_says_so(three: XpSpectra) -> None:
    assert three.rp.present.all()
    assert three.bp.present.tolist().count(False) == 1


def as_table(spectra: XpSpectra) -> pa.Table:
    columns: dict[str, Any] = {"source_id": pa.array(spectra.source_id)}
    for band in ("bp", "rp"):
        one = getattr(spectra, band)
        for name, array in (
            ("coefficients", one.values), ("coefficient_errors", one.errors),
            ("coefficient_correlations", one.correlations),
        ):  # fmt: skip
            cells = [row.tolist() if good else None for row, good in zip(array, one.present, strict=True)]
            columns[f"{band}_{name}"] = pa.array(cells, pa.list_(pa.float64()))
    return pa.table(columns)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda table: table.drop_columns(["rp_coefficient_errors"]), "no column rp_coefficient_errors"),
        (lambda table: table.set_column(0, "source_id", pa.array([1, None, 3])), "no source_id"),
        (lambda table: table.set_column(0, "source_id", pa.array(["a", "b", "c"])), "no whole numbers"),
        (lambda table: table.set_column(4, "rp_coefficients", pa.array([[1.0, 2.0]] * 3)), "has 2 numbers, not 55"),
        (lambda table: table.set_column(4, "rp_coefficients", pa.array([1.0] * 3)), "not arrays"),
        (lambda table: table.set_column(4, "rp_coefficients", pa.array(["(1.0, two)"] * 3)), "as numbers"),
    ],
)
def test_what_is_no_xp_file_is_one_sentence(three: XpSpectra, tmp_path: Path, change: Any, told: str) -> None:
    path = tmp_path / "xp.parquet"
    pq.write_table(change(as_table(three)), path)
    with pytest.raises(FormatError, match=told):
        read(path)


# --- the spectra of the coefficients themselves ----------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize("name", sorted(_CALIBRATED))
@pytest.mark.parametrize("grid", sorted(_GRIDS))
def test_flux_and_error_of_the_coefficients_are_those_of_gaiaxpy(folder: Path, name: str, grid: str) -> None:
    spectra = read(folder / name)
    found = sample_xp(XpDesign.of(_GRIDS[grid]), spectra.bp, spectra.rp, spectra.source_id, 0)
    for row, source in enumerate(spectra.source_id.tolist()):
        known = _CALIBRATED[name][grid][str(source)]
        for what, values in (("flux", found.flux[row]), ("error", found.error[row])):
            expected = np.array([np.nan if one is None else one for one in known[what]])
            np.testing.assert_allclose(values, expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_gaiaxpy_itself_agrees_where_it_is_installed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gaiaxpy = pytest.importorskip("gaiaxpy", reason="GaiaXPy is missing: pip install gaiaxpy")
    path = folder / "XP_CONTINUOUS_RAW_with_missing_BP.csv"
    wavelength = grids(400, 800, 10)
    table, _ = gaiaxpy.calibrate(path, sampling=wavelength, save_file=False)
    spectra = read(path)
    found = sample_xp(XpDesign.of(wavelength), spectra.bp, spectra.rp, spectra.source_id, 0)
    np.testing.assert_allclose(found.flux, np.stack(table["flux"]), rtol=1e-6)
    np.testing.assert_allclose(found.error, np.stack(table["flux_error"]), rtol=1e-6)


@pytest.mark.shared
def test_the_archives_own_sampled_spectrum_is_met_within_a_hundredth_of_its_error(
    shared_data: Path, tmp_path: Path
) -> None:
    packed = shared_data / "lightcurves/gaia_dr3_products/gaia_dr3_source_id_5937083312263887616_dl_products_csv.zip"
    with zipfile.ZipFile(packed) as archive:
        for member in archive.namelist():
            if "XP_" in member:
                (tmp_path / member.split("-")[0]).with_suffix(".csv").write_bytes(archive.read(member))
    spectra = read(tmp_path / "XP_CONTINUOUS.csv")
    wavelength, flux, error = np.loadtxt(
        tmp_path / "XP_SAMPLED.csv", delimiter=",", skiprows=1, usecols=(4, 5, 6), unpack=True
    )
    found = sample_xp(XpDesign.of(wavelength), spectra.bp, spectra.rp, spectra.source_id, 0)
    assert (np.abs(found.flux[0] - flux) / error).max() < 0.01
    np.testing.assert_allclose(found.error[0], error, rtol=1e-3)


@pytest.mark.shared
def test_one_band_alone_is_known_where_it_sees(three: XpSpectra) -> None:
    alone = int(np.flatnonzero(~three.bp.present)[0])
    for realisations in (0, 10):
        found = sample_xp(_DESIGN, three.bp, three.rp, three.source_id, realisations)
        seen = np.isfinite(found.flux[alone])
        assert seen.tolist() == (_DESIGN.wavelength_nm > 635).tolist()
        assert np.isfinite(found.error[alone]).tolist() == seen.tolist()
    neither = sample_xp(_DESIGN, three.bp.rows(slice(alone, alone + 1)), three.bp.rows(slice(alone, alone + 1)),
                        three.source_id[alone : alone + 1])  # fmt: skip
    assert np.isnan(neither.flux).all() and np.isnan(neither.error).all()


# --- realisations ----------------------------------------------------------------------------------------------------


@pytest.mark.shared
def test_a_spectrum_is_the_same_in_whatever_company_and_differs_from_its_twin(three: XpSpectra) -> None:
    again = np.array([2, 0, 1, 0] * 200)
    first = sample_xp(_DESIGN, three.bp, three.rp, three.source_id)
    ids = three.source_id[again]
    many = sample_xp(_DESIGN, three.bp.rows(again), three.rp.rows(again), ids)
    np.testing.assert_allclose(many.flux, first.flux[again], rtol=1e-12)
    np.testing.assert_allclose(many.error, first.error[again], rtol=1e-5)
    twins = sample_xp(_DESIGN, three.bp.rows(again), three.rp.rows(again), np.arange(len(again)))
    assert len(np.unique(twins.flux[again == 0][:, 5])) == int((again == 0).sum())


@pytest.mark.shared
def test_ten_realisations_scatter_as_the_covariance_says(three: XpSpectra) -> None:
    """Of 4,000 sources with the same coefficients: means scatter by error/sqrt(10), variances are right on average."""
    n = 4_000
    rows = np.zeros(n, np.int64)
    bp, rp = three.bp.rows(rows), three.rp.rows(rows)
    exact = sample_xp(_DESIGN, three.bp, three.rp, three.source_id, 0)
    found = sample_xp(_DESIGN, bp, rp, np.arange(n) + 10**18)
    pull = (found.flux - exact.flux[0]) / (exact.error[0] / np.sqrt(10.0))
    assert np.abs(pull.mean(axis=0)).max() < 4.5 / np.sqrt(n)
    np.testing.assert_allclose(pull.std(axis=0), 1.0, atol=0.06)
    np.testing.assert_allclose((found.error**2).mean(axis=0) / exact.error[0] ** 2, 1.0, atol=0.05)
    # neighbours belong together as D' C D says
    assert np.corrcoef(pull[:, 20], pull[:, 21])[0, 1] == pytest.approx(correlation(three, 20, 21), abs=0.07)


def correlation(spectra: XpSpectra, a: int, b: int) -> float:
    total = np.zeros((2, 2))
    for band, matrix in ((spectra.bp, _DESIGN.bp * _DESIGN.bp_weight), (spectra.rp, _DESIGN.rp * _DESIGN.rp_weight)):
        one = band.rows(slice(0, 1))
        scaled = matrix[:, [a, b]] * one.errors[0][:, None]
        total += scaled.T @ xp_sampling.correlation_matrices(one)[0] @ scaled
    return float(total[0, 1] / np.sqrt(total[0, 0] * total[1, 1]))


@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.booleans())
@settings(max_examples=25)
def test_mean_and_deviation_follow_any_covariance(seed: int, rank: int, has_both: bool) -> None:
    """Also correlations of a lower rank than there are coefficients, which no Cholesky factor has."""
    random = np.random.default_rng(seed)
    bands = []
    for _ in range(2):
        mixed = random.normal(size=(55, rank))
        covariance = mixed @ mixed.T
        scale = np.sqrt(np.diag(covariance))
        correlations = (covariance / np.outer(scale, scale))[np.tril_indices(55, -1)]
        bands.append(
            XpCoefficients(
                random.normal(size=(1, 55)) * 100,
                random.uniform(0, 5, (1, 55)),
                correlations[None, :].astype(np.float32),
            )
        )
    bp, rp = bands
    if not has_both:
        bp = XpCoefficients(np.full((1, 55), np.nan), bp.errors, bp.correlations)
    source = np.array([seed])
    exact = sample_xp(_DESIGN, bp, rp, source, 0)
    drawn = sample_xp(_DESIGN, bp, rp, source, 2_000)
    good = np.isfinite(exact.flux[0])
    pull = (drawn.flux - exact.flux)[0, good] / exact.error[0, good] * np.sqrt(2_000)
    assert np.abs(pull).max() < 5.5
    np.testing.assert_allclose(drawn.error[0, good], exact.error[0, good], rtol=0.1)


def test_roots_of_correlations_that_are_not_positive_are_those_of_the_nearest() -> None:
    matrix = np.eye(55)
    matrix[1, 0] = matrix[0, 1] = 1.0
    matrix[2, 0] = matrix[0, 2] = 0.5
    ill = XpCoefficients(np.ones((2, 55)), np.ones((2, 55)), np.zeros((2, CORRELATIONS)))
    ill.correlations[0] = matrix[np.tril_indices(55, -1)]
    roots = correlation_roots(ill)
    np.testing.assert_allclose(roots[1], np.eye(55))
    assert np.abs(roots[0] @ roots[0].T - matrix).max() < 0.3
    assert np.isfinite(sample_xp(_DESIGN, ill, ill, np.arange(2)).error).all()


# --- the instrument --------------------------------------------------------------------------------------------------


def test_hermite_functions_are_orthonormal() -> None:
    x = np.linspace(-20, 20, 4001)
    functions = hermite_functions(55, x)
    np.testing.assert_allclose(functions @ functions.T * (x[1] - x[0]), np.eye(55), atol=1e-9)


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ([400.0, 400.0], "must ascend"), ([500.0, 400.0], "must ascend"), ([], "must ascend"),
        ([np.nan], "must ascend"), ([300.0, 400.0], "330 to 1050"), ([400.0, 1100.0], "330 to 1050"),
        (np.linspace(400, 800, 20_000), "more than"),
    ],
)  # fmt: skip
def test_a_grid_that_cannot_be_is_refused(grid: Any, told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        XpDesign.of(grid)


def test_grids_have_both_ends() -> None:
    assert len(grids(400, 800, 10)) == 41 and grids(400, 800, 10)[-1] == 800.0
    assert len(grids(336, 1020, 2)) == 343
    for wrong in ((400, 800, 0), (800, 400, 10), (400, np.inf, 1), (400, 800, 1e-9)):
        with pytest.raises(ParameterError):
            grids(*wrong)


def test_realisations_that_give_no_error_are_refused() -> None:
    one = XpCoefficients(np.ones((1, 55)), np.ones((1, 55)), np.zeros((1, CORRELATIONS)))
    for wrong in (1, -1, 10**9):
        with pytest.raises(ParameterError, match="realisations"):
            sample_xp(_DESIGN, one, one, np.array([1]), wrong)
    with pytest.raises(FormatError, match="2 sources"):
        sample_xp(_DESIGN, one, one, np.array([1, 2]))


def test_an_instrument_of_other_files_is_read_and_a_wrong_one_is_one_sentence(tmp_path: Path) -> None:
    import shutil

    import skyvault.science.xp_instrument as module

    for path in (Path(module.__file__).parent / "gaia_xp").glob("*.csv"):
        shutil.copy(path, tmp_path / path.name)
    np.testing.assert_array_equal(XpDesign.of([500.0], tmp_path).bp, XpDesign.of([500.0]).bp)
    for kind, content, told in (
        ("bases", "nBases\n", "does not describe"),
        ("bases", "nBases,pwlRangeMin\n55,x\n", "does not describe"),
        ("response", "1,2,3,4\n", "no curve"),
        ("dispersion", "1,a\n2,3\n", "no curve"),
    ):
        wrong = tmp_path / f"wrong-{kind}-{len(content)}"
        wrong.mkdir()
        for path in tmp_path.glob("*.csv"):
            shutil.copy(path, wrong / path.name)
        next(wrong.glob(f"bp*_{kind}.csv")).write_text(content)
        with pytest.raises(FormatError, match=told):
            band_instrument("bp", wrong)
    with pytest.raises(FormatError, match="0 files"):
        band_instrument("bp", tmp_path / "nowhere")
