"""Passwords: hashed with argon2id, checked in equal time whether or not there is such a user."""

from __future__ import annotations

import functools
import secrets
from typing import TYPE_CHECKING

from skyvault.errors import ParameterError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

LEAST, MOST = 8, 1000


def hashed(password: str) -> str:
    """What the ledger keeps of a password. Raises ParameterError for one that is too short or too long."""
    if not LEAST <= len(password) <= MOST:
        raise ParameterError(f"a password has from {LEAST} to {MOST} characters")
    return _hasher().hash(password)


def is_right(password: str, kept: str | None) -> bool:
    """Whether this is the password; 20 ms also when there is none."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        good = _hasher().verify(kept or _nobodys(), password[:MOST])
    except (VerificationError, InvalidHashError):
        return False
    return good and kept is not None


def invented() -> str:
    """A random password to hand out."""
    return secrets.token_urlsafe(15)


@functools.cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    # OWASP's least for argon2id; the library's 64 MiB would let many logins at once crowd out the queries
    return PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


@functools.cache
def _nobodys() -> str:
    return _hasher().hash(secrets.token_urlsafe(16))
