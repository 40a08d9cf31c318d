"""Whole catalogues, from targets to detections: projects, their parts, and the data they keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyvault.pipeline.analysis import Analysis, ParsAnalysis
    from skyvault.pipeline.catalog import Catalog
    from skyvault.pipeline.catalog_parameters import ParsCatalog
    from skyvault.pipeline.dasch_observatory import ParsObsDASCH, VirtualDASCH
    from skyvault.pipeline.dataset import Lightcurve, RawPhotometry
    from skyvault.pipeline.demo_observatory import ParsDemoObs, VirtualDemoObs
    from skyvault.pipeline.files_observatory import ParsObsFiles, VirtualFiles
    from skyvault.pipeline.finder import Finder, MatchedFilterFinder, ParsFinder
    from skyvault.pipeline.histogram import Histogram, ParsHistogram
    from skyvault.pipeline.image_finder import ImageFinder, ParsImageFinder
    from skyvault.pipeline.observatory import Observatory, ParsObservatory, VirtualObservatory
    from skyvault.pipeline.parameters import Parameters
    from skyvault.pipeline.period_finder import ParsPeriodFinder, PeriodFinder
    from skyvault.pipeline.project import ParsProject, Project
    from skyvault.pipeline.quality import ParsQuality, QualityChecker
    from skyvault.pipeline.raw_data import RawCutouts, RawImages, RawSpectra
    from skyvault.pipeline.service_observatory import ParsService, VirtualVO
    from skyvault.pipeline.simulator import ParsSimulator, Simulator
    from skyvault.pipeline.source import Detection, Properties, Source
    from skyvault.pipeline.spectrum import Spectrum
    from skyvault.pipeline.spectrum_finder import ParsSpectrumFinder, SpectrumFinder
    from skyvault.pipeline.tess_observatory import ParsObsTESS, VirtualTESS
    from skyvault.pipeline.ztf_observatory import ParsObsZTF, VirtualZTF

#: public name -> the module that holds it
_HOME_OF = {
    name: module
    for module, names in {
        "analysis": ("Analysis", "ParsAnalysis"),
        "catalog": ("Catalog",),
        "catalog_parameters": ("ParsCatalog",),
        "dasch_observatory": ("ParsObsDASCH", "VirtualDASCH"),
        "demo_observatory": ("ParsDemoObs", "VirtualDemoObs"),
        "files_observatory": ("ParsObsFiles", "VirtualFiles"),
        "finder": ("Finder", "MatchedFilterFinder", "ParsFinder"),
        "histogram": ("Histogram", "ParsHistogram"),
        "image_finder": ("ImageFinder", "ParsImageFinder"),
        "observatory": ("Observatory", "ParsObservatory", "VirtualObservatory"),
        "parameters": ("Parameters",),
        "period_finder": ("ParsPeriodFinder", "PeriodFinder"),
        "project": ("ParsProject", "Project"),
        "quality": ("ParsQuality", "QualityChecker"),
        "simulator": ("ParsSimulator", "Simulator"),
        # tables that refer to each other must all be known
        "source": ("Detection", "Lightcurve", "Properties", "RawPhotometry", "Source"),
        "raw_data": ("RawCutouts", "RawImages", "RawSpectra"),
        "service_observatory": ("ParsService", "VirtualVO"),
        "spectrum": ("Spectrum",),
        "spectrum_finder": ("ParsSpectrumFinder", "SpectrumFinder"),
        "tess_observatory": ("ParsObsTESS", "VirtualTESS"),
        "ztf_observatory": ("ParsObsZTF", "VirtualZTF"),
    }.items()
    for name in names
}

__all__ = [
    "Analysis", "Catalog", "Detection", "Finder", "Histogram", "ImageFinder", "Lightcurve", "MatchedFilterFinder",
    "Observatory", "Parameters", "ParsAnalysis", "ParsCatalog", "ParsDemoObs", "ParsFinder", "ParsHistogram",
    "ParsImageFinder", "ParsObsDASCH", "ParsObsFiles", "ParsObsTESS", "ParsObsZTF", "ParsObservatory",
    "ParsPeriodFinder", "ParsProject", "ParsQuality", "ParsService", "ParsSimulator", "ParsSpectrumFinder",
    "PeriodFinder", "Project", "Properties", "QualityChecker", "RawCutouts", "RawImages", "RawPhotometry",
    "RawSpectra", "Simulator", "Source", "Spectrum", "SpectrumFinder", "VirtualDASCH", "VirtualDemoObs",
    "VirtualFiles", "VirtualObservatory", "VirtualTESS", "VirtualVO", "VirtualZTF",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    import importlib

    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'skyvault.pipeline' has no public name {name!r}")
    value = getattr(importlib.import_module(f"skyvault.pipeline.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
