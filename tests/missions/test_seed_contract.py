"""Every name of the seed page exists, with its arguments in their order and their defaults, in every class."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from missions.seed_page import names, names_of, read_page
from skyvault.missions import Mission, mission_classes

#: defaults that are others here, and why
OTHER_DEFAULTS = {
    # the page shows what 90 % of the cores of its author's machine were; here an archive's manners decide
    ("download", "num_cores"): None,
    # one default for all missions
    ("download", "download_products"): True,
}


@pytest.mark.shared
def test_the_table_of_names_is_what_the_page_says(shared: Path) -> None:
    page = read_page(shared / "reference" / "seeds" / "4-daxa-missions.txt")
    assert page == names()
    assert len(page) == 12 and "BaseMission" in page
    assert sum(len(one) for one in page.values()) > 120
    assert set(page) - {"BaseMission"} <= set(mission_classes())


def test_every_class_has_every_name_of_the_page_with_its_arguments(mission_class: type[Mission]) -> None:
    for name, arguments in names_of(mission_class.__name__).items():
        if arguments is None:
            value = inspect.getattr_static(mission_class, name)
            assert hasattr(value, "__get__") and not inspect.isfunction(value), f"{name} is no property"
            continue
        ours = inspect.signature(getattr(mission_class, name or "__init__")).parameters
        order = [p for p in ours if p != "self"]
        for place, argument in enumerate(arguments):
            word, _, default = argument.partition("=")
            if name == "download":
                assert word in order
            else:
                assert order[place] == word, name
            expected = OTHER_DEFAULTS.get((name, word), default and _value(default))
            if default:
                assert ours[word].default == expected, (name, word)


def _value(text: str) -> object:
    return {"None": None, "True": True, "False": False}.get(text, text.strip("'\u2018\u2019\""))


def test_every_property_of_the_page_answers(mission: Mission) -> None:
    from skyvault.missions.faults import NotDownloadedError, PreProcessedNotSupportedError

    for name, arguments in names_of(type(mission).__name__).items():
        if arguments is not None:
            continue
        if name == "downloaded_type":
            with pytest.raises(NotDownloadedError):
                mission.downloaded_type  # noqa: B018
        else:
            try:
                assert getattr(mission, name) is not None
            except PreProcessedNotSupportedError:
                assert name == "preprocessed_energy_bands" and not mission.declaration.bands
