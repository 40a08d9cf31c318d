"""Data sets of a source, under the name AstroRetriever's users know: ``from skyvault.pipeline import dataset``."""

from __future__ import annotations

from typing import Any

from skyvault.pipeline.lightcurve import Lightcurve, save_lightcurves
from skyvault.pipeline.raw_photometry import RawPhotometry
from skyvault.pipeline.stored_data import DatasetMixin, data_root, product_folder

__all__ = ["DatasetMixin", "Lightcurve", "RawPhotometry", "data_root", "product_folder", "save_lightcurves"]


def __getattr__(name: str) -> Any:
    # ``dataset.DATA_ROOT = "/path"`` moves the data of this process; read, it is where they are
    if name == "DATA_ROOT":
        return str(data_root())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
