"""Tables of the pipeline's database: sources, raw photometry, light curves, detections, properties, problems.

Times are kept as MJD (float64) and read as datetime. Rows of all projects lie in the same tables, told apart by
``project`` and ``cfg_hash``; raw photometry is shared by all.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

#: raised with every change of the tables, together with a new step in pipeline/migrations that leads there
SCHEMA_VERSION: Final = 2
Json = sa.JSON().with_variant(JSONB(), "postgresql")
_MJD_ZERO: Final = dt.datetime(1858, 11, 17)


def datetime_of_mjd(mjd: float) -> dt.datetime:
    """The calendar's date and time of an MJD, of the same scale, to the microsecond."""
    return _MJD_ZERO + dt.timedelta(days=mjd)


def mjd_of_datetime(time: dt.datetime) -> float:
    """MJD of a date and time of the same scale; one with a zone is taken to UTC first."""
    if time.tzinfo is not None:
        time = time.astimezone(dt.UTC).replace(tzinfo=None)
    return (time - _MJD_ZERO) / dt.timedelta(days=1)


class JsonText(str):
    """JSON that is text already: whoever makes rows writes it, so that the one who keeps them need not."""

    __slots__ = ()


def json_text(value: Any) -> str:
    """The JSON of a value, as the database keeps it."""
    return value if isinstance(value, JsonText) else json.dumps(value)


class Mjd(TypeDecorator[Any]):
    """A time: MJD in the database, a datetime in Python; either may be given."""

    impl = sa.Double
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> float | None:
        return mjd_of_datetime(value) if isinstance(value, dt.datetime) else value

    def process_result_value(self, value: float | None, dialect: Any) -> dt.datetime | None:
        return None if value is None else datetime_of_mjd(value)


class Base(DeclarativeBase):
    """All tables of the pipeline."""

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)


class SchemaVersion(Base):
    """The version these tables were made by."""

    __tablename__ = "pipeline_schema"
    version: Mapped[int]


class Problem(Base):
    """A source that failed in a run: where, why, how often. It is tried again by the next run."""

    __tablename__ = "problems"
    __table_args__ = (sa.UniqueConstraint("project", "cfg_hash", "source_name"),)
    project: Mapped[str]
    cfg_hash: Mapped[str]
    source_name: Mapped[str]
    cat_index: Mapped[int | None]
    observatory: Mapped[str | None]
    step: Mapped[str]
    what: Mapped[str]
    times: Mapped[int] = mapped_column(default=1)


class StoredHistogram(Base):
    """The counts of a run's histogram; committed together with the sources that were counted."""

    __tablename__ = "histograms"
    __table_args__ = (sa.UniqueConstraint("project", "cfg_hash", "name"),)
    project: Mapped[str]
    cfg_hash: Mapped[str]
    name: Mapped[str]
    content: Mapped[bytes]


#: which raw data belong to which sources: the same rows serve several projects
source_raw_photometry = sa.Table(
    "source_raw_photometry",
    Base.metadata,
    sa.Column("source_id", sa.ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("raw_id", sa.ForeignKey("raw_photometry.id", ondelete="CASCADE"), primary_key=True, index=True),
    sqlite_with_rowid=False,
)

#: the same for images, cutouts and spectra
source_raw_data = sa.Table(
    "source_raw_data",
    Base.metadata,
    sa.Column("source_id", sa.ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("raw_id", sa.ForeignKey("raw_data.id", ondelete="CASCADE"), primary_key=True, index=True),
    sqlite_with_rowid=False,
)
