"""The command ``skyvault``: its sub-commands, and how what went wrong becomes one sentence and an exit code.

Exit codes: 0 done, 1 fault, 2 usage, 3 done with problems, 130 stopped and resumable.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from skyvault import __version__
from skyvault.errors import SkyvaultError

#: command -> (module, what it is for); the module is imported when the command is used, the text is for --help
COMMANDS = {
    "demo": ("skyvault.cli.demo", "Tell the whole story in under a minute: publish, serve, find, fetch, run, query."),
    "new": ("skyvault.cli.new", "Start a resource: a table, images, spectra or light curves to publish."),
    "publish": ("skyvault.cli.publish", "Publish a table, or the files that a resource.yaml describes."),
    "unpublish": ("skyvault.cli.unpublish", "Withdraw a published table."),
    "serve": ("skyvault.cli.serve", "Serve the published tables by TAP, cone search and web pages."),
    "query": ("skyvault.cli.query", "Run an ADQL query, here or on any TAP service of the world."),
    "find": ("skyvault.cli.find", "Find observations of a place in many archives at once."),
    "missions": ("skyvault.cli.missions", "List the missions whose observations can be looked up and fetched."),
    "observations": ("skyvault.cli.observations", "List a mission's observations of positions, names, times, kinds."),
    "fetch": ("skyvault.cli.fetch", "Fetch the files of a mission's observations."),
    "run": ("skyvault.cli.run", "Run a project: a whole target list, from download to detections."),
    "status": ("skyvault.cli.status", "Show how far runs are, and what failed."),
    "resume": ("skyvault.cli.resume", "Go on with a run that was stopped."),
    "report": ("skyvault.cli.report", "Write a page about a run: numbers, sky, detections, efficiency, problems."),
    "sandbox": ("skyvault.cli.sandbox", "Serve the archives of the world in small, on this machine."),
    "users": ("skyvault.cli.users", "Make accounts, groups and tokens; see and limit what users keep."),
    "login": ("skyvault.cli.login", "Log in to a service, once: later requests bring the token."),
    "tables": ("skyvault.cli.tables", "Keep tables of your own at a service; share, extend, index, drop them."),
    "actions": ("skyvault.cli.actions", "List, run and stop what published resources let run by themselves."),
    "hips": ("skyvault.cli.hips", "Make tiles of a collection of images for sky browsers (HiPS)."),
    "registry": ("skyvault.cli.registry", "Records of what is published, for registries; harvest other registries."),
    "check": ("skyvault.cli.check", "Validate published tables and their metadata."),
    "upgrade": ("skyvault.cli.upgrade", "Bring published tables to the format of this version."),
    "backup": ("skyvault.cli.backup", "Copy everything that is published, while it is served."),
}


class _ReaderGone(Exception):
    """Whoever read us has seen enough: skyvault query ... | head."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used, so that ``--help`` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            import difflib

            close = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f" Did you mean {close[0]}?" if close else f" There are: {', '.join(COMMANDS)}."
            raise click.UsageError(f"there is no command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # click would end the process with code 1 here
            raise _ReaderGone from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with:  skyvault demo",
)
@click.version_option(__version__, prog_name="skyvault")
def skyvault() -> None:
    """From a file of sky positions to a queried Virtual Observatory service.

    \b
    skyvault publish stars.parquet --name mine.stars
    skyvault serve
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; everything that can go wrong is told in one sentence."""
    try:
        result = skyvault.main(
            args=None if arguments is None else list(arguments), prog_name="skyvault", standalone_mode=False
        )
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except (_ReaderGone, BrokenPipeError):
        # not a fault, but nothing more can be written, not even what the interpreter flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except (KeyboardInterrupt, click.Abort):
        return _tell("Stopped.", 130)
    except Exception as error:
        if os.environ.get("SKYVAULT_DEBUG"):
            raise
        return _explain(error)


def _explain(error: Exception) -> int:
    """One sentence on stderr; the exit code is the error's own."""
    if isinstance(error, SkyvaultError):
        return _tell(str(error), error.exit_code)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return 2
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "skyvault"
        return _tell(f"{error.format_message()}  Try: {command} --help", 2)
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.ClickException):
        return _tell(error.format_message(), error.exit_code)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return _tell(f"{where}{error.strerror}.", 1)
    return _tell(
        f"This is a fault of Skyvault, not yours: {type(error).__name__}: {error}. "
        "SKYVAULT_DEBUG=1 shows where it happened; please report it.",
        1,
    )


def _tell(sentence: str, code: int) -> int:
    click.echo(f"skyvault: {sentence}", err=True)
    return code


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the console script."""
    code: Any = run(arguments)
    sys.exit(code)


if __name__ == "__main__":
    main()
