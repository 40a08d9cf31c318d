"""``skyvault sandbox``: the archives of the world in small, on this machine, for trying out, teaching and tests."""

from __future__ import annotations

import contextlib
import json
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyvault.cli.options import home_option, json_option, settings_from
from skyvault.errors import Conflict

if TYPE_CHECKING:
    from skyvault.sandbox import Sandbox


@click.command(
    "sandbox",
    epilog="""\b
Examples:
  skyvault sandbox --here &              commands run in this directory ask the sandbox
  skyvault sandbox --env > sandbox.sh &  afterwards: . ./sandbox.sh
  skyvault sandbox --archives heasarc,sesame --port 8500
""",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on. [default: a free one]")
@click.option("--env", "as_environment", is_flag=True, help="Print shell lines that send commands to the sandbox.")
@click.option(
    "--here", "is_here", is_flag=True, help="Write ./skyvault.toml, so that commands run here ask the sandbox."
)
@click.option("--directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
              help="What is simulated is kept there. [default: sandbox in the data directory]")  # fmt: skip
@click.option("--archives", metavar="NAMES", help="Only these archives, separated by commas.")
@json_option
@home_option
def command(
    port: int,
    as_environment: bool,
    is_here: bool,
    directory: Path | None,
    archives: str | None,
    as_json: bool,
    home: Path | None,
) -> int:
    """Serve a simulated sky in the wire protocols of the real archives, on this machine only, until stopped.

    No request leaves this machine: missions, name resolver and services then know the same few dozen objects.
    """
    from skyvault.sandbox import Sandbox

    wanted = None if archives is None else [name.strip() for name in archives.split(",") if name.strip()]
    place = directory or settings_from(home=home).home / "sandbox"
    sandbox = Sandbox(place, port=port, archives=wanted)
    with _stopped_by_sigterm(), contextlib.ExitStack() as stack:
        if is_here:
            # at once: it listens already, and a command that comes too early waits instead of asking the real archives
            stack.enter_context(_settings_here(sandbox))
        if not (place / "tap").is_dir():
            click.echo("Simulating the sky, once, for some seconds ...", err=True)
        sandbox.build()
        _tell(sandbox, as_environment=as_environment, as_json=as_json, is_here=is_here)
        sandbox.serve()
    return 0


def _tell(sandbox: Sandbox, *, as_environment: bool, as_json: bool, is_here: bool) -> None:
    if as_json:
        # one line: whoever started this reads it and goes on
        click.echo(json.dumps({"url": sandbox.url, "endpoints": sandbox.endpoints()}))
    elif as_environment:
        for variable, address in sandbox.environment().items():
            click.echo(f"export {variable}={shlex.quote(address)}")
    else:
        click.echo(f"The archives of the sandbox are at {sandbox.url} until Ctrl-C:")
        for archive, services in sandbox.endpoints().items():
            click.echo(f"  {archive:<10}" + ("\n" + " " * 12).join(services.values()))
        if is_here:
            click.echo("Commands run in this directory ask them.")
        else:
            click.echo("skyvault sandbox --here or --env sends other commands to them.")
    sys.stdout.flush()


@contextlib.contextmanager
def _settings_here(sandbox: Sandbox) -> Iterator[None]:
    """A skyvault.toml in this directory for as long as the sandbox runs."""
    path = Path.cwd() / "skyvault.toml"
    lines = ["# made by skyvault sandbox --here, which takes it away when it ends"]
    for archive, services in sandbox.endpoints().items():
        lines += ["", f"[endpoints.{archive}]", *(f"{name} = {json.dumps(url)}" for name, url in services.items())]
    text = "\n".join(lines) + "\n"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Conflict(
            "there are settings in this directory already", where=str(path), hint="Use --env, or another directory."
        ) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            # not what somebody else wrote meanwhile
            if path.read_text(encoding="utf-8") == text:
                path.unlink()


@contextlib.contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does: tidily, and with exit code 0, since a server is meant to be stopped."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
