"""``skyvault users``: accounts, groups, tokens, quotas, and what users keep."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyvault.cli.options import home_option, json_option, print_json, settings_from
from skyvault.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.ledger.ledger import Ledger
    from skyvault.store.user_pieces import PiecedUploads

DAY_S = 86_400.0


@click.group("users", epilog="\b\nExample:\n  skyvault users add alice\n  skyvault users list\n")
def command() -> None:
    """Make accounts, groups and tokens; see and limit what users keep."""


@contextmanager
def _ledger(home: Path | None) -> Iterator[tuple[Settings, Ledger]]:
    from skyvault.store.home_ledger import open_home_ledger
    from skyvault.store.layout import Layout

    settings = settings_from(home=home)
    layout = Layout.of(settings).make()
    with open_home_ledger(layout) as ledger:
        yield settings, ledger


def _uploads(settings: Settings) -> PiecedUploads:
    """Tables that have begun to come in pieces."""
    from skyvault.store.layout import Layout
    from skyvault.store.user_pieces import PiecedUploads

    return PiecedUploads(Layout(settings.home).uploads, life_s=0.0)


def _owner(ledger: Ledger, name: str) -> str:
    """Whose tables a name means: a user's id, "" for "anonymous". Raises NotFound."""
    return "" if name.lower() == "anonymous" else ledger.users.get(name).id


def _new_password(stdin: bool, generate: bool) -> tuple[str, bool]:
    """The password, and whether it was invented here and so must be told."""
    from skyvault.serve.passwords import invented

    if generate:
        return invented(), True
    if stdin:
        return sys.stdin.readline().rstrip("\n"), False
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)), False


@command.command("add", epilog="\b\nExample:\n  skyvault users add alice --generate\n")
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@click.option("--generate", is_flag=True, help="Invent a password and print it.")
@home_option
def add(name: str, password_stdin: bool, generate: bool, home: Path | None) -> None:
    """Make an account. The password is asked for, unless an option says where it comes from."""
    from skyvault.serve.passwords import hashed

    with _ledger(home) as (_, ledger):
        password, is_new = _new_password(password_stdin, generate)
        ledger.users.add(name, hashed(password))
    click.echo(password if is_new else f"{name} may log in.")


@command.command("password", epilog="\b\nExample:\n  skyvault users password alice --generate\n")
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@click.option("--generate", is_flag=True, help="Invent a password and print it.")
@home_option
def password(name: str, password_stdin: bool, generate: bool, home: Path | None) -> None:
    """Set another password; the user's sessions end, tokens stay."""
    from skyvault.serve.passwords import hashed

    with _ledger(home) as (_, ledger):
        ledger.users.get(name)
        text, is_new = _new_password(password_stdin, generate)
        ledger.users.set_password(name, hashed(text))
    click.echo(text if is_new else f"{name} has a new password.")


@command.command("list", epilog="\b\nExample:\n  skyvault users list --json\n")
@home_option
@json_option
def list_users(home: Path | None, as_json: bool) -> None:
    """Show who has an account and what they keep."""
    with _ledger(home) as (settings, ledger):
        rows: list[dict[str, Any]] = []
        for user in ledger.users.all():
            usage = ledger.user_tables.usage(user.id)
            rows.append(
                {
                    "name": user.name,
                    "groups": sorted(ledger.users.groups_of(user.id)),
                    "tokens": len(ledger.tokens.of(user.id)),
                    "tables": usage.tables,
                    "bytes": usage.bytes,
                    "quota_bytes": settings.user_quota_bytes if user.quota_bytes is None else user.quota_bytes,
                    "quota_tables": settings.user_quota_tables if user.quota_tables is None else user.quota_tables,
                }
            )
        shared = ledger.user_tables.usage("")
    if as_json:
        print_json({"users": rows, "anonymous": {"tables": shared.tables, "bytes": shared.bytes}})
        return
    for row in rows:
        groups = f" ({', '.join(row['groups'])})" if row["groups"] else ""
        click.echo(
            f"{row['name']}{groups}: {row['tables']} tables, {row['bytes']:,} of {row['quota_bytes']:,} bytes,"
            f" {row['tokens']} tokens"
        )
    click.echo(f"not logged in: {shared.tables} tables, {shared.bytes:,} bytes")


