"""The resource to start from where products are made on demand: light curves of stars, a service on them, an action."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

BODY: Final = """
services: [ssa]
files:
  light_curves:
    kind: timeseries
    rows: stars.csv          # each row is a dataset: a table file, an ADQL query, or a function of hooks.py
    id: "= star"             # what tells it from the others
    make: light_curve        # the function of hooks.py that makes it when somebody asks
    map:                     # ObsCore's columns: a value, or "= expression" over the row
      s_ra: "= ra"
      s_dec: "= dec"
      target_name: "= star"
      t_min: 58000
      t_max: 58042
    extra:
      period: {value: "= period", type: double, unit: d, ucd: time.period, description: Period}
    companions:              # what else there is of each
      - {semantics: "#documentation", hook: about, content_type: text/plain, description: In words}
    services:                # what can be asked of each, at once or as a job
      - name: folded
        hook: folded
        description: The light curve folded with a period
        content_type: text/csv
        parameters:
          period: {type: real, unit: d, ucd: time.period, min: 0.01, max: 1000, description: Period}
actions:                     # what runs by itself while skyvault serve runs
  - {hook: refresh, at: "03:00"}
examples:
  - name: Stars with short periods
    query: SELECT target_name, period, access_url FROM {schema}.light_curves WHERE period < 1
tests:
  - name: all stars are there
    query: SELECT COUNT(*) AS n FROM {schema}.light_curves
    value: 2
  - name: a light curve can be made
    url: /get/{schema}.light_curves/Alpha
    contains: mag
"""
HOOKS: Final = '''\
"""Functions of this resource: what makes its products, and what runs by itself."""

import csv


def points(folder, star):
    """Times (MJD) and magnitudes of one star; used by all functions below."""
    with open(folder / "points.csv", newline="") as file:
        return [(float(one["mjd"]), float(one["mag"])) for one in csv.DictReader(file) if one["star"] == star]


def light_curve(row, context):
    """The dataset itself: a row of the published table is given, a VOTable is made."""
    from astropy.table import Table

    return Table(rows=points(context.folder, row["target_name"]), names=["mjd", "mag"], units=["d", "mag"])


def about(row):
    return f"{row['target_name']} varies with a period of {row['period']:g} d.\\n"


def folded(row, context, period=None):
    """A service: parameters of the request are given by name."""
    period = period or row["period"]
    phases = sorted(((time / period) % 1.0, mag) for time, mag in points(context.folder, row["target_name"]))
    return "phase,mag\\n" + "".join(f"{phase:.4f},{mag}\\n" for phase, mag in phases)


def refresh(context):
    """An action: fetch what is new into stars.csv and points.csv here, and publish it."""
    done = context.publish()
    return f"{done.collections[0].rows} light curves"
'''


def sample(folder: Path) -> None:
    """Two stars and their points."""
    stars = {"Alpha": (10.68, 41.27, 0.7), "Beta": (83.63, 22.01, 5.3)}
    (folder / "stars.csv").write_text(
        "star,ra,dec,period\n" + "".join(f"{name},{ra},{dec},{period}\n" for name, (ra, dec, period) in stars.items())
    )
    rows = [
        f"{name},{58000 + 0.7 * i:.4f},{12.0 + 0.3 * math.sin(2 * math.pi * 0.7 * i / period):.3f}\n"
        for name, (_, _, period) in stars.items()
        for i in range(60)
    ]
    (folder / "points.csv").write_text("star,mjd,mag\n" + "".join(rows))
