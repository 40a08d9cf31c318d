"""When eclipses (or any minima or maxima of a period) happened against when they should have: the O-C table.

A template, the mean curve of a cycle, is shifted over the measurements of each epoch until it fits best. An epoch is
one cycle where a cycle is well covered (Kepler, TESS), or some years where plates give few measurements a cycle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from skyvault.errors import ParameterError
from skyvault.science.binning import MAD, medians
from skyvault.science.folding import LightElements, fold
from skyvault.science.samples import Booleans, Floats, Indices, usable_samples

#: epochs times shifts worked on in all
MAX_EPOCHS: Final = 100_000


@dataclass(frozen=True)
class Template:
    """A mean cycle: ``value`` at ``phase`` (ascending, -0.5 to 0.5, evenly spaced; it goes on periodically)."""

    phase: Floats
    value: Floats

    def at(self, phase: ArrayLike) -> Floats:
        """The curve at any phases."""
        wrapped = np.mod(np.asarray(phase, np.float64) + 0.5, 1.0) - 0.5
        return np.asarray(np.interp(wrapped, self.phase, self.value, period=1.0), np.float64)

    @property
    def amplitude(self) -> float:
        """From the lowest value to the highest."""
        return float(np.ptp(self.value))


@dataclass(frozen=True)
class TimingTable:
    """One row an epoch, shape (n,): its middle cycle, the time observed and calculated there, their difference (days).

    ``error`` is where chi^2, scaled to 1 a degree of freedom, rises by 1; inf where the epoch tells nothing about the
    time. ``first`` and ``last`` are the times of the measurements; ``depth`` is the template's amplitude times the
    factor that fits this epoch best.
    """

    cycle: Indices
    observed: Floats
    calculated: Floats
    error: Floats
    depth: Floats
    count: Indices
    first: Floats
    last: Floats
    elements: LightElements

    def __len__(self) -> int:
        return len(self.cycle)

    @property
    def o_minus_c(self) -> Floats:
        """Observed minus calculated, days."""
        return np.asarray(self.observed - self.calculated)

    def fitted(self, *, is_quadratic: bool = False) -> LightElements:
        """The elements that these times ask for: weighted straight line (or parabola) of O-C against cycle."""
        good = np.isfinite(self.error) & (self.error > 0.0)
        need = 3 if is_quadratic else 2
        if good.sum() < need:
            raise ParameterError(f"{int(good.sum())} epochs are timed, but {need} are needed to correct a period")
        cycle = self.cycle[good].astype(np.float64)
        columns = np.stack([np.ones(len(cycle)), cycle] + ([cycle**2] if is_quadratic else []), axis=1)
        scale = np.abs(columns).max(axis=0)
        weight = 1.0 / self.error[good]
        solution = (
            np.linalg.lstsq(columns / scale * weight[:, None], self.o_minus_c[good] * weight, rcond=None)[0] / scale
        )
        period = self.elements.period + float(solution[1])
        bend = self.elements.period * self.elements.drift / 2.0 + (float(solution[2]) if is_quadratic else 0.0)
        return LightElements(period, self.elements.epoch + float(solution[0]), 2.0 * bend / period)


def mean_cycle(
    time: ArrayLike, value: ArrayLike, elements: LightElements, *, bins: int = 50, error: ArrayLike | None = None
) -> Template:
    """The running median of the folded measurements at ``bins`` phases; empty bins are bridged by a straight line."""
    samples = usable_samples(time, value, error, at_least=10)
    if not 4 <= bins <= 100_000:
        raise ParameterError(f"{bins} bins of phase are asked for, but 4 to 100,000 can be made")
    phase = fold(samples.time, elements).phase
    slot = np.minimum(((phase + 0.5) * bins).astype(np.int64), bins - 1)
    curve = medians(slot, bins, samples.value)
    centers = (np.arange(bins) + 0.5) / bins - 0.5
    known = np.isfinite(curve)
    return Template(centers, np.interp(centers, centers[known], curve[known], period=1.0))


def single_eclipse(
    time: ArrayLike,
    value: ArrayLike,
    elements: LightElements,
    *,
    error: ArrayLike | None = None,
    narrowest: float = 0.005,
    widest: float = 0.1,
    are_magnitudes: bool = True,
) -> Template:
    """A flat cycle with one smooth minimum of light (a Gaussian) where it fits best: a template for noisy light curves.

    Its standard width is tried from ``narrowest`` to ``widest`` in cycles; its middle is anywhere. Measurements beyond
    5 robust deviations are left out. Raises ParameterError where no minimum fits.
    """
    samples = usable_samples(time, value, error, at_least=10)
    if not 0.0 < narrowest <= widest <= 0.25:
        raise ParameterError("the widths of an eclipse must ascend from above 0 to at most 0.25 cycles")
    sign = 1.0 if are_magnitudes else -1.0
    rest = sign * (samples.value - np.median(samples.value))
    kept = np.abs(rest) <= 5.0 * MAD * float(np.median(np.abs(rest)))
    rest, weight = rest[kept], samples.weights[kept]
    phase = fold(samples.time[kept], elements).phase
    total = float(weight.sum())
    best = (0.0, 0.0, 0.0, 0.0)
    for width in np.geomspace(narrowest, widest, 12).tolist():
        for middle in np.arange(-0.5, 0.5, 0.3 * width).tolist():
            away = np.mod(phase - middle + 0.5, 1.0) - 0.5
            dip = np.exp(-0.5 * (away / width) ** 2)
            dip -= float(weight @ dip) / total
            power = float(weight @ dip**2)
            cross = float(weight @ (dip * rest))
            if cross > 0.0 and power > 0.0 and cross**2 / power > best[0]:
                best = (cross**2 / power, middle, width, cross / power)
    if best[0] == 0.0:
        raise ParameterError("no minimum of light fits this light curve at this period")
    _, middle, width, depth = best
    grid = np.asarray((np.arange(1000) + 0.5) / 1000.0 - 0.5, np.float64)
    away = np.mod(grid - middle + 0.5, 1.0) - 0.5
    level = float(np.median(samples.value))
    return Template(grid, level + sign * depth * np.exp(-0.5 * (away / width) ** 2))


def time_eclipses(
    time: ArrayLike,
    value: ArrayLike,
    error: ArrayLike | None = None,
    *,
    elements: LightElements,
    template: Template | None = None,
    epochs: ArrayLike | None = None,
    widest_shift: float = 0.1,
    least_count: int = 5,
    clip_sigma: float = 5.0,
    steps: int = 400,
) -> TimingTable:
    """Shift a template (the mean cycle of all measurements unless given) over each epoch by +-``widest_shift`` cycles.

    ``epochs`` are edges of time; without them each cycle is one. The level and the amplitude of each epoch are free,
    the amplitude not below 0. Measurements ``clip_sigma`` robust deviations off the unshifted template (and off the
    epoch's level) are left out, as plate flaws would decide alone; so are epochs of fewer than ``least_count``.
    """
    samples = usable_samples(time, value, error, at_least=10)
    if not clip_sigma > 0.0:
        raise ParameterError(f"clip_sigma is {clip_sigma!r}, but it must be positive")
    if not 0.0 < widest_shift <= 0.5:
        raise ParameterError(f"widest_shift is {widest_shift!r} cycles, but must be above 0 and at most 0.5")
    curve = mean_cycle(samples.time, samples.value, elements) if template is None else template
    folded = fold(samples.time, elements)
    if epochs is None:
        group = folded.cycle - folded.cycle.min()
    else:
        edges = np.asarray(epochs, np.float64)
        group = np.searchsorted(edges, samples.time, side="right") - 1
        group[(group < 0) | (group >= len(edges) - 1)] = -1
    kept = (group >= 0) & _not_wild(samples.value - curve.at(folded.phase), group, clip_sigma, curve.amplitude)
    if not kept.any():
        raise ParameterError("none of the measurements lies in the epochs to be timed")
    names, slot = np.unique(group[kept], return_inverse=True)
    n = len(names)
    if not 1 <= n <= MAX_EPOCHS:
        raise ParameterError(f"{n:,} epochs are to be timed, but 1 to {MAX_EPOCHS:,} can be")
    t, y, w, phase = samples.time[kept], samples.value[kept], samples.weights[kept], folded.phase[kept]
    count = np.bincount(slot, minlength=n)
    shifts = np.linspace(-widest_shift, widest_shift, 2 * (steps // 2) + 1)
    chi2 = np.empty((n, len(shifts)))
    gain = np.empty((n, len(shifts)))
    heavy = np.bincount(slot, w, minlength=n)
    mean = np.bincount(slot, w * y, minlength=n) / heavy
    rest = y - mean[slot]
    whole = np.bincount(slot, w * rest**2, minlength=n)
    for column, shift in enumerate(shifts.tolist()):
        model = curve.at(phase - shift)
        model = model - (np.bincount(slot, w * model, minlength=n) / heavy)[slot]
        power = np.bincount(slot, w * model**2, minlength=n)
        cross = np.bincount(slot, w * model * rest, minlength=n)
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(power > 0.0, np.maximum(cross / power, 0.0), 0.0)
        gain[:, column] = factor
        chi2[:, column] = whole - 2.0 * factor * cross + factor**2 * power
    best = np.argmin(chi2, axis=1)
    each = np.arange(n)
    lowest = chi2[each, best]
    unit = lowest / np.maximum(count - 3, 1)
    place, error_of = _bottom(chi2, best, shifts, unit)
    middle = np.round(np.bincount(slot, folded.cycle[kept].astype(np.float64), minlength=n) / count).astype(np.int64)
    calculated = elements.times(middle)
    first, last = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(first, slot, t)
    np.maximum.at(last, slot, t)
    # an epoch whose best shift is the widest tried, or that shows no eclipse at 3 sigma, tells nothing
    is_blind = (best == 0) | (best == len(shifts) - 1) | (whole - lowest < 9.0 * unit)
    error_of = np.where(is_blind, np.inf, error_of) * elements.period
    rows = np.flatnonzero(count >= least_count)
    return TimingTable(
        cycle=middle[rows],
        observed=(calculated + place * elements.period)[rows],
        calculated=calculated[rows],
        error=error_of[rows],
        depth=(gain[each, best] * curve.amplitude)[rows],
        count=count[rows],
        first=first[rows],
        last=last[rows],
        elements=elements,
    )


def _not_wild(away: Floats, group: Indices, clip_sigma: float, amplitude: float) -> Booleans:
    slot = group - group.min()
    rest = np.abs(away - medians(slot, int(slot.max()) + 1, away)[slot])
    # an eclipse that comes early or late is no flaw, however quiet the star is otherwise
    return np.asarray(rest <= clip_sigma * MAD * float(np.median(rest)) + amplitude)


def _bottom(chi2: Floats, best: Indices, shifts: Floats, unit: Floats) -> tuple[Floats, Floats]:
    """The best shift, by a parabola through the lowest point, and half the width of the valley of chi^2 below +1."""
    n, m = chi2.shape
    each = np.arange(n)
    inner = np.clip(best, 1, m - 2)
    left, mid, right = chi2[each, inner - 1], chi2[each, inner], chi2[each, inner + 1]
    bend = left - 2.0 * mid + right
    step = float(shifts[1] - shifts[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.where(bend > 0.0, np.clip(0.5 * (left - right) / bend, -1.0, 1.0), 0.0)
    low = chi2 <= (chi2[each, best] + unit)[:, None]
    # the valley around the best shift: up to the nearest shift on either side that fits worse
    columns = np.arange(m)
    above = ~low
    right_end = np.where(above & (columns > best[:, None]), columns, m).min(axis=1)
    left_end = np.where(above & (columns < best[:, None]), columns, -1).max(axis=1)
    half = 0.5 * (right_end - left_end - 1) * step
    return shifts[inner] + off * step, np.maximum(half, 0.5 * step)
