"""What can go wrong in a pipeline, each in one sentence."""

from __future__ import annotations

from typing import ClassVar

from skyvault.errors import ConfigError, FormatError, NotFound, SkyvaultError, StoreError, UsageError


class ParameterNameError(ConfigError, AttributeError):
    """There is no parameter of that name, or an abbreviation fits several."""


class ParameterTypeError(ConfigError, TypeError):
    """A parameter was given a value of the wrong type."""


class ParameterValueError(ConfigError, ValueError):
    """A parameter was given a value that cannot be."""


class CatalogError(FormatError, ValueError):
    """A target list cannot be used: no coordinates, two sources of one name."""


class DataError(FormatError, ValueError):
    """A data set is not what it should be: no times, no exposure time, a damaged file."""


class DataMissing(NotFound, FileNotFoundError):
    """A data set that the database knows has no file any more."""


class DatabaseError(StoreError):
    """The database of the pipeline is away, full, or of another version."""


class TooManyProblems(SkyvaultError):
    """So many sources failed that the run was stopped; what was done is kept."""

    exit_code: ClassVar[int] = 3


class CustomCodeError(UsageError, ValueError):
    """A class named in the parameters cannot be loaded or is not of the right kind."""


class DiskFull(StoreError):
    """There is no room for files; the run stops, and what was finished is kept."""


class ExecutorError(SkyvaultError):
    """Those who should do the work cannot be reached, or are of another version."""
