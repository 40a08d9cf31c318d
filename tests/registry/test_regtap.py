"""The relational registry over our own records, asked as pyvo's users ask registries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from registry.hilltop import AUTHORITY, Site

#: pyvo does not know VODataService's <param> within an interface
pytestmark = pytest.mark.filterwarnings("ignore:.*Unknown element")
TABLES = (
    *("resource", "res_role", "res_subject", "capability", "res_schema", "res_table", "table_column", "interface"),
    *("intf_param", "relationship", "validation", "res_date", "res_detail", "alt_identifier"),
    *("stc_spatial", "stc_temporal", "stc_spectral"),
)
HILL = f"ivo://{AUTHORITY}/hill"


@pytest.fixture(scope="module")
def registry(site: Site) -> Iterator[Any]:
    """pyvo's registry module, pointed at our service."""
    from pyvo import registry as pyvo_registry
    from pyvo.registry import regtap, rtcons

    with pytest.MonkeyPatch.context() as patch:
        # pyvo fetches the list of wavebands from the network
        bands = {"radio", "millimeter", "infrared", "optical", "uv", "euv", "x-ray", "gamma-ray"}
        patch.setattr(rtcons.Waveband, "_legal_terms", bands)
        before = regtap.REGISTRY_BASEURL
        regtap.choose_RegTAP_service(site.tap)
        yield pyvo_registry
        regtap.choose_RegTAP_service(before)


def _found(results: Any) -> set[str]:
    return {one.ivoid for one in results}


def test_words_of_title_description_and_subject_find_a_resource(registry: Any) -> None:
    assert f"{HILL}/plates" in _found(registry.search(keywords=["astrograph"]))
    assert f"{HILL}/spectra" in _found(registry.search(keywords=["photographs"]))
    assert f"{HILL}/plates" in _found(registry.search(keywords=["variable-stars"]))
    assert not _found(registry.search(keywords=["neutrino"]))


def test_each_kind_of_service_is_found(registry: Any) -> None:
    tap = f"ivo://{AUTHORITY}/tap"
    assert _found(registry.search(servicetype="tap")) == {tap, f"{HILL}/archive"}
    assert _found(registry.search(servicetype="sia2")) == {f"ivo://{AUTHORITY}/sia2"}
    assert _found(registry.search(servicetype="sia1")) == {f"ivo://{AUTHORITY}/sia2"}
    assert _found(registry.search(servicetype="ssa")) == {f"ivo://{AUTHORITY}/ssa"}
    cones = _found(registry.search(servicetype="conesearch"))
    assert {f"{HILL}/stars", f"{HILL}/plates", f"{HILL}/spectra"} <= cones
    # tables are served by services that serve others, too
    assert f"{HILL}/stars" in _found(registry.search(servicetype="tap", includeaux=True))
    assert f"{HILL}/plates" in _found(registry.search(servicetype="sia2", includeaux=True))


def test_bands_places_times_and_energies_find_what_covers_them(registry: Any) -> None:
    from astropy import units as u

    assert f"{HILL}/plates" in _found(registry.search(waveband="optical"))
    assert not _found(registry.search(waveband="x-ray"))
    here = _found(registry.search(spatial=(83.6, 22.0)))
    assert {f"{HILL}/plates", f"{HILL}/spectra"} <= here and f"{HILL}/stars" not in here
    assert f"{HILL}/stars" in _found(registry.search(spatial=(47.04, 40.96)))
    assert not _found(registry.search(spatial=(200.0, -80.0)))
    assert f"{HILL}/plates" in _found(registry.search(registry.Spatial((83.6, 22.0, 5), intersect="overlaps")))
    assert f"{HILL}/plates" in _found(registry.search(spectral=450 * u.nm))
    assert f"{HILL}/plates" in _found(registry.search(spectral=(460 * u.nm, 440 * u.nm)))
    assert not _found(registry.search(spectral=2 * u.keV))
    assert f"{HILL}/plates" in _found(registry.search(temporal=(24100, 24300)))
    assert not _found(registry.search(temporal=(60000, 60001)))


