"""What can go wrong with a Virtual Observatory service, each in one sentence; they are pyvo's own errors, too."""

from __future__ import annotations

from pyvo.dal.exceptions import DALFormatError, DALOverflowWarning, DALQueryError, DALServiceError

from skyvault.errors import SkyvaultError
from skyvault.net.faults import Unreachable, WrongContent


class ServiceFault(SkyvaultError, DALServiceError):  # type: ignore[misc]
    """A service answers that it cannot or will not; ``code`` is the HTTP status (None: there was none)."""

    def __init__(
        self, what: str, *, where: str | None = None, hint: str | None = None, code: int | None = None
    ) -> None:
        SkyvaultError.__init__(self, what, where=where, hint=hint)
        _as_pyvo(self, where)
        self._code = code

    __str__ = SkyvaultError.__str__


class ServiceUnreachable(Unreachable, DALServiceError):  # type: ignore[misc]
    """A service does not answer, or asks to come back later; the retries are used up."""

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        code: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        Unreachable.__init__(self, what, where=where, hint=hint, retry_after_s=retry_after_s)
        _as_pyvo(self, where)
        self._code = code

    __str__ = SkyvaultError.__str__


class QueryRefused(SkyvaultError, DALQueryError):  # type: ignore[misc]
    """A service understood that there is a query, and says what is wrong with it."""

    http_status = 400
    exit_code = 2

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        SkyvaultError.__init__(self, what, where=where, hint=hint)
        _as_pyvo(self, where)
        self._label = None

    __str__ = SkyvaultError.__str__


class WrongAnswer(WrongContent, DALFormatError):  # type: ignore[misc]
    """What came is no table: a web page, half a document, something else."""

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        WrongContent.__init__(self, what, where=where, hint=hint)
        _as_pyvo(self, where)

    __str__ = SkyvaultError.__str__


class TruncatedWarning(DALOverflowWarning):  # type: ignore[misc]
    """A result is not whole: the service left out rows beyond a limit nobody asked for."""


def _as_pyvo(error: DALServiceError, url: str | None) -> None:
    """What pyvo's own constructors set."""
    error._reason = str(error)
    error._url = url
    error._cause = None
