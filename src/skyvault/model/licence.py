"""Licences that are known by a short name (SPDX), and the addresses of their texts."""

from __future__ import annotations

from typing import Final

LICENCES: Final[dict[str, str]] = {
    "CC0-1.0": "https://spdx.org/licenses/CC0-1.0.html",
    "CC-BY-4.0": "https://spdx.org/licenses/CC-BY-4.0.html",
    "CC-BY-SA-4.0": "https://spdx.org/licenses/CC-BY-SA-4.0.html",
    "CC-BY-3.0": "https://spdx.org/licenses/CC-BY-3.0.html",
    "MIT": "https://spdx.org/licenses/MIT.html",
    "ODbL-1.0": "https://spdx.org/licenses/ODbL-1.0.html",
}


def licence_url(licence: str | None) -> str | None:
    """The address of a licence's text; a licence may be an address itself. None where there is none to be told."""
    if licence is None:
        return None
    return LICENCES.get(licence, licence if "://" in licence else None)
