"""Grey of pictures: the sky's level and noise in an image, and one rule for all that makes pictures comparable.

Plates differ in fog and in the scanner's zero, so equal pixel values are not equally dark. Equal here means: as many
times the image's own noise above its own sky.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike

from skyvault.errors import ParameterError
from skyvault.science.samples import Floats

#: pixels that are looked at to find sky and noise
_SAMPLE: Final = 40_000
#: a Gaussian's standard deviation in median absolute deviations
_MAD: Final = 1.482602218505602
#: how much of its range asinh spends on faint things
_SOFTENING: Final = 0.1


@dataclass(frozen=True, slots=True)
class Sky:
    """Level and noise (one standard deviation) of the empty sky in an image, in its pixel values; NaN: all blank."""

    level: float
    noise: float


def sky_of(pixels: ArrayLike) -> Sky:
    """Level and noise of the sky: median and absolute deviation, stars clipped at 3 sigma, blank (NaN) left out.

    Looks at some 40,000 pixels spread over the image. Noise is 0 for an image of one value.
    """
    flat = np.asarray(pixels).reshape(-1)
    # a step without common factors with the width, or every row would give the same columns
    step = max(1, flat.size // _SAMPLE) | 1
    sample = flat[::step].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return Sky(float("nan"), float("nan"))
    for _ in range(4):
        level = float(np.median(sample))
        noise = float(_MAD * np.median(np.abs(sample - level)))
        kept = np.abs(sample - level) <= 3.0 * noise if noise else np.ones(len(sample), bool)
        if kept.all():
            break
        sample = sample[kept]
    if not noise:
        noise = float(sample.std())
    return Sky(level, noise)


@dataclass(frozen=True, slots=True)
class Stretch:
    """How pixel values become grey: 0 at ``low`` and below, 1 at ``high`` and above.

    ``unit`` "noise": counted from the sky's level in its noise, the same rule for each image; "pixel": pixel values.
    ``curve`` "asinh" shows faint and bright at once, "linear" is true to proportions.
    """

    low: float = -1.5
    high: float = 25.0
    curve: Literal["asinh", "linear"] = "asinh"
    unit: Literal["noise", "pixel"] = "noise"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise ParameterError(f"a stretch runs from a lower to a higher value, not from {self.low} to {self.high}")
        if self.curve not in ("asinh", "linear") or self.unit not in ("noise", "pixel"):
            raise ParameterError(f"there is no stretch {self.curve!r} in {self.unit!r}")

    def grey(self, pixels: ArrayLike, sky: Sky | None = None) -> Floats:
        """Values from 0 to 1 in the image's shape, NaN where blank. ``sky`` is measured in ``pixels`` if None."""
        values = np.asarray(pixels, np.float64)
        low, high = self.low, self.high
        if self.unit == "noise":
            found = sky_of(values) if sky is None else sky
            noise = found.noise if found.noise > 0.0 else 1.0
            low, high = found.level + low * noise, found.level + high * noise
        part = np.clip((values - low) / (high - low), 0.0, 1.0)
        if self.curve == "asinh":
            part = np.arcsinh(part / _SOFTENING) / np.arcsinh(1.0 / _SOFTENING)
        return np.asarray(part, np.float64)


def pixel_stretch(images: Sequence[Any], lowest: float = 1.0, highest: float = 99.7) -> Stretch:
    """One stretch in pixel values for images of one calibration: between percentiles of all of them together."""
    samples = []
    for image in images:
        flat = np.asarray(image).reshape(-1)
        part = flat[:: max(1, flat.size // 5000) | 1].astype(np.float64)
        samples.append(part[np.isfinite(part)])
    values = np.concatenate(samples) if samples else np.zeros(0)
    if not values.size:
        raise ParameterError("the images are all blank")
    low, high = (float(value) for value in np.percentile(values, (lowest, highest)))
    return Stretch(low, high if high > low else low + 1.0, "asinh", "pixel")
