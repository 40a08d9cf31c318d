"""Values of parameters: what people call the kinds of data, numbers as YAML misreads them, and what is a secret."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from skyvault.pipeline.faults import ParameterValueError

#: what people call the kinds of data, and how the pipeline does
_DATA_TYPES: Final[dict[str, tuple[str, ...]]] = {
    "photometry": ("phot", "lightcurve", "lightcurves", "lc", "lcs"),
    "spectra": ("spec", "spectrum", "sed", "seds"),
    "images": ("image", "im", "img", "imgs"),
    "cutouts": ("cutout", "thumbnail", "thumbnails"),
}
#: keys of nested parameters whose values are never written down, whatever part they are meant for
_SECRET: Final = re.compile(r"(?i)passw|secret|token|credential|api_?key")


def number_of(text: str, types: tuple[type, ...]) -> Any:
    """A number that YAML 1.1 takes for a text, such as 1e-3, where a number is wanted and a text is not."""
    if float not in types or str in types:
        return text
    try:
        return float(text)
    except ValueError:
        return text


def without_secrets(value: Any) -> Any:
    """Nested names and values without those that look like passwords."""
    if isinstance(value, dict):
        return {key: without_secrets(one) for key, one in value.items() if not _SECRET.search(str(key))}
    return [without_secrets(one) for one in value] if type(value) is list else value


def data_types_of(words: str | Iterable[str]) -> list[str]:
    """Kinds of data by the pipeline's names, sorted. Raises ParameterValueError for an unknown one."""
    known = {alias: name for name, aliases in _DATA_TYPES.items() for alias in (name, *aliases)}
    found = set()
    for word in [words] if isinstance(words, str) else words:
        name = known.get(str(word).strip().lower())
        if name is None:
            raise ParameterValueError(
                f"{str(word)[:40]!r} is no kind of data", hint=f"There are {', '.join(_DATA_TYPES)}."
            )
        found.add(name)
    return sorted(found)
