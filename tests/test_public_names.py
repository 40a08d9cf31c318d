"""Public names: what a package offers stays what it is, whatever else has been imported since."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import pytest

import skyvault


def packages() -> list[str]:
    found = [one.name for one in pkgutil.iter_modules(skyvault.__path__, "skyvault.") if one.ispkg]
    return ["skyvault", *found]


@pytest.mark.parametrize("name", packages())
def test_a_public_name_is_no_module_of_the_same_name(name: str) -> None:
    # importing a module sets its name in its package, where it hides what is loaded when first asked for
    package = importlib.import_module(name)
    modules = {one.name for one in pkgutil.iter_modules(package.__path__)}
    public = set(getattr(package, "__all__", ()))
    # skyvault.find is a package that can be called
    assert public & modules <= ({"find"} if name == "skyvault" else set())
    for one in public:
        value = getattr(package, one)
        assert not isinstance(value, ModuleType) or callable(value), one
