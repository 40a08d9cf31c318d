"""Masks of images: which pixels are saturated, at an edge, struck by a cosmic ray; each reason a plane with a name.

A mask is an image of integers in which every bit is a plane. Rubin's pipeline, and others of its family, name the bits
in the header: MP_SAT = 1 says that the second bit is saturation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from skyvault.errors import FormatError, NotFound, UsageError

_PREFIX: Final = "MP_"
#: the colours astronomers at Rubin are used to (lsst.afw.display); planes without one take the rest in turn
COLOURS: Final[Mapping[str, str]] = {
    "BAD": "red",
    "CR": "magenta",
    "EDGE": "gold",
    "INTRP": "limegreen",
    "SAT": "lime",
    "DETECTED": "dodgerblue",
    "DETECTED_NEGATIVE": "cyan",
    "SUSPECT": "yellow",
    "NO_DATA": "darkorange",
}
_OTHERS: Final = ("violet", "salmon", "turquoise", "tan", "plum", "khaki")


@dataclass(frozen=True, eq=False)
class Mask:
    """``bits``: integers, (rows, columns); ``planes``: name of each plane and the number of its bit, from 0."""

    bits: Any
    planes: Mapping[str, int]

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.bits.shape[0]), int(self.bits.shape[1])

    def plane(self, name: str) -> Any:
        """Where a plane is set: bool, (rows, columns). Raises NotFound."""
        bit = self.planes.get(name.strip().upper().removeprefix(_PREFIX))
        if bit is None:
            raise NotFound(f"the mask has no plane {name[:60]!r}", hint=f"It has {', '.join(self.planes)}.")
        return (self.bits >> self.bits.dtype.type(bit)) & self.bits.dtype.type(1) != 0

    def counts(self) -> dict[str, int]:
        """Pixels in which each plane is set."""
        return {name: int(np.count_nonzero(self.plane(name))) for name in self.planes}

    def is_set(self, names: Iterable[str]) -> Any:
        """Where any of these planes is set: ``mask.is_set(["SAT", "CR"])``."""
        chosen = np.zeros(self.shape, bool)
        for name in names:
            chosen |= self.plane(name)
        return chosen

    def colours(self) -> dict[str, str]:
        """A colour for each plane."""
        others = iter(_OTHERS * (len(self.planes) // len(_OTHERS) + 1))
        return {name: COLOURS.get(name) or next(others) for name in self.planes}

    def __repr__(self) -> str:
        return f"<Mask of {self.shape[1]} x {self.shape[0]} pixels: {', '.join(self.planes)}>"


def read_mask(image: Any, hdu: int | str | None = None, *, session: Any = None) -> Mask:
    """The mask of an image: what :func:`open_image` takes, or an HDUList. By default the HDU named MASK.

    Raises FormatError for a file without mask, UsageError for an HDU that holds none.
    """
    from astropy.io import fits

    from skyvault.find.image import open_image

    opened = image if isinstance(image, fits.HDUList) else open_image(image, session=session)
    try:
        chosen = _mask_hdu(opened, hdu)
        bits = np.array(chosen.data)
        header = chosen.header
    finally:
        if opened is not image:
            opened.close()
    if bits.dtype.kind not in "iu" or bits.ndim != 2:
        raise FormatError("the mask is no image of integers", where=str(opened.filename() or "mask"))
    # the order of FITS is not that of the machine, and a sign bit is a bit as others
    bits = bits.astype(f"u{bits.dtype.itemsize}")
    most = 8 * bits.dtype.itemsize
    planes: dict[str, int] = {}
    for card in header.cards:
        bit = card.value
        is_bit = isinstance(bit, int) and not isinstance(bit, bool) and 0 <= bit < most
        if card.keyword.startswith(_PREFIX) and is_bit:
            planes[card.keyword.removeprefix(_PREFIX)] = bit
    if not planes:
        # nobody says what they mean, but they can be told apart
        used = int(np.bitwise_or.reduce(bits, axis=None)) if bits.size else 0
        planes = {f"BIT{bit}": bit for bit in range(most) if used >> bit & 1}
    return Mask(bits, dict(sorted(planes.items(), key=lambda plane: plane[1])))


def _mask_hdu(opened: Any, hdu: int | str | None) -> Any:
    wanted = "MASK" if hdu is None else hdu
    if isinstance(wanted, int) and not 0 <= wanted < len(opened):
        raise UsageError(f"there is no HDU {wanted}: the file has {len(opened)}")
    named = [opened[wanted]] if isinstance(wanted, int) else [o for o in opened if o.name == wanted.strip().upper()]
    found = next((one for one in named if one.is_image and one.data is not None), None)
    if found is None:
        names = ", ".join(dict.fromkeys(one.name for one in opened if one.name))
        raise FormatError(
            "the file has no mask" if hdu is None else f"HDU {hdu} holds no mask",
            where=str(opened.filename() or "image"),
            hint=f"Its HDUs are {names}." if names else None,
        )
    return found
