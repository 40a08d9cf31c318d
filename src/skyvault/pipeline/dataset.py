"""Data sets of a source, under the name AstroRetriever's users know: ``from skyvault.pipeline import dataset``."""

from __future__ import annotations

from skyvault.pipeline.lightcurve import Lightcurve, save_lightcurves
from skyvault.pipeline.raw_photometry import RawPhotometry
from skyvault.pipeline.stored_data import DatasetMixin, data_root, product_folder

__all__ = ["DatasetMixin", "Lightcurve", "RawPhotometry", "data_root", "product_folder", "save_lightcurves"]
