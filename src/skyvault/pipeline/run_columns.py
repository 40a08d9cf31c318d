"""Columns of a run's published tables: detections, properties of sources, epochs of light curves, time series."""

from __future__ import annotations

from typing import Final

from skyvault.model.frames import PhotometricSystem
from skyvault.model.table import Column

_TIME: Final = "times"
_SOURCE: Final = Column(
    "source_name", "unicodeChar", "*", ucd="meta.id;src", description="Source, as the target list calls it",
    principal=True,
)  # fmt: skip
_RA: Final = Column(
    "ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", ref="icrs", principal=True,
    description="Right ascension of the source in the target list (ICRS)",
)  # fmt: skip
_DEC: Final = Column(
    "dec", "double", unit="deg", ucd="pos.eq.dec;meta.main", ref="icrs", principal=True,
    description="Declination of the source in the target list (ICRS)",
)  # fmt: skip
_OBSERVATORY: Final = Column("observatory", "char", "*", ucd="meta.id;instr.tel", description="Survey", principal=True)
_FILTER: Final = Column(
    "filter", "unicodeChar", "*", ucd="meta.id;instr.filter", description="Filter", principal=True
)  # fmt: skip


def _time(name: str, ucd: str, description: str, principal: bool = False) -> Column:
    return Column(name, "double", unit="d", ucd=ucd, ref=_TIME, description=description, principal=principal)


DETECTIONS: Final[tuple[Column, ...]] = (
    Column("detection_id", "long", ucd="meta.id;meta.main", description="Number of the detection", principal=True),
    _SOURCE, _RA, _DEC, _OBSERVATORY, _FILTER,
    Column("method", "unicodeChar", "*", ucd="meta.note", description="How it was found"),
    _time("peak_time", "time.epoch", "Time of the highest score (MJD)", True),
    _time("time_start", "time.start", "First epoch of the event (MJD)"),
    _time("time_end", "time.end", "Last epoch of the event (MJD)"),
    Column("snr", "double", ucd="stat.snr", principal=True,
           description="Signal to noise of the event; negative where the source got fainter"),
    Column("peak_mag", "double", unit="mag", ucd="phot.mag", description="Magnitude at the peak"),
    Column("peak_mag_diff", "double", unit="mag", ucd="phot.mag;arith.diff",
           description="Usual magnitude less that at the peak: positive where the source got brighter"),
    Column("quality_flag", "boolean", ucd="meta.code.qual", principal=True,
           description="True where the quality check or the survey warns of an epoch of the event"),
)  # fmt: skip

#: columns of detections that only some searches fill: they are published where one row has a value
DETECTIONS_MORE: Final[tuple[Column, ...]] = (
    Column("matched_filter_kernel_index", "long", ucd="meta.number", description="Best kernel of the matched filter"),
    Column("wavelength_start", "double", unit="nm", ucd="em.wl;stat.min", description="Where a line begins"),
    Column("wavelength_peak", "double", unit="nm", ucd="em.wl", description="Wavelength of a line's extremum"),
    Column("wavelength_end", "double", unit="nm", ucd="em.wl;stat.max", description="Where a line ends"),
    Column("pixel_x", "double", unit="pixel", ucd="pos.cartesian.x;instr.det", description="Place in an image"),
    Column("pixel_y", "double", unit="pixel", ucd="pos.cartesian.y;instr.det", description="Place in an image"),
)  # fmt: skip

PROPERTIES: Final[tuple[Column, ...]] = (
    Column("source_name", "unicodeChar", "*", ucd="meta.id;meta.main", principal=True,
           description="Source, as the target list calls it"),
    _RA, _DEC,
    Column("mag", "double", unit="mag", ucd="phot.mag", description="Magnitude in the target list", principal=True),
    Column("mag_filter", "unicodeChar", "*", ucd="meta.id;instr.filter", description="Filter of that magnitude"),
    Column("has_data", "boolean", ucd="meta.code", principal=True,
           description="False where no survey has anything of the source"),
)  # fmt: skip

#: what an analysis says of a source, by its name; others are published without a UCD
SUMMARY: Final[dict[str, Column]] = {
    column.name: column for column in (
        Column("num_epochs", "long", ucd="meta.number;obs", description="Epochs", principal=True),
        Column("num_good", "long", ucd="meta.number;obs", description="Epochs the survey does not warn of"),
        Column("num_lightcurves", "long", ucd="meta.number", description="Light curves (filters and seasons)"),
        Column("num_detections", "long", ucd="meta.number", description="Detections", principal=True),
        Column("best_snr", "double", ucd="stat.snr;stat.max", description="Largest S/N of an epoch"),
        _time("mjd_first", "time.start", "First epoch (MJD)"),
        _time("mjd_last", "time.end", "Last epoch (MJD)"),
        Column("best_period", "double", unit="d", ucd="time.period", principal=True,
               description="Period of the highest peak of the periodogram, all filters together"),
        Column("period_error", "double", unit="d", ucd="stat.error;time.period", description="Error of best_period"),
        Column("period_power", "double", ucd="stat.fit.goodness",
               description="Power of that peak: 1 where the fit leaves nothing"),
        Column("period_false_alarm", "double", ucd="stat.probability",
               description="Chance that noise makes a peak as high"),
        Column("period_range_low", "double", unit="d", ucd="time.period;stat.min",
               description="Shortest period that was looked for"),
        Column("period_range_high", "double", unit="d", ucd="time.period;stat.max",
               description="Longest period that was looked for"),
    )
}  # fmt: skip