@command.command("usage", epilog="\b\nExample:\n  skyvault users usage alice\n  skyvault users usage --json\n")
@click.argument("name", required=False)
@home_option
@json_option
def usage(name: str | None, home: Path | None, as_json: bool) -> None:
    """Show which tables take the space: of a user ("anonymous": of those who are not logged in), or of everybody."""
    from skyvault.model.job import format_instant

    with _ledger(home) as (_, ledger):
        tables = ledger.user_tables
        owners = tables.owners() if name is None else [_owner(ledger, name)]
        rows: list[dict[str, Any]] = []
        for owner in owners:
            user = ledger.users.by_id(owner)
            for one in tables.of(owner):
                rows.append(
                    {
                        "user": "anonymous" if user is None else user.name,
                        "table": one.name,
                        "rows": one.nrows,
                        "bytes": one.bytes,
                        "changed": format_instant(one.changed_at),
                        "until": format_instant(one.destruction_time),
                        "shares": len(tables.grants(one)),
                        "frozen": one.frozen is not None,
                    }
                )
        lingering = sum(tables.usage(owner).lingering_bytes for owner in owners)
    rows.sort(key=lambda row: -row["bytes"])
    total = sum(row["bytes"] for row in rows)
    if as_json:
        print_json({"tables": rows, "bytes": total, "lingering_bytes": lingering})
        return
    for row in rows:
        marks = "".join(
            [f", shared {row['shares']} times" if row["shares"] else "", ", frozen" if row["frozen"] else ""]
        )
        click.echo(
            f"{row['user']}  {row['table']}: {row['rows']:,} rows, {row['bytes']:,} bytes, until {row['until']}{marks}"
        )
    click.echo(f"{len(rows)} tables, {total:,} bytes; files of dropped tables: {lingering:,} bytes")


@command.command("remove", epilog="\b\nExample:\n  skyvault users remove alice --yes\n")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
def remove(name: str, yes: bool, home: Path | None) -> None:
    """Remove an account with its tokens, jobs and tables."""
    with _ledger(home) as (settings, ledger):
        user = ledger.users.get(name)
        count = ledger.user_tables.usage(user.id).tables
        if not yes:
            click.confirm(f"Remove {user.name} and {count} tables?", abort=True, err=True)
        # tables first: when this stops half-way, the account is still there and it can be done again
        ledger.user_tables.drop_all(user.id)
        _uploads(settings).drop_all(user.id)
        ledger.users.remove(name)
    click.echo(f"{user.name} and {count} tables are gone.")


@command.command("quota", epilog="\b\nExample:\n  skyvault users quota alice --bytes 50GB --tables 100\n")
@click.argument("name")
@click.option("--bytes", "size", help="Space, such as 50GB; 'default' for the operator's setting.")
@click.option("--tables", help="Number of tables; 'default' for the operator's setting.")
@home_option
def quota(name: str, size: str | None, tables: str | None, home: Path | None) -> None:
    """Show or set how much a user may keep."""
    from skyvault.config import Settings

    with _ledger(home) as (settings, ledger):
        user = ledger.users.get(name)
        if size is not None or tables is not None:
            given = {}
            if size not in (None, "default"):
                given["user_quota_bytes"] = size
            if tables not in (None, "default"):
                given["user_quota_tables"] = tables
            # the settings' own readers know sizes and numbers
            read = Settings(home=settings.home, **given)
            kept_bytes = user.quota_bytes if size is None else None if size == "default" else read.user_quota_bytes
            kept_tables = (
                user.quota_tables if tables is None else None if tables == "default" else read.user_quota_tables
            )
            user = ledger.users.set_quota(name, kept_bytes, kept_tables)
        usage = ledger.user_tables.usage(user.id)
        most_bytes = settings.user_quota_bytes if user.quota_bytes is None else user.quota_bytes
        most_tables = settings.user_quota_tables if user.quota_tables is None else user.quota_tables
    click.echo(f"{user.name}: {usage.bytes:,} of {most_bytes:,} bytes, {usage.tables} of {most_tables} tables")


@command.command("join", epilog="\b\nExample:\n  skyvault users join survey alice\n")
@click.argument("group")
@click.argument("name")
@home_option
def join(group: str, name: str, home: Path | None) -> None:
    """Make a user a member of a group; a group begins with its first member."""
    with _ledger(home) as (_, ledger):
        ledger.users.join(group, name)
        members = ledger.users.members(group)
    click.echo(f"{group}: {', '.join(members)}")


@command.command("leave", epilog="\b\nExample:\n  skyvault users leave survey alice\n")
@click.argument("group")
@click.argument("name")
@home_option
def leave(group: str, name: str, home: Path | None) -> None:
    """Take a user out of a group."""
    with _ledger(home) as (_, ledger):
        ledger.users.leave(group, name)
        members = ledger.users.members(group)
    click.echo(f"{group}: {', '.join(members) or 'nobody'}")


