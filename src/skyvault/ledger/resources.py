"""Published resources (what a resource.yaml says), and the runs of the actions that they ask for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from skyvault.ledger.engine import Database
from skyvault.ledger.jobs import Verdict

#: how a run ended: ``stopped`` with the server, ``died`` with the process that looked after it
Outcome = Literal["running", "done", "failed", "over time", "stopped", "died"]
Origin = Literal["schedule", "again", "hand"]
#: runs of an action that are kept, and characters of what each said
KEPT_RUNS: Final = 50
KEPT_OUTPUT: Final = 8_000


@dataclass(frozen=True, slots=True)
class Registered:
    """A resource as it was published last. ``document`` is its YAML as JSON; times are seconds since 1970.

    ``since`` tells of each action (by name) when it was first asked for in this form; ``loaded_at`` when the resource
    was last published other than by an action that runs on that.
    """

    name: str
    path: str
    published_at: float
    loaded_at: float
    document: dict[str, Any]
    since: dict[str, float]


@dataclass(frozen=True, slots=True)
class ActionRun:
    """One run of an action. ``lease_until`` is when nobody looks after it any more, unless that is said again."""

    number: int
    resource: str
    action: str
    origin: Origin
    began_at: float
    ended_at: float | None
    outcome: Outcome
    output: str
    holder: str
    lease_until: float


class Resources:
    """The resources of one ledger, and their actions' runs. ``clock`` gives seconds since 1970."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.clock = clock

    # -- what is published ---------------------------------------------------------------------------------------

    def register(self, name: str, path: str, document: Mapping[str, Any], *, is_load: bool = True) -> None:
        """The resource ``name`` was published from ``path``; actions that have not changed keep their rhythm."""
        now = self.clock()
        key = name.lower()
        with self.database.write() as connection:
            row = connection.execute(
                "SELECT document, since, loaded_at FROM resources WHERE key = :key", {"key": key}
            ).fetchone()
            before = {} if row is None else _by_name(json.loads(row["document"]))
            known = {} if row is None else json.loads(row["since"])
            since = {
                one: known.get(one, now) if before.get(one) == action else now
                for one, action in _by_name(document).items()
            }
            connection.execute(
                "INSERT INTO resources (key, name, path, published_at, loaded_at, document, since)"
                " VALUES (:key, :name, :path, :now, :loaded, :document, :since) ON CONFLICT (key) DO UPDATE SET"
                " name = excluded.name, path = excluded.path, published_at = excluded.published_at,"
                " loaded_at = excluded.loaded_at, document = excluded.document, since = excluded.since",
                {
                    "key": key,
                    "name": name,
                    "path": path,
                    "now": now,
                    "loaded": now if is_load or row is None else row["loaded_at"],
                    "document": json.dumps(document, ensure_ascii=False),
                    "since": json.dumps(since),
                },
            )

    def forget(self, name: str) -> bool:
        """Whether there was such a resource; its actions run no more. What was published stays."""
        with self.database.write() as connection:
            count = connection.execute("DELETE FROM resources WHERE key = :key", {"key": name.lower()}).rowcount
            connection.execute("DELETE FROM action_runs WHERE resource = :key", {"key": name.lower()})
        return bool(count)

    def find(self, name: str) -> Registered | None:
        """The resource of this name, in any case."""
        row = self.database.fetch_one(f"{_SELECT} WHERE key = :key", {"key": name.lower()})
        return None if row is None else _registered(row)

    def all(self) -> list[Registered]:
        """All resources, by name."""
        return [_registered(row) for row in self.database.fetch_all(f"{_SELECT} ORDER BY key")]

    def stamp(self) -> tuple[int, float]:
        """Differs when a resource was published or forgotten; cheap where :meth:`all` reads long texts."""
        row = self.database.fetch_one("SELECT count(*), coalesce(sum(published_at), 0) FROM resources")
        assert row is not None
        return int(row[0]), float(row[1])

    # -- runs ----------------------------------------------------------------------------------------------------

    def begin(
        self, resource: str, action: str, *, origin: Origin, last: int, holder: str, lease_s: float
    ) -> int | None:
        """The number of a new run; None when another run of this resource goes on, or was begun since ``last``.

        ``last`` is the number of the action's last run as the caller knows it (0: none). So of all who find the action
        due, one runs it.
        """
        now = self.clock()
        with self.database.write() as connection:
            running = connection.execute(
                "SELECT number FROM action_runs WHERE resource = :resource AND outcome = 'running'",
                {"resource": resource.lower()},
            ).fetchone()
            if running is not None:
                return None
            newest = connection.execute(
                "SELECT max(number) FROM action_runs WHERE resource = :resource AND action = :action",
                {"resource": resource.lower(), "action": action},
            ).fetchone()[0]
            if (newest or 0) != last:
                return None
            row = connection.execute(
                "INSERT INTO action_runs (resource, action, origin, began_at, outcome, output, holder, lease_until)"
                " VALUES (:resource, :action, :origin, :now, 'running', '', :holder, :until) RETURNING number",
                {
                    "resource": resource.lower(),
                    "action": action,
                    "origin": origin,
                    "now": now,
                    "holder": holder,
                    "until": now + lease_s,
                },
            ).fetchone()
        return int(row[0])

    def renew(self, number: int, holder: str, lease_s: float) -> bool:
        """The run goes on in the process ``holder``. False when it was given up meanwhile: it must stop."""
        done = self.database.change(
            "UPDATE action_runs SET holder = :holder, lease_until = :until"
            " WHERE number = :number AND outcome = 'running'",
            {"number": number, "holder": holder, "until": self.clock() + lease_s},
            is_lasting=False,
        )
        return bool(done.rowcount)

    def end(self, number: int, outcome: Outcome, output: str) -> None:
        """The run is over; the oldest runs of its action are forgotten."""
        with self.database.write() as connection:
            connection.execute(
                "UPDATE action_runs SET outcome = :outcome, output = :output, ended_at = :now"
                " WHERE number = :number AND outcome = 'running'",
                {"number": number, "outcome": outcome, "output": output[-KEPT_OUTPUT:], "now": self.clock()},
            )
            connection.execute(
                "DELETE FROM action_runs WHERE number <= (SELECT other.number FROM action_runs AS other,"
                " action_runs AS this WHERE this.number = :number AND other.resource = this.resource"
                " AND other.action = this.action ORDER BY other.number DESC LIMIT 1 OFFSET :kept)"
                " AND (resource, action) IN (SELECT resource, action FROM action_runs WHERE number = :number)",
                {"number": number, "kept": KEPT_RUNS},
            )

    def bury(self, verdict: Callable[[str], Verdict]) -> int:
        """Runs whose process is gone, or that nobody has looked after, are over; how many."""
        now = self.clock()
        count = 0
        for row in self.database.fetch_all(
            "SELECT number, holder, lease_until FROM action_runs WHERE outcome = 'running'"
        ):
            if row["lease_until"] > now and verdict(row["holder"]) != "dead":
                continue
            count += self.database.change(
                "UPDATE action_runs SET outcome = 'died', ended_at = :now WHERE number = :number"
                " AND outcome = 'running' AND holder = :holder AND lease_until = :until",
                {"number": row["number"], "holder": row["holder"], "until": row["lease_until"], "now": now},
            ).rowcount
        return count

    def runs(self, resource: str | None = None, action: str | None = None, most: int = 20) -> list[ActionRun]:
        """The last runs of an action, of a resource's, or of all; newest first."""
        conditions = [
            f"{name} = :{name}" for name, value in (("resource", resource), ("action", action)) if value is not None
        ]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        parameters = {"resource": (resource or "").lower(), "action": action or "", "most": most}
        rows = self.database.fetch_all(f"{_RUNS}{where} ORDER BY number DESC LIMIT :most", parameters)
        return [_run(row) for row in rows]

    def newest(self) -> dict[tuple[str, str], ActionRun]:
        """The last run of each action, by resource (in lower case) and action."""
        rows = self.database.fetch_all(
            f"{_RUNS} WHERE number IN (SELECT max(number) FROM action_runs GROUP BY resource, action)"
        )
        return {(row["resource"], row["action"]): _run(row) for row in rows}


_SELECT: Final = "SELECT name, path, published_at, loaded_at, document, since FROM resources"
_RUNS: Final = (
    "SELECT number, resource, action, origin, began_at, ended_at, outcome, output, holder, lease_until FROM action_runs"
)


def _by_name(document: Mapping[str, Any]) -> dict[str, Any]:
    return {str(action.get("name") or action.get("hook")): action for action in document.get("actions") or ()}


def _registered(row: Any) -> Registered:
    return Registered(
        row["name"],
        row["path"],
        row["published_at"],
        row["loaded_at"],
        json.loads(row["document"]),
        json.loads(row["since"]),
    )


def _run(row: Any) -> ActionRun:
    return ActionRun(
        row["number"],
        row["resource"],
        row["action"],
        row["origin"],
        row["began_at"],
        row["ended_at"],
        row["outcome"],
        row["output"],
        row["holder"],
        row["lease_until"],
    )