def test_authors_ucds_data_models_and_identifiers_find_resources(registry: Any) -> None:
    assert f"{HILL}/plates" in _found(registry.search(author="%Cannon%"))
    assert f"{HILL}/stars" in _found(registry.search(ucd="phot.mag%"))
    assert _found(registry.search(datamodel="obscore")) == {f"ivo://{AUTHORITY}/tap"}
    assert _found(registry.search(datamodel="obscore_new")) == {f"ivo://{AUTHORITY}/ivoa/obscore"}
    assert not _found(registry.search(datamodel="regtap")), "this is not a registry of the whole VO"
    assert _found(registry.search(ivoid=f"ivo://{AUTHORITY.upper()}/Hill/Plates")) == {f"{HILL}/plates"}


def test_what_is_found_leads_to_services_that_answer(registry: Any, site: Site) -> None:
    tap = registry.search(ivoid=f"ivo://{AUTHORITY}/tap")[0].get_service("tap")
    assert tap.search("SELECT count(*) AS n FROM hill.stars").to_table()["n"][0] == 2
    cone = registry.search(ivoid=f"{HILL}/stars")[0].get_service("conesearch")
    assert list(cone.search(pos=(47.04, 40.96), radius=0.5)["name"]) == ["Algol"]
    images = registry.search(servicetype="sia2")[0].get_service("sia2")
    assert len(images.search(pos=(83.6, 22.0, 0.01))) == 1
    older = registry.search(servicetype="sia1")[0].get_service("sia1")
    assert len(older.search(pos=(83.6, 22.0), size=0.01)) == 1
    spectra = registry.search(servicetype="ssa")[0].get_service("ssa")
    assert len(spectra.search(pos=(83.63, 22.01), diameter=0.1)) == 1


def test_a_record_tells_who_made_it_and_what_one_may_do_with_it(registry: Any) -> None:
    plates = registry.search(ivoid=f"{HILL}/plates")[0]
    assert plates.res_title == "Plates of the astrograph"
    assert '<two> wars & "digitised"' in plates.res_description
    assert [one.strip() for one in plates.creators] == ["Cannon, A. J.", "Hilltop Observatory"]
    assert plates.rights == "CC-BY-4.0"
    assert (plates.source_value, plates.source_format) == ("1925AnHar.100....1C", "bibcode")
    assert {"doi:10.1000/plates", "bibcode:1925AnHar.100....1C", "orcid:0000-0002-1825-0097"} <= set(
        plates.get_alt_identifiers()
    )
    assert "plates@hilltop.example" in plates.get_contact()
    tables = plates.get_tables()
    assert list(tables) == ["hill.plates"]
    assert "s_ra" in {column.name for column in tables["hill.plates"].columns}


def test_services_that_run_elsewhere_have_records_too(registry: Any) -> None:
    archive = registry.search(ivoid=f"{HILL}/archive")[0]
    assert archive.get_interface(service_type="tap").access_url == "https://dc.example/tap"
    assert archive.get_interface(service_type="web").access_url == "https://dc.example/plates"
    # what it does not say itself is said by the resource it stands in
    assert [one.strip() for one in archive.creators] == ["Cannon, A. J.", "Hilltop Observatory"]


def test_the_schema_is_described_as_the_standard_wants(site: Site) -> None:
    schema = site.rows("SELECT utype FROM TAP_SCHEMA.schemas WHERE schema_name = 'rr'")
    assert schema[0]["utype"] == "ivo://ivoa.net/std/RegTAP#1.1"
    tables = {row["table_name"] for row in site.rows("SELECT table_name FROM TAP_SCHEMA.tables")}
    assert {f"rr.{name}" for name in TABLES} <= tables
    columns = site.rows("SELECT column_name, unit, std FROM TAP_SCHEMA.columns WHERE table_name = 'rr.stc_spectral'")
    assert {(row["column_name"], row["unit"], row["std"]) for row in columns} >= {("spectral_start", "J", 1)}


