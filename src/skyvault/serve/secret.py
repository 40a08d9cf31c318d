"""The keys that sign cookies and forms: in a file of mode 0600 that all workers share, two valid while rotating."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from skyvault.errors import ConfigError

if TYPE_CHECKING:
    from skyvault.config import Settings

_KEY_BYTES = 32
#: a key that an operator gives must not be a word that can be guessed
_LEAST_CHARACTERS = 32


class Keys:
    """Signs and verifies. The first key signs, all verify; a changed file is read again by itself.

    Raises ConfigError when the file may be read by others, or holds no key.
    """

    def __init__(self, settings: Settings) -> None:
        self.path: Path | None = None
        self._seen: tuple[int, int] = (0, 0)
        if settings.secret is not None:
            text = settings.secret.reveal()
            if len(text) < _LEAST_CHARACTERS:
                raise ConfigError(
                    f"secret is shorter than {_LEAST_CHARACTERS} characters", where="settings", hint="Use random ones."
                )
            self._keys = [hashlib.sha256(text.encode()).digest()]
            return
        self.path = secret_path(settings)
        if not self.path.exists():
            _make(self.path)
        self._keys = []
        self._refresh()

    def sign(self, purpose: str, text: str) -> str:
        """A signature of ``text`` that is good for ``purpose`` only."""
        self._refresh()
        return _signature(self._keys[0], purpose, text)

    def is_signed(self, purpose: str, text: str, signature: str) -> bool:
        """Whether one of the keys made the signature; takes equal time either way."""
        self._refresh()
        given = signature.encode("utf-8", "replace")
        good = [hmac.compare_digest(_signature(key, purpose, text).encode(), given) for key in self._keys]
        return any(good)

    def _refresh(self) -> None:
        if self.path is None:
            return
        try:
            status = self.path.stat()
            if (status.st_mtime_ns, status.st_ino) == self._seen:
                return
            self._keys = _read(self.path)
            self._seen = (status.st_mtime_ns, status.st_ino)
        except OSError as error:
            if not self._keys:
                raise ConfigError(f"the secret file cannot be read: {error.strerror}", where=str(self.path)) from None

    def __repr__(self) -> str:
        return f"Keys({len(self._keys)})"


def secret_path(settings: Settings) -> Path:
    """Where the keys lie."""
    return settings.secret_file or settings.home / "secret"


def rotate(settings: Settings) -> Path:
    """A new key signs from now on; the one before is still good until the next rotation. Raises ConfigError."""
    if settings.secret is not None:
        raise ConfigError("the key is a setting, so it cannot be rotated here", hint="Use SKYVAULT_SECRET_FILE.")
    path = secret_path(settings)
    keys = _read(path)[:1] if path.exists() else []
    _write(path, [secrets.token_bytes(_KEY_BYTES), *keys])
    return path


def _signature(key: bytes, purpose: str, text: str) -> str:
    mac = hmac.digest(key, f"{purpose}\n{text}".encode("utf-8", "surrogateescape"), "sha256")
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def _make(path: Path) -> None:
    """The file with a first key; when two processes make it at once, the first one's stays."""
    draft = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _fill(draft, [secrets.token_bytes(_KEY_BYTES)])
        with suppress(FileExistsError):
            os.link(draft, path)
    except OSError as error:
        raise ConfigError(
            f"the secret file cannot be made: {error.strerror}", where=str(path), hint="Set SKYVAULT_SECRET_FILE."
        ) from None
    finally:
        draft.unlink(missing_ok=True)


def _write(path: Path, keys: list[bytes]) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        _fill(draft, keys)
        os.replace(draft, path)
    except OSError as error:
        raise ConfigError(f"the secret file cannot be written: {error.strerror}", where=str(path)) from None
    finally:
        draft.unlink(missing_ok=True)


def _fill(path: Path, keys: list[bytes]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(b"".join(base64.urlsafe_b64encode(key) + b"\n" for key in keys))
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> list[bytes]:
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError("others may read the secret file", where=str(path), hint=f"Run: chmod 600 {path}")
    keys = []
    for line in path.read_bytes()[:10_000].split():
        with suppress(binascii.Error, ValueError):
            keys.append(base64.urlsafe_b64decode(line))
    if not keys or any(len(key) < _KEY_BYTES for key in keys):
        raise ConfigError("the secret file holds no key", where=str(path), hint="Delete it; a new one is made.")
    return keys
