"""Thumbnails of light curves: some points around an event and of the rest, packed into a kilobyte, drawn as a PNG.

Drawing needs no plotting library: a table of a thousand detections shows its thumbnails at once.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from skyvault.errors import FormatError
from skyvault.science.samples import Booleans, Floats

#: points of a thumbnail: around the event, and of the rest of the light curve
_NEAR: Final = 60
_FAR: Final = 90
_MOST_POINTS: Final = 10_000
_VERSION: Final = b"LC1"
#: red, green, blue of paper, frame, usual points, flagged points, and points of the event
_PAPER, _FRAME, _USUAL, _FLAGGED, _EVENT = (
    (255, 255, 255), (200, 204, 210), (70, 90, 120), (200, 200, 200), (205, 40, 30)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """Points of a light curve, by time, shape (n,): days from ``mjd``, relative flux (1 is usual) and its error.

    ``is_event`` marks the rows of the event, ``is_flagged`` those the survey or the quality check warns of.
    """

    mjd: float
    days: Floats
    flux: Floats
    error: Floats
    is_event: Booleans
    is_flagged: Booleans

    @classmethod
    def of(
        cls, mjd: Floats, flux: Floats, error: Floats, usual: float, peak: int, event: slice, is_flagged: Booleans
    ) -> Thumbnail:
        """At most 150 points of a light curve: those nearest to row ``peak``, and evenly some of all others.

        The event's brightest and faintest rows are always among them. ``usual`` is the flux that is 1.
        """
        n = len(mjd)
        near = np.arange(max(peak - _NEAR // 2, 0), min(peak + _NEAR // 2 + 1, n))
        far = np.unique(np.linspace(0, n - 1, min(_FAR, n)).astype(np.int64))
        inside = np.arange(n)[event]
        few = inside[np.unique(np.linspace(0, len(inside) - 1, min(30, len(inside))).astype(np.int64))]
        rows = np.unique(np.concatenate([near, far, few, [peak]]))
        rows = rows[np.isfinite(flux[rows])]
        is_event = (rows >= event.start) & (rows < event.stop)
        scale = usual if usual > 0.0 else 1.0
        return cls(
            float(mjd[peak]), mjd[rows] - mjd[peak], flux[rows] / scale, error[rows] / scale, is_event, is_flagged[rows]
        )

    def to_bytes(self) -> bytes:
        """Packed; see :meth:`from_bytes`."""
        marks = self.is_event.astype(np.uint8) | (self.is_flagged.astype(np.uint8) << 1)
        body = b"".join(np.asarray(one, "<f4").tobytes() for one in (self.days, self.flux, self.error))
        return _VERSION + zlib.compress(struct.pack("<dI", self.mjd, len(self.days)) + body + marks.tobytes(), 6)

    @classmethod
    def from_bytes(cls, packed: bytes) -> Thumbnail:
        """What :meth:`to_bytes` packed. Raises FormatError."""
        try:
            if packed[:3] != _VERSION:
                raise ValueError("another version")
            body = zlib.decompressobj().decompress(packed[3:], 12 + 13 * _MOST_POINTS)
            mjd, count = struct.unpack_from("<dI", body)
            if count > _MOST_POINTS or len(body) != 12 + 13 * count:
                raise ValueError("its length is wrong")
        except (ValueError, struct.error, zlib.error) as error:
            raise FormatError(f"this is no thumbnail of a light curve: {error}") from None
        numbers = np.frombuffer(body, "<f4", 3 * count, 12).astype(np.float64).reshape(3, count)
        marks = np.frombuffer(body, np.uint8, count, 12 + 12 * count)
        return cls(mjd, numbers[0], numbers[1], numbers[2], (marks & 1) > 0, (marks & 2) > 0)

    def png(self, width: int = 180, height: int = 72) -> bytes:
        """A picture: the whole light curve left, the time around the event right; brighter is up, the event red."""
        image = np.full((height, width, 3), _PAPER, np.uint8)
        split = int(width * 0.55)
        for left, right in ((0, split - 2), (split + 2, width)):
            image[[0, -1], left:right] = _FRAME
            image[:, [left, right - 1]] = _FRAME
        if len(self.days):
            event_days = self.days[self.is_event]
            span = float(np.ptp(event_days)) if len(event_days) else 0.0
            reach = max(2.0 * span, self._reach())
            self._draw(image[:, : split - 2], float(self.days.min()), float(self.days.max()))
            self._draw(image[:, split + 2 :], -reach, reach)
        return _png(image)

    def _reach(self) -> float:
        """Days to show on both sides of a short event: to its fifth neighbour."""
        away = np.sort(np.abs(self.days))
        return float(away[min(10, len(away) - 1)]) or 1.0

    def _draw(self, image: Any, first: float, last: float) -> None:
        height, width = image.shape[:2]
        shown = (self.days >= first) & (self.days <= last)
        if not shown.any():
            return
        good = shown & (~self.is_flagged | self.is_event)
        values = self.flux[good if good.any() else shown]
        low, high = float(values.min()), float(values.max())
        margin = 0.12 * (high - low) or 0.1
        low, high = low - margin, high + margin
        x = 4 + (self.days - first) / ((last - first) or 1.0) * (width - 9)
        y = 3 + (high - np.clip(self.flux, low, high)) / (high - low) * (height - 7)
        bar = self.error / (high - low) * (height - 7)
        dot = max(round(height / 50), 1)
        # the event is drawn last, over all others
        for chosen, color, size in (
            (shown & self.is_flagged & ~self.is_event, _FLAGGED, dot),
            (shown & ~self.is_flagged & ~self.is_event, _USUAL, dot),
            (shown & self.is_event, _EVENT, dot + 1),
        ):
            pale = (2 * np.array(_PAPER) + np.array(color)) // 3
            columns, rows = x[chosen].astype(np.int64), y[chosen].astype(np.int64)
            lengths = np.nan_to_num(bar[chosen])
            for column, row, length in zip(columns.tolist(), rows.tolist(), lengths.tolist(), strict=True):
                image[max(int(row - length), 1) : min(int(row + length) + 1, height - 1), column] = pale
            for column, row in zip(columns.tolist(), rows.tolist(), strict=True):
                top, left = max(row - size // 2, 0), max(column - size // 2, 0)
                image[top : top + size, left : left + size] = color


def _png(image: Any) -> bytes:
    """An RGB array of shape (height, width, 3) as a PNG (ISO/IEC 15948)."""
    height, width = image.shape[:2]
    lines = np.zeros((height, 1 + 3 * width), np.uint8)
    lines[:, 1:] = image.reshape(height, -1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines.tobytes(), 6))
        + chunk(b"IEND", b"")
    )  # fmt: skip
