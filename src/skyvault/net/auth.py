"""Who you are to each archive: tokens and passwords by host, from code or a credentials file; never shown or saved."""

from __future__ import annotations

import base64
import configparser
import ipaddress
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from skyvault.config import Secret
from skyvault.errors import ConfigError
from skyvault.net.addresses import host_of, split_address


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token (RFC 6750)."""

    token: Secret

    def header(self) -> str:
        return f"Bearer {_one_line(self.token.reveal())}"


@dataclass(frozen=True, slots=True)
class Password:
    """A user and password for HTTP Basic (RFC 7617, UTF-8)."""

    user: str
    password: Secret

    def header(self) -> str:
        pair = f"{_one_line(self.user)}:{_one_line(self.password.reveal())}"
        return "Basic " + base64.b64encode(pair.encode()).decode("ascii")

    def __repr__(self) -> str:
        return "Password(user='***', password=Secret())"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that travels in a header of its own (``x-api-key`` of StarGlass and other gateways)."""

    key: Secret

    def header(self) -> str:
        return _one_line(self.key.reveal())


Credential = Token | Password | ApiKey
#: headers that hold a credential, lower case
IDENTIFYING: Final = frozenset(("authorization", "x-api-key"))


class Credentials:
    """One credential a host. A host's name is exact (``archive.org``, ``archive.org:8443``): no subdomains."""

    def __init__(self, by_host: Mapping[str, Credential] | None = None) -> None:
        self._by_host: dict[str, Credential] = {}
        for host, credential in (by_host or {}).items():
            self.add(host, credential)

    def add(self, host: str, credential: Credential) -> None:
        """Use ``credential`` for ``host``, a name or any address of it. Raises ConfigError for neither."""
        name = host_of(host) if "://" in host else host.strip().lower()
        if not name or any(character in name for character in "/@? \t\n"):
            raise ConfigError("a credential needs the name of a host, such as archive.example.org")
        credential.header()
        self._by_host[name] = credential

    @classmethod
    def from_file(cls, path: Path) -> Credentials:
        """Read an ini file: a section a host, in it ``token = ...``, ``api_key = ...``, or ``user`` and ``password``.

        Raises ConfigError when it cannot be read, others may read it too, or a section is incomplete. No message
        quotes the file's text.
        """
        try:
            mode = os.stat(path).st_mode
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigError(f"the credentials file cannot be read: {reason}", where=str(path)) from None
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError("others may read the credentials file", where=str(path), hint=f"Run: chmod 600 {path}")
        parser = configparser.ConfigParser(interpolation=None, default_section="\0none")
        try:
            parser.read_string(text)
        except configparser.Error as error:
            line = getattr(error, "lineno", None)
            place = f"{path}, line {line}" if line else str(path)
            raise ConfigError("the credentials file is not a valid ini file", where=place) from None
        credentials = cls()
        for host in parser.sections():
            section = parser[host]
            given = {"token", "api_key", "user", "password"} & set(section)
            if given == {"token"}:
                credentials.add(host, Token(Secret(section["token"])))
            elif given == {"api_key"}:
                credentials.add(host, ApiKey(Secret(section["api_key"])))
            elif given == {"user", "password"}:
                credentials.add(host, Password(section["user"], Secret(section["password"])))
            else:
                raise ConfigError(
                    "a section needs either a token, or an api_key, or a user and a password",
                    where=f"{path} [{host}]",
                )
        return credentials

    def of(self, url: str) -> Credential | None:
        """The credential of an address's host."""
        return self._by_host.get(host_of(url))

    def header_for(self, url: str, instead: Credential | None = None) -> str | None:
        """The value of the header that identifies you at this very address; None when its host has no credential.

        ``instead`` is used in place of the host's.

        Raises ConfigError where it would travel unencrypted: plain http to anything but loopback.
        """
        credential = instead or self.of(url)
        if credential is None:
            return None
        if not is_private_way(url):
            raise ConfigError(
                f"the credential of {host_of(url)} would be sent unencrypted", hint="Use the archive's https address."
            )
        return credential.header()

    def header_name(self, url: str, instead: Credential | None = None) -> str:
        """The header's name: Authorization, or that of keys."""
        return "x-api-key" if isinstance(instead or self.of(url), ApiKey) else "Authorization"

    def __repr__(self) -> str:
        return f"Credentials({', '.join(sorted(self._by_host))})"

    def __getstate__(self) -> object:
        raise TypeError("credentials are never saved")


def is_private_way(url: str) -> bool:
    """Whether nobody between can read what is sent: https, or loopback."""
    parts = split_address(url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def _one_line(text: str) -> str:
    if any(not character.isprintable() for character in text) or not text:
        raise ConfigError("a credential is empty or has a line break or control character in it")
    return text
