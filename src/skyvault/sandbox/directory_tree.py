"""A tree of directories served as by a web server: index pages, files in parts, what is private only with a login."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from skyvault.sandbox.event_files import HeldFile, file_bytes
from skyvault.sandbox.file_answers import Bodies, file_answer, not_found, refusal
from skyvault.sandbox.index_pages import Entry, apache_page
from skyvault.sandbox.observation_root import Root

#: when directories above the observations' were last changed
_CHANGED: Final = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)


class DirectoryTree:
    """The directories of many observations, each a Root, and those on the way to them."""

    def __init__(self, roots: Iterable[Root]) -> None:
        self._roots: dict[str, Root] = {}
        #: directory -> names in it, for those above the roots
        self._above: dict[str, set[str]] = {"": set()}
        self._bodies = Bodies()
        for root in roots:
            if root.path in self._roots:
                continue
            self._roots[root.path] = root
            path = root.path
            while path:
                parent, _, name = path.rpartition("/")
                names = self._above.setdefault(parent, set())
                if name in names:
                    break
                names.add(name)
                path = parent

    def root(self, path: str) -> Root | None:
        """The root whose directory this is."""
        return self._roots.get(path.strip("/"))

    def body(self, root: Root, file: HeldFile) -> bytes:
        """A file's bytes as they are sent."""
        return self._bodies.get(f"{root.path}/{file.path}", self._maker(root, file))

    def files(self, root: Root) -> dict[str, bytes]:
        """All files of a root: {path below it: bytes as they are sent}."""
        return {file.path: self.body(root, file) for file in root.files()}

    def answer(self, request: Request, path: str, shown: str) -> Response:
        """What a request for ``path`` (without leading slash) gets; ``shown`` is the tree's own address path."""
        root, inner = self._split(path)
        if root is None:
            names = self._above.get(path.rstrip("/"))
            if names is None:
                return not_found()
            entries = [Entry(f"{name}/", _CHANGED) for name in sorted(names)]
        else:
            if not root.is_public and (refused := refusal(request)) is not None:
                return refused
            files = root.files()
            for file in files:
                if file.path == inner:
                    name = inner.rpartition("/")[2]
                    return file_answer(request, name, self.body(root, file), root.seen.modified)
            found = self._entries(root, files, inner.rstrip("/"))
            if found is None:
                return not_found()
            entries = found
        if path and not path.endswith("/"):
            return RedirectResponse(f"{shown}{path}/", 301)
        return HTMLResponse(apache_page(f"{shown}{path}", entries))

    def _split(self, path: str) -> tuple[Root | None, str]:
        words = path.split("/")
        for depth in range(len(words), 0, -1):
            root = self._roots.get("/".join(words[:depth]))
            if root is not None:
                return root, "/".join(words[depth:])
        return None, ""

    def _entries(self, root: Root, files: list[HeldFile], folder: str) -> list[Entry] | None:
        """What lies directly in a folder of the root; None when there is no such folder."""
        start = f"{folder}/" if folder else ""
        entries: dict[str, Entry] = {}
        for file in files:
            if not file.path.startswith(start):
                continue
            name, is_deeper, _ = file.path[len(start) :].partition("/")
            if is_deeper:
                entries[f"{name}/"] = Entry(f"{name}/", root.seen.modified)
            else:
                size = self._bodies.size(f"{root.path}/{file.path}", self._maker(root, file))
                entries[name] = Entry(name, root.seen.modified, size)
        return [entries[name] for name in sorted(entries)] or None

    def _maker(self, root: Root, file: HeldFile) -> Callable[[], bytes]:
        return lambda: file_bytes(root.seen, file)
