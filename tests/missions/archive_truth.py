"""What the sandbox's archives hold of an observation, to compare with what was fetched."""

from __future__ import annotations

import gzip
import hashlib
import io
from pathlib import Path
from typing import Any

from skyvault.missions import Mission
from skyvault.missions.manifest import NAME
from skyvault.net.lzw import unlzw


def files_here(mission: Mission, obs_id: str) -> dict[str, str]:
    """{path below the observation's directory: SHA-256} of what was fetched; copies made here are left out."""
    folder = Path(mission.raw_data_path) / obs_id
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != NAME and "_if_" not in path.name
    }


def files_there(sandbox: Any, mission: Mission, obs_id: str) -> dict[str, str]:
    """{path: SHA-256} of everything the archive has of it, each as it is sent and as it is unpacked."""
    declared = mission.declaration
    found = sandbox.emulations[declared.archive].files_of(declared.name, obs_id)
    known: dict[str, str] = {}
    for path, body in found.items():
        name = path.rpartition("/")[2] if declared.bundle is not None else path.removeprefix("ODF/")
        known[name] = hashlib.sha256(body).hexdigest()
        if name.endswith(".gz"):
            known[name.removesuffix(".gz")] = hashlib.sha256(gzip.decompress(body)).hexdigest()
        elif name.endswith(".Z"):
            known[name.removesuffix(".Z")] = hashlib.sha256(b"".join(unlzw(io.BytesIO(body)))).hexdigest()
    if declared.name == "nustar_pointed":
        known[f"{obs_id}_cat.fits"] = known[f"nu{obs_id}.cat"]
    return known


def assert_whole(sandbox: Any, mission: Mission, obs_ids: list[str]) -> None:
    """Every file of these observations is the archive's, byte by byte, and there are some of each."""
    for obs_id in obs_ids:
        here, there = files_here(mission, obs_id), files_there(sandbox, mission, obs_id)
        assert here, f"{obs_id}: nothing came"
        wrong = {path for path, digest in here.items() if there.get(path) != digest}
        assert not wrong, f"{obs_id}: {sorted(wrong)}"
