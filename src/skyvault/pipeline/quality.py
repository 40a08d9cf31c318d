"""Which epochs of light curves are to be trusted: the survey's own flags, and positions that are off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from skyvault.pipeline.lightcurve import Lightcurve
from skyvault.pipeline.parameters import Parameters
from skyvault.pipeline.part import Part
from skyvault.science.quality_check import is_beyond, pixel_offsets, sky_offsets


class ParsQuality(Parameters):
    """Which tests are made, and their thresholds."""

    default_cfg_key: ClassVar[str | None] = "quality"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_par("cut_names", ["offset"], list, "tests whose values are kept")
        self.add_par("offset_threshold", 3.5, float, "largest distance from the usual place, median abs. deviations")


class QualityChecker(Part):
    """Adds the columns ``offset`` and ``qflag`` to light curves. Keeps no memory: apply it as often as you like."""

    pars_class = ParsQuality
    pars: ParsQuality

    @property
    def thresholds(self) -> dict[str, float]:
        return {name: float(getattr(self.pars, f"{name}_threshold")) for name in self.pars.cut_names}

    def check(self, lightcurves: Sequence[Lightcurve], source: Any = None, sim: Any = None) -> None:
        """Flag the epochs of each light curve; without positions only the survey's flags count."""
        for curve in lightcurves:
            rows = curve.data
            names = rows.dtype.names or ()
            qflag = curve.is_flagged
            if "pos1" in names and "pos2" in names:
                offset = pixel_offsets(rows["pos1"], rows["pos2"])
            elif "ra" in names and "dec" in names:
                offset = sky_offsets(rows["ra"], rows["dec"])
            else:
                curve.with_columns(qflag=qflag, offset=np.zeros(len(rows)))
                continue
            if "offset" in self.pars.cut_names:
                qflag = qflag | is_beyond(offset, self.pars.offset_threshold)
            curve.with_columns(qflag=qflag, offset=offset)
