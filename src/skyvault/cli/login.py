"""``skyvault login``: name and password once, a token in a file of your own ever after."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyvault.errors import ConfigError, TransientError, Unauthorised, UsageError

if TYPE_CHECKING:
    import configparser


def credentials_path() -> Path:
    """The user's credentials file (mode 0600, a section a host): that of the settings, or a usual place."""
    import platformdirs

    from skyvault.config import Settings

    configured = Settings().credentials_file
    if configured is not None:
        return configured
    return Path(platformdirs.user_config_dir("skyvault", appauthor=False)) / "credentials"


@click.command(
    "login",
    epilog="\b\nExample:\n  skyvault login https://data.example.org/vo\n  skyvault login URL --token-stdin < token\n",
)
@click.argument("url")
@click.option("--user", help="Your name there. [default: asked for]")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@click.option("--token-stdin", is_flag=True, help="You have a token already: read it from standard input.")
@click.option("--days", type=float, help="How long the token shall be valid.")
@click.option("--forget", is_flag=True, help="Log out: delete what is stored for this service.")
@click.option("--credentials", type=click.Path(path_type=Path, dir_okay=False), help="Another credentials file.")
def command(
    url: str,
    user: str | None,
    password_stdin: bool,
    token_stdin: bool,
    days: float | None,
    forget: bool,
    credentials: Path | None,
) -> None:
    """Log in to a service. The password is not kept, only a token, in a file that nobody else may read."""
    from skyvault.net.addresses import host_of
    from skyvault.net.auth import is_private_way

    if "://" not in url:
        raise UsageError(f"{url!r} is no address", hint="Begin with https://.")
    if not is_private_way(url):
        raise ConfigError("the password would be sent unencrypted", hint="Use the service's https address.")
    host, path = host_of(url), credentials or credentials_path()
    if forget:
        _store(path, host, None)
        click.echo(f"Nothing is stored for {host} any more.")
        return
    if token_stdin:
        token = sys.stdin.readline().strip()
    else:
        user = user or click.prompt("Name", err=True)
        if password_stdin:
            password = sys.stdin.readline().rstrip("\n")
        else:
            password = click.prompt("Password", hide_input=True, err=True)
        token = _ask(url.rstrip("/").removesuffix("/tap"), str(user), str(password), days)
    if not token or not token.isprintable() or " " in token:
        raise UsageError("that is no token")
    _store(path, host, token)
    click.echo(f"Logged in to {host}; the token is in {path}.")


def _ask(base: str, user: str, password: str, days: float | None) -> str:
    """A new token of the service. Raises Unauthorised, UsageError with the service's words, TransientError."""
    import platform

    import httpx2

    data = {"NAME": f"skyvault login on {platform.node()[:40]}"} | ({} if days is None else {"DAYS": f"{days:g}"})
    try:
        answer = httpx2.post(f"{base}/account/tokens", data=data, auth=(user, password), timeout=30.0)
    except httpx2.HTTPError as error:
        raise TransientError("the service cannot be reached", where=base, hint=str(error)[:200]) from None
    if answer.status_code == 401:
        raise Unauthorised("the name or the password is wrong", where=base)
    if answer.status_code == 404:
        raise UsageError("this service gives no tokens", where=base, hint="Give the base address, without /tap.")
    try:
        told: Any = answer.json()
        return str(told["token"])
    except (ValueError, KeyError, TypeError):
        words = " ".join(answer.text[:300].split())
        raise UsageError(f"the service gives no token: {words}", where=base) from None


def _store(path: Path, host: str, token: str | None) -> None:
    """Write the file anew beside and swap it; it is never readable by others."""
    import configparser

    parser = configparser.ConfigParser(interpolation=None, default_section="\0none")
    if path.exists():
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError("others may read the credentials file", where=str(path), hint=f"Run: chmod 600 {path}")
        try:
            parser.read_string(path.read_text(encoding="utf-8"))
        except (configparser.Error, UnicodeDecodeError):
            raise ConfigError("the credentials file is not a valid ini file", where=str(path)) from None
    parser.remove_section(host)
    if token is not None:
        parser.add_section(host)
        parser.set(host, "token", token)
    _write(path, parser)


def _write(path: Path, parser: configparser.ConfigParser) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            parser.write(file)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
