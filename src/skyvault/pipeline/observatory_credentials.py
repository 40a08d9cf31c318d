"""Who you are to a survey: a user and password or a token, from parameters, a file of your own, or the environment."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skyvault.config import Secret
from skyvault.errors import ConfigError
from skyvault.net.auth import Password, Token
from skyvault.pipeline.parameter_files import config_path

_MOST_BYTES = 1_000_000


def credential_of(given: Mapping[str, Any], observatory: str) -> Token | Password | None:
    """What the parameter ``credentials`` says, or None where nothing is known.

    ``{"username": ..., "password": ...}`` or ``{"token": ...}``, or a YAML file of such by
    ``{"filename": ..., "key": ...}`` (key: by default the observatory's name in lower case; values given beside win);
    else the variables ``<OBSERVATORY>_USERNAME`` and ``<OBSERVATORY>_PASSWORD``. The file must be readable by its owner
    alone. Raises ConfigError, which never quotes the file.
    """
    known = {str(key).lower(): value for key, value in given.items()}
    if "filename" in known:
        key = str(known.pop("key", None) or observatory.lower())
        known = {**_from_file(Path(str(known.pop("filename"))), key), **known}
    if not known:
        user, password = (os.environ.get(f"{observatory.upper()}_{word}") for word in ("USERNAME", "PASSWORD"))
        if user and password:
            known = {"username": user, "password": password}
    if not known:
        return None
    user = known.get("username", known.get("user"))
    if "token" in known and user is None:
        return Token(_secret(known["token"]))
    if user is not None and "password" in known:
        return Password(str(user), _secret(known["password"]))
    raise ConfigError(
        f"the credentials of {observatory} need a username and a password, or a token",
        hint="Or filename and key of a YAML file that holds them.",
    )


def _secret(value: Any) -> Secret:
    return value if isinstance(value, Secret) else Secret(str(value))


def _from_file(name: Path, key: str) -> dict[str, Any]:
    import yaml

    path = name.expanduser()
    if not path.is_absolute() and not path.is_file():
        path = config_path(str(name), "") or path
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError("others may read the credentials file", where=str(path), hint=f"Run: chmod 600 {path}")
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES)
        document = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"the credentials file cannot be read: {reason}", where=str(path)) from None
    except yaml.YAMLError:
        raise ConfigError("the credentials file is not valid YAML", where=str(path)) from None
    found = document.get(key) if isinstance(document, dict) else None
    if not isinstance(found, dict):
        raise ConfigError(f"the credentials file has no part {key[:60]!r}", where=str(path))
    return {str(name).lower(): value for name, value in found.items()}
