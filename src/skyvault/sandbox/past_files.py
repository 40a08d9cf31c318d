"""The files of the missions whose observations are over, in HEASARC's directory structure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from skyvault.sandbox.event_files import EPOCH, HeldFile, Seen
from skyvault.sandbox.observation_root import Root, Row, files_in, seen_of
from skyvault.sandbox.past_missions import UNREVISED_ROSAT


def rosat(mission: str, row: Row) -> Iterator[Root]:
    """ROSAT: one directory of packed files a sequence, of pointings and of the survey alike."""
    obs_id = row["seq_id"].lower()
    is_survey = mission == "rosat_all_sky"
    start_mjd = row["start_date"] if is_survey else row["start_time"]
    seen = seen_of(mission, row, row["seq_id"], start_mjd, row["exposure"])
    is_hri = obs_id[1] == "h"
    inst = "HRI" if is_hri else "PSPC"

    def files() -> list[HeldFile]:
        if row["seq_id"] == UNREVISED_ROSAT:
            # the first processing's names: no basic file, no ancillary one
            old = obs_id[:8]
            return [
                *files_in("", "events", inst, f"{old}_events.fits.Z"),
                *files_in("", "image", inst, f"{old}_im1.fits.Z"),
                *files_in("", "table", inst, f"{old}_src.fits.Z"),
            ]
        made = files_in("", "table", inst, f"{obs_id}_anc.fits.Z", f"{obs_id}_his.fits.Z", f"{obs_id}_src.fits.Z")
        made += files_in("", "events", inst, f"{obs_id}_bas.fits.Z")
        for band in (1,) if is_hri else (1, 2, 3):
            made += files_in("", "image", inst, f"{obs_id}_im{band}.fits.Z")
            made += files_in("", "background", inst, f"{obs_id}_bk{band}.fits.Z")
        if not is_hri:
            # some of the survey's exposure maps were never packed
            is_plain = is_survey and int(obs_id[4:8]) % 5 == 0
            made += files_in("", "expmap", inst, f"{obs_id}_mex.fits" + ("" if is_plain else ".Z"))
        made += files_in("", "picture", "", f"{obs_id}_qlook.gif")
        made += files_in("", "text", "", f"{obs_id}.public_contents")
        return made

    folder = "900000" if is_survey else f"{obs_id[2]}00000"
    yield Root(f"rosat/data/{'hri' if is_hri else 'pspc'}/processed_data/{folder}/{obs_id}", seen, files)


def asca(mission: str, row: Row) -> Iterator[Root]:
    """ASCA: telemetry, events as they came and screened, images."""
    obs_id = str(row["sequence_number"])
    seen = seen_of(mission, row, obs_id, row["time"], max(row["sis_exposure"], row["gis_exposure"]))
    start = f"ad{obs_id}"
    kinds = [kind for kind in ("sis", "gis") if row[f"{kind}_exposure"] > 0]
    detectors = [one for kind in kinds for one in (("s0", "s1") if kind == "sis" else ("g2", "g3"))]

    def files() -> list[HeldFile]:
        day = (EPOCH + timedelta(days=row["time"])).strftime("%y%m%d_%H%M")
        made = files_in("aux", "table", "SC", f"fa{day}.fits.gz", f"fo{day}.fits.gz", f"{start}.mkf.gz")
        made += files_in("calib", "table", "", "ascalin.fits.gz", "bgd_sis.fits.gz")
        made += files_in("telem", "table", "SC", f"ft{day}.fits.gz")
        made += files_in("", "text", "", f"{start}_index.html")
        for one in detectors:
            inst = {"s": "SIS", "g": "GIS"}[one[0]] + one[1]
            # high and medium bit rate
            code = "00102" if one[0] == "s" else "00170"
            for rate in ("h", "m"):
                made += files_in("unscreened", "events", inst, f"{start}{one}{code}{rate}.unf.gz")
                made += files_in("screened", "events", inst, f"{start}{one}{code}{rate}.evt.gz")
            made += files_in("spectra", "table", inst, f"{start}{one}_1.pi.gz", f"{start}{one}_1.bgd.gz")
            made += files_in("lcurves", "table", inst, f"{start}{one}_1.lc.gz")
        for kind in kinds:
            inst, code = kind.upper(), "32000" if kind == "sis" else "25670"
            bands = [f"{start}{kind}{code}_{band}.totsky.gz" for band in ("lo", "hi", "all")]
            made += files_in("images", "image", inst, *bands)
            made += files_in("images", "expmap", inst, f"{start}{kind}{code}_all.totexpo.gz")
            made += files_in("images", "picture", "", f"{start}{kind}{code}_all.gif")
        return made

    yield Root(f"asca/data/rev2/{obs_id}", seen, files)


def suzaku(mission: str, row: Row) -> Iterator[Root]:
    """Suzaku: the XIS in its modes, and the HXD, which is not offered."""
    obs_id = row["obsid"]
    seen = seen_of(mission, row, obs_id, row["time"], row["exposure"])
    start = f"ae{obs_id}"

    def files() -> list[HeldFile]:
        made = files_in("auxil", "table", "SC", *(f"{start}.{kind}.gz" for kind in ("att", "orb", "tim", "ehk", "mkf")))
        made += files_in("xis/hk", "table", "XIS", f"{start}xis_0.hk.gz")
        for number in range(4):
            inst = f"XIS{number}"
            if row[f"xis{number}_expo"] <= 0:
                continue
            made += files_in("xis/hk", "table", inst, f"{start}xi{number}_0.hk.gz")
            modes = ("3x3n000", "5x5n000", "2x2n000")[: row[f"xis{number}_num_modes"]]
            for mode in modes:
                name = f"{start}xi{number}_0_{mode}"
                made += files_in("xis/event_uf", "events", inst, f"{name}a_uf.evt.gz")
                made += files_in("xis/event_cl", "events", inst, f"{name}a_cl.evt.gz")
                made += files_in("xis/products", "image", inst, f"{name}z_sk.img.gz")
                made += files_in("xis/products", "picture", "", f"{name}z_sk.gif")
            made += files_in("xis/products", "table", inst, f"{start}xi{number}_0_src.pi.gz")
        # the hard X-ray detector is not offered
        made += files_in("hxd/event_cl", "events", "HXD", f"{start}hxd_0_pinno_cl.evt.gz")
        made += files_in("hxd/hk", "table", "HXD", f"{start}hxd_0.hk.gz")
        made += files_in("log", "text", "", f"{start}_job.par")
        return made

    yield Root(f"suzaku/data/obs/{obs_id[0]}/{obs_id}", seen, files)


_INTEGRAL_EVENTS: Final = {
    "jmx1": ("jmx1_events.fits.gz", "jmx1_full.fits.gz"),
    "jmx2": ("jmx2_events.fits.gz", "jmx2_full.fits.gz"),
    "isgri": ("isgri_events.fits.gz", "isgri_prp.fits.gz"),
    "picsit": ("picsit_events.fits.gz", "picsit_hist.fits.gz"),
    "spi": ("spi_oper.fits.gz", "spi_psd.fits.gz"),
    "omc": ("omc_shots.fits.gz",),
    "irem": ("irem_raw.fits.gz",),
}


def integral(mission: str, row: Row) -> Iterator[Root]:
    """INTEGRAL: a science window, and what the windows of its revolution share."""
    obs_id, turn = row["scw_id"], row["scw_id"][:4]
    if row["data_in_heasarc"] != "Y":
        return
    seen = seen_of(mission, row, obs_id, row["start_date"], row["good_spi"] or row["good_isgri"])

    def files() -> list[HeldFile]:
        made = files_in("", "text", "", f"{obs_id}_scw.txt")
        made += files_in("", "table", "SC", "swg.fits", "sc_osm_raw.fits.gz", "sc_prp.fits.gz")
        for inst, names in _INTEGRAL_EVENTS.items():
            made += files_in("", "events", inst.upper(), *names[:1])
            made += files_in("", "table", inst.upper(), *names[1:])
        made += files_in("", "table", "IBIS", "ibis_hk.fits.gz", "ibis_veto.fits.gz")
        made += files_in("", "events", "IBIS", "compton_sgle.fits.gz")
        return made

    of_turn = Seen(mission, turn, "", seen.ra_deg, seen.dec_deg, float(int(seen.start_mjd)), 200_000.0)

    def of_revolution() -> list[HeldFile]:
        made = files_in("idx", "table", "", "isgri_context_index.fits.gz", "spi_context_index.fits.gz")
        made += files_in("cfg", "table", "IBIS", f"isgri_context_{turn}.fits.gz")
        made += files_in("osm", "table", "SC", "hk_averages.fits.gz")
        made += files_in("raw", "table", "SC", f"tim_{turn}.fits.gz")
        made += files_in("logs", "text", "", f"{turn}_preproc.txt")
        return made

    def auxiliary() -> list[HeldFile]:
        made = files_in("", "table", "SC", *(f"{name}_historic.fits.gz" for name in ("attitude", "orbit")))
        made += files_in("", "table", "SC", "time_correlation.fits.gz", "revolution.fits.gz")
        made += files_in("", "text", "", f"pod_{turn}.txt")
        return made

    yield Root(f"integral/data/scw/{turn}/{obs_id}.{row['scw_ver']}", seen, files)
    yield Root(f"integral/data/scw/{turn}/rev.001", of_turn, of_revolution, is_shared=True)
    yield Root(f"integral/data/aux/adp/{turn}.001", of_turn, auxiliary, is_shared=True)
    if int(turn) % 7 == 0:
        # some revolutions' auxiliary data have a newer version
        yield Root(f"integral/data/aux/adp/{turn}.002", of_turn, auxiliary, is_shared=True)
