"""Options that several commands share, and the settings they lead to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from skyvault.config import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


def home_option(command: Command) -> Command:
    """``--home DIR``: the data directory."""
    return click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        help="Data directory. [default: SKYVAULT_HOME, or the user's data directory]",
    )(command)


def json_option(command: Command) -> Command:
    """``--json``: the answer for a program, on stdout."""
    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")(command)


def settings_from(**given: Any) -> Settings:
    """The settings, with what was said on the command line over everything else (None: not said)."""
    from skyvault.config import Settings

    return Settings(**{name: value for name, value in given.items() if value is not None})


def print_json(document: Any) -> None:
    """One JSON document on stdout; values JSON does not know are written as text."""
    import json

    click.echo(json.dumps(document, ensure_ascii=False, indent=2, default=str))
