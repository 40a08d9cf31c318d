"""Datasets of files: the row each has in its collection, and the products that belong to it."""

from __future__ import annotations

import hashlib
import mimetypes
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from skyvault.errors import ConfigError, FormatError
from skyvault.jobs.resource_context import ResourceContext, context_of
from skyvault.model.product import Product
from skyvault.plugins.hooks import call, hook
from skyvault.publish.files_below import FilesBelow
from skyvault.publish.mapping import is_expression, value_of
from skyvault.publish.resource import FilesSection
from skyvault.quiet import quiet
from skyvault.science.exposure_headers import wavelengths_of
from skyvault.science.previews import Pictures
from skyvault.science.reprojected import in_a_line
from skyvault.store.products import did_of

if TYPE_CHECKING:
    from skyvault.config import Settings

#: the media type of an answer of the links service (DataLink 1.1, section 3.3); clients compare it letter by letter
DATALINK: Final = "application/x-votable+xml;content=datalink"
_BLOCK: Final = 1 << 20
_TYPES: Final = {".fits": "application/fits", ".fit": "application/fits", ".fz": "application/fits",
                 ".fts": "application/fits",
                 ".vot": "application/x-votable+xml", ".h5": "application/x-hdf5", ".hdf5": "application/x-hdf5",
                 ".parquet": "application/vnd.apache.parquet", ".png": "image/png", ".jpg": "image/jpeg"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the files of one collection become datasets: everything a worker needs to know."""

    table: str
    section: FilesSection
    root: Path
    made: Path
    hooks: Path
    authority: str
    #: for hooks that ask for their context
    settings: Settings | None = None
    resource: Mapping[str, Any] = field(default_factory=dict)
    #: what was looked for beside the file that is read just now, also where nothing was found: size and time of change
    beside: dict[str, tuple[int, int] | None] = field(default_factory=dict)

    def context(self) -> ResourceContext:
        """What hooks may know and use; one for each process. Raises ConfigError where there are no settings."""
        if self.settings is None:
            raise ConfigError("its context cannot be had here", where=self.table)
        return context_of(self.table.partition(".")[0], self.resource, self.hooks.parent, self.settings)


@dataclass(slots=True)
class Dataset:
    """One dataset: its row (by column name), its products, and what was odd about it."""

    row: dict[str, Any]
    products: list[Product] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def links_address(did: str) -> str:
    """Where the links of a dataset are, below the service's root."""
    return f"/datalink/links?ID={quote(did, safe='')}"


def facts_of_file(path: Path, root: Path) -> dict[str, Any]:
    """What expressions may know of a file beside its header."""
    relative = path.relative_to(root)
    stem = relative.name
    for ending in (".gz", ".bz2", ".fz", *[path.with_suffix("").suffix, path.suffix]):
        if ending and stem.endswith(ending):
            stem = stem[: -len(ending)]
    folder = relative.parent.as_posix()
    return {
        "path": relative.as_posix(),
        "name": relative.name,
        "stem": stem.removesuffix(".fits").removesuffix(".fit"),
        "folder": "" if folder == "." else folder,
        "size": path.stat().st_size,
        "None": None,
    }


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def content_type_of(name: str) -> str:
    """The media type of a file by its name; packed files keep that of what is in them (FITS) or are what they are."""
    plain = name.lower()
    for ending in (".gz", ".bz2"):
        if plain.endswith((f".fits{ending}", f".fit{ending}", f".fts{ending}")):
            return "application/fits"
    suffix = Path(plain).suffix
    return _TYPES.get(suffix) or mimetypes.guess_type(plain)[0] or "application/octet-stream"


def finished(
    recipe: Recipe,
    dataset: Dataset,
    local: str,
    facts: Mapping[str, Any],
    header: Any,
    path: Path | None,
    hdu: int | None,
) -> Dataset:
    """A dataset with what the resource says over what its header says, its identifier and its products.

    Without a ``path`` it is made on demand, by the section's function ``make``.
    Raises FormatError when a value cannot be had, or the hook refuses it.
    """
    section, row = recipe.section, dataset.row
    did = did_of(recipe.authority, recipe.table, local)
    row.setdefault("obs_id", facts["stem"])
    row["obs_publisher_did"] = did
    row["obs_collection"] = row.get("obs_collection") or section.title or recipe.table
    row.setdefault("calib_level", 2)
    row["access_url"] = links_address(did)
    row["access_format"] = DATALINK
    row["access_estsize"] = None if path is None else max(1, round(facts["size"] / 1024))
    for name, value in section.map.items():
        row[name] = value_of(value, facts, header)
    _follow(row, section.map)
    for name, extra in section.extra.items():
        row[name] = value_of(extra.value, facts, header)
    if section.hook is not None:
        _through_hook(recipe, dataset, path, header)
        # the hook gave another row
        row = dataset.row
    released = value_of(section.embargo, facts, header)
    row["obs_release_date"] = None if released is None else str(released)
    row["data_rights"] = "public" if released is None else "proprietary"
    this = Product(
        did,
        0,
        "#this",
        "hook" if path is None else "source",
        str(section.make) if path is None else facts["path"],
        section.content_type if path is None else content_type_of(facts["name"]),
        None if path is None else facts["size"],
        None if path is None else sha256_of(path),
        _said(section.this.description, {**row, **facts}, header),
        hdu,
        row.get("dataproduct_type"),
        section.this.local_semantics,
        row["obs_release_date"],
    )
    dataset.products = [this, *dataset.products, *_companions(recipe, dataset, facts, header)]
    if isinstance(section.obscore, str):
        row["_in_obscore"] = bool(value_of(section.obscore, {**facts, **row}, header))
    else:
        row["_in_obscore"] = section.obscore
    return dataset


def _follow(row: dict[str, Any], mapped: Mapping[str, Any]) -> None:
    """What follows from mapped columns and is not mapped itself: the end of an exposure, a filter's wavelengths."""
    if "t_max" not in mapped and not {"t_min", "t_exptime"}.isdisjoint(mapped):
        begin, seconds = row.get("t_min"), row.get("t_exptime")
        if isinstance(begin, int | float) and isinstance(seconds, int | float):
            row["t_max"] = begin + seconds / 86_400.0
    if "filter" in mapped and {"em_min", "em_max"}.isdisjoint(mapped):
        span = None if row.get("filter") is None else wavelengths_of(str(row["filter"]))
        row["em_min"], row["em_max"] = span or (None, None)


def kept_pictures(pictures: Pictures, recipe: Recipe, local: str, semantics: str) -> list[Product]:
    """Pictures of a dataset, written below the folder of what we make; their products."""
    did = did_of(recipe.authority, recipe.table, local)
    products = []
    for term, content, ending in (
        (semantics, pictures.preview, ".png"),
        ("#thumbnail", pictures.thumbnail, ".small.png"),
    ):
        # named by what it shows: the one that is public stays until the next version is
        name = f"{local}.{hashlib.sha256(content).hexdigest()[:12]}{ending}"
        place = recipe.made / name
        if not place.is_file() or place.stat().st_size != len(content):
            place.parent.mkdir(parents=True, exist_ok=True)
            draft = place.with_name(f".{place.name}.part")
            draft.write_bytes(content)
            draft.replace(place)
        products.append(Product(did, 0, term, "made", name, "image/png", len(content)))
    return products


def _through_hook(recipe: Recipe, dataset: Dataset, path: Path | None, header: Any) -> None:
    act = hook(recipe.hooks, str(recipe.section.hook))
    try:
        changed = call(act, dict(dataset.row), path, header, context=recipe.context)
    except ConfigError:
        raise
    except Exception as problem:
        raise FormatError(f"the hook {recipe.section.hook} says: {type(problem).__name__}: {problem}") from None
    if changed is None:
        raise FormatError(f"the hook {recipe.section.hook} leaves it out")
    if not isinstance(changed, dict):
        raise FormatError(f"the hook {recipe.section.hook} gave {type(changed).__name__}, not a row")
    dataset.row = changed


def _said(text: str | None, facts: Mapping[str, Any], header: Any) -> str | None:
    """A text of a resource for people, computed where it is an expression."""
    value = value_of(text, facts, header)
    return None if value is None else str(value)


def _companions(recipe: Recipe, dataset: Dataset, facts: Mapping[str, Any], header: Any) -> list[Product]:
    row = dataset.row
    did, released = str(row["obs_publisher_did"]), row["obs_release_date"]
    found = []
    # the pictures that were made are there already
    counts = Counter(["#this", *(one.semantics for one in dataset.products)])
    words = {key: str(facts[key]) for key in ("stem", "name", "folder", "path")}
    known = {**row, **facts}
    below = FilesBelow(recipe.root)
    for one in recipe.section.companions:
        number = counts[one.semantics]
        told: dict[str, Any] = {"released": released, "local_semantics": one.local_semantics}
        if one.hook is not None:
            told["description"] = _said(one.description, known, header)
            made = Product(did, number, one.semantics, "hook", one.hook, one.content_type, **told)
        elif one.url is not None:
            quoted = {key: quote(value) for key, value in words.items()}
            address = _filled(one.url, quoted, known, header)
            if address is None:
                continue
            told["description"] = _said(one.description, known, header)
            made = Product(did, number, one.semantics, "elsewhere", address, one.content_type, **told)
        else:
            relative = _filled(str(one.file), words, known, header)
            # looked at before it is read: what changes meanwhile is seen by the next publish
            seen = None if relative is None else below.look(relative)
            if relative is not None:
                recipe.beside.setdefault(relative, seen)
            if relative is None or seen is None:
                if one.required:
                    raise FormatError(f"its {one.semantics} {relative} is not there")
                continue
            beside, (size, mtime_ns) = recipe.root / relative, seen
            content_type = one.content_type or content_type_of(beside.name)
            if is_expression(one.description) and content_type == "application/fits":
                own, own_header = _image_facts(beside)
                told["description"] = _said(one.description, {**known, **own, "size": size}, own_header)
            else:
                told["description"] = _said(one.description, {**known, "size": size}, header)
            try:
                digest = sha256_of(beside)
            except OSError as problem:
                # looked at again the next time: that it may be read now changes neither size nor time
                recipe.beside[relative] = None
                raise FormatError(f"its {one.semantics} {relative} cannot be read ({problem.strerror})") from None
            told["mtime_ns"] = mtime_ns
            place = Path(relative).as_posix()
            made = Product(did, number, one.semantics, "source", place, content_type, size, digest, **told)
        counts[one.semantics] += 1
        found.append(made)
    return found


def _filled(text: str, words: Mapping[str, str], facts: Mapping[str, Any], header: Any) -> str | None:
    """A companion's path or address for this dataset; None where an expression says that it has none."""
    if is_expression(text):
        return _said(text, facts, header)
    return text.format(**words)


def _image_facts(path: Path) -> tuple[dict[str, Any], Any]:
    """Width and height in pixels of a FITS file's first image (None without one), and its header.

    Raises FormatError for what is no FITS.
    """
    from astropy.io import fits

    try:
        with quiet(), fits.open(path, memmap=False, lazy_load_hdus=True) as file:
            for hdu in file:
                if getattr(hdu, "is_image", False) and int(hdu.header.get("NAXIS", 0)) >= 2:
                    header = hdu.header.copy()
                    return {"s_xel1": int(header["NAXIS1"]), "s_xel2": int(header["NAXIS2"])}, header
            return {"s_xel1": None, "s_xel2": None}, file[0].header.copy()
    except Exception as problem:
        raise FormatError(f"{path.name}, which belongs to it, cannot be read ({in_a_line(problem)})") from None
