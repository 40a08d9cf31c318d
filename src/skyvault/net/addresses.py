"""Web addresses as they may be shown: host, path and harmless parameters, never a password, token or signature."""

from __future__ import annotations

from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

from skyvault.errors import UsageError

#: what stands where something secret stood
HIDDEN: Final = "***"
#: parameters that carry a secret or change with each signature (S3, CloudFront, Google, Azure, and plain habits)
_SECRET: Final = frozenset(
    (
        "access_token",
        "apikey",
        "api_key",
        "auth",
        "authorization",
        "awsaccesskeyid",
        "code",
        "credential",
        "expires",
        "jwt",
        "key",
        "key-pair-id",
        "pass",
        "passwd",
        "password",
        "policy",
        "pwd",
        "secret",
        "session",
        "sessionid",
        "sig",
        "signature",
        "token",
        "user",
        "username",
    )
)
_SECRET_PREFIXES: Final = ("x-amz-", "x-goog-", "x-oss-")
#: Azure's shared access signature has two-letter names, which mean it only beside ``sig``
_AZURE: Final = frozenset(("se", "sp", "sr", "st", "sv", "spr", "sip", "skoid", "sktid", "skt", "ske", "sks", "skv"))


def split_address(url: str) -> SplitResult:
    """The parts of an http(s) address.

    Raises UsageError for another scheme, no host, a bad port, or a password inside (it would end in logs).
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise UsageError("a web address cannot be read", where=_without_user(url)) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError("this is not an http or https address", where=_without_user(url))
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            f"the address of {parts.hostname} has a user or password in it",
            hint="Give credentials by host, for instance in a credentials file.",
        )
    return parts


def host_of(url: str) -> str:
    """Host, and port where it is not the scheme's own, in lower case: what credentials and manners go by."""
    parts = split_address(url)
    host = (parts.hostname or "").lower()
    usual = {"http": 80, "https": 443}[parts.scheme]
    return host if parts.port in (None, usual) else f"{host}:{parts.port}"


def shown_address(url: str) -> str:
    """``url`` for people, logs and saved states: secret parameters hidden, user and fragment left out.

    It is the same before and after a link is signed anew.
    """
    parts = urlsplit(_without_user(url))
    address = f"{parts.scheme}://{parts.netloc}{parts.path}"
    given = parse_qsl(parts.query, keep_blank_values=True)
    names = {name.lower() for name, _ in given}
    shown = [
        f"{quote(name)}={HIDDEN if _is_secret(name.lower(), names) else quote(value, safe='/:,')}"
        for name, value in given
    ]
    return f"{address}?{'&'.join(shown)}" if shown else address


def _is_secret(name: str, names: set[str]) -> bool:
    return name in _SECRET or name.startswith(_SECRET_PREFIXES) or ("sig" in names and name in _AZURE)


def _without_user(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url.rpartition("@")[2]
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