@command.command("link", epilog="\b\nExample:\n  skyvault users link alice 248289761001\n")
@click.argument("name")
@click.argument("subject")
@home_option
def link(name: str, subject: str, home: Path | None) -> None:
    """Let somebody of the login service (OpenID Connect) into an account, by their subject there ("sub")."""
    with _ledger(home) as (settings, ledger):
        ledger.external_logins.link(ledger.users.get(name), _issuer(settings), subject, actor="operator")
    click.echo(f"{subject} of {settings.oidc_issuer} logs in as {name}.")


@command.command("unlink", epilog="\b\nExample:\n  skyvault users unlink alice\n")
@click.argument("name")
@home_option
def unlink(name: str, home: Path | None) -> None:
    """Let nobody of the login service into this account any more."""
    with _ledger(home) as (settings, ledger):
        ledger.external_logins.unlink(ledger.users.get(name), _issuer(settings), actor="operator")
    click.echo(f"Nobody of {settings.oidc_issuer} logs in as {name}.")


def _issuer(settings: Settings) -> str:
    if settings.oidc_issuer is None:
        raise ConfigError("no login service is set", where="settings", hint="Set SKYVAULT_OIDC_ISSUER.")
    return settings.oidc_issuer


@command.command("tokens", epilog="\b\nExample:\n  skyvault users tokens alice --create notebook --days 30\n")
@click.argument("name")
@click.option("--create", metavar="WHAT FOR", help="Make a token and print it, this once.")
@click.option("--scopes", default="read,write", show_default=True, help="Some of read, write, account.")
@click.option("--days", type=float, help="How long it is valid.")
@click.option("--revoke", metavar="ID", help="Make a token invalid.")
@home_option
@json_option
def tokens(
    name: str,
    create: str | None,
    scopes: str,
    days: float | None,
    revoke: str | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """List, make or revoke a user's tokens."""
    from skyvault.model.job import format_instant

    with _ledger(home) as (settings, ledger):
        user = ledger.users.get(name)
        if revoke is not None:
            ledger.tokens.revoke(user, revoke)
        if create is not None:
            most = settings.user_token_life_days
            if days is not None and not 0 < days <= most:
                raise UsageError(f"a token is valid for at most {most:g} days")
            _, text = ledger.tokens.create(user, create, scopes.replace(",", " ").split(), (days or most / 4) * DAY_S)
            click.echo(text)
            return
        rows = [
            {"id": t.id, "name": t.name, "scopes": sorted(t.scopes), "expires": format_instant(t.expires_at)}
            for t in ledger.tokens.of(user.id)
        ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(f"{row['id']}  {','.join(row['scopes'])}  until {row['expires']}  {row['name']}")


@command.command("purge-tables", epilog="\b\nExample:\n  skyvault users purge-tables --all --yes\n")
@click.argument("name", required=False)
@click.option("--all", "everybody", is_flag=True, help="Everybody's tables, also of those who are not logged in.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
def purge_tables(name: str | None, everybody: bool, yes: bool, home: Path | None) -> None:
    """Drop all tables of a user ("anonymous": of those who are not logged in), or of everybody."""
    if (name is None) == (not everybody):
        raise UsageError("name a user, or say --all")
    with _ledger(home) as (settings, ledger):
        owner = None
        if name is not None:
            owner = _owner(ledger, name)
        if not yes:
            click.confirm(f"Drop all tables of {name or 'everybody'}?", abort=True, err=True)
        count = ledger.user_tables.drop_all(owner)
        _uploads(settings).drop_all(owner)
    click.echo(f"{count} tables are dropped; their files go when nobody reads them any more.")


@command.command("log", epilog="\b\nExample:\n  skyvault users log --last 20\n")
@click.option("--last", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many entries.")
@home_option
@json_option
def log(last: int, home: Path | None, as_json: bool) -> None:
    """Show who did what to accounts and tables, the newest first."""
    from skyvault.model.job import format_instant

    with _ledger(home) as (_, ledger):
        entries = ledger.audit.newest(last)
    if as_json:
        print_json([{"at": format_instant(e.at), "who": e.actor, "did": e.act, "what": e.subject} for e in entries])
        return
    for entry in entries:
        click.echo(f"{format_instant(entry.at)}  {entry.actor}  {entry.act}  {entry.subject}")


@command.command("rotate-secret", epilog="\b\nExample:\n  skyvault users rotate-secret\n")
@home_option
def rotate_secret(home: Path | None) -> None:
    """Sign cookies with a new key from now on; what the last key signed stays good until the next rotation."""
    from skyvault.serve.secret import rotate

    click.echo(f"{rotate(settings_from(home=home))} has a new key.")
