"""The vocabularies that come with the package, and queries that ask by them."""

from __future__ import annotations

from pathlib import Path

import pytest

from skyvault.config import Settings
from skyvault.errors import NotFound, QueryError
from skyvault.publish.publisher import publish
from skyvault.store.duckdb_store import DuckStore
from skyvault.store.query import Limits
from skyvault.vocabularies import names, vocabulary


@pytest.mark.parametrize("name", names())
def test_each_names_its_source_and_licence_and_is_whole(name: str) -> None:
    found = vocabulary(name)
    assert found.source.startswith("http")
    assert found.licence
    assert found.terms
    for term in found.terms.values():
        assert term.label
        assert set(term.wider) <= set(found.terms)
        assert term.use_instead is None or term.use_instead in found.terms


def test_a_tree_goes_down_to_the_leaves_and_a_thesaurus_one_step() -> None:
    assert set(vocabulary("datalink/core").narrower("#preview")) == {
        "preview",
        "preview-image",
        "preview-plot",
        "thumbnail",
    }
    assert set(vocabulary("product-type").narrower("timeseries")) == {"timeseries", "light-curve", "velocity-curve"}
    wide = vocabulary("http://www.ivoa.net/rdf/product-type").narrower("spatially-resolved-dataset")
    assert {"image", "cube", "slit-spectrum"} <= set(wide)
    assert set(vocabulary("messenger").narrower("photon")) >= {"Radio", "UV", "EUV"}


def test_terms_are_known_by_name_and_label_and_the_nearest_is_told() -> None:
    products = vocabulary("product-type")
    assert products.find("Light Curve") is products.terms["light-curve"]
    assert products.nearest("lightcurve")[0] == "light-curve"
    old = vocabulary("refframe").find("eq_FK5")
    assert old is not None
    assert (old.is_deprecated, old.use_instead) == (True, "FK5")
    assert vocabulary("refframe").find("GALACTIC") is vocabulary("refframe").terms["GALACTIC"]
    with pytest.raises(NotFound, match="Did you mean 'spectrum'"):
        products.narrower("spectra")
    with pytest.raises(NotFound, match="not known here"):
        vocabulary("../../etc/passwd")


def test_subjects_are_concepts_of_the_thesaurus() -> None:
    concepts = vocabulary("uat")
    assert len(concepts.terms) > 1800
    assert concepts.licence.startswith("CC-BY-SA-3.0")
    tops = [term.label for term in concepts.terms.values() if not term.wider]
    assert len(tops) == 11
    quasars = concepts.find("Quasars")
    assert quasars is not None
    assert set(quasars.wider) == {"active-galactic-nuclei", "supermassive-black-holes"}
    assert "radio-loud-quasars" in concepts.narrower("quasars")
    assert concepts.terms[concepts.nearest("Quasar")[0]].label == "Quasars"
    assert concepts.terms[concepts.nearest("variable star")[0]].label == "Variable stars"
    # nothing is wider than itself
    for name in concepts.terms:
        above, seen = {name}, set()
        while above:
            above = {wide for one in above for wide in concepts.terms[one].wider} - seen
            seen |= above
        assert name not in seen


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> DuckStore:
    folder = tmp_path_factory.mktemp("vocabularies")
    write_kinds(folder / "kinds.csv")
    publish(folder / "kinds.csv", name="lab.kinds", home=folder / "home")
    return DuckStore(Settings(home=folder / "home"))


def write_kinds(path: Path) -> None:
    kinds = ["light-curve", "Timeseries", "image", "", "#thumbnail", "spectrum"]
    path.write_text("n,kind\n" + "".join(f"{n},{kind}\n" for n, kind in enumerate(kinds)))


def ask(store: DuckStore, text: str) -> list[dict[str, object]]:
    return [row for batch in store.query(text, Limits()).stream.batches for row in batch.to_pylist()]


def test_a_query_finds_the_term_and_what_is_narrower(store: DuckStore) -> None:
    query = "SELECT n FROM lab.kinds WHERE gavo_vocmatch('{}', '{}', kind) = 1 ORDER BY n"
    assert [row["n"] for row in ask(store, query.format("product-type", "timeseries"))] == [0, 1]
    assert [row["n"] for row in ask(store, query.format("datalink/core", "preview"))] == [4]
    assert [row["n"] for row in ask(store, query.format("product-type", "spectrum"))] == [5]
    assert len(ask(store, query.format("product-type", "visibility"))) == 0


def test_a_word_the_vocabulary_does_not_have_is_told_with_the_nearest(store: DuckStore) -> None:
    with pytest.raises(QueryError, match="Did you mean 'image'"):
        ask(store, "SELECT gavo_vocmatch('product-type', 'imag', kind) AS a FROM lab.kinds")
    with pytest.raises(QueryError, match="not known here"):
        ask(store, "SELECT gavo_vocmatch('nothing', 'imag', kind) AS a FROM lab.kinds")


def test_coverages_are_united_and_cut_in_queries(store: DuckStore) -> None:
    row = ask(
        store,
        "SELECT gavo_mocunion(MOC('3/1 5'), MOC('3/0 2-3')) AS u, gavo_mocintersect(MOC('2/0'), MOC('3/1 5')) AS i,"
        " gavo_mocintersect(MOC('2/0'), MOC('3/5')) AS e FROM lab.kinds WHERE n = 0",
    )[0]
    assert row == {"u": "2/0 3/5", "i": "3/1", "e": ""}
    assert ask(
        store,
        "SELECT COUNT(*) AS c FROM lab.kinds WHERE"
        " 1 = CONTAINS(POINT(45, 1), gavo_mocunion(MOC(5, CIRCLE(45, 1, 1)), MOC('3/1')))",
    ) == [{"c": 6}]
