"""What a registry would miss in our records: told before anybody harvests them."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from skyvault.store import obscore
from skyvault.store.view import View, split_name

if TYPE_CHECKING:
    from skyvault.config import Settings

#: IVOA Identifiers 2.0, section 2.3.1
_AUTHORITY: Final = re.compile(r"[\w\d][\w\d\-_.!~*'()+=]{2,}", re.ASCII)
#: tables named one by one in a sentence
_NAMED: Final = 5


def missing(view: View, settings: Settings) -> list[str]:
    """Sentences, each with what to do; empty when a registry would be content."""
    told = []
    if settings.authority == "skyvault.invalid":
        told.append("The authority is not set: SKYVAULT_AUTHORITY, a name of your own such as observatory.example.")
    elif not _AUTHORITY.fullmatch(settings.authority):
        told.append(
            f"The authority {settings.authority!r} is none: three characters or more, letters, digits, dots, hyphens."
        )
    if settings.publisher is None:
        told.append("Nobody publishes: SKYVAULT_PUBLISHER, the name of your institute.")
    if settings.contact is None:
        told.append("Nobody can be asked: SKYVAULT_CONTACT, a mail address.")
    if settings.base_url is None or _is_local(settings.base_url):
        told.append(f"Nobody elsewhere reaches {settings.public_url}: SKYVAULT_BASE_URL, the address others use.")
    lacking: dict[str, list[str]] = {}
    for shelf in view.tables.values():
        schema = split_name(shelf.table.name)[0].lower()
        if schema in ("tap_schema", "rr") or shelf.table.name.lower() == obscore.NAME.lower():
            continue
        facts = shelf.extra.get("resource") or {}
        given = {
            "a title": shelf.table.title or facts.get("title"),
            "a description": shelf.table.description or facts.get("description"),
            "creators": facts.get("creators"),
            "subjects (concepts of the UAT)": facts.get("subjects"),
            "a licence": facts.get("licence") or facts.get("rights"),
        }
        for what, value in given.items():
            if not value:
                lacking.setdefault(what, []).append(shelf.table.name)
    for what, names in lacking.items():
        named = ", ".join(sorted(names)[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        told.append(f"Without {what}: {named}. Publish with a resource.yaml that says it.")
    return told


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost" or "." not in host
