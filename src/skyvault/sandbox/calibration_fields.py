"""eROSITA's observations of its calibration and performance verification phase: some of those released in 2021."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

_ALL: Final = "1234567"


@dataclass(frozen=True, slots=True)
class Pointing:
    """An observation: its field, place (ICRS degrees), time (UTC), and the telescopes that were on."""

    obs_id: str
    field: str
    kind: str
    archive: str
    ra: float
    dec: float
    start: datetime
    seconds: float
    telescopes: str

    def row(self, address: str) -> str:
        """Its line of the table; ``address`` is that of the tar archives' directory."""
        end = self.start + timedelta(seconds=self.seconds)
        on = ",".join(f"TM{digit}" for digit in self.telescopes)
        times = f"{self.start.isoformat()},{self.seconds},{end.isoformat()}"
        return (
            f"{self.obs_id},{times},{self.ra!r},{self.dec!r},True,{self.field},{self.kind},"
            f'{address}{self.archive}.tar.gz,"{on}"'
        )


#: field, type, archive, and of each observation: ObsID, right ascension, declination, start, seconds, telescopes
_FIELDS: Final = (
    ("EFEDS", "SURVEY", "eFEDS", (
        ("300007", 129.55, 1.5, "2019-11-03T02:42:50", 89627.0, _ALL),
        ("300008", 133.86, 1.5, "2019-11-04T03:49:16", 91643.0, _ALL),
        ("300009", 138.14, 1.5, "2019-11-05T05:29:18", 90648.0, _ALL),
        ("300010", 142.45, 1.5, "2019-11-06T07:24:46", 89722.0, _ALL),
    )),
    ("ETA_CHA", "SURVEY", "eta_Cha", (("300004", 130.3313, -78.9634, "2019-11-16T23:14:40", 154952.0, _ALL),)),
    ("LMC_SN1987A", "MAGELLANIC_CLOUDS", "LMC_SN1987A", (
        ("700016", 83.83637, -69.31139, "2019-09-15T09:23:10", 113825.0, "34"),
        ("700161", 83.83638, -69.31139, "2019-10-18T16:49:59", 80313.0, _ALL),
    )),
    ("1ES_0102_72", "MAGELLANIC_CLOUDS", "1ES_0102m72", (
        ("700001", 16.00833, -72.03194, "2019-11-07T17:03:44", 61579.0, _ALL),
        ("700002", 15.03687, -71.88838, "2019-11-08T09:40:42", 61041.0, _ALL),
    )),
    ("PUPPIS_A", "GALACTIC_FIELDS", "Puppis_A", (
        ("700199", 126.0325, -42.99667, "2019-11-29T17:18:35", 30790.0, "12346"),
        ("700200", 126.0325, -42.99667, "2019-11-30T02:25:15", 30217.0, "12346"),
    )),
    ("HR_3165__ZET_PUP_", "GALACTIC_FIELDS", "HR_3165", (
        ("700167", 120.89583, -40.00306, "2019-11-22T10:03:20", 19631.0, _ALL),
    )),
    ("IGR_J13020_6359__2RXP_J130159_635806_", "GALACTIC_FIELDS", "IGR_J13020m6359", (
        ("900033", 195.99735, -63.97022, "2019-09-09T15:13:24", 22641.0, "1"),
    )),
    ("CRAB_1", "GALACTIC_FIELDS", "Crab_I", (
        ("900075", 82.57066, 21.87472, "2019-10-02T21:51:44", 3601.0, "567"),
        ("900090", 83.52245, 21.87813, "2019-10-03T04:28:24", 3201.0, "567"),
    )),
    ("CRAB_2", "GALACTIC_FIELDS", "Crab_II", (
        ("900100", 84.18692, 21.87725, "2019-10-03T08:59:47", 3417.0, "567"),
        ("900102", 82.83649, 21.28746, "2019-10-03T10:21:07", 3337.0, "567"),
    )),
    ("CRAB_3", "GALACTIC_FIELDS", "Crab_III", (
        ("900130", 83.46886, 21.21194, "2019-10-03T23:11:25", 4220.0, "567"),
        ("900131", 83.46879, 21.37846, "2019-10-03T23:51:24", 3621.0, "567"),
    )),
    ("CRAB_4", "GALACTIC_FIELDS", "Crab_IV", (
        ("900160", 83.72224, 21.64262, "2019-10-04T13:16:24", 3621.0, "567"),
        ("900162", 83.65891, 21.70152, "2019-10-04T14:16:24", 3201.0, "567"),
    )),
    ("47_TUC__NGC_104_", "EXTRAGALACTIC_FIELDS", "47_Tuc", (
        ("700012", 6.53394, -72.17628, "2019-09-28T23:05:29", 19529.0, "6"),
        ("700011", 5.51798, -71.98462, "2019-11-01T16:38:30", 25810.0, "124567"),
        ("700014", 5.71076, -72.23745, "2019-11-02T15:10:20", 25210.0, _ALL),
    )),
    ("A3391_A3395", "EXTRAGALACTIC_FIELDS", "A3391_A3395", (
        ("300014", 96.706, -54.072, "2019-10-07T14:38:03", 40286.0, "567"),
        ("300005", 96.706, -54.072, "2019-10-08T15:54:34", 61333.0, "567"),
        ("300006", 96.706, -54.072, "2019-10-09T09:03:26", 60547.0, "567"),
        ("300016", 96.706, -54.072, "2019-10-17T23:59:56", 60502.0, _ALL),
    )),
    ("3C390_3", "EXTRAGALACTIC_FIELDS", "3C390", (
        ("900060", 281.54077, 79.87373, "2019-09-24T15:27:06", 21806.0, "6"),
        ("900070", 281.47827, 79.89103, "2019-09-30T15:23:24", 22028.0, "567"),
    )),
)  # fmt: skip

POINTINGS: Final = tuple(
    Pointing(obs_id, field, kind, archive, ra, dec, datetime.fromisoformat(start), seconds, on)
    for field, kind, archive, observations in _FIELDS
    for obs_id, ra, dec, start, seconds, on in observations
)


def table(address: str) -> str:
    """The table as the release's listing gives it (CSV)."""
    head = "ObsID,start,duration,end,ra,dec,science_usable,Field_Name,Field_Type,download,active_insts"
    return "\n".join([head, *(one.row(address) for one in POINTINGS)]) + "\n"
