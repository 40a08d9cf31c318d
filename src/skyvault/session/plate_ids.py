"""Names of plates and exposures: ``ai37139``, ``ai37139m0s0``, ``b00065e0``.

A plate is a series and a number of at least five digits. An exposure on it is named by the mosaic (scan) it was
measured on and the astrometric solution in it, or, when the plate was never scanned, by its number in the logbook.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from skyvault.errors import ParameterError

_PLATE: Final = re.compile(r"([a-z]+)0*([0-9]{1,9})", re.IGNORECASE)
_EXPOSURE: Final = re.compile(r"([a-z]+)([0-9]{5,9})(?:m([0-9]+)s(-?[0-9]+)|e(-?[0-9]+))", re.IGNORECASE)


@dataclass(frozen=True, slots=True, order=True)
class PlateId:
    """A glass plate: its series (lower case) and its number in it."""

    series: str
    number: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``ai37139``, ``AI037139`` or ``b65``. Raises ParameterError for anything else."""
        found = _PLATE.fullmatch(text.strip()) if isinstance(text, str) else None
        if found is None:
            raise ParameterError(
                f"{_shown(text)} is no plate name", hint="It is a series and a number, for example ai37139."
            )
        return cls(found[1].lower(), int(found[2]))

    def __str__(self) -> str:
        return f"{self.series}{self.number:05d}"


@dataclass(frozen=True, slots=True)
class ExposureId:
    """One exposure of a plate; ``mosaic`` and ``solution`` (from 0) where it was scanned, else ``exposure``."""

    plate: PlateId
    mosaic: int | None = None
    solution: int | None = None
    exposure: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``mc34382m0s0`` or ``b00065e0``. Raises ParameterError for anything else."""
        found = _EXPOSURE.fullmatch(text.strip()) if isinstance(text, str) else None
        if found is None:
            raise ParameterError(
                f"{_shown(text)} is no exposure name", hint="Examples: mc34382m0s0 (scanned), b00065e0 (never scanned)."
            )
        plate = PlateId(found[1].lower(), int(found[2]))
        if found[3] is None:
            return cls(plate, exposure=int(found[5]))
        return cls(plate, mosaic=int(found[3]), solution=int(found[4]))

    def __str__(self) -> str:
        if self.mosaic is not None:
            return f"{self.plate}m{self.mosaic}s{self.solution}"
        return f"{self.plate}e{self.exposure if self.exposure is not None else 0}"


def _shown(text: object) -> str:
    shown = repr(text)
    return shown if len(shown) <= 60 else shown[:57] + "..."
