"""Where an archive's files lie: a directory a mission and observation, products under names that say what they are.

archives/NAME/processed_data/MISSION/OBSID/{events,images,background}/
archives/NAME/failed_data/MISSION/OBSID/
archives/NAME/regions/MISSION/OBSID/source_regions_radec.reg
archives/NAME/logs/MISSION/PROCESS_IDENT_{stdout,stderr}.log
archives/NAME/.save_info/   states of the missions, records of processes, the manifest
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import NotFound, StoreError
from skyvault.missions.declaration import Band, ProductKind
from skyvault.missions.faults import (
    MissionValueError,
    NotDownloadedError,
    PreProcessedNotAvailableError,
    PreProcessedNotSupportedError,
)

if TYPE_CHECKING:
    from skyvault.missions.mission import Mission

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")
#: directory and end of the name of each kind of product
_PLACES: Final[Mapping[ProductKind, tuple[str, str]]] = {
    "events": ("events", "finalevents"),
    "image": ("images", "image"),
    "expmap": ("images", "expmap"),
    "background": ("background", "backmap"),
}
REGION_FILE: Final = "source_regions_radec.reg"
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A product in the tidy tree: where (below the archive), which observation, and the sum of its bytes."""

    path: str
    mission: str
    obs_id: str
    kind: str
    instrument: str
    source: str
    size_bytes: int
    sha256: str


class Layout:
    """The directories of one archive. Nothing is made before it is needed."""

    def __init__(self, output: Path, name: str) -> None:
        self.root = output / "archives" / checked_name(name)

    @property
    def save_info(self) -> Path:
        return self.root / ".save_info"

    def processed(self, mission: str, obs_id: str | None = None) -> Path:
        return _below(self.root / "processed_data" / mission, obs_id)

    def failed(self, mission: str, obs_id: str | None = None) -> Path:
        return _below(self.root / "failed_data" / mission, obs_id)

    def regions(self, mission: str, obs_id: str) -> Path:
        return _below(self.root / "regions" / mission, obs_id) / REGION_FILE

    def log(self, mission: str, process: str, ident: str, stream: str) -> Path:
        return self.root / "logs" / mission / f"{checked_name(process)}_{checked_name(ident)}_{stream}.log"


def checked_name(name: str) -> str:
    """A name that may be a file's. Raises MissionValueError."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise MissionValueError(
            f"{str(name)[:60]!r} cannot be a name here", hint="Letters, digits and _ . + - are taken, 100 at most."
        )
    return name


def product_name(
    kind: ProductKind, obs_id: str, inst: str, sub_exposure: str, band: Band | None, suffix: str = ".fits"
) -> str:
    """The path of a product below its observation's directory."""
    directory, end = _PLACES[kind]
    energy = "" if band is None else f"-en{band.lo_kev:g}_{band.hi_kev:g}keV"
    return f"{directory}/obsid{obs_id}-inst{inst}-subexp{sub_exposure}{energy}-{end}{suffix}"


def tidy(layout: Layout, mission: Mission, *, without: Container[str] = (), is_linked: bool = True) -> list[KeptFile]:
    """Put the downloaded products of the chosen observations into the tree, as hard links where that is possible.

    ``without`` are ObsIDs that are not whole. What is there already with the same size and sum is left alone. Raises
    StoreError when the disk does not take it.
    """
    kept = []
    for obs_id in mission.filtered_obs_ids.tolist():
        if obs_id in without:
            continue
        for kind, inst, sub_exposure, band, source in _products(mission, obs_id):
            suffix = ".fits.gz" if source.suffix == ".gz" else ".fits"
            target = layout.processed(mission.name, obs_id) / product_name(
                kind, obs_id, inst, sub_exposure, band, suffix
            )
            _place(source, target, is_linked=is_linked)
            kept.append(
                KeptFile(
                    target.relative_to(layout.root).as_posix(),
                    mission.name,
                    obs_id,
                    kind,
                    inst,
                    str(source),
                    target.stat().st_size,
                    sha256_of(target),
                )
            )
    return kept


