"""The publishing registry: OAI-PMH 2.0 verb by verb, errors, lists in parts, records that go and come back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from registry.hilltop import AUTHORITY, Site, age_records
from registry.record_schemas import JAR, oai_schema
from skyvault.config import Settings
from skyvault.publish.publisher import publish, unpublish

OAI = "{http://www.openarchives.org/OAI/2.0/}"
RI = "{http://www.ivoa.net/xml/RegistryInterface/v1.0}"
HILL = f"ivo://{AUTHORITY}/hill"
PREFIX = {"metadataPrefix": "ivo_vor"}

needs_schemas = pytest.mark.stilts if JAR.exists() else pytest.mark.skip(reason="stilts is missing: no schemas")


def _error(root: Any) -> str:
    found = root.findall(f"{OAI}error")
    assert len(found) == 1, [child.tag for child in root]
    return str(found[0].get("code"))


def _identifiers(root: Any) -> list[str]:
    return [one.text for one in root.iter(f"{OAI}identifier")]


@needs_schemas
@pytest.mark.parametrize(
    "query",
    [
        {"verb": "Identify"},
        {"verb": "ListMetadataFormats"},
        {"verb": "ListSets"},
        {"verb": "ListIdentifiers", **PREFIX},
        {"verb": "ListRecords", **PREFIX},
        {"verb": "ListRecords", "metadataPrefix": "oai_dc"},
        {"verb": "GetRecord", "identifier": f"{HILL}/plates", **PREFIX},
        {"verb": "ListRecords", "metadataPrefix": "marc21"},
        {"verb": "Nonsense"},
    ],
    ids=lambda query: "-".join(query.values())[:40],
)
def test_answers_follow_their_schemas(site: Site, query: dict[str, str]) -> None:
    root = site.oai(**query)
    schema = oai_schema()
    assert schema.validate(root), "\n".join(str(error) for error in schema.error_log)


def test_identify_says_who_it_is_and_what_it_promises(site: Site) -> None:
    identify = site.oai(verb="Identify").find(f"{OAI}Identify")
    said = {child.tag.removeprefix(OAI): child.text for child in identify}
    assert said["baseURL"] == f"{site.base}/oai"
    assert (said["protocolVersion"], said["deletedRecord"]) == ("2.0", "persistent")
    assert said["granularity"] == "YYYY-MM-DDThh:mm:ssZ"
    assert said["adminEmail"] == "vo@hilltop.example"
    resource = identify.find(f"{OAI}description/{RI}Resource")
    assert resource.get("{http://www.w3.org/2001/XMLSchema-instance}type") == "vg:Registry"
    assert [one.text for one in resource.findall("managedAuthority")] == [AUTHORITY]


def test_required_records_are_there_and_all_begin_with_the_authority(site: Site) -> None:
    root = site.oai(verb="ListRecords", set="ivo_managed", **PREFIX)
    kinds = {
        resource.findtext("identifier"): resource.get("{http://www.w3.org/2001/XMLSchema-instance}type")
        for resource in root.iter(f"{RI}Resource")
    }
    assert kinds[f"ivo://{AUTHORITY}"] == "vg:Authority"
    assert kinds[f"ivo://{AUTHORITY}/registry"] == "vg:Registry"
    assert kinds[f"ivo://{AUTHORITY}/org"] == "vr:Organisation"
    assert kinds[f"{HILL}/stars"] == "vs:CatalogService"
    assert all(ivoid.startswith(f"ivo://{AUTHORITY}") for ivoid in kinds)
    for record in root.iter(f"{OAI}record"):
        header = record.find(f"{OAI}header")
        if header.get("status") != "deleted":
            assert header.findtext(f"{OAI}identifier") == next(record.iter(f"{RI}Resource")).findtext("identifier")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({}, "badVerb"),
        ({"verb": "listrecords"}, "badVerb"),
        ({"verb": "ListRecords"}, "badArgument"),
        ({"verb": "Identify", "set": "x"}, "badArgument"),
        ({"verb": "ListRecords", **PREFIX, "from": "yesterday"}, "badArgument"),
        ({"verb": "ListRecords", **PREFIX, "from": "2020-13-01"}, "badArgument"),
        ({"verb": "ListRecords", **PREFIX, "from": "2020-01-01", "until": "2021-01-01T00:00:00Z"}, "badArgument"),
        ({"verb": "ListRecords", **PREFIX, "from": "2022-01-01", "until": "2021-01-01"}, "badArgument"),
        ({"verb": "ListRecords", **PREFIX, "until": "2001-01-01"}, "noRecordsMatch"),
        ({"verb": "ListRecords", **PREFIX, "set": "nobodys"}, "noRecordsMatch"),
        ({"verb": "ListRecords", "metadataPrefix": "marc21"}, "cannotDisseminateFormat"),
        ({"verb": "GetRecord", **PREFIX, "identifier": "ivo://nobody/nothing"}, "idDoesNotExist"),
        ({"verb": "ListMetadataFormats", "identifier": "ivo://nobody/nothing"}, "idDoesNotExist"),
        ({"verb": "ListRecords", "resumptionToken": "made up"}, "badResumptionToken"),
        ({"verb": "ListRecords", "resumptionToken": "x" * 5_000}, "badResumptionToken"),
        ({"verb": "ListRecords", "resumptionToken": "x", **PREFIX}, "badArgument"),
        ({"verb": "ListSets", "resumptionToken": "x"}, "badResumptionToken"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_the_words_of_the_protocol(site: Site, query: dict[str, str], code: str) -> None:
    root = site.oai(**query)
    assert _error(root) == code
    # the arguments are repeated only where they were understood
    assert bool(root.find(f"{OAI}request").attrib) == (code not in ("badVerb", "badArgument"))


def test_an_argument_given_twice_is_refused(site: Site) -> None:
    status, content = site.get("/oai?verb=Identify&verb=Identify")
    assert status == 200 and b'code="badVerb"' in content
    status, content = site.get("/oai?verb=ListRecords&metadataPrefix=oai_dc&metadataPrefix=ivo_vor")
    assert b'code="badArgument"' in content


def test_a_post_is_answered_like_a_get(site: Site) -> None:
    import urllib.request

    with urllib.request.urlopen(f"{site.base}/oai", data=b"verb=ListSets") as answer:
        assert b"ivo_managed" in answer.read()


def test_identifiers_are_equal_in_any_case(site: Site) -> None:
    root = site.oai(verb="GetRecord", identifier=f"{HILL}/PLATES".replace("ivo", "IVO"), **PREFIX)
    assert root.find(f".//{RI}Resource").findtext("title") == "Plates of the astrograph"


# ------------------------------------------------------------------------------------------------ a registry of its own


class Small:
    """A registry of a few tables that are published and withdrawn; three records to a page."""

    def __init__(self, folder: Path, start_server: Callable[..., Any]) -> None:
        self.folder = folder
        self.settings = Settings(home=folder / "home", authority="small.example")
        self.start_server = start_server
        (folder / "t.csv").write_text("ra,dec\n1,2\n")

    def publish(self, name: str, title: str = "A table") -> None:
        publish(self.folder / "t.csv", name=f"t.{name}", settings=self.settings, overrides={"title": title})

    def serve(self) -> Site:
        server = self.start_server(
            self.folder / "home", SKYVAULT_AUTHORITY="small.example", SKYVAULT_OAI_PAGE_RECORDS="3"
        )
        return Site(server, self.settings)


@pytest.fixture
def small(tmp_path: Path, start_server: Callable[..., Any]) -> Iterator[Small]:
    yield Small(tmp_path, start_server)


def _all(site: Site, verb: str = "ListIdentifiers", **query: str) -> list[Any]:
    """All headers or records of a list, part by part."""
    found: list[Any] = []
    query = {"metadataPrefix": "ivo_vor", **query}
    while True:
        root = site.oai(verb=verb, **query)
        found += root.iter(f"{OAI}header")
        token = root.find(f".//{OAI}resumptionToken")
        if token is None or not token.text:
            return found
        assert int(token.get("cursor")) + 3 <= int(token.get("completeListSize"))
        query = {"resumptionToken": token.text}


def test_a_list_comes_in_parts_that_any_process_continues(small: Small) -> None:
    for number in range(8):
        small.publish(f"n{number}")
    first, second = small.serve(), small.serve()
    headers = _all(first)
    names = [one.findtext(f"{OAI}identifier") for one in headers]
    # eight tables, the TAP service, authority, organisation, registry
    assert len(names) == len(set(names)) == 12
    token = first.oai(verb="ListIdentifiers", **PREFIX).find(f".//{OAI}resumptionToken").text
    follows = second.oai(verb="ListIdentifiers", resumptionToken=token)
    assert _identifiers(follows) == names[3:6]
    # a token is for its own verb, and nobody else's
    assert _error(second.oai(verb="ListRecords", resumptionToken=token)) == "badResumptionToken"
    assert _error(second.oai(verb="ListIdentifiers", resumptionToken=token[:-2])) == "badResumptionToken"


def test_a_withdrawn_table_stays_as_a_deleted_record_over_restarts_and_may_come_back(small: Small) -> None:
    small.publish("comes")
    small.publish("stays")
    site = small.serve()
    before = {one.findtext(f"{OAI}identifier"): one for one in _all(site)}
    key = "ivo://small.example/t/comes"
    assert before[key].get("status") is None
    unpublish("t.comes", settings=small.settings)
    for asked in (site, small.serve()):
        gone = {one.findtext(f"{OAI}identifier"): one for one in _all(asked)}
        assert gone[key].get("status") == "deleted"
        assert gone["ivo://small.example/t/stays"].get("status") is None
        record = asked.oai(verb="GetRecord", identifier=key, **PREFIX).find(f".//{OAI}record")
        assert record.find(f"{OAI}metadata") is None
    small.publish("comes", "Back again")
    back = site.oai(verb="GetRecord", identifier=key, **PREFIX)
    assert back.find(f".//{RI}Resource").findtext("title") == "Back again"


def test_what_did_not_change_keeps_its_datestamp(small: Small) -> None:
    small.publish("one")
    small.publish("two")
    site = small.serve()
    _all(site)
    age_records(small.settings, 3600)
    small.publish("two", "Changed")
    headers = _all(site)
    stamps = {one.findtext(f"{OAI}identifier"): one.findtext(f"{OAI}datestamp") for one in headers}
    newest = max(stamps.values())
    # the TAP service lists its tables with their titles
    changed = {"ivo://small.example/t/two", "ivo://small.example/tap"}
    assert {key for key, stamp in stamps.items() if stamp == newest} == changed
    later = [one.findtext(f"{OAI}identifier") for one in _all(site, **{"from": newest})]
    assert set(later) == changed
    earlier = _all(site, until=min(stamps.values()))
    assert {one.findtext(f"{OAI}identifier") for one in earlier} == set(stamps) - changed


def test_records_of_hostile_words_are_good_xml(small: Small) -> None:
    nasty = "T <b>&\"'\x00\x0b\ue000]]></title> " + "\U0001f52d" * 5
    small.publish("odd", nasty)
    site = small.serve()
    root = site.oai(verb="GetRecord", identifier="ivo://small.example/t/odd", **PREFIX)
    title = root.find(f".//{RI}Resource").findtext("title")
    assert "<b>&" in title and "\U0001f52d" in title and site.base not in title
    rows = site.rows("SELECT res_title FROM rr.resource WHERE ivoid = 'ivo://small.example/t/odd'")
    assert "<b>&" in rows[0]["res_title"]


def test_tiles_that_are_made_later_are_told(small: Small) -> None:
    from skyvault.store.hips_folders import CURRENT, hips_top
    from skyvault.store.layout import Layout

    small.publish("sky")
    site = small.serve()
    query = "SELECT access_url FROM rr.capability NATURAL JOIN rr.interface WHERE standard_id LIKE 'ivo://ivoa.net/std/hips#%'"
    assert site.rows(query) == []
    top = hips_top(Layout.of(small.settings), "t.sky")
    top.mkdir(parents=True)
    (top / CURRENT).write_text("0123abcd")
    assert site.rows(query) == [{"access_url": f"{site.base}/hips/t.sky"}]


@needs_schemas
def test_tables_of_any_name_have_records_of_good_names(small: Small) -> None:
    from skyvault.formats import open_table
    from skyvault.publish.inference import infer
    from skyvault.publish.publisher import Publisher
    from skyvault.store.home_ledger import open_home_ledger
    from skyvault.store.layout import Layout

    layout = Layout.of(small.settings).make()
    with open_home_ledger(layout) as ledger:
        for name in ('"I/239 & more".hip_main', '"one word"', 'cat."a.b"."c d"'):
            stream = open_table(small.folder / "t.csv")
            Publisher(layout, ledger.holdings, small.settings, None).publish_stream(
                infer(stream.table, name, {}).spec, stream
            )
    root = small.serve().oai(verb="ListRecords", **PREFIX)
    schema = oai_schema()
    assert schema.validate(root), "\n".join(str(error) for error in schema.error_log)


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_a_foreign_harvester_reads_it_all(small: Small) -> None:
    import sickle

    for number in range(7):
        small.publish(f"n{number}")
    site = small.serve()
    client = sickle.Sickle(f"{site.base}/oai")
    records = list(client.ListRecords(metadataPrefix="ivo_vor", set="ivo_managed"))
    assert len(records) == 11
    assert client.Identify().deletedRecord == "persistent"
    assert {one.metadataPrefix for one in client.ListMetadataFormats()} == {"ivo_vor", "oai_dc"}
    titles = {title for one in client.ListRecords(metadataPrefix="oai_dc") for title in one.metadata["title"]}
    assert "A table" in titles


def test_a_backup_brings_the_registry_with_it(small: Small, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    from skyvault.publish.backup import backup

    if pytestconfig.getoption("--ledger") == "postgresql":
        pytest.skip("a backup's ledger is a file, which is moved into PostgreSQL first")

    small.publish("one")
    small.publish("two")
    unpublish("t.two", settings=small.settings)
    site = small.serve()
    before = {(one.findtext(f"{OAI}identifier"), one.findtext(f"{OAI}datestamp")) for one in _all(site)}
    copy = tmp_path / "copy"
    backup(copy, settings=small.settings)
    shutil.rmtree(small.settings.home)
    shutil.copytree(copy, small.settings.home)
    again = {(one.findtext(f"{OAI}identifier"), one.findtext(f"{OAI}datestamp")) for one in _all(small.serve())}
    assert again == before
