"""Where named objects are: asked of the CDS name resolver Sesame, which knows SIMBAD, NED and VizieR, and remembered.

Nobody is asked for bright and famous objects, nor for names that were asked for before. The answer's form is Sesame's
XML (``-oxp``), one ``Target`` a name.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
import threading
import time
import xml.parsers.expat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from skyvault.errors import SkyvaultError
from skyvault.missions.bright_objects import bright_object, normal_name
from skyvault.missions.faults import NameResolveError
from skyvault.missions.parse_name import parse_name

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.net.client import HttpClient

ARCHIVE: Final = "sesame"
SERVICE: Final = "resolver"
DEFAULT_URL: Final = "https://cds.unistra.fr/cgi-bin/nph-sesame"

#: names of one request: addresses must stay short, and an answer takes the resolver about a tenth of a second a name
_BATCH: Final = 20
_ADDRESS_CHARACTERS: Final = 1500
_PARALLEL: Final = 3
_LONGEST_NAME: Final = 200
_ANSWER_BYTES: Final = 8_000_000
_TOTAL_S: Final = 60.0
_DAY_S: Final = 86400.0
#: positions of objects hardly change; an unknown one may be entered into SIMBAD any day
_KNOWN_S: Final = 180 * _DAY_S
_UNKNOWN_S: Final = 1 * _DAY_S
_FORMAT: Final = 1
#: beyond that the oldest entries are dropped
_MOST_KEPT: Final = 100_000

Place = tuple[float, float]


class Sesame:
    """A resolver of names; see :class:`skyvault.missions.parse_name.Resolver`.

    ``cache`` is the file of remembered answers (None: ``resolved_names.json`` in the data directory, another for
    another address; False: none).
    With ``may_parse`` coordinates within names are taken from them first. ``clock`` gives seconds since 1970.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        client: HttpClient | None = None,
        cache: str | Path | bool | None = None,
        *,
        may_parse: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if settings is None:
            from skyvault.config import Settings

            settings = Settings()
        self.url = settings.endpoint(ARCHIVE, SERVICE, DEFAULT_URL)
        self._client = client
        self._may_parse = may_parse
        path = cache if cache is not None and cache is not True else settings.home / _file_of(settings)
        self._kept = None if path is False else _Kept(Path(str(path)).expanduser(), clock)

    def resolve(self, names: Sequence[str]) -> dict[str, Place]:
        """ICRS positions (degrees, epoch J2000) of the names that are known; the others are left out.

        Raises NameResolveError when the resolver cannot be reached and none of the names is known without it.
        """
        found: dict[str, Place] = {}
        ask: dict[str, list[str]] = {}
        for name in dict.fromkeys(names):
            place = bright_object(name) or (parse_name(name) if self._may_parse else None)
            key = normal_name(name)
            if place is not None:
                found[name] = place
            elif key and len(name) <= _LONGEST_NAME:
                ask.setdefault(key, []).append(name)
        if self._kept is not None and ask:
            for key, place in self._kept.read(list(ask)).items():
                for name in ask.pop(key):
                    if place is not None:
                        found[name] = place
        if ask:
            found |= self._asked(ask, has_some=bool(found))
        return found

    def _asked(self, ask: dict[str, list[str]], *, has_some: bool) -> dict[str, Place]:
        """Answers of the resolver; what it said of some names counts, even where it failed at others."""
        batches = _batches({key: names[0] for key, names in ask.items()})
        from skyvault.net.stopping import side_by_side

        with contextlib.ExitStack() as stack:
            client = self._client
            if client is None:
                from skyvault.net.client import HttpClient

                client = stack.enter_context(HttpClient())
            asked = client
            outcomes = side_by_side(
                lambda batch: self._one_request(asked, batch), batches, parallel=_PARALLEL, name="sesame"
            )
        answers: dict[str, Place | None] = {}
        problem: SkyvaultError | None = None
        for outcome in outcomes:
            if isinstance(outcome, SkyvaultError):
                problem = problem or outcome
            else:
                answers |= outcome
        if self._kept is not None and answers:
            self._kept.write(answers)
        found = {name: place for key, place in answers.items() if place is not None for name in ask[key]}
        if problem is not None:
            missing = [names[0] for key, names in ask.items() if key not in answers]
            told = NameResolveError(
                f"the name resolver could not be asked for {_listed(missing)}: {problem.what}",
                where=self.url,
                hint="Try again, or give positions: filter_on_positions, or parse_name=True for names that hold them.",
            )
            if not found and not has_some:
                raise told from problem
            import warnings

            from skyvault.missions.faults import MissionWarning

            warnings.warn(str(told), MissionWarning, stacklevel=4)
        return found

    def _one_request(self, client: HttpClient, batch: dict[str, str]) -> dict[str, Place | None] | SkyvaultError:
        asked = "&".join(quote(" ".join(name.split()), safe="") for name in batch.values())
        try:
            answer = client.get(f"{self.url}/-oxp/SNV?{asked}", total_s=_TOTAL_S, limit_bytes=_ANSWER_BYTES)
            targets = read_answer(answer.body)
        except SkyvaultError as error:
            return error
        by_name = {normal_name(name): place for name, place in targets}
        if len(targets) == len(batch):
            # in the order of the question; some names come back spelt otherwise
            return {key: by_name.get(key, place) for key, (_, place) in zip(batch, targets, strict=True)}
        # one the answer leaves out was not answered: neither known nor unknown
        return {key: by_name[key] for key in batch if key in by_name}


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name[:40] for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _file_of(settings: Settings) -> str:
    from skyvault.missions.connections import elsewhere

    word = elsewhere(settings, ARCHIVE)
    return f"resolved_names-{word}.json" if word else "resolved_names.json"


