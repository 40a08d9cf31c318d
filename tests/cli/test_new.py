"""``skyvault new`` gives resources that publish at once; ``skyvault check`` says what they lack."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skyvault.config import Settings
from skyvault.errors import Conflict, UsageError
from skyvault.publish.resource_checks import check_resource
from skyvault.publish.resource_publisher import publish_resource
from skyvault.publish.templates import TEMPLATES, make_resource
from skyvault.serve.local import query


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_template_publishes_at_once_and_passes_its_tests(name: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    make_resource(name, tmp_path / f"my_{name}")
    done = publish_resource(tmp_path / f"my_{name}", settings=settings)
    assert not done.problems

    def ask(adql: str) -> list[dict[str, Any]]:
        return [row for batch in query(adql, settings=settings).batches for row in batch.to_pylist()]

    findings = check_resource(tmp_path / f"my_{name}", ask)
    assert [one.what for one in findings] == ["references is missing"]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with pytest.raises(Conflict):
        make_resource("table", tmp_path)
    with pytest.raises(UsageError, match="Did you mean images"):
        make_resource("image", tmp_path / "new")


def test_the_commands_tell_what_they_do(skyvault: Callable[..., Any], tmp_path: Path) -> None:
    assert "images" in skyvault("new").out
    made = skyvault("new", "table", "stars")
    assert made.code == 0 and "resource.yaml" in made.out
    assert skyvault("publish", "stars", "--json").code == 0
    found = skyvault("check", "stars", "--json")
    assert [one["what"] for one in json.loads(found.out)] == ["references is missing"]


def test_a_failed_test_and_a_bad_expression_are_told_with_their_lines(tmp_path: Path) -> None:
    make_resource("images", tmp_path / "plates")
    path = tmp_path / "plates" / "resource.yaml"
    path.write_text(path.read_text().replace("least_rows: 1", "rows: 5").replace("= SEEING", "= SEEING +"))
    told = {one.what: one.where for one in check_resource(tmp_path / "plates", lambda adql: [{"n": 1}])}
    assert "the test 'the sample is found by its place' failed: 1 rows came, not 5" in told
    assert told["'SEEING +' is no expression"].startswith("resource.yaml, line 2")


def test_editors_get_the_schema_of_a_resource(skyvault, tmp_path):
    answer = skyvault("new", "--schema")
    schema = json.loads(answer.out)
    assert answer.code == 0 and {"root", "files", "tables"} <= set(schema["properties"])
