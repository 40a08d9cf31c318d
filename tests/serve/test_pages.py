"""Pages for people, over HTTP, on a directory with small published tables."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from skyvault.config import Settings
from skyvault.errors import ParameterError
from skyvault.publish.publisher import publish, unpublish
from skyvault.serve.app import create_app
from skyvault.serve.page_position import read_position, read_radius
from skyvault.serve.page_text import contact_address, curl_snippet, percent, pyvo_snippet, size, web_address

HOSTILE = "<script>alert('x')</script> & \"quotes\" \x00\x0b"
ROWS = 2000


def stars() -> pa.Table:
    """Stars around the Pleiades, with a gap in the colours and a column that would like to be markup."""
    random = np.random.default_rng(7)
    colour = pa.array(random.normal(0.5, 0.2, ROWS), mask=random.random(ROWS) < 0.25)
    return pa.table(
        {
            "source_id": pa.array(np.arange(ROWS) + 9_007_199_254_740_993),
            "ra": random.uniform(54, 59, ROWS),
            "dec": random.uniform(22, 26, ROWS),
            "mag": random.normal(10, 2, ROWS).astype(np.float32),
            "bv": colour,
            "note": ["<b>bold</b>" if i % 2 else None for i in range(ROWS)],
            "page": [f"https://example.org/star?id={i}&x=<" for i in range(ROWS)],
        }
    )


def observations() -> pa.Table:
    return pa.table(
        {
            "dataproduct_type": ["image"] * 3,
            "obs_id": ["a", "b", "c"],
            "obs_publisher_did": [f"ivo://example/{i}" for i in "abc"],
            "s_ra": [10.0, 200.0, 0.0],
            "s_dec": [-5.0, 60.0, 89.0],
            "s_region": [
                "CIRCLE ICRS 10 -5 1",
                "POLYGON ICRS 199 59 201 59 201 61 199 61",
                "CIRCLE ICRS 0 89 2",
            ],
            "t_min": [59000.0, 59010.5, 59100.25],
        }
    )


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    directory = tmp_path_factory.mktemp("pages")
    settings = Settings(
        home=directory / "home",
        title="Sky <of> Tests",
        publisher="An Institute",
        contact="help@example.org",
        authority="example.org",
    )
    pq.write_table(stars(), directory / "stars.parquet")
    publish(
        directory / "stars.parquet",
        name="lab.stars",
        settings=settings,
        overrides={
            "title": "Stars of the Pleiades",
            "description": HOSTILE,
            "columns": {
                "source_id": {"ucd": "meta.id;meta.main"},
                "mag": {"unit": "mag", "ucd": "phot.mag;em.opt.V", "description": HOSTILE},
            },
        },
    )
    pq.write_table(observations(), directory / "obs.parquet")
    publish(directory / "obs.parquet", name="lab.obs", settings=settings, obscore=True)
    pq.write_table(pa.table({"kind": ["a", "b"], "n": [1, 1]}), directory / "plain.parquet")
    publish(directory / "plain.parquet", name="lab.plain", settings=settings)
    return settings


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


class Page(HTMLParser):
    """What a browser would see: tags with their attributes, and the text outside of scripts."""

    VOID = frozenset(["meta", "link", "input", "br", "wbr", "img", "path", "ellipse", "circle", "rect", "use"])

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        # a place where a long name may break is no space
        if self.tags and self.tags[-1][0] == "wbr" and self.words:
            self.words[-1] += data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(client: TestClient, path: str, **options: Any) -> Page:
    answer = client.get(path, **options)
    assert answer.status_code == 200, answer.text[:500]
    assert answer.headers["content-type"].startswith("text/html")
    found = Page(answer.text)
    assert found.open == ["html"] or not found.open
    return found


PATHS = ["/", "/lab/stars", "/lab/obs", "/lab/plain", "/ivoa/ObsCore", "/TAP_SCHEMA/columns", "/query"]


# ---------------------------------------------------------------- what is here


def test_the_first_page_names_tables_rows_publisher_contact_and_the_tap_address(client: TestClient) -> None:
    page = page_of(client, "/")
    for words in ("Sky <of> Tests", "An Institute", "lab.stars", "Stars of the Pleiades", "2,000 rows", "ivoa.ObsCore"):
        assert words in page.text
    assert "http://testserver/tap" in page.text
    assert "mailto:help@example.org" in [link.get("href") for link in page.all("a")]


def test_every_link_on_the_pages_leads_somewhere(client: TestClient) -> None:
    links = {
        str(attributes[name])
        for path in PATHS
        for tag, attributes in page_of(client, path).tags
        for name in ("href", "src")
        if tag in ("a", "link", "script") and attributes.get(name)
    }
    own = {link.partition("#")[0] for link in links if link.startswith("/")} - {""}
    assert len(own) > 30
    for link in own:
        assert client.get(link).status_code == 200, link


def test_every_fragment_on_the_pages_is_there(client: TestClient) -> None:
    for path in PATHS:
        page = page_of(client, path)
        ids = {attributes.get("id") for _, attributes in page.tags}
        for link in page.all("a") + page.all("use"):
            href = str(link.get("href"))
            if href.startswith("#"):
                assert href[1:] in ids, (path, href)


def test_a_table_page_tells_columns_units_ucds_statistics_and_indices(client: TestClient) -> None:
    text = page_of(client, "/lab/stars").text
    assert "phot.mag" in text and "mag" in text
    assert re.search(r"ra indexed double deg pos\.eq\.ra", text)
    assert re.search(r"bv double .* 7[0-9]\.[0-9] %", text)
    assert "up to 11 letters" in text  # <b>bold</b>
    assert "9007199254740993" in text  # exactly, not as a float


def test_a_table_is_found_in_any_case_as_in_adql(client: TestClient) -> None:
    assert "lab.stars" in page_of(client, "/LAB/Stars").text


def test_a_table_page_offers_the_whole_table_for_download(client: TestClient) -> None:
    links = {link["download"]: link["href"] for link in page_of(client, "/lab/plain").all("a") if "download" in link}
    assert sorted(links) == ["lab.plain.csv", "lab.plain.fits", "lab.plain.parquet", "lab.plain.vot"]
    answer = client.get(str(links["lab.plain.csv"]))
    assert answer.text.split() == ["kind,n", "a,1", "b,1"]


def test_a_table_with_positions_shows_its_sky_and_one_without_does_not(client: TestClient) -> None:
    assert any("sky" in str(svg.get("class")) for svg in page_of(client, "/lab/stars").all("svg"))
    assert not any("sky" in str(svg.get("class")) for svg in page_of(client, "/lab/plain").all("svg"))
    assert not [form for form in page_of(client, "/lab/plain").all("form") if "cone" in str(form.get("class"))]


def test_an_unknown_table_is_a_404_page_for_people_and_a_votable_for_programs(client: TestClient) -> None:
    people = client.get("/lab/nothing", headers={"accept": "text/html"})
    assert people.status_code == 404 and people.headers["content-type"].startswith("text/html")
    programs = client.get("/lab/nothing")
    assert programs.status_code == 404 and "QUERY_STATUS" in programs.text


def test_pages_do_not_shadow_the_protocols(client: TestClient) -> None:
    for path in ("/tap/capabilities", "/tap/availability", "/tap/tables", "/tap/tables/lab.stars"):
        assert client.get(path).headers["content-type"].startswith("text/xml"), path
    cone = client.get("/lab/stars/scs", params={"RA": "56", "DEC": "24", "SR": "0.5"})
    assert cone.status_code == 200 and "<VOTABLE" in cone.text
    assert client.get("/tap", follow_redirects=False).status_code == 303


def test_a_new_publication_shows_at_once(client: TestClient, settings: Settings, tmp_path: Path) -> None:
    before = client.get("/")
    assert "lab.later" not in before.text
    pq.write_table(pa.table({"x": [1, 2, 3]}), tmp_path / "later.parquet")
    publish(tmp_path / "later.parquet", name="lab.later", settings=settings)
    after = client.get("/", headers={"if-none-match": before.headers["etag"]})
    assert after.status_code == 200 and "lab.later" in after.text
    unpublish("lab.later", settings=settings)
    assert client.get("/lab/later").status_code == 404


def test_an_empty_service_says_how_to_begin(tmp_path: Path) -> None:
    with TestClient(create_app(Settings(home=tmp_path / "empty"))) as client:
        assert "skyvault publish" in page_of(client, "/").text
        assert client.get("/query").status_code == 200
        assert client.get("/tap/examples").status_code == 200


# ---------------------------------------------------------------- safety and transport


@pytest.mark.parametrize("path", [*PATHS, "/tap/examples"])
def test_what_the_data_says_is_text_and_never_markup(client: TestClient, path: str) -> None:
    body = client.get(path).text
    assert "<script>alert" not in body and "<of>" not in body
    assert not re.search(r"<[^>]+\son[a-z]+\s*=", body), "no inline handlers"
    assert not re.search(r"<[^>]+\sstyle\s*=", body), "no inline styles: the policy forbids them"


@pytest.mark.parametrize("path", [*PATHS, "/tap/examples", "/static/pages.css"])
def test_pages_may_load_nothing_from_elsewhere(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/lab/stars", "/static/pages.css", "/static/pages.js", "/tap/examples"])
def test_pages_and_files_are_compressed_and_have_an_etag(client: TestClient, path: str) -> None:
    with client.stream("GET", path, headers={"accept-encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip" and "accept-encoding" in answer.headers["vary"].lower()
        packed = b"".join(answer.iter_raw())
    plain = client.get(path, headers={"accept-encoding": "identity"})
    assert gzip.decompress(packed) == plain.content and len(packed) < 0.6 * len(plain.content)
    again = client.get(path, headers={"if-none-match": plain.headers["etag"]})
    assert again.status_code == 304 and not again.content


@pytest.mark.parametrize("name", ["..%2f..%2fconfig.py", "nothing.css", "pages.css%00", ".", "%2e%2e"])
def test_only_the_files_of_the_pages_are_served(client: TestClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code in (404, 405)


def test_links_hold_the_path_a_proxy_has_put_the_service_at(settings: Settings) -> None:
    import dataclasses

    moved = dataclasses.replace(settings, base_url="https://data.example.org/vo")
    with TestClient(create_app(moved)) as client:
        page = page_of(client, "/")
        assert "https://data.example.org/vo/tap" in page.text
        own = [str(link["href"]) for link in page.all("a") if str(link["href"]).startswith("/")]
        assert own and all(link.startswith("/vo/") for link in own)
        assert page.all("link")[0]["href"].startswith("/vo/static/")  # type: ignore[union-attr]


def test_the_server_starts_without_templates_being_loaded() -> None:
    import subprocess
    import sys

    from processes import environment

    code = "import sys, skyvault.serve.app; print([m for m in ('jinja2', 'astropy', 'mocpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------- queries


def test_the_form_is_filled_in_from_a_link(client: TestClient) -> None:
    page = page_of(client, "/query", params={"QUERY": "SELECT ra\nFROM lab.stars", "FORMAT": "csv", "MAXREC": "7"})
    assert "SELECT ra FROM lab.stars" in page.text
    selected = [option["value"] for option in page.all("option") if "selected" in option]
    assert selected == ["csv"]
    assert [field["value"] for field in page.all("input") if field.get("name") == "MAXREC"] == ["7"]


def test_a_query_is_answered_with_a_page_of_rows(client: TestClient) -> None:
    answer = client.post(
        "/query", data={"QUERY": "SELECT TOP 5 source_id, bv, note, page FROM lab.stars ORDER BY source_id"}
    )
    page = Page(answer.text)
    assert answer.status_code == 200 and "5 rows in" in page.text
    assert "9007199254740993" in page.text and "NULL" in page.text and "<b>bold</b>" in page.text
    assert "https://example.org/star?id=0&x=<" in [link.get("href") for link in page.all("a")]


def test_only_web_addresses_become_links(client: TestClient) -> None:
    answer = client.post(
        "/query", data={"QUERY": "SELECT TOP 1 'javascript:alert(1)' AS a, 'ftp://x/y' AS b FROM lab.plain"}
    )
    assert "javascript:alert(1)" in Page(answer.text).text
    assert not [link for link in Page(answer.text).all("a") if "javascript" in str(link.get("href"))]


def test_a_page_says_when_rows_are_left_out(client: TestClient) -> None:
    page = Page(client.post("/query", data={"QUERY": "SELECT ra FROM lab.stars"}).text)
    assert "There are more rows than these 500" in page.text
    page = Page(client.post("/query", data={"QUERY": "SELECT ra FROM lab.stars", "MAXREC": "2000"}).text)
    assert "2,000 rows in" in page.text and "more rows" not in page.text


def test_a_result_without_rows_says_so(client: TestClient) -> None:
    assert "No row fulfils" in client.post("/query", data={"QUERY": "SELECT ra FROM lab.stars WHERE ra < 0"}).text


def test_a_mistake_is_shown_with_line_column_and_a_suggestion(client: TestClient) -> None:
    answer = client.post("/query", data={"QUERY": "SELECT ra,\r\n  magg\r\nFROM lab.stars"})
    page = Page(answer.text)
    assert answer.status_code == 400
    assert "Line 2, column 3" in page.text and "Did you mean mag" in page.text
    assert "<mark>magg</mark>" in answer.text
    assert "SELECT ra,\n  magg\nFROM lab.stars</textarea>" in answer.text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"QUERY": ""}, "QUERY is missing"),
        ({"QUERY": "SELECT 1", "MAXREC": "many"}, "MAXREC"),
        ({"QUERY": "SELECT 1", "MAXREC": "-1"}, "MAXREC"),
        ({"QUERY": "DROP TABLE lab.stars"}, "SELECT"),
        ({"QUERY": "SELECT * FROM nowhere.nothing"}, "nowhere.nothing"),
        ({"QUERY": "SELECT (((" * 200}, "Line 1"),
        ({"QUERY": "SELECT <script>alert(1)</script>"}, "alert(1)"),
    ],
)
def test_what_cannot_be_run_comes_back_in_the_form_with_one_sentence(
    client: TestClient, values: dict[str, str], words: str
) -> None:
    answer = client.post("/query", data=values)
    page = Page(answer.text)
    assert answer.status_code == 400 and page.all("textarea")
    assert words in page.text and "Traceback" not in page.text
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize(
    ("format", "begins", "suffix"),
    [
        ("votable", b"<?xml", "vot"), ("fits", b"SIMPLE  =", "fits"), ("parquet", b"PAR1", "parquet"),
        ("csv", b"ra", "csv"), ("tsv", b"ra", "tsv"), ("ecsv", b"# %ECSV", "ecsv"), ("json", b"{", "json"),
    ],
)  # fmt: skip
def test_a_result_is_downloaded_as_a_file(client: TestClient, format: str, begins: bytes, suffix: str) -> None:
    answer = client.post("/query", data={"QUERY": "SELECT TOP 3 ra, dec FROM lab.stars", "FORMAT": format})
    assert answer.status_code == 200 and answer.content.startswith(begins)
    assert answer.headers["content-disposition"] == f'attachment; filename="result.{suffix}"'


def test_a_table_of_ones_own_joins_and_an_empty_file_field_does_not_matter(client: TestClient) -> None:
    query = "SELECT COUNT(*) AS n FROM TAP_UPLOAD.mine AS mine JOIN lab.stars AS s ON DISTANCE(mine.ra, mine.dec, s.ra, s.dec) < 1"
    mine = {"mine": ("list.csv", b"ra,dec\n56.5,24.0\n", "text/csv")}
    answer = client.post("/query", data={"QUERY": query, "FORMAT": "csv"}, files=mine)
    assert answer.status_code == 200 and int(answer.text.split()[1]) > 0
    empty = {"mine": ("", b"", "application/octet-stream")}
    answer = client.post("/query", data={"QUERY": "SELECT COUNT(*) AS n FROM lab.plain", "FORMAT": "csv"}, files=empty)
    assert answer.text.split() == ["n", "2"]


def test_an_upload_that_is_no_table_is_explained_in_the_form(client: TestClient) -> None:
    broken = {"mine": ("x.vot", b"<VOTABLE><RESOURCE><TABLE>", "text/xml")}
    answer = client.post("/query", data={"QUERY": "SELECT * FROM TAP_UPLOAD.mine"}, files=broken)
    assert answer.status_code == 400 and 'role="alert"' in answer.text


def test_a_query_becomes_a_job_with_the_same_form(client: TestClient) -> None:
    answer = client.post(
        "/query", data={"QUERY": "SELECT COUNT(*) AS n FROM lab.stars", "FORMAT": "csv", "ACTION": "job"}
    )
    assert answer.status_code == 200 and [step.status_code for step in answer.history] == [307, 303]
    job = str(answer.url)
    phase = client.get(f"{job}", params={"WAIT": "20", "PHASE": "EXECUTING"})
    assert phase.status_code == 200
    done = threading.Event()
    for _ in range(100):
        if client.get(f"{job}/phase").text == "COMPLETED":
            break
        done.wait(0.05)
    assert client.get(f"{job}/results/result").text.split() == ["n", str(ROWS)]


def test_a_wrong_query_does_not_become_a_job(client: TestClient) -> None:
    answer = client.post(
        "/query", data={"QUERY": "SELECT magg FROM lab.stars", "ACTION": "job"}, follow_redirects=False
    )
    assert answer.status_code == 400 and "<mark>magg</mark>" in answer.text


def test_a_result_can_be_edited_again(client: TestClient) -> None:
    answer = client.post("/query", data={"QUERY": "SELECT 1 AS one FROM lab.plain", "ACTION": "edit"})
    assert answer.status_code == 200 and "SELECT 1 AS one FROM lab.plain</textarea>" in answer.text


def test_the_cone_form_finds_the_nearest_first(client: TestClient) -> None:
    page = page_of(
        client, "/lab/stars/cone", params={"position": "03:46:24 +24:00:00", "radius": "30", "unit": "arcmin"}
    )
    assert "separation" in page.text and "arcsec" in page.text and " 0 rows" not in page.text
    truth = stars()
    ra, dec = np.radians(truth["ra"].to_numpy()), np.radians(truth["dec"].to_numpy())
    lon, lat = np.radians(56.6), np.radians(24.0)
    near = np.sin(dec) * np.sin(lat) + np.cos(dec) * np.cos(lat) * np.cos(ra - lon) >= np.cos(np.radians(0.5))
    assert f"{near.sum():,} rows in" in page.text


@pytest.mark.parametrize("given", [{}, {"position": "here", "radius": "1"}, {"position": "1 91", "radius": "1"},
                                   {"position": "1 2", "radius": "1e9"}, {"position": "1 2", "radius": "1", "unit": "pc"}])  # fmt: skip
def test_a_cone_that_is_none_is_explained(client: TestClient, given: dict[str, str]) -> None:
    answer = client.get("/lab/stars/cone", params=given)
    assert answer.status_code == 400 and 'role="alert"' in answer.text


def test_there_is_no_cone_search_of_a_table_without_positions(client: TestClient) -> None:
    answer = client.get("/lab/plain/cone", params={"position": "1 2", "radius": "1"})
    assert answer.status_code == 404


# ---------------------------------------------------------------- words and numbers


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("84.053 -1.202", (84.053, -1.202)),
        ("84.053,-1.202", (84.053, -1.202)),
        ("05:36:12.8 -01:12:06.9", (84.0533333333, -1.20191666667)),
        ("5h36m12.8s -1d12m6.9s", (84.0533333333, -1.20191666667)),
        ("05 36 12.8 \u221201 12 06.9", (84.0533333333, -1.20191666667)),
        ("12:30 +00:30", (187.5, 0.5)),
        ("00 00 00 -00 00 36", (0.0, -0.01)),
        ("-10 5", (350.0, 5.0)),
        ("360 -90", (0.0, -90.0)),
    ],
)
def test_a_position_is_read_as_astronomers_write_it(text: str, place: tuple[float, float]) -> None:
    assert read_position(text) == pytest.approx(place, abs=1e-9)


@pytest.mark.parametrize(
    "text", ["", "1", "1 2 3", "1 91", "a b", "12:60:00 0:0:0", "1 2 -3 4 5 6", "nan 1", "1e400 1", "9" * 300]
)
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ParameterError):
        read_position(text)


def test_a_radius_has_a_unit_and_fits_on_the_sky() -> None:
    assert read_radius("30", "arcmin") == 0.5
    for text, unit in (("0", "deg"), ("-1", "deg"), ("181", "deg"), ("nan", "deg"), ("inf", "arcsec"), ("x", "deg")):
        with pytest.raises(ParameterError):
            read_radius(text, unit)


def test_sizes_and_shares_are_told_as_people_read_them() -> None:
    assert [size(n) for n in (0, 999, 1000, 1_234_567, 999_600)] == ["0 bytes", "999 bytes", "1 kB", "1.23 MB", "1 MB"]
    assert [percent(x) for x in (0.0, 0.01, 50.0, 99.99, 100.0, None)] == [
        "0 %",
        "< 0.1 %",
        "50.0 %",
        "> 99.9 %",
        "100 %",
        "",
    ]


def test_only_web_and_mail_addresses_are_linked() -> None:
    assert (
        web_address("https://example.org/x") and not web_address("javascript:alert(1)") and not web_address("http://")
    )
    assert contact_address("help@example.org") == "mailto:help@example.org"
    assert contact_address("Jane Doe, room 3") is None


def test_snippets_run_as_they_stand(client: TestClient) -> None:
    hostile = """SELECT 'it''s', "a\\b" FROM t WHERE x = '$(rm -rf)' -- ""\""""
    code = pyvo_snippet("http://localhost/tap", hostile)
    compile(code, "snippet", "exec")
    import shlex

    words = shlex.split(curl_snippet("http://localhost/tap", hostile).replace("\\\n", " "))
    assert words[-1] == f"QUERY={hostile}"
