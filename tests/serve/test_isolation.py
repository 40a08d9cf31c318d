"""Who may do what: for every route and verb the answer to its owner, others, group members, nobody, the revoked.

The table below is complete: a route without a line fails a test. All requests concern what belongs to alice: the table
``t`` that she lets her group read, and a job. Carol is another user, bob a member of the group; "revoked" sends a token
of alice's that is revoked, "reader" one that is only for reading.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from starlette.routing import Route

from serve.accounts import PASSWORD, Client, make_token, make_users
from serve.login_provider import CLIENT, Provider

ROLES = ("owner", "other", "member", "anonymous", "revoked", "reader")
ROWS = b"ra,dec,k\n10,20,1\n11,21,2\n"
SELECT = {"LANG": "ADQL", "FORMAT": "csv", "QUERY": "SELECT k FROM tap_user.{t}"}
DROP = {"LANG": "ADQL", "QUERY": "DROP TABLE tap_user.{t}"}
CREATE = {"LANG": "ADQL", "QUERY": "CREATE TABLE tap_user.{own} AS SELECT 1 AS a FROM tap_user.{t}"}

#: method and route; with what (a form, or rows); the answers to the ROLES in their order
TABLE: list[tuple[str, dict[str, str] | bytes | None, str]] = [
    # queries: somebody else's table is not there, a group's is; nobody drops another's
    ("GET /tap/sync", SELECT, "200 400 200 400 401 200"),
    ("POST /tap/sync", SELECT, "200 400 200 400 401 200"),
    ("POST /tap/sync", DROP, "200 404 403 404 401 403"),
    ("POST /tap/sync", CREATE, "200 400 200 400 401 403"),
    ("GET /tap/sync", DROP, "400 400 400 400 401 403"),
    # jobs: each has a list of its own; nobody sees the job of another
    ("GET /tap/async", None, "200 200 200 200 401 200"),
    ("POST /tap/async", SELECT, "303 303 303 303 401 303"),
    ("POST /tap/async", {**DROP, "PHASE": "RUN"}, "303 303 303 303 401 403"),
    ("GET /tap/async/{job_id}", None, "200 403 403 401 401 200"),
    ("POST /tap/async/{job_id}", {"ACTION": "DELETE"}, "303 403 403 401 401 303"),
    ("DELETE /tap/async/{job_id}", None, "303 403 403 401 401 303"),
    ("GET /tap/async/{job_id}/phase", None, "200 403 403 401 401 200"),
    ("POST /tap/async/{job_id}/phase", {"PHASE": "RUN"}, "303 403 403 401 401 303"),
    ("GET /tap/async/{job_id}/parameters", None, "200 403 403 401 401 200"),
    ("POST /tap/async/{job_id}/parameters", {"MAXREC": "1"}, "303 403 403 401 401 303"),
    ("GET /tap/async/{job_id}/executionduration", None, "200 403 403 401 401 200"),
    ("POST /tap/async/{job_id}/executionduration", {"EXECUTIONDURATION": "9"}, "303 403 403 401 401 303"),
    ("GET /tap/async/{job_id}/destruction", None, "200 403 403 401 401 200"),
    ("POST /tap/async/{job_id}/destruction", {"DESTRUCTION": "2090-01-01T00:00:00Z"}, "303 403 403 401 401 303"),
    ("GET /tap/async/{job_id}/quote", None, "200 403 403 401 401 200"),
    ("GET /tap/async/{job_id}/owner", None, "200 403 403 401 401 200"),
    ("GET /tap/async/{job_id}/error", None, "200 403 403 401 401 200"),
    ("GET /tap/async/{job_id}/results", None, "200 403 403 401 401 200"),
    ("GET /tap/async/{job_id}/results/{name}", None, "200 403 403 401 401 200"),
    # tables: what is private is not there (404), what is lent cannot be changed (403)
    ("GET /tap/user_tables", None, "200 200 200 401 401 200"),
    ("GET /tap/user_tables/{name}", None, "200 404 200 404 401 200"),
    ("PUT /tap/user_tables/{name}", ROWS, "200 403 403 403 401 403"),
    ("POST /tap/user_tables/{name}", {"DESCRIPTION": "mine"}, "200 404 403 404 401 403"),
    ("POST /tap/user_tables/{name}", {"NAME": "renamed"}, "200 404 403 404 401 403"),
    ("POST /tap/user_tables/{name}", {"JOB": "{job}"}, "201 403 403 403 401 403"),
    ("DELETE /tap/user_tables/{name}", None, "200 404 403 404 401 403"),
    ("GET /tap/user_tables/{name}/rows", None, "200 404 200 404 401 200"),
    ("POST /tap/user_tables/{name}/rows", ROWS, "200 404 403 404 401 403"),
    ("GET /tap/user_tables/{name}/destruction", None, "200 404 200 404 401 200"),
    ("POST /tap/user_tables/{name}/destruction", {"DESTRUCTION": "2090-01-01T00:00:00Z"}, "200 404 403 404 401 403"),
    ("POST /tap/user_tables/{name}/index", {"COLUMN": "k"}, "200 404 403 404 401 403"),
    ("GET /tap/user_tables/{name}/shares", None, "200 404 403 401 401 403"),
    ("POST /tap/user_tables/{name}/shares", {"USER": "carol"}, "200 404 403 401 401 403"),
    ("DELETE /tap/user_tables/{name}/shares", {"GROUP": "survey"}, "200 404 403 401 401 403"),
    ("GET /tap/user_tables/{name}/freeze", None, "404 404 404 404 401 404"),
    ("POST /tap/user_tables/{name}/freeze", None, "200 404 403 401 401 403"),
    # uploads in pieces are their sender's alone
    ("GET /tap/user_tables/{name}/uploads", None, "200 403 403 401 401 403"),
    ("POST /tap/user_tables/{name}/uploads", {"LENGTH": "24"}, "201 403 403 403 401 403"),
    ("GET /tap/user_tables/{name}/uploads/{upload_id}", None, "200 404 404 404 401 403"),
    ("PUT /tap/user_tables/{name}/uploads/{upload_id}", ROWS, "200 404 404 404 401 403"),
    ("POST /tap/user_tables/{name}/uploads/{upload_id}", None, "409 404 404 404 401 403"),
    ("DELETE /tap/user_tables/{name}/uploads/{upload_id}", None, "200 404 404 404 401 403"),
    ("GET /tap/tables/{name:path}", None, "200 404 404 404 401 200"),
    ("PUT /tap/tables/{name}", ROWS, "201 403 403 403 401 403"),
    ("POST /tap/tables/{name}", ROWS, "200 404 403 404 401 403"),
    ("DELETE /tap/tables/{name}", None, "200 404 403 404 401 403"),
    ("POST /tap/load/{name}", ROWS, "200 404 403 404 401 403"),
    ("POST /tap/table-update", {"TABLE": "{t}", "INDEX": "k"}, "303 404 403 404 401 403"),
    # what is published, and what a service says of itself, is everybody's
    ("GET /tap/capabilities", None, "200 200 200 200 401 200"),
    ("GET /tap/availability", None, "200 200 200 200 401 200"),
    ("GET /tap/tables", None, "200 200 200 200 401 200"),
    ("GET /tap/examples", None, "200 200 200 200 401 200"),
    ("GET /{schema}/{table}/scs", {"RA": "1", "DEC": "1", "SR": "1"}, "200 200 200 200 401 200"),
    ("POST /{schema}/{table}/scs", {"RA": "1", "DEC": "1", "SR": "1"}, "200 200 200 200 401 200"),
    ("GET /{schema}/{table}/scs/capabilities", None, "200 200 200 200 401 200"),
    ("GET /oai", {"verb": "Identify"}, "200 200 200 200 401 200"),
    ("POST /oai", {"verb": "Identify"}, "200 200 200 200 401 200"),
    ("GET /", None, "200 200 200 200 401 200"),
    ("GET /tap", None, "303 303 303 303 401 303"),
    ("GET /tap/", None, "303 303 303 303 401 303"),
    ("GET /static/{name}", None, "200 200 200 200 401 200"),
    ("GET /robots.txt", None, "200 200 200 200 401 200"),
    ("GET /{schema}/{table}", None, "200 200 200 200 401 200"),
    ("GET /{schema}/{table}/", None, "200 200 200 200 401 200"),
    ("GET /{schema}/{table}/cone", {"position": "10 20", "radius": "1"}, "200 200 200 200 401 200"),
    ("GET /query", None, "200 200 200 200 401 200"),
    ("POST /query", SELECT, "200 400 200 400 401 200"),
    # accounts: each has one's own; a token that is not for accounts changes none
    ("GET /login", None, "200 200 200 200 401 200"),
    ("POST /login", {"USERNAME": "alice", "PASSWORD": PASSWORD}, "200 200 200 200 401 200"),
    ("POST /logout", None, "303 303 303 303 401 303"),
    ("GET /account", None, "200 200 200 401 401 200"),
    ("POST /account/password", {"OLD": PASSWORD, "NEW": PASSWORD}, "200 200 200 401 401 403"),
    ("GET /account/tokens", None, "200 200 200 401 401 403"),
    ("POST /account/tokens", {"NAME": "new"}, "201 201 201 401 401 403"),
    ("DELETE /account/tokens/{token_id}", None, "200 404 404 401 401 403"),
    # a login service elsewhere: everybody may be sent there; only a browser's session is linked to it
    ("GET /login/elsewhere", None, "303 303 303 303 401 303"),
    ("GET /login/elsewhere", {"link": "x"}, "403 403 403 401 401 403"),
    ("GET /login/elsewhere/back", {"code": "x", "state": "x"}, "403 403 403 403 401 403"),
    ("POST /account/elsewhere", None, "404 404 404 401 401 403"),
    # datasets: all may find them; a file that is not public yet is for alice and her group
    *(
        (f"GET /{one}/{document}", None, "200 200 200 200 401 200")
        for one in ("sia1", "sia2", "ssa", "datalink", "soda")
        for document in ("capabilities", "availability")
    ),
    ("GET /moc", None, "200 200 200 200 401 200"),
    ("GET /moc/{table}", None, "200 200 200 200 401 200"),
    ("GET /hips/hipslist", None, "200 200 200 200 401 200"),
    ("GET /hips/{table}", None, "404 404 404 404 401 404"),
    ("GET /hips/{table}/{path:path}", None, "404 404 404 404 401 404"),
    ("GET /sia1", {"POS": "10,20", "SIZE": "1"}, "200 200 200 200 401 200"),
    ("POST /sia1", {"POS": "10,20", "SIZE": "1"}, "200 200 200 200 401 200"),
    ("GET /sia2/query", {"POS": "CIRCLE 10 20 1"}, "200 200 200 200 401 200"),
    ("POST /sia2/query", {"POS": "CIRCLE 10 20 1"}, "200 200 200 200 401 200"),
    ("GET /ssa", {"REQUEST": "queryData", "POS": "10,20"}, "200 200 200 200 401 200"),
    ("POST /ssa", {"REQUEST": "queryData", "POS": "10,20"}, "200 200 200 200 401 200"),
    ("GET /datalink/links", {"ID": "{did}"}, "200 200 200 200 401 200"),
    ("POST /datalink/links", {"ID": "{did}"}, "200 200 200 200 401 200"),
    ("GET /dataset", {"ID": "{did}"}, "200 200 200 200 401 200"),
    ("GET /thumbnail", {"ID": "{did}"}, "307 307 307 307 401 307"),
    ("GET /get/{table}/{local:path}", None, "200 403 200 403 401 200"),
    ("GET /soda/sync", {"ID": "{did}", "PIXEL_1": "1 2"}, "200 403 200 403 401 200"),
    ("POST /soda/sync", {"ID": "{did}", "PIXEL_1": "1 2"}, "200 403 200 403 401 200"),
]
#: jobs that make cutouts belong to users as all others do
_JOBS = [
    (line.replace("/tap/", "/soda/"), {"ID": "{did}"} if sent is SELECT else sent, expected)
    for line, sent, expected in TABLE
    if "/tap/async" in line and sent is not CREATE and "DROP" not in str(sent)
]
TABLE += [(line, {"PIXEL_1": "1 2"} if sent == {"MAXREC": "1"} else sent, expected) for line, sent, expected in _JOBS]
DID = "ivo://skyvault.invalid/~?lab.held/held.fits"


class World:
    """A server, everybody who may ask it, and what they ask about."""

    def __init__(self, site: Any) -> None:
        self.site = site
        anybody = Client(site.base_url)
        revoked = make_token(site.home, "alice")
        self.clients = {
            "owner": anybody.as_user("alice"),
            "other": anybody.as_user("carol"),
            "member": anybody.as_user("bob"),
            "anonymous": anybody,
            "revoked": anybody.with_token(revoked),
            "reader": anybody.with_token(make_token(site.home, "alice", "read")),
        }
        assert self.alice("DELETE", f"/account/tokens/{revoked.split('_')[1]}").status == 200
        self.good = self.job("SELECT id FROM lab.stars", run=True)
        self.bad = self.job("SELECT nothing FROM lab.stars", run=True)
        self.cut = self.cutout_job(DID, run=True)
        self.not_cut = self.cutout_job("ivo://skyvault.invalid/~?lab.held/none.fits", run=True)
        for name in ("good", "bad"):
            self.alice("GET", f"/tap/async/{getattr(self, name)}?WAIT=20")
        for name in ("cut", "not_cut"):
            self.alice("GET", f"/soda/async/{getattr(self, name)}?WAIT=20")

    @property
    def alice(self) -> Client:
        return self.clients["owner"]

    def job(self, query: str, *, run: bool = False) -> str:
        form = {"LANG": "ADQL", "QUERY": query} | ({"PHASE": "RUN"} if run else {})
        answer = self.alice("POST", "/tap/async", urlencode(form))
        return urlsplit(answer.headers["Location"]).path.rpartition("/")[2]

    def cutout_job(self, did: str, *, run: bool = False) -> str:
        form = {"ID": did, "PIXEL_1": "1 2"} | ({"PHASE": "RUN"} if run else {})
        answer = self.alice("POST", "/soda/async", urlencode(form))
        return urlsplit(answer.headers["Location"]).path.rpartition("/")[2]

    def restore(self) -> None:
        """Alice has ``t`` and lets her group read it; nobody has anything else."""
        from skyvault.ledger.ledger import open_ledger

        with open_ledger(self.site.home / "ledger.sqlite") as ledger:
            ledger.user_tables.drop_all(None)
        put = self.alice("PUT", "/tap/user_tables/t", ROWS, content_type="text/csv")
        assert put.status == 201, put.text
        assert self.alice("POST", "/tap/user_tables/t/shares", "GROUP=survey").status == 200

    def ask(self, method: str, route: str, sent: dict[str, str] | bytes | None, role: str) -> int:
        changes = method != "GET"
        if changes and ("table" in route or route.endswith("sync")):
            self.restore()
        mine = role in ("owner", "revoked", "reader")
        names = {"t": "t" if mine else "alice.t", "own": "made", "job": self.good, "did": DID}
        path = route.replace("{local:path}", "held.fits").replace("/get/{table}", "/get/lab.held")
        path = path.replace("{schema}", "lab").replace("{table}", "stars")
        if path.startswith("/soda/async/"):
            job = self.cutout_job(DID) if changes else self.cut
            path = path.replace("{job_id}", self.not_cut if path.endswith("/error") else job)
            path = path.replace("{name}", "cutout")
        elif "{job_id}" in path:
            job = self.job("SELECT id FROM lab.stars") if changes else self.good
            path = path.replace("{job_id}", self.bad if path.endswith("/error") else job).replace("{name}", "result")
        if "{token_id}" in path:
            path = path.replace("{token_id}", make_token(self.site.home, "alice").split("_")[1])
        if "{upload_id}" in path:
            begun = self.alice("POST", "/tap/user_tables/t/uploads", f"LENGTH={len(ROWS)}")
            path = path.replace("{upload_id}", begun.headers["Location"].rpartition("/")[2])
        if path.startswith("/static"):
            path = path.replace("{name}", "pages.css")
        path = path.replace("{name:path}", "tap_user.t").replace("{name}", names["t"])
        if isinstance(sent, bytes):
            whole = f"bytes 0-{len(sent) - 1}/{len(sent)}"
            return self.clients[role](method, path, sent, content_type="text/csv", content_range=whole).status
        form = urlencode({key: value.format(**names) for key, value in (sent or {}).items()})
        if method == "POST":
            return self.clients[role]("POST", path, form).status
        return self.clients[role](method, f"{path}?{form}" if form else path).status


def publish_held(home: Path) -> None:
    """An image that only alice and her group may have for now."""
    from astropy.io import fits

    from skyvault.publish.resource_publisher import publish_resource

    folder = home.parent / "held"
    folder.mkdir()
    image = fits.PrimaryHDU([[1, 2, 3], [4, 5, 6]])
    image.header.update(
        CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0, CRVAL2=20.0, CRPIX1=2, CRPIX2=1, CDELT1=-0.1, CDELT2=0.1
    )
    image.writeto(folder / "held.fits")
    (folder / "resource.yaml").write_text(
        "schema: lab\ntitle: Held\ndescription: Not public yet\nservices: [sia2, soda]\nfiles:\n  held:\n"
        "    files: '*.fits'\n    embargo: '2090-01-01'\n    embargo_for: [alice, survey]\n"
    )
    publish_resource(folder, home=home)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> Iterator[World]:
    home = tmp_path_factory.mktemp("isolation") / "home"
    make_users(home, "alice", "bob", "carol", groups={"survey": ("alice", "bob")})
    stars = home.parent / "stars.csv"
    stars.write_text("id,ra,dec\n1,10,20\n2,11,21\n")
    from skyvault.publish.publisher import publish

    publish(stars, name="lab.stars", home=home)
    publish_held(home)
    variables = {"SKYVAULT_USER_TABLES": "true", "SKYVAULT_JOBS_PER_USER": "100", "SKYVAULT_SNAPSHOT_GRACE_S": "0"}
    provider = Provider()
    variables |= {"SKYVAULT_OIDC_ISSUER": provider.issuer, "SKYVAULT_OIDC_CLIENT_ID": CLIENT}
    yield World(start_server(home, **variables))
    provider.close()


@pytest.mark.parametrize(("request_", "sent", "expected"), TABLE, ids=lambda one: one if isinstance(one, str) else "")
def test_each_gets_the_answer_of_the_table(
    world: World, request_: str, sent: dict[str, str] | bytes | None, expected: str
) -> None:
    method, route = request_.split()
    world.restore()
    answers = [world.ask(method, route, sent, role) for role in ROLES]
    assert dict(zip(ROLES, answers, strict=True)) == dict(zip(ROLES, map(int, expected.split()), strict=True))


def test_every_route_and_verb_has_a_line() -> None:
    from skyvault.config import Settings
    from skyvault.serve.app import create_app

    with tempfile.TemporaryDirectory() as home:
        app = create_app(
            Settings(home=Path(home), user_tables=True, oidc_issuer="https://sso.example.org", oidc_client_id="us")
        )
        try:
            routes = {
                f"{method} {route.path}"
                for route in app.routes
                if isinstance(route, Route)
                for method in (route.methods or ())
                if method != "HEAD"
            }
            assert all(isinstance(route, Route) for route in app.routes)
        finally:
            app.state.service.close()
    lines = {line for line, _, _ in TABLE}
    assert routes - lines == set(), "a route without a line"
    assert lines - routes == set(), "a line without a route"


def test_the_job_of_nobody_is_found_by_its_id_and_never_listed(world: World) -> None:
    anybody = world.clients["anonymous"]
    form = urlencode({"LANG": "ADQL", "QUERY": "SELECT 1 AS a FROM lab.stars"})
    path = urlsplit(anybody("POST", "/tap/async", form).headers["Location"]).path
    assert len(path.rpartition("/")[2]) >= 16
    for role in ("anonymous", "owner", "other"):
        assert world.clients[role]("GET", path).status == 200
        assert path.rpartition("/")[2] not in world.clients[role]("GET", "/tap/async").text


def test_a_list_of_jobs_holds_one_s_own_alone(world: World) -> None:
    assert world.good in world.alice("GET", "/tap/async").text
    for role in ("other", "member", "anonymous"):
        assert world.good not in world.clients[role]("GET", "/tap/async").text