def _batches(names: dict[str, str]) -> list[dict[str, str]]:
    batches: list[dict[str, str]] = [{}]
    characters = 0
    for key, name in names.items():
        length = len(quote(name, safe="")) + 1
        if batches[-1] and (len(batches[-1]) >= _BATCH or characters + length > _ADDRESS_CHARACTERS):
            batches.append({})
            characters = 0
        batches[-1][key] = name
        characters += length
    return batches


# --- the answer ------------------------------------------------------------------------------------------------------


def read_answer(body: bytes) -> list[tuple[str, Place | None]]:
    """(name as asked, ICRS degrees or None for unknown) of each target of Sesame's XML, in its order.

    Raises NameResolveError for what is no such document. Entities and document types are refused.
    """
    reader = _Reader()
    parser = xml.parsers.expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    try:
        parser.Parse(body, True)
    except (xml.parsers.expat.ExpatError, UnicodeDecodeError, LookupError):
        raise NameResolveError("the name resolver answered something that is no XML document") from None
    if not reader.is_sesame:
        raise NameResolveError("the name resolver answered with another document than its own")
    return reader.targets


def _refuse(*_: Any) -> None:
    raise NameResolveError("the name resolver's answer declares a document type, which is not read")


class _Reader:
    """Takes name and position out of the events of a parser: the first resolver that knows an object counts."""

    def __init__(self) -> None:
        self.targets: list[tuple[str, Place | None]] = []
        self.is_sesame = False
        self._path: list[str] = []
        self._text: list[str] = []
        self._name = ""
        self._place: Place | None = None
        self._half: dict[str, float] = {}

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        self.is_sesame = self.is_sesame or tag == "Sesame"
        self._path.append(tag)
        self._text.clear()
        if tag == "Target":
            self._name, self._place = "", None
        elif tag == "Resolver":
            self._half = {}

    def text(self, text: str) -> None:
        self._text.append(text)

    def end(self, tag: str) -> None:
        tag = tag.rpartition(":")[2]
        self._path.pop()
        parent = self._path[-1] if self._path else ""
        text = "".join(self._text).strip()
        if tag == "name" and parent == "Target":
            self._name = text
        elif tag in ("jradeg", "jdedeg") and parent == "Resolver":
            with contextlib.suppress(ValueError):
                self._half[tag] = float(text)
        elif tag == "Resolver" and self._place is None and len(self._half) == 2:
            ra, dec = self._half["jradeg"], self._half["jdedeg"]
            if math.isfinite(ra) and abs(dec) <= 90.0:
                self._place = (ra % 360.0, dec)
        elif tag == "Target":
            self.targets.append((self._name, self._place))
        self._text.clear()


# --- what is remembered ----------------------------------------------------------------------------------------------


class _Kept:
    """A JSON file of answers by normal name: [time, ra, dec], or [time] for a name nobody knew then."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()

    def read(self, keys: Sequence[str]) -> dict[str, Place | None]:
        """Answers that are still young enough."""
        entries = self._entries()
        now = self._clock()
        found: dict[str, Place | None] = {}
        for key in keys:
            entry = entries.get(key)
            if entry is not None and 0 <= now - entry[0] < (_KNOWN_S if len(entry) == 3 else _UNKNOWN_S):
                found[key] = (entry[1], entry[2]) if len(entry) == 3 else None
        return found

    def write(self, answers: dict[str, Place | None]) -> None:
        """Remember; a disk that does not take it is no reason to lose the answers."""
        now = self._clock()
        with self._lock, contextlib.suppress(OSError):
            entries = self._entries()
            entries.update({key: [now, *(place or ())] for key, place in answers.items()})
            if len(entries) > _MOST_KEPT:
                entries = dict(sorted(entries.items(), key=lambda entry: -entry[1][0])[:_MOST_KEPT])
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, beside = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump({"format": _FORMAT, "names": entries}, file)
                os.replace(beside, self.path)
            except BaseException:
                Path(beside).unlink(missing_ok=True)
                raise

    def _entries(self) -> dict[str, list[float]]:
        """Sound entries; a damaged file counts as none."""
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            entries = document["names"] if document["format"] == _FORMAT else {}
            return {
                str(key): entry
                for key, entry in entries.items()
                if isinstance(entry, list) and len(entry) in (1, 3) and all(isinstance(n, float | int) for n in entry)
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
