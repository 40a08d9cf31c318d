"""Looks for what appears near a source on some of its images and not on the others: detections with their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from skyvault.errors import ParameterError
from skyvault.pipeline.faults import DataError, DataMissing
from skyvault.pipeline.image_files import read_image
from skyvault.pipeline.parameters import Parameters
from skyvault.pipeline.part import Part
from skyvault.pipeline.raw_data import RawImages
from skyvault.pipeline.source import Detection, Source
from skyvault.science.source_extraction import extract_sources


class ParsImageFinder(Parameters):
    """What counts as new."""

    default_cfg_key: ClassVar[str | None] = "image_finder"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_par("image_radius", 15.0, float, "how far from the source is looked, arcsec; 0 looks at no image")
        self.add_par("image_threshold", 7.0, float, "signal to noise from which something is there")
        self.add_par("match_pixels", 2.0, float, "what lies nearer on two images is the same")
        self.add_par("most_images", 0.34, float, "something on a larger part of the images is no news")
        self.add_par("least_images", 3, int, "images it takes to tell what is usual")


class ImageFinder(Part):
    """Compares a source's images of each filter with each other. Override :meth:`detect` for another search."""

    pars_class = ParsImageFinder
    pars: Any
    method: ClassVar[str] = "new on images"

    def detect(self, datasets: Sequence[RawImages], source: Source) -> list[Detection]:
        """Detections of what is near the source on few of the images that show its place."""
        if not self.pars.image_radius > 0.0:
            return []
        return [one for dataset in datasets for one in self._of(dataset, source)]

    def _of(self, dataset: RawImages, source: Source) -> list[Detection]:
        pars = self.pars
        names = dataset.data.dtype.names or ()
        filters = dataset.data["filter"] if "filter" in names else np.full(len(dataset.data), b"")
        seen: list[dict[str, Any]] = []
        images: dict[bytes, int] = {}
        for number, path in enumerate(dataset.paths()):
            try:
                image = read_image(path)
            except (DataError, DataMissing):
                # the light curve names it among its problems
                continue
            at = image.place(source.ra, source.dec)
            height, width = image.pixels.shape
            if at is None or not (0 <= at[0] < width and 0 <= at[1] < height):
                continue
            scale = image.pixel_scale_arcsec()
            band = bytes(filters[number]) or (image.filter or "").encode()
            images[band] = images.get(band, 0) + 1
            reach = pars.image_radius / scale
            # the background needs some sky around
            left, low = (max(0, int(one - reach) - 40) for one in at)
            part = np.s_[low : min(height, int(at[1] + reach) + 41), left : min(width, int(at[0] + reach) + 41)]
            try:
                found = extract_sources(
                    image.pixels[part], threshold_sigma=3.0, mask=None if image.bad is None else image.bad[part],
                    saturation=image.saturation,
                )  # fmt: skip
            except ParameterError:
                continue
            x, y = found.x + left, found.y + low
            near = np.flatnonzero((np.hypot(x - at[0], y - at[1]) <= reach) & (found.snr >= pars.image_threshold))
            ra, dec = image.wcs.all_pix2world(x, y, 0)
            seen += [
                {"image": number, "band": band, "x": float(x[row]), "y": float(y[row]), "ra": float(ra[row]) % 360.0,
                 "dec": float(dec[row]), "snr": float(found.snr[row]), "flag": bool(found.flags[row]),
                 "match": pars.match_pixels * scale} for row in near.tolist()
            ]  # fmt: skip
        return [self.make_detection(one, dataset, source) for one in self._news(seen, images)]

    def _news(self, seen: list[dict[str, Any]], images: dict[bytes, int]) -> list[dict[str, Any]]:
        """What has counterparts on too few images of its filter."""
        pars = self.pars
        news = []
        for one in seen:
            total = images[one["band"]]
            if total < pars.least_images:
                continue
            cosine = np.cos(np.radians(one["dec"]))
            on = {
                other["image"] for other in seen
                if other["band"] == one["band"] and 3600.0 * np.hypot(
                    ((other["ra"] - one["ra"] + 180.0) % 360.0 - 180.0) * cosine, other["dec"] - one["dec"]
                ) <= one["match"]
            }  # fmt: skip
            if len(on) <= pars.most_images * total:
                news.append({**one, "images": len(on), "of": total})
        return news

    def make_detection(self, one: dict[str, Any], dataset: RawImages, source: Source) -> Detection:
        """The row of something new: its pixels (from 0) on the image ``extra_scores["image"]``, and its place."""
        row = dataset.data[one["image"]]
        names = row.dtype.names or ()
        when = float(row["mjd"]) if "mjd" in names and np.isfinite(row["mjd"]) else None
        length = float(row["exptime"]) if "exptime" in names and np.isfinite(row["exptime"]) else 0.0
        return Detection(
            method=self.method,
            data_types=[dataset.data_type],
            source_name=source.name,
            project=source.project,
            cfg_hash=source.cfg_hash,
            observatory=dataset.observatory,
            filter=one["band"].decode("utf-8", "replace") or None,
            time_start=when,
            time_end=None if when is None else when + length / 86400.0,
            peak_time=when,
            simulated=False,
            snr=one["snr"],
            score=one["snr"],
            extra_scores={name: one[name] for name in ("image", "ra", "dec", "images", "of")},
            quality_flag=one["flag"],
            pixel_x=one["x"],
            pixel_y=one["y"],
        )
