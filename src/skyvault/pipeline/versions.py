"""What a project's results depend on, as one document and its checksum: alike on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from skyvault.pipeline.custom_code import code_of
from skyvault.pipeline.parameter_files import plain
from skyvault.pipeline.part import Part


def output_config(parts: Iterable[tuple[str, Part]], code: str) -> dict[str, Any]:
    """All parameters that change results, by the part's path; with the checksums of custom modules and the code's
    version. No secrets, no batch sizes, no verbosity."""
    document: dict[str, Any] = {"code": code}
    modules: dict[str, str] = {}
    for path, part in parts:
        document[path] = plain(part.pars.get_critical_pars())
        modules |= code_of(part) | code_of(part.pars)
    document["modules"] = dict(sorted(modules.items()))
    return document


def config_hash(document: dict[str, Any]) -> str:
    """SHA-256 of the document, 64 hexadecimal digits; 2 and 2.0 are the same number."""
    text = json.dumps(_numbers_alike(document), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _numbers_alike(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers_alike(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_numbers_alike(one) for one in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What changed between two output configurations, one text each: ``finder.snr_threshold: 5.0 -> 4.0``."""
    before, now = _numbers_alike(before), _numbers_alike(now)
    told = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            told += [f"{key}.{one}" for one in differences(old, new)]
        elif old != new:
            told.append(f"{key}: {_short(old)} -> {_short(new)}")
    return told


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