def test_queries_of_the_standard_run(site: Site) -> None:
    queries = {
        "SELECT ivoid, access_url FROM rr.capability NATURAL JOIN rr.interface WHERE standard_id LIKE"
        " 'ivo://ivoa.net/std/tap%' AND intf_role='std' AND authenticated_only=0": 2,
        "SELECT ivoid, access_url FROM rr.capability NATURAL JOIN rr.resource NATURAL JOIN rr.interface NATURAL JOIN"
        " rr.res_subject WHERE standard_id LIKE 'ivo://ivoa.net/std/sia%' AND intf_role='std' AND"
        " (1=ivo_nocasematch(res_subject, '%plate%') OR 1=ivo_hasword(res_description, 'spiral'))": 1,
        "SELECT ivoid FROM rr.res_role WHERE 1=ivo_nocasematch(role_name, '%hilltop%') AND base_role='publisher'": 5,
        "SELECT ivoid FROM rr.resource RIGHT OUTER JOIN (SELECT 'ivo://' || detail_value || '%' AS pat FROM"
        " rr.res_detail WHERE detail_xpath='/managedAuthority') AS authpatterns ON"
        " 1=ivo_nocasematch(resource.ivoid, authpatterns.pat)": 5,
        "SELECT * FROM rr.relationship AS a JOIN rr.capability AS b ON (a.related_id=b.ivoid) WHERE"
        f" relationship_type='isservedby' AND a.ivoid='{HILL}/plates'": 2,
        "SELECT ivoid FROM rr.stc_spatial NATURAL JOIN rr.stc_spectral NATURAL JOIN rr.stc_temporal WHERE"
        " 1=CONTAINS(MOC(8, CIRCLE(83.6, 22.0, 0.1)), coverage) AND"
        " 1=ivo_interval_overlaps(time_start, time_end, 24100, 24300) AND 4.4e-19 BETWEEN spectral_start AND"
        " spectral_end": 1,
        "SELECT table_name, access_url FROM rr.tap_table WHERE table_name = 'hill.stars'": 1,
    }
    for query, least in queries.items():
        assert len(site.rows(query)) >= least, query


def test_a_changed_record_is_found_as_it_is_now(site: Site, observatory: Any) -> None:
    from skyvault.publish.publisher import publish, unpublish

    folder, settings = observatory
    (folder / "comets.csv").write_text("name,ra,dec\nHalley,120.0,5.0\n")
    query = f"SELECT res_title FROM rr.resource WHERE ivoid = '{HILL}/comets'"
    assert site.rows(query) == []
    publish(folder / "comets.csv", name="hill.comets", settings=settings, overrides={"title": "Comets"})
    assert [row["res_title"] for row in site.rows(query)] == ["Comets"]
    publish(folder / "comets.csv", name="hill.comets", settings=settings, overrides={"title": "Bright comets"})
    assert [row["res_title"] for row in site.rows(query)] == ["Bright comets"]
    unpublish("hill.comets", settings=settings)
    assert site.rows(query) == []


def test_queries_go_on_while_records_change(site: Site, observatory: Any) -> None:
    import threading
    from concurrent.futures import ThreadPoolExecutor

    from skyvault.publish.publisher import publish, unpublish

    folder, settings = observatory
    (folder / "dwarfs.csv").write_text("name,ra,dec\nProxima,217.4,-62.7\n")
    done = threading.Event()
    query = (
        "SELECT ivoid FROM rr.resource NATURAL JOIN rr.stc_spatial NATURAL JOIN rr.res_table"
        " WHERE 1 = CONTAINS(POINT(217.4, -62.7), coverage)"
    )

    def ask() -> set[str]:
        seen = set()
        while not done.is_set():
            found = {row["ivoid"] for row in site.rows(query)}
            assert found <= {f"{HILL}/dwarfs"}
            seen |= found
        return seen

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask) for _ in range(3)]
        try:
            for number in range(4):
                publish(
                    folder / "dwarfs.csv",
                    name="hill.dwarfs",
                    settings=settings,
                    overrides={"title": f"Dwarfs {number}"},
                )
                assert site.rows(query) == [{"ivoid": f"{HILL}/dwarfs"}]
                unpublish("hill.dwarfs", settings=settings)
                assert site.rows(query) == []
        finally:
            done.set()
        assert all(one.result() <= {f"{HILL}/dwarfs"} for one in asking)
    for path in ("/", "/rr/resource", "/rr/stc_spatial", "/tap/tables?detail=max", "/tap/examples"):
        status, content = site.get(path)
        assert status == 200, (path, content[:500])
