"""Whether the functions that a resource names are in its hooks.py, and whether it has what its services are about."""

from __future__ import annotations

from collections.abc import Iterator

from skyvault.errors import SkyvaultError
from skyvault.plugins.hooks import hook
from skyvault.publish.checker import Finding
from skyvault.publish.resource_file import ResourceFile


def hook_findings(file: ResourceFile) -> Iterator[Finding]:
    """An error for each function (or table of rows) that is named and not there, and for a hooks.py that is broken."""
    for name, keys in _named(file):
        try:
            hook(file.hooks, name)
        except SkyvaultError as problem:
            yield Finding("error", file.place(*keys), f"{problem.where}: {problem.what}", problem.hint or "")
    for name, section in file.resource.files.items():
        rows = (section.rows or "").strip()
        is_table = "." in rows and not rows[:7].upper().startswith("SELECT")
        if is_table and not (file.root / rows).is_file():
            yield Finding("error", file.place("files", name, "rows"), f"there is no file {rows!r}", "")


def _named(file: ResourceFile) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    for index, action in enumerate(file.resource.actions):
        yield action.hook, ("actions", index, "hook")
    for name, section in file.resource.files.items():
        here: tuple[str | int, ...] = ("files", name)
        if section.hook is not None:
            yield section.hook, (*here, "hook")
        if section.make is not None:
            yield section.make, (*here, "make")
        if section.rows is not None and section.rows.isidentifier():
            yield section.rows, (*here, "rows")
        for number, companion in enumerate(section.companions):
            if companion.hook is not None:
                yield companion.hook, (*here, "companions", number, "hook")
        for number, own in enumerate(section.services):
            yield own.hook, (*here, "services", number, "hook")


def service_findings(file: ResourceFile) -> Iterator[Finding]:
    """A warning for each service that is asked for and has nothing to serve."""
    resource = file.resource
    kinds = {section.kind for section in resource.files.values()}
    wanted = {
        "sia2": ("images" in kinds or "events" in kinds, "has no images"),
        "ssa": (bool({"spectra", "timeseries"} & kinds) or bool(resource.xp), "has neither spectra nor light curves"),
        "soda": (
            any(one.kind == "images" and one.hdf5 is None and one.rows is None for one in resource.files.values())
            or any(one.services for one in resource.files.values()),
            "has no FITS images to cut out",
        ),
        "scs": (bool(resource.tables or resource.files or resource.xp), "has no table"),
    }
    for index, service in enumerate(resource.services):
        is_served, lacks = wanted.get(service, (True, ""))
        if not is_served:
            yield Finding(
                "warning", file.place("services", index), f"{service} is asked for, and the resource {lacks}", ""
            )
    if "scs" in resource.services:
        yield from _without_place(file)


def _without_place(file: ResourceFile) -> Iterator[Finding]:
    """A cone search is there for every table with positions: those without have none."""
    from skyvault.formats import open_table
    from skyvault.publish.inference import infer

    for name, table in file.resource.tables.items():
        if table.position is not None or table.source is None or not (file.root / table.source).is_file():
            continue
        try:
            inferred = infer(open_table(file.root / table.source).table, f"{file.resource.schema_name}.{name}", {})
        except SkyvaultError as problem:
            yield Finding("error", file.place("tables", name), problem.what, problem.hint or "")
            continue
        if inferred.spec.lon is None and inferred.spec.point is None:
            yield Finding("warning", file.place("tables", name), "it has no positions that were found: no cone search",
                          "Name them: position: [lon, lat].")  # fmt: skip
