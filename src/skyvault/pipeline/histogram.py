"""What a run has looked at: epochs counted by score, magnitude, exposure time and filter; additive, kept as netCDF."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from skyvault.errors import ParameterError
from skyvault.pipeline.faults import DataError, ParameterValueError
from skyvault.pipeline.parameters import Parameters
from skyvault.pipeline.part import Part
from skyvault.science.histogram import Axis, CountGrid, FixedAxis, GrowingAxis, NamedAxis

#: number of rows, and the value or values of each axis
_Rows = tuple[int, dict[str, Any]]
#: rows that wait to be counted: 5 MB
_MOST_WAITING: Final = 200_000
#: bytes of packed counts, unpacked
_MOST_PACKED: Final = 1_000_000_000


class ParsHistogram(Parameters):
    """The axes: (start, stop, step[, unit]) fixed, (origin, step[, unit]) growing, () one bin a name."""

    default_cfg_key: ClassVar[str | None] = "histograms"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_par(
            "score_coords",
            {"snr": [-20, 20, 0.1], "dmag": [-3, 3, 0.1], "offset": [-5, 5, 0.1]},
            dict, "axes of scores",
        )  # fmt: skip
        self.add_par("score_names", None, (None, list), "scores that are counted; None is all")
        self.add_par("source_coords", {"mag": [15, 21, 0.5]}, dict, "axes of the source's own values")
        self.add_par("obs_coords", {"exptime": [30, 1, "s"], "filter": []}, dict, "axes of the observations")

    def checked(self, name: str, value: Any) -> Any:
        if name.endswith("_coords") and isinstance(value, Mapping):
            for axis, numbers in value.items():
                axis_of(axis, numbers)
            return {axis: list(numbers) for axis, numbers in value.items()}
        return super().checked(name, value)


def axis_of(name: str, numbers: Sequence[Any]) -> Axis:
    """An axis as parameters write it. Raises ParameterValueError."""
    values = [one for one in numbers if not isinstance(one, str)]
    unit = next((one for one in numbers if isinstance(one, str)), "")
    if len(values) == 3:
        return FixedAxis(name, float(values[0]), float(values[1]), float(values[2]), unit)
    if len(values) == 2:
        return GrowingAxis(name, float(values[0]), float(values[1]), unit)
    if not values:
        return NamedAxis(name)
    raise ParameterValueError(
        f"the axis {name!r} cannot be {list(numbers)}", hint="Give (start, stop, step), (origin, step) or ()."
    )


class Histogram(Part):
    """Counts of epochs, one grid a score. ``h1 + h2`` is what counting both together would have given.

    Rows wait until there are many of them, or the counts are asked for: counting 100 rows costs as much as 10,000.
    """

    pars_class = ParsHistogram
    pars: ParsHistogram

    def __init__(self, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = name or "histogram"
        self._grids: dict[str, CountGrid] = {}
        self._waiting: dict[str, list[_Rows]] = {}
        self._number_waiting = 0
        self.initialize()

    def initialize(self) -> None:
        """Empty grids for the parameters as they are now."""
        scores = self.pars.score_names or list(self.pars.score_coords)
        unknown = [score for score in scores if score not in self.pars.score_coords]
        if unknown:
            raise ParameterValueError(f"there is no axis for the score {unknown[0]!r}")
        others = {**self.pars.source_coords, **self.pars.obs_coords}
        self._grids = {
            score: CountGrid(
                (*(axis_of(n, v) for n, v in others.items()), axis_of(score, self.pars.score_coords[score]))
            )
            for score in scores
        }
        self._waiting, self._number_waiting = {score: [] for score in scores}, 0

    @property
    def grids(self) -> dict[str, CountGrid]:
        """Score -> counts over its axes, of all rows so far."""
        for score, waiting in self._waiting.items():
            if waiting:
                self._count(self._grids[score], waiting)
                waiting.clear()
        self._number_waiting = 0
        return self._grids

    @staticmethod
    def _count(grid: CountGrid, waiting: list[_Rows]) -> None:
        lengths = [length for length, _ in waiting]
        together = {axis.name: _joined([values[axis.name] for _, values in waiting], lengths) for axis in grid.axes}
        try:
            grid.add(**together)
        except ParameterError:
            # one absurd value (an exposure of a thousand years) must not cost the counts of the others
            for length, values in waiting:
                try:
                    grid.add(**values)
                except ParameterError:
                    grid.unknown += length

    def add_data(self, *objects: Any, chosen: Any = None) -> None:
        """Count rows. For each axis the first object that has it is taken: a mapping, a table, or an attribute.

        ``chosen``, shape (n,) of bool, counts only these rows. Raises ParameterValueError when an axis has no values.
        Rows with a value that is not known, or that no axis can hold, are counted as ``unknown``.
        """
        for score, grid in self._grids.items():
            values: dict[str, Any] = {}
            length = 1
            for axis in grid.axes:
                value = _value_of(axis.name, objects)
                if np.ndim(value):
                    # a copy: a view would keep the whole table in memory
                    value = np.array(value if chosen is None else np.asarray(value)[chosen])
                    length = len(value)
                elif value is None:
                    value = "" if isinstance(axis, NamedAxis) else np.nan
                elif not isinstance(axis, NamedAxis):
                    value = float(value)
                values[axis.name] = value
            self._waiting[score].append((length, values))
            self._number_waiting += length

    def mark(self) -> dict[str, int]:
        """A place to which :meth:`forget` can go back, until the counts are asked for."""
        if self._number_waiting > _MOST_WAITING:
            _ = self.grids
        return {score: len(waiting) for score, waiting in self._waiting.items()}

    def forget(self, mark: dict[str, int]) -> None:
        """Count nothing that came after the mark: the source failed, and will come again."""
        for score, length in mark.items():
            del self._waiting[score][length:]

    def get_sum_scores(self) -> int:
        """Epochs counted, those out of range included; not those whose score or magnitude is unknown."""
        return next(iter(self.grids.values())).total

    def __iadd__(self, other: Histogram) -> Histogram:
        for score, grid in other.grids.items():
            if score not in self.grids:
                raise ParameterValueError(f"histograms cannot be added: one has no score {score!r}")
            self.grids[score] += grid
        return self

    def __add__(self, other: Histogram) -> Histogram:
        made = Histogram(self.name, **self.pars.to_dict())
        made += self
        made += other
        return made

    # --- kept --------------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """Axes and counts that are not zero, packed; see :meth:`take_bytes`."""
        parts = {}
        for score, grid in self.grids.items():
            cells = np.flatnonzero(grid.counts)
            parts[score] = {
                "axes": [_axis_json(axis) for axis in grid.axes],
                "unknown": grid.unknown,
                "cells": cells.tolist(),
                "counts": grid.counts.reshape(-1)[cells].tolist(),
            }
        return zlib.compress(json.dumps(parts).encode(), 1)

    def take_bytes(self, packed: bytes) -> None:
        """Add what :meth:`to_bytes` packed."""
        for score, grid in grids_of(packed).items():
            if score in self.grids:
                self.grids[score] += grid

    def save(self, path: Path) -> None:
        """Write ``<score>_counts`` over its axes as netCDF (classic, 64-bit offsets), as ``xarray.open_dataset`` reads
        it; bins beyond the range come first and last along fixed axes, at minus and plus infinity."""
        from scipy.io import netcdf_file

        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with netcdf_file(beside, "w", version=2) as file:
                file.name_of_histogram = self.name
                file.content = self.to_bytes().hex()
                for score, grid in self.grids.items():
                    dimensions = tuple(_write_axis(file, f"{score}_{axis.name}", axis) for axis in grid.axes)
                    # classic netCDF has no whole numbers beyond 32 bits; 64-bit floats hold them exactly to 9e15
                    kind = "i" if not grid.counts.size or grid.counts.max() < 2**31 else "d"
                    counts = file.createVariable(f"{score}_counts", kind, dimensions)
                    if grid.counts.size:
                        counts[:] = grid.counts
                    counts.long_name = f"epochs counted by {', '.join(axis.name for axis in grid.axes)}"
                    counts.unknown = grid.unknown
            os.replace(beside, path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise DataError(f"the histogram cannot be written: {error.strerror or error}", where=str(path)) from None

    @classmethod
    def from_netcdf(cls, path: Path | str) -> Histogram:
        """The histogram a file holds, with the axes it was made with. Raises DataError."""
        made = cls(Path(path).stem.removeprefix("histograms_"), cfg_file=False)
        made._grids = grids_of(_content_of(Path(path)))
        made._waiting = {score: [] for score in made._grids}
        return made

    def get_size(self) -> int:
        """Bytes of memory the counts take."""
        return sum(grid.counts.nbytes for grid in self.grids.values())

    def load(self, path: Path) -> None:
        """Take what :meth:`save` wrote in place of what is here. Raises DataError."""
        content = _content_of(path)
        self.initialize()
        self.take_bytes(content)


def _write_axis(file: Any, name: str, axis: Axis) -> str:
    """Makes a dimension, and the coordinate of its bins: numbers, or names as rows of letters."""
    file.createDimension(name, max(axis.size, 1))
    if isinstance(axis, NamedAxis):
        coded = [one.encode() for one in axis.names] or [b""]
        width = max(max(len(one) for one in coded), 1)
        file.createDimension(f"{name}_letters", width)
        letters = file.createVariable(name, "c", (name, f"{name}_letters"))
        letters[:] = np.array(coded, f"S{width}").view("S1").reshape(len(coded), width)
        return name
    variable = file.createVariable(name, "d", (name,))
    centres = np.r_[-np.inf, axis.centres, np.inf] if isinstance(axis, FixedAxis) else axis.centres
    variable[: len(centres)] = centres
    variable.units = axis.unit
    return name


def _content_of(path: Path) -> bytes:
    """What :meth:`Histogram.save` packed into the file; tried once, so that nothing half-read is taken."""
    from scipy.io import netcdf_file

    try:
        with netcdf_file(path, "r", mmap=False) as file:
            content = file.content
        packed = bytes.fromhex(content.decode() if isinstance(content, bytes) else content)
        grids_of(packed)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, IndexError, zlib.error, ParameterError) as error:
        raise DataError(f"the histogram cannot be read: {str(error)[:100]}", where=str(path)) from None
    return packed


def grids_of(packed: bytes) -> dict[str, CountGrid]:
    """Score -> counts of what :meth:`Histogram.to_bytes` packed; the axes are those it was packed with."""
    grids = {}
    text = zlib.decompressobj().decompress(packed, _MOST_PACKED)
    for score, part in json.loads(text).items():
        grid = CountGrid(tuple(_axis_from_json(one) for one in part["axes"]), unknown=part["unknown"])
        grid.counts.reshape(-1)[part["cells"]] = part["counts"]
        grids[score] = grid
    return grids


def _joined(values: list[Any], lengths: list[int]) -> Any:
    """One array of values that are arrays, or single ones for so many rows."""
    if not any(np.ndim(value) for value in values):
        return np.repeat(np.array(values), lengths)
    return np.concatenate(
        [value if np.ndim(value) else np.full(n, value) for value, n in zip(values, lengths, strict=True)]
    )


def _value_of(name: str, objects: Sequence[Any]) -> Any:
    for one in objects:
        if isinstance(one, Mapping):
            if name in one:
                return one[name]
        elif isinstance(one, np.ndarray) and one.dtype.names is not None:
            if name in one.dtype.names:
                return one[name]
        elif hasattr(one, name):
            return getattr(one, name)
    raise ParameterValueError(f"Could not find data for axis {name!r}")


def _axis_json(axis: Axis) -> list[Any]:
    if isinstance(axis, FixedAxis):
        return ["fixed", axis.name, axis.start, axis.stop, axis.step, axis.unit]
    if isinstance(axis, GrowingAxis):
        return ["growing", axis.name, axis.origin, axis.step, axis.unit, axis.first, axis.last]
    return ["named", axis.name, list(axis.names)]


def _axis_from_json(parts: list[Any]) -> Axis:
    kind, name, *rest = parts
    if kind == "fixed":
        return FixedAxis(name, *rest)
    if kind == "growing":
        return GrowingAxis(name, *rest)
    return NamedAxis(name, tuple(rest[0]))
