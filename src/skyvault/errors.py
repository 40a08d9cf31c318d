"""One tree of errors: each says what is wrong, where, and what to do next.

Every error that reaches a person is a :class:`SkyvaultError`. The class carries the protocol's own words
for it (HTTP status, DALI fault name), so that an edge (HTTP, CLI, notebook) never has to guess.
"""

from __future__ import annotations

from typing import ClassVar


class SkyvaultError(Exception):
    """Something went wrong that can be told in one sentence.

    ``what`` is the sentence, ``where`` names the place (file and row, query line, observation), ``hint`` says
    what to do about it.
    """

    http_status: ClassVar[int] = 500
    fault: ClassVar[str] = "FatalFault"
    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = self.what.rstrip(".")
        if self.where:
            text = f"{self.where}: {text}"
        return f"{text}. {self.hint}" if self.hint else f"{text}."


class UsageError(SkyvaultError):
    """The request cannot be understood or asks for something that does not exist."""

    http_status = 400
    fault = "UsageFault"
    exit_code = 2


class QueryError(UsageError):
    """An ADQL query is not valid; ``line`` and ``column`` count from 1 and point at ``token``."""

    def __init__(
        self,
        what: str,
        *,
        line: int = 1,
        column: int = 1,
        token: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what, where=f"line {line}, column {column}", hint=hint)
        self.line = line
        self.column = column
        self.token = token


class ParameterError(UsageError):
    """A protocol parameter is missing, repeated or has an illegal value."""


class RegionError(UsageError):
    """A piece of sky cannot be built from what was given."""


class UnitError(UsageError):
    """A unit string is not a VOUnit, or two units cannot be converted into each other."""


class FormatError(UsageError):
    """A file or document cannot be read; ``where`` names the byte, line or row."""


class IngestError(UsageError):
    """A file was read but cannot be published as it is."""


class ConfigError(UsageError):
    """A setting is wrong."""


class NotFound(UsageError):
    """There is no such table, job, product or user."""

    http_status = 404
    fault = "NotFoundFault"
    exit_code = 1


class Unauthorised(UsageError):
    """Who you are must be known first."""

    http_status = 401
    fault = "AuthenticationFault"


class Forbidden(UsageError):
    """You may not do that."""

    http_status = 403
    fault = "AuthorizationFault"


class Conflict(UsageError):
    """Somebody else has done something that excludes this."""

    http_status = 409


class LimitError(UsageError):
    """A limit of this server is reached."""

    http_status = 403


class TooLarge(LimitError):
    """An upload is larger than the server takes."""

    http_status = 413


class QuotaError(LimitError):
    """A user's space is full."""

    http_status = 507


class TransientError(SkyvaultError):
    """The same request may work later."""

    http_status = 503
    fault = "TransientFault"


class Busy(TransientError):
    """Too much is going on right now; ``retry_after_s`` says when to come back."""

    def __init__(self, what: str, *, retry_after_s: int = 1, hint: str | None = None) -> None:
        super().__init__(what, hint=hint)
        self.retry_after_s = retry_after_s


class QueryTimeout(TransientError):
    """A query ran longer than it may and was interrupted."""

    http_status = 400


class Cancelled(SkyvaultError):
    """Somebody asked to stop this piece of work."""

    http_status = 400
    exit_code = 130


class StoreError(SkyvaultError):
    """The store or ledger on disk cannot be used as it is."""