#: indices of one filter (Sokolovsky et al. 2017, MNRAS 464, 274); columns are called <index>_<filter>
BY_FILTER: Final[dict[str, Column]] = {
    column.name: column for column in (
        Column("num", "long", ucd="meta.number;obs", description="Good epochs"),
        Column("mag_median", "double", unit="mag", ucd="phot.mag;stat.median", description="Median magnitude"),
        Column("mag_mean_weighted", "double", unit="mag", ucd="phot.mag;stat.mean", description="Weighted mean"),
        Column("mag_rms", "double", unit="mag", ucd="stat.stdev;phot.mag", description="Scatter about the mean"),
        Column("mag_mad", "double", unit="mag", ucd="stat.stdev;phot.mag",
               description="Scatter from the median absolute deviation"),
        Column("mag_iqr", "double", unit="mag", ucd="stat.stdev;phot.mag",
               description="Scatter from the interquartile range"),
        Column("mag_min", "double", unit="mag", ucd="phot.mag;stat.min", description="Brightest"),
        Column("mag_max", "double", unit="mag", ucd="phot.mag;stat.max", description="Faintest"),
        Column("amplitude_90", "double", unit="mag", ucd="src.var.amplitude",
               description="Range from the 5th to the 95th percentile"),
        Column("skewness", "double", ucd="stat.param", description="Skewness of the magnitudes"),
        Column("kurtosis", "double", ucd="stat.param", description="Excess kurtosis of the magnitudes"),
        Column("reduced_chi2", "double", ucd="stat.fit.chi2", description="Reduced chi square about the weighted mean"),
        Column("excess_variance", "double", ucd="src.var.index", description="Normalised excess variance"),
        Column("von_neumann", "double", ucd="src.var.index",
               description="Mean squared step over variance: 2 for noise, less for smooth changes"),
        Column("stetson_j", "double", ucd="src.var.index", description="Stetson's J"),
        Column("stetson_k", "double", ucd="src.var.index", description="Stetson's K: 0.798 for a Gaussian"),
    )
}  # fmt: skip

#: photometric systems of surveys whose magnitudes are of one filter each: SVO's names and effective wavelengths;
#: ZTF calibrates to AB magnitudes (Masci et al. 2019, PASP 131, 018003)
SYSTEMS: Final[dict[tuple[str, str], PhotometricSystem]] = {
    ("ZTF", "zg"): PhotometricSystem("Palomar/ZTF.g", "AB", 3631.0, 4.746e-7),
    ("ZTF", "zr"): PhotometricSystem("Palomar/ZTF.r", "AB", 3631.0, 6.366e-7),
    ("ZTF", "zi"): PhotometricSystem("Palomar/ZTF.i", "AB", 3631.0, 7.829e-7),
    ("TESS", "TESS"): PhotometricSystem("TESS/TESS.Red", None, None, 7.453e-7),
}

LIGHT_CURVES: Final[tuple[Column, ...]] = (
    _SOURCE, _RA, _DEC, _OBSERVATORY, _FILTER,
    Column("series", "int", ucd="meta.number", description="Number of the light curve (season) of this source"),
    _time("mjd", "time.epoch;meta.main", "Time (MJD)", True),
    Column("mag", "double", unit="mag", ucd="phot.mag", description="Magnitude", principal=True),
    Column("magerr", "double", unit="mag", ucd="stat.error;phot.mag", description="Error of mag", principal=True),
    Column("flux", "double", unit="uJy", ucd="phot.flux.density", description="Flux density"),
    Column("fluxerr", "double", unit="uJy", ucd="stat.error;phot.flux.density", description="Error of flux"),
    Column("exptime", "double", unit="s", ucd="time.duration;obs.exposure", description="Exposure time"),
    Column("flag", "long", ucd="meta.code.qual", description="The survey's flag: 0 is good", principal=True),
)  # fmt: skip

#: beside those of ObsCore
SERIES_MORE: Final[tuple[Column, ...]] = (
    Column("filter", "unicodeChar", "*", ucd="meta.id;instr.filter", description="Filter"),
    Column("num_good", "long", ucd="meta.number;obs", description="Epochs the survey does not warn of"),
    Column("time_scale", "char", "*", ucd="time.scale", description="Scale of the epochs' times, where it is known"),
    Column("time_position", "char", "*", ucd="meta.note;time",
           description="Where the epochs' times hold (barycenter, topocenter ...), where it is known"),
)  # fmt: skip

#: observatory and filter -> shortest and longest wavelength, m (SVO Filter Profile Service; plates: blue-sensitive)
BANDS: Final[dict[tuple[str, str], tuple[float, float]]] = {
    ("ZTF", "zg"): (3.676e-7, 5.613e-7),
    ("ZTF", "zr"): (5.498e-7, 7.394e-7),
    ("ZTF", "zi"): (6.871e-7, 8.964e-7),
    ("TESS", "TESS"): (5.826e-7, 1.1245e-6),
    ("DASCH", "DASCH"): (3.5e-7, 7.0e-7),
}  # fmt: skip
