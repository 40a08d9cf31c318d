"""Target lists, what a run leaves behind, and a survey that ends processes; importable by workers of a cluster."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from skyvault.pipeline import Catalog, Detection, Lightcurve, RawPhotometry, Source, VirtualDemoObs, database
from skyvault.pipeline.catalog import make_test_catalog


def sources(number: int) -> Catalog:
    return Catalog(data=make_test_catalog(number), name_column="object_id", catalog_name="tried", cfg_file=False)


def contents(folder: Path, address: str | None = None) -> dict[str, Any]:
    """All rows without their numbers, all counts, and checksums of all files; of the folder's own SQLite by default."""
    held = database.Database(address or f"sqlite:///{folder / 'pipeline.sqlite'}")
    found: dict[str, Any] = {}
    with held.reading() as connection:
        for table in (Source, RawPhotometry, Lightcurve, Detection):
            columns = [
                c for c in table.__table__.columns if c.name not in ("id", "source_id", "raw_data_id", "lightcurve_id")
            ]
            rows = connection.execute(sa.select(*columns)).all()
            found[table.__tablename__] = sorted(repr(row) for row in rows)
        counts = connection.execute(sa.text("SELECT name, content FROM histograms ORDER BY name")).all()
        found["histograms"] = [(name, hashlib.sha256(content).hexdigest()) for name, content in counts]
    held.close()
    found["files"] = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.glob("*/RA*/*.h5")
    }
    return found


class VirtualDeadly(VirtualDemoObs):
    """Row 13 of the catalogue ends the process that fetches it."""

    obs_name = "DEADLY"

    def download_from_observatory(self, cat_row: Mapping[str, Any], **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        if cat_row["cat_index"] == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().download_from_observatory(cat_row, **kwargs)
