"""Images, cutouts and spectra beside photometry; thumbnails of detections."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Json = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    # some databases called themselves version 1 when they had these already
    there = sa.inspect(op.get_bind())
    if not there.has_table("raw_data"):
        _raw_data()
    if not there.has_table("spectra"):
        _spectra()
    if "thumbnail" not in {column["name"] for column in there.get_columns("detections")}:
        op.add_column("detections", sa.Column("thumbnail", sa.LargeBinary))


def _data_set() -> list[sa.Column[object]]:
    """Columns that all data sets have."""
    return [
        sa.Column("filename", sa.String, index=True),
        sa.Column("folder", sa.String),
        sa.Column("filekey", sa.String),
        sa.Column("observatory", sa.String, nullable=False, index=True),
        sa.Column("source_name", sa.String, nullable=False, index=True),
        sa.Column("colmap", Json),
        sa.Column("time_info", Json),
        sa.Column("altdata", Json),
        sa.Column("time_start", sa.Double),
        sa.Column("time_end", sa.Double),
        sa.Column("number", sa.Integer),
        sa.Column("size", sa.Integer),
        sa.Column("id", Number, primary_key=True),
    ]


def _raw_data() -> None:
    op.create_table(
        "raw_data",
        sa.Column("kind", sa.String, nullable=False, index=True),
        *_data_set(),
        sa.UniqueConstraint("source_name", "observatory", "kind"),
    )
    op.create_table(
        "source_raw_data",
        sa.Column("source_id", Number, sa.ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("raw_id", Number, sa.ForeignKey("raw_data.id", ondelete="CASCADE"), primary_key=True, index=True),
        sqlite_with_rowid=False,
    )


def _spectra() -> None:
    source = sa.ForeignKey("sources.id", ondelete="CASCADE")
    raw = sa.ForeignKey("raw_data.id", ondelete="SET NULL")
    op.create_table(
        "spectra",
        sa.Column("source_id", Number, source, nullable=False, index=True),
        sa.Column("raw_data_id", Number, raw, index=True),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("cfg_hash", sa.String, nullable=False),
        sa.Column("raw_data_filename", sa.String),
        sa.Column("series_number", sa.Integer, nullable=False),
        sa.Column("series_total", sa.Integer, nullable=False),
        sa.Column("medium", sa.String),
        sa.Column("flux_unit", sa.String),
        *(sa.Column(name, sa.Double) for name in ("wavelength_min", "wavelength_max", "exp_time", "resolution")),
        sa.Column("snr_median", sa.Double),
        sa.Column("lines", Json),
        *_data_set(),
    )
    op.create_index("ix_spectra_version", "spectra", ["project", "cfg_hash"])