def _products(mission: Mission, obs_id: str) -> Iterator[tuple[ProductKind, str, str, Band | None, Path]]:
    """(kind, instrument, sub-exposure, band, file) of all products of an observation that are on disk."""
    declared = mission.declaration
    for kind, products in declared.products.items():
        getter = {
            "events": mission.get_evt_list_paths,
            "image": mission.get_image_path,
            "expmap": mission.get_expmap_path,
            "background": mission.get_background_path,
        }[kind]
        for inst in _instruments(mission, obs_id, products):
            asked = None if inst == "ALL" else inst
            if kind == "events":
                found = _or_none(getter, obs_id, inst=asked) or []
                for number, path in enumerate(found, 1):
                    yield kind, inst, "ALL" if len(found) == 1 else f"{number:03d}", None, Path(path)
                continue
            for band in declared.bands.get(inst) or declared.bands.get("*") or ():
                one = _or_none(getter, obs_id, lo_en=band.lo_kev, hi_en=band.hi_kev, inst=asked)
                if one is not None:
                    yield kind, inst, "ALL", band, Path(one)


def _instruments(mission: Mission, obs_id: str, products: Mapping[str, Any]) -> list[str]:
    if mission.one_inst_per_obs and mission.declaration.fov_column:
        rows = mission.filtered_obs_info
        row = rows["ObsID"].to_pylist().index(obs_id)
        return [str(rows[mission.declaration.fov_column][row].as_py())]
    # one file for all instruments together
    return ["ALL"] if "*" in products else mission.chosen_instruments


def _or_none(getter: Any, *arguments: Any, **named: Any) -> Any:
    """A product's path; None where the archive has none of this observation."""
    with suppress(
        NotFound,
        NotDownloadedError,
        PreProcessedNotSupportedError,
        PreProcessedNotAvailableError,
        MissionValueError,
    ):
        return getter(*arguments, **named)
    return None


def _place(source: Path, target: Path, *, is_linked: bool) -> None:
    if target.is_file() and (target.samefile(source) or _is_same(source, target)):
        return
    beside = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        if is_linked:
            try:
                os.link(source, beside)
            except OSError:
                # another file system, or one without hard links
                shutil.copyfile(source, beside)
        else:
            shutil.copyfile(source, beside)
        os.replace(beside, target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise StoreError(f"the product cannot be put into the archive: {error.strerror}", where=str(target)) from None


def _is_same(source: Path, target: Path) -> bool:
    return source.stat().st_size == target.stat().st_size and sha256_of(source) == sha256_of(target)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- documents -------------------------------------------------------------------------------------------------------


def write_document(path: Path, document: Any) -> None:
    """Write JSON; an older file of that name stays until the new one is whole on disk. Raises StoreError."""
    beside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise StoreError(f"the archive cannot be saved: {error.strerror}", where=str(path)) from None


def write_manifest(layout: Layout, kept: list[KeptFile]) -> None:
    """What the tidy tree holds, with sizes and sums."""
    write_document(layout.save_info / "manifest.json", {"files": [asdict(one) for one in kept]})


def read_manifest(layout: Layout) -> list[KeptFile]:
    """What the tidy tree should hold; nothing when no product was ever put into it."""
    try:
        document = json.loads((layout.save_info / "manifest.json").read_text(encoding="utf-8"))
        return [KeptFile(**one) for one in document["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def damaged_files(layout: Layout) -> dict[str, str]:
    """{path: what is wrong} of all files that are not what the manifest says."""
    wrong = {}
    for one in read_manifest(layout):
        path = layout.root / one.path
        if not path.is_file():
            # the products of failed observations lie in the other tree
            path = layout.root / one.path.replace("processed_data/", "failed_data/", 1)
        if not path.is_file():
            wrong[one.path] = "is missing"
        elif path.stat().st_size != one.size_bytes:
            wrong[one.path] = f"has {path.stat().st_size:,} bytes instead of {one.size_bytes:,}"
        elif sha256_of(path) != one.sha256:
            wrong[one.path] = "has other bytes than it had"
    return wrong


def _below(directory: Path, obs_id: str | None) -> Path:
    return directory if obs_id is None else directory / checked_name(obs_id)
