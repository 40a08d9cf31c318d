"""Tables that stay, asked for by clients that others wrote: the seed's curl commands word for word, pyvo's prototype of
CADC's calls, pyvo with a password and with a token, STILTS through a proxy that adds what STILTS cannot say.
"""

from __future__ import annotations

import gc
import http.client
import io
import os
import shlex
import shutil
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from astropy.table import Table
from astropy.utils.exceptions import AstropyWarning

from conftest import IN_CI
from serve.accounts import PASSWORD, Client, basic, make_token, make_users
from skyvault.formats.xml_text import read_small

# foreign code may warn about itself
pytestmark = pytest.mark.filterwarnings("default")

#: headers of one connection, which a proxy does not pass on
OF_THE_WAY = ("connection", "transfer-encoding", "content-length", "date", "server")
VTM = "{http://www.ivoa.net/xml/VOSITables/v1.0}"


def upload() -> Table:
    """A table such as the seed's: distances, magnitudes whose names begin with a digit."""
    random = np.random.default_rng(5)
    made = Table()
    made["_r"] = random.uniform(0, 2, 30).astype(np.float32)
    made["_r"].unit = "arcmin"
    made["_r"].description = "Distance from center (RAJ2000=274.465528, DEJ2000=-15.903352)"
    made["_r"].meta["ucd"] = "pos.angDistance"
    for name, centre in (("RAJ2000", 274.465528), ("DEJ2000", -15.903352)):
        made[name] = centre + random.uniform(-0.03, 0.03, 30)
        made[name].unit = "deg"
        made[name].meta["ucd"] = f"pos.eq.{name[:2].replace('DE', 'dec').lower()};meta.main"
    for name in ("3.6mag", "5.8mag"):
        made[name] = random.uniform(8, 14, 30).astype(np.float32)
        made[name].unit = "mag"
    return made


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> Any:
    home = tmp_path_factory.mktemp("clients") / "home"
    make_users(home, "alice", "bob")
    from argon2 import PasswordHasher

    from skyvault.ledger.ledger import open_ledger
    from skyvault.publish.publisher import publish

    with open_ledger(home / "ledger.sqlite") as ledger:
        # the seed's password is shorter than any that is taken here
        ledger.users.add("uptest", PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash("uptest"))
    stars = Table({"source_id": np.arange(400_000), "ra": np.arange(400_000) * 9e-4, "dec": np.zeros(400_000)})
    stars["ra"].unit = stars["dec"].unit = "deg"
    stars["ra"].meta["ucd"], stars["dec"].meta["ucd"] = "pos.eq.ra;meta.main", "pos.eq.dec;meta.main"
    stars.write(home.parent / "stars.fits")
    publish(home.parent / "stars.fits", name="gaia.dr3lite", home=home)
    return start_server(home, SKYVAULT_USER_TABLES="true")


