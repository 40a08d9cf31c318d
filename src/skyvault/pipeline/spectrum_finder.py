"""Looks for lines in spectra: each one found is a detection with its wavelengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from skyvault.pipeline.parameters import Parameters
from skyvault.pipeline.part import Part
from skyvault.pipeline.source import Detection, Source
from skyvault.pipeline.spectrum import Spectrum
from skyvault.science.spectral_lines import SpectralLine, find_lines


class ParsSpectrumFinder(Parameters):
    """What counts as a line."""

    default_cfg_key: ClassVar[str | None] = "spectrum_finder"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_par("line_threshold", 6.0, float, "signal to noise from which a line is one")
        self.add_par("line_widths", [1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0], list, "widths tried: sigma, in pixels")
        self.add_par("max_lines", 50, int, "lines of a spectrum at most, the strongest ones")


class SpectrumFinder(Part):
    """Finds emission and absorption lines of a single spectrum. Override :meth:`detect` for another search."""

    pars_class = ParsSpectrumFinder
    pars: Any
    method: ClassVar[str] = "spectral lines"

    def detect(self, spectra: Sequence[Spectrum], source: Source) -> list[Detection]:
        """Detections of all lines; each spectrum notes its own in ``lines``."""
        pars = self.pars
        found: list[Detection] = []
        for spectrum in spectra:
            rows = spectrum.data
            lines = find_lines(
                rows["wavelength"], rows["flux"], rows["fluxerr"], ~spectrum.is_flagged & np.isfinite(rows["flux"]),
                continuum=rows["continuum"], threshold=pars.line_threshold, widths_pixels=pars.line_widths,
                at_most=pars.max_lines,
            )  # fmt: skip
            spectrum.keep_lines(lines)
            found += [self.make_detection(line, spectrum, source) for line in lines]
        return found

    def make_detection(self, line: SpectralLine, spectrum: Spectrum, source: Source) -> Detection:
        """The row of a line: wavelengths in nm, S/N positive in emission; a subclass may add to it."""
        mjds = spectrum.mjds
        when = float(mjds[0]) if len(mjds) else None
        return Detection(
            method=self.method,
            data_types=["spectra"],
            source_name=source.name,
            project=source.project,
            cfg_hash=source.cfg_hash,
            observatory=spectrum.observatory,
            time_start=when,
            time_end=when,
            peak_time=when,
            simulated=False,
            snr=line.snr,
            score=abs(line.snr),
            extra_scores={
                "equivalent_width_nm": line.equivalent_width,
                "equivalent_width_error_nm": line.equivalent_width_error,
                "fwhm_nm": line.fwhm,
                "spectrum": spectrum.series_number,
            },
            quality_flag=line.is_flagged,
            wavelength_start=line.start,
            wavelength_end=line.end,
            wavelength_peak=line.wavelength,
        )
