"""``skyvault registry``: the records of a data directory, what is missing in them, harvests by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from registry.hilltop import AUTHORITY, Site
from skyvault.config import Settings
from skyvault.serve.local import query

HILLTOP = {
    "SKYVAULT_AUTHORITY": AUTHORITY,
    "SKYVAULT_PUBLISHER": "Hilltop Observatory",
    "SKYVAULT_CONTACT": "vo@hilltop.example",
}


def test_records_are_listed_and_shown_without_a_server(
    skyvault: Callable[..., Any], observatory: tuple[Path, Settings]
) -> None:
    _, settings = observatory
    listed = skyvault("registry", "--home", settings.home, "--json", env=HILLTOP)
    assert listed.code == 0
    told = json.loads(listed.out)
    titles = {one["ivoid"]: one["title"] for one in told["records"]}
    assert titles[f"ivo://{AUTHORITY}/hill/plates"] == "Plates of the astrograph"
    assert titles[f"ivo://{AUTHORITY}"] == f"Naming authority {AUTHORITY}"
    # a table without a resource.yaml, and an address nobody reaches
    assert any("SKYVAULT_BASE_URL" in one for one in told["missing"])
    assert any("creators: hill.stars" in one for one in told["missing"])
    assert not any("SKYVAULT_AUTHORITY" in one for one in told["missing"])
    shown = skyvault("registry", "show", f"ivo://{AUTHORITY}/hill/plates", "--home", settings.home, env=HILLTOP)
    assert shown.out.startswith("<ri:Resource") and "http://127.0.0.1:8421/hill/plates" in shown.out
    unknown = skyvault("registry", "show", "ivo://nobody/x", "--home", settings.home, env=HILLTOP)
    assert unknown.code == 1 and "there is no record 'ivo://nobody/x'" in unknown.err


def test_a_registry_is_harvested_by_hand_and_forgotten(
    skyvault: Callable[..., Any], site: Site, tmp_path: Path
) -> None:
    home = tmp_path / "near"
    address = f"{site.base}/oai"
    nothing = skyvault("registry", "harvest", "--home", home)
    assert nothing.code == 2 and "no registry was harvested yet" in nothing.err
    done = skyvault("registry", "harvest", address, "--home", home)
    assert done.code == 0 and done.out.startswith("Hilltop Observatory registry: ")
    found = [row for batch in query("SELECT ivoid FROM rr.resource", home=home).batches for row in batch.to_pylist()]
    assert {"ivoid": f"ivo://{AUTHORITY}/hill/plates"} in found
    again = skyvault("registry", "harvest", "--home", home, "--json")
    assert json.loads(again.out)[0]["address"] == address
    assert address in skyvault("registry", "--home", home).out
    gone = skyvault("registry", "forget", address, "--home", home)
    assert gone.code == 0 and "are gone" in gone.out
    wrong = skyvault("registry", "harvest", f"{site.base}/nowhere", "--home", home)
    assert wrong.code == 1 and "no such file (404)" in wrong.err


def test_our_own_records_are_not_harvested_from_elsewhere(
    skyvault: Callable[..., Any], site: Site, tmp_path: Path
) -> None:
    done = skyvault("registry", "harvest", f"{site.base}/oai", "--home", tmp_path / "twin", env=HILLTOP)
    assert done.code == 3 and "its authority is ours" in done.err
