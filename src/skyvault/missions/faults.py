"""What can go wrong with a mission: each fault in one sentence, and the names the DAXA package gave them.

Wrong values are ValueErrors too and wrong types TypeErrors, so that scripts that catch those keep working.
"""

from __future__ import annotations

from skyvault.errors import ConfigError, Conflict, FormatError, NotFound, ParameterError, UsageError


class MissionValueError(ParameterError, ValueError):
    """An argument has a value that means nothing to this mission."""


class MissionTypeError(ParameterError, TypeError):
    """An argument is of the wrong kind."""


class NoObsAfterFilterError(UsageError):
    """A filter would leave no observation; the mission is as it was before."""

    exit_code = 1


class MissionLockedError(Conflict):
    """The observations of a locked mission can no longer be changed."""


class IllegalSourceType(MissionValueError):
    """A target type is not one of the taxonomy's codes."""


class NoTargetSourceTypeInfo(UsageError):
    """This mission's table does not say what kind of object was observed."""


class NotDownloadedError(UsageError):
    """The data were not downloaded yet."""


class NoFilesError(NotFound):
    """The archive lacks files of an observation."""


class PreProcessedNotSupportedError(UsageError):
    """The archive of this mission does not offer that kind of product."""


class PreProcessedNotAvailableError(NotFound):
    """The product exists, but not in that energy band."""


class IncompatibleSaveError(FormatError):
    """A saved state belongs to another mission or cannot be read."""


class NoTableError(ConfigError):
    """There is no table of observations to work with: neither a file nor a cached copy."""


class ArchiveTableError(NoTableError):
    """The archive did not give its table of observations."""

    http_status = 502
    exit_code = 1


class MissionTableError(FormatError):
    """A table of observations lacks a column of the declaration, or holds what the declaration forbids."""


class NameResolveError(NotFound):
    """None of the names could be turned into a position."""


class MissionWarning(UserWarning):
    """Something was understood in a way that a user may not have meant."""


#: the seed's name
DAXANotDownloadedError = NotDownloadedError