@pytest.fixture(autouse=True)
def _clean(site: Any) -> Iterator[None]:
    yield
    from skyvault.ledger.ledger import open_ledger

    with open_ledger(site.home / "ledger.sqlite") as ledger:
        ledger.user_tables.drop_all(None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


# --- the seed's commands ---------------------------------------------------------------------------------------------


@pytest.fixture
def desk(site: Any, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Types a command of the seed's, which leads here instead of to its hosts; returns what it says."""
    if shutil.which("curl") is None and not IN_CI:
        pytest.skip("no curl on this machine")
    files = tmp_path / "docs"
    files.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        upload().write(files / "upload_for_regressiontest.vot", format="votable")

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    docs = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(files)))
    threading.Thread(target=docs.serve_forever, daemon=True).start()
    hosts = {"https://docs.g-vo.org": f"http://127.0.0.1:{docs.server_address[1]}", "http://dc.g-vo.org": site.base_url}
    clear = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}

    def type_in(command: str) -> str:
        for theirs, ours in hosts.items():
            command = command.replace(theirs, ours)
        words = shlex.split(command.replace("\\\n", " "))
        assert words[0] == "curl"
        done = subprocess.run(
            ["curl", "-sS", *words[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=60, env=clear
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield type_in
    docs.shutdown()
    docs.server_close()


def test_the_seed_s_commands_get_the_seed_s_answers(desk: Callable[[str], str], site: Any) -> None:
    assert desk("curl -o tmp.vot https://docs.g-vo.org/upload_for_regressiontest.vot") == ""
    made = desk(
        'curl -H "content-type: application/x-votable+xml" -T tmp.vot \\\n http://dc.g-vo.org/tap/user_tables/my_upload'
    )
    assert made == "Query this table as tap_user.my_upload\n"

    refused = desk(
        'curl -H "content-type: application/x-votable+xml" -T tmp.vot\n http://dc.g-vo.org/tap/user_tables/join'
    )
    assert '<INFO name="QUERY_STATUS" value="ERROR">' in refused
    assert "'join' cannot be the name of a table" in refused and "reserved word" in refused

    told = read_small(desk("curl http://dc.g-vo.org/tap/user_tables/my_upload").encode())
    assert told.tag == f"{VTM}table" and told.findtext("name") == "tap_user.my_upload"
    first = next(told.iter("column"))
    assert first.findtext("name") == '"_r"'
    assert (first.findtext("unit"), first.findtext("ucd")) == ("arcmin", "pos.angDistance")
    assert (first.findtext("description") or "").startswith("Distance from center (RAJ2000=274.465528")
    kind = first.find("dataType")
    assert kind is not None and kind.text == "float" and "vs:VOTableType" in kind.attrib.values()
    assert first.findtext("flag") == "nullable"

    query = 'select avg("3.6mag") as blue, avg("5.8mag") as red from tap_user.my_upload'
    answer = desk(f"curl --data-urlencode 'QUERY={query}' -d 'LANG=ADQL&FORMAT=csv' http://dc.g-vo.org/tap/sync")
    blue, red = (float(one) for one in answer.split()[1].split(","))
    assert 8 < blue < 14 and 8 < red < 14 and blue != red

    dropped = desk("curl -X DELETE http://dc.g-vo.org/tap/user_tables/my_upload")
    assert dropped == "Dropped user table my_upload\n"
    gone = desk("curl http://dc.g-vo.org/tap/user_tables/my_upload")
    assert '<INFO name="QUERY_STATUS" value="ERROR">' in gone


def test_the_seed_s_commands_of_somebody_known(desk: Callable[[str], str], site: Any) -> None:
    desk("curl -o tmp.vot https://docs.g-vo.org/upload_for_regressiontest.vot")
    made = desk(
        'curl -H "content-type: application/x-votable+xml" -T tmp.vot \\\n      --user uptest:uptest \\\n'
        "      http://dc.g-vo.org/tap/user_tables/privtab"
    )
    assert made == "Query this table as tap_user.privtab\n"
    desk(
        'curl -H "content-type: application/x-votable+xml" -T tmp.vot --user uptest:uptest '
        "http://dc.g-vo.org/tap/user_tables/my_upload"
    )
    tableset = read_small(desk("curl --user uptest:uptest http://dc.g-vo.org/tap/user_tables").encode())
    assert tableset.tag == f"{VTM}tableset"
    schema = next(tableset.iter("schema"))
    assert schema.findtext("name") == "tap_user" and schema.findtext("description")
    assert {one.findtext("name") for one in schema.iter("table")} == {"tap_user.privtab", "tap_user.my_upload"}
    assert all(next(one.iter("column")).findtext("name") == '"_r"' for one in schema.iter("table"))
    # for nobody in particular there is no list, and no such table
    assert "ERROR" in desk("curl http://dc.g-vo.org/tap/user_tables")
    assert "ERROR" in desk("curl http://dc.g-vo.org/tap/user_tables/privtab")


@pytest.mark.parametrize("who", ["", "--user uptest:uptest "])
def test_the_seed_s_create_table_answers_with_a_table(desk: Callable[[str], str], who: str) -> None:
    query = "create table tap_user.smallgaia AS SELECT * FROM gaia.dr3lite TABLESAMPLE(0.001)"
    stub = desk(f"curl {who}--data-urlencode 'QUERY={query}' -d LANG=ADQL http://dc.g-vo.org/tap/sync")
    assert '<INFO name="QUERY_STATUS" value="OK"' in stub
    told = read_small(desk(f"curl {who}http://dc.g-vo.org/tap/user_tables/smallgaia").encode())
    columns = {one.findtext("name"): one for one in told.iter("column")}
    assert columns["ra"].findtext("ucd") == "pos.eq.ra;meta.main" and columns["ra"].findtext("unit") == "deg"
    count = desk(
        f"curl {who}-d 'LANG=ADQL&FORMAT=csv&QUERY=SELECT+COUNT(*)+AS+n+FROM+tap_user.smallgaia'"
        " http://dc.g-vo.org/tap/sync"
    )
    # a thousandth of a percent of 400,000 rows
    assert 0 <= int(count.split()[1]) < 40
    again = desk(f"curl {who}--data-urlencode 'QUERY={query}' -d LANG=ADQL http://dc.g-vo.org/tap/sync")
    assert "there is a table tap_user.smallgaia already" in again


# --- pyvo ------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["password", "token"])
def session(request: pytest.FixtureRequest, site: Any) -> Iterator[Any]:
    """A session of alice's, as pyvo's users make one."""
    import requests

    with requests.Session() as made:
        made.trust_env = False
        if request.param == "password":
            made.auth = ("alice", PASSWORD)
        else:
            made.headers["Authorization"] = f"Bearer {make_token(site.home, 'alice')}"
        yield made


DEFINITION = """<?xml version="1.0" encoding="UTF-8"?>
<vosi:table xmlns:vosi="http://www.ivoa.net/xml/VOSITables/v1.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xmlns:vod="http://www.ivoa.net/xml/VODataService/v1.1" type="output">
<name>sample_table</name>
<column><name>article</name><description>some article</description><ucd>meta.id</ucd>
<dataType xsi:type="vod:VOTableType" arraysize="30*">char</dataType></column>
<column><name>count</name><description>how often</description>
<dataType xsi:type="vod:VOTableType">long</dataType></column>
</vosi:table>"""


def test_pyvo_s_prototype_calls_make_fill_index_and_remove_a_table(site: Any, session: Any) -> None:
    import pyvo
    from pyvo.utils import activate_features

    activate_features("cadc-tb-upload")
    service = pyvo.dal.TAPService(site.tap, session=session)
    service.create_table(name="tap_user.sample_table", definition=io.StringIO(DEFINITION), format="VOSITable")
    service.load_table("tap_user.sample_table", io.StringIO("article\tcount\nart1\t1\nart2\t2\n"), format="tsv")
    service.load_table("tap_user.sample_table", io.StringIO("article,count\nart3,3\nart4,4\n"), format="csv")
    more = io.BytesIO()
    Table({"article": ["art5"], "count": [5]}).write(more, format="fits")
    service.load_table("tap_user.sample_table", io.BytesIO(more.getvalue()), format="FITSTable")
    service.create_index("tap_user.sample_table", "article", unique=True)
    service.create_index("tap_user.sample_table", "count", unique=False)
    assert len(service.search("SELECT * FROM tap_user.sample_table")) == 5
    # what shall be unique stays so
    import requests

    with pytest.raises(requests.HTTPError):
        service.load_table("tap_user.sample_table", io.StringIO("article\tcount\nart1\t9\n"))
    service.load_table("tap_user.sample_table", io.StringIO("article\tcount\nart9\t1\n"))
    with pytest.raises(pyvo.dal.DALQueryError, match="not unique"):
        service.create_index("tap_user.sample_table", "count", unique=True)
    rows = service.run_async("SELECT article FROM tap_user.sample_table WHERE article = 'art9'")
    assert list(rows["article"]) == ["art9"]
    service.remove_table("tap_user.sample_table")
    with pytest.raises(pyvo.dal.DALQueryError):
        service.search("SELECT * FROM tap_user.sample_table")


def test_pyvo_makes_queries_and_drops_private_tables(site: Any, session: Any) -> None:
    import pyvo

    service = pyvo.dal.TAPService(site.tap, session=session)
    service.search("CREATE TABLE tap_user.near AS SELECT * FROM gaia.dr3lite WHERE DISTANCE(ra, dec, 10, 0) < 0.1")
    found = service.run_async(
        "SELECT a.source_id FROM tap_user.near AS a JOIN gaia.dr3lite AS b ON DISTANCE(a.ra, a.dec, b.ra, b.dec) < 1e-5"
    )
    assert len(found) > 100
    uploaded = service.search(
        "SELECT n.source_id FROM tap_user.near AS n JOIN TAP_UPLOAD.mine AS m ON n.source_id = m.source_id",
        uploads={"mine": Table({"source_id": [int(found["source_id"][0])]})},
    )
    assert len(uploaded) == 1
    with pytest.raises(pyvo.dal.DALQueryError, match="near"):
        pyvo.dal.TAPService(site.tap).search("SELECT * FROM tap_user.near")
    service.search("DROP TABLE tap_user.near")
    with pytest.raises(pyvo.dal.DALQueryError):
        service.search("SELECT * FROM tap_user.near")


# --- STILTS ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def as_alice(site: Any) -> Iterator[str]:
    """A proxy before the service that says who one is; STILTS 3.4 cannot."""
    there = urlsplit(site.base_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if "chunked" in self.headers.get("transfer-encoding", ""):
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            connection = http.client.HTTPConnection(there.hostname or "", there.port, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in OF_THE_WAY}
            connection.request(self.command, self.path, body, headers | basic("alice"))
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in OF_THE_WAY:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_POST = do_PUT = do_DELETE = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/tap"
    server.shutdown()
    server.server_close()


def stilts(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["stilts", *arguments], cwd=folder, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )


@pytest.mark.stilts
@pytest.mark.parametrize("sync", ["true", "false"])
def test_stilts_asks_private_tables_through_a_proxy(site: Any, as_alice: str, tmp_path: Path, sync: str) -> None:
    table = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        upload().write(table, format="votable")
    alice = Client(site.base_url).as_user("alice")
    kind = "application/x-votable+xml"
    assert alice("PUT", "/tap/user_tables/mine", table.getvalue(), content_type=kind).status == 201
    Table({"k": [1, 2], "mag": [9.0, 11.0]}).write(tmp_path / "limits.fits")
    query = (
        'SELECT l.k, COUNT(*) AS n FROM tap_user.mine AS m JOIN TAP_UPLOAD.limits AS l ON m."3.6mag" < l.mag'
        " GROUP BY l.k"
    )
    asked = ("tapquery", f"sync={sync}", "nupload=1", "upload1=limits.fits", "upname1=limits", f"adql={query}")
    done = stilts(*asked, f"tapurl={as_alice}", "out=-", "ofmt=csv", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[0] == "k,n" and len(done.stdout.splitlines()) >= 2
    # without the proxy it is nobody, for whom there is no such table
    refused = stilts(*asked, f"tapurl={site.tap}", "out=-", "ofmt=csv", folder=tmp_path)
    assert refused.returncode != 0 and "tap_user.mine" in refused.stdout + refused.stderr
