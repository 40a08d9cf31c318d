"""Which files each X-ray observation has in HEASARC's directory tree, where its directory lies, and which are private.

The trees hold what no client asks for, too: pictures, quick-look products, instruments that are not offered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from skyvault.sandbox.event_files import EPOCH, HeldFile, Kind, Seen
from skyvault.sandbox.past_missions import UNREVISED_ROSAT
from skyvault.sandbox.present_missions import BIG_CHANDRA, UNSCREENED_NUSTAR

Row = Mapping[str, Any]

_MJD_OF_1970: Final = 40587.0


@dataclass(frozen=True, slots=True)
class Root:
    """A directory that belongs to one observation, or to a revolution of INTEGRAL: its address, and what it holds."""

    path: str
    seen: Seen
    files: Callable[[], list[HeldFile]] = field(compare=False)
    #: MJD from which everybody may read it; 0: nobody knows yet
    public_mjd: float | None = None
    #: it belongs to several observations
    is_shared: bool = False

    @property
    def is_public(self) -> bool:
        """Whether everybody may read it by now."""
        if self.public_mjd is None:
            return True
        return 0.0 < self.public_mjd <= time.time() / 86400.0 + _MJD_OF_1970


def roots(mission: str, rows: list[dict[str, Any]]) -> Iterator[Root]:
    """The directories of a mission's observations; what was never processed or has no place has none."""
    for row in rows:
        if row["ra"] is None or row.get("status", "archived") not in ("archived", "processed"):
            continue
        yield from _ROOTS[mission](mission, row)


def odf_names(seen: Seen, revolution: int) -> list[HeldFile]:
    """XMM-Newton's observation data files, unpacked, as both archives hold them."""
    start = f"{revolution:04d}_{seen.obs_id}"
    files = [
        HeldFile(f"{start}_SCX00000SUM.ASC", "text"),
        HeldFile(f"MANIFEST.{int(seen.obs_id) % 899_981 + 100_000}", "text"),
    ]
    files += [HeldFile(f"{start}_SCX00000{kind}.FIT", "table", "SC") for kind in ("ATS", "TCS", "P1S", "RAS")]
    for inst, name, kind in (("M1", "EMOS1", "IME"), ("M2", "EMOS2", "IME"), ("PN", "EPN", "IME")):
        exposure = "S001" if inst != "PN" else "S003"
        files += [HeldFile(f"{start}_{inst}{exposure}{ccd:02d}{kind}.FIT", "events", name) for ccd in (1, 2, 3)]
        files += [HeldFile(f"{start}_{inst}X00000{hk}.FIT", "table", name) for hk in ("HTH", "PTH")]
        files.append(HeldFile(f"{start}_{inst}{exposure}00AUX.FIT", "table", name))
    for inst, name in (("R1", "RGS1"), ("R2", "RGS2")):
        files.append(HeldFile(f"{start}_{inst}S00401SPE.FIT", "events", name))
        files.append(HeldFile(f"{start}_{inst}X00000DIX.FIT", "table", name))
    files.append(HeldFile(f"{start}_OMS40000IMI.FIT", "image", "OM"))
    files.append(HeldFile(f"{start}_OMX00000NPH.FIT", "table", "OM"))
    # the radiation monitor, which nobody asks for
    files.append(HeldFile(f"{start}_RMX00000ECX.FIT", "table", "ERM"))
    return files


# --- the missions ----------------------------------------------------------------------------------------------------


def _seen(mission: str, row: Row, obs_id: Any, start: float, seconds: float) -> Seen:
    return Seen(mission, str(obs_id), row["name"], row["ra"], row["dec"], start, float(seconds))


def _files(folder: str, kind: Kind, inst: str, *names: str) -> list[HeldFile]:
    return [HeldFile(f"{folder}/{name}" if folder else name, kind, inst) for name in names]


def _xmm(mission: str, row: Row) -> Iterator[Root]:
    obs_id = row["obsid"]
    if row["data_in_heasarc"] != "Y" or obs_id.startswith("9"):
        return
    seen = _seen(mission, row, obs_id, row["time"], row["duration"])

    def files() -> list[HeldFile]:
        names = odf_names(seen, row["xmm_revolution"])
        return [
            *(HeldFile(f"ODF/{one.path}.gz", one.kind, one.instrument) for one in names),
            *_files("PPS", "events", "EPN", f"P{obs_id}PNS003PIEVLI0000.FTZ"),
            *_files("PPS", "picture", "", f"P{obs_id}PNX000IMAGE_8000.GIF"),
        ]

    yield Root(f"xmm/data/rev0/{obs_id}", seen, files, row["public_date"])


def _chandra(mission: str, row: Row) -> Iterator[Root]:
    obs_id = row["obsid"]
    seen = _seen(mission, row, obs_id, row["time"], row["exposure"])
    inst = "acis" if row["detector"].startswith("ACIS") else "hrc"
    start, number = f"{inst}f{int(obs_id):05d}", f"{int(obs_id):05d}"
    name = row["detector"]

    def files() -> list[HeldFile]:
        made = _files("", "table", name, "oif.fits")
        made += _files("", "text", "", "00README", f"axaf{inst[0]}{number}N003_VV001_vv2.pdf")
        made.append(HeldFile(f"primary/{start}N003_evt2.fits.gz", "events", name, is_big=obs_id == BIG_CHANDRA))
        made += _files("primary", "image", name, f"{start}N003_cntr_img2.fits.gz", f"{start}N003_full_img2.fits.gz")
        made += _files("primary", "picture", "", f"{start}N003_cntr_img2.jpg", f"{start}N003_full_img2.jpg")
        made += _files(
            "primary",
            "table",
            name,
            f"{start}_000N003_bpix1.fits.gz",
            f"{start}_000N003_fov1.fits.gz",
            f"pcadf{number}_000N001_asol1.fits.gz",
            f"orbitf{int(seen.start_mjd) - 50814:05d}0N001_eph1.fits.gz",
        )
        made += _files("secondary", "events", name, f"{start}_000N003_evt1.fits.gz")
        kinds = ["mtl1", "flt1", "msk1", "stat1"]
        if inst == "acis":
            made += _files("secondary", "table", name, *(f"{start}_00{i}N003_bias0.fits.gz" for i in range(3)))
            kinds += ["pbk0"]
        else:
            kinds = ["mtl1", "flt1", "msk1", "dtf1"]
        made += _files("secondary", "table", name, *(f"{start}_000N003_{kind}.fits.gz" for kind in kinds))
        made += _files("secondary/aspect", "table", "PCAD", f"pcadf{number}_000N001_aqual1.fits.gz")
        made += _files("secondary/ephem", "table", "EPHIN", f"anglesf{number}N001_eph1.fits.gz")
        made += _files("supporting", "picture", "", f"{start}_000N003_drw.gif")
        return made

    yield Root(f"chandra/data/byobsid/{obs_id[-1]}/{obs_id}", seen, files, row["public_date"])


def _nustar(mission: str, row: Row) -> Iterator[Root]:
    obs_id = row["obsid"]
    seen = _seen(mission, row, obs_id, row["time"], max(row["ontime_a"], row["ontime_b"]))
    start = f"nu{obs_id}"

    def files() -> list[HeldFile]:
        made = _files("", "table", "", f"{start}.cat.gz")
        made += _files("auxil", "table", "SC", *(f"{start}_{kind}.fits.gz" for kind in ("att", "orb", "mast", "psd")))
        made += _files("auxil", "text", "", f"{start}.par")
        made += _files("hk", "table", "SC", f"{start}_met.hk.gz", f"{start}_obeb.hk.gz")
        for module, column in (("A", "ontime_a"), ("B", "ontime_b")):
            inst = f"FPM{module}"
            made += _files("hk", "table", inst, f"{start}{module}_fpm.hk.gz")
            if row[column] <= 0:
                continue
            made += _files("event_uf", "events", inst, f"{start}{module}_uf.evt.gz")
            if obs_id == UNSCREENED_NUSTAR:
                continue
            # 01 is science, 02 occulted, 03 slew, 04 the South Atlantic Anomaly, 05 calibration
            made += _files("event_cl", "events", inst, *(f"{start}{module}0{mode}_cl.evt.gz" for mode in range(1, 6)))
            made += _files("event_cl", "table", inst, *(f"{start}{module}0{mode}_gti.fits.gz" for mode in (1, 2)))
            made += _files("event_cl", "table", inst, f"{start}{module}_bp.fits.gz", f"{start}{module}_det1.fits.gz")
            made += _files("event_cl", "image", inst, f"{start}{module}01_sk.img.gz")
            made += _files("event_cl", "picture", "", f"{start}{module}01_sk.gif")
        return made

    yield Root(f"nustar/data/obs/{obs_id[1:3]}/{obs_id[0]}/{obs_id}", seen, files, row["public_date"])


def _swift(mission: str, row: Row) -> Iterator[Root]:
    obs_id = row["obsid"]
    seconds = {inst: row[f"{inst}_exposure"] for inst in ("xrt", "uvot", "bat")}
    seen = _seen(mission, row, obs_id, row["start_time"], max(seconds.values()))
    start = f"sw{obs_id}"

    def files() -> list[HeldFile]:
        made = _files("auxil", "table", "SC", *(f"{start}{kind}.fits.gz" for kind in ("pat", "sat", "sao", "pjb")))
        if seconds["xrt"] > 0:
            made += _files("xrt/event", "events", "XRT", f"{start}xpcw3po_cl.evt.gz", f"{start}xpcw3po_uf.evt.gz")
            made += _files("xrt/event", "events", "XRT", f"{start}xwtw2st_cl.evt.gz", f"{start}xwtw2st_uf.evt.gz")
            made += _files("xrt/hk", "table", "XRT", f"{start}xhd.hk.gz", f"{start}xen.hk.gz")
            made += _files("xrt/image", "image", "XRT", f"{start}xim1.img.gz")
            made += _files("xrt/products", "image", "XRT", f"{start}xpc_sk.img.gz")
            made += _files("xrt/products", "expmap", "XRT", f"{start}xpc_ex.img.gz")
            made += _files("xrt/products", "picture", "", f"{start}xpc_im.gif")
        if seconds["uvot"] > 0:
            made += _files("uvot/event", "events", "UVOTA", f"{start}uuuw1po_uf.evt.gz")
            made += _files("uvot/hk", "table", "UVOTA", f"{start}uct.hk.gz", f"{start}uaf.hk.gz")
            made += _files("uvot/image", "image", "UVOTA", f"{start}uuu_rw.img.gz", f"{start}uuu_sk.img.gz")
            made += _files("uvot/image", "expmap", "UVOTA", f"{start}uuu_ex.img.gz")
            made += _files("uvot/products", "image", "UVOTA", f"{start}u_sk.img.gz")
            made += _files("uvot/products", "expmap", "UVOTA", f"{start}u_ex.img.gz")
            made += _files("uvot/products", "picture", "", f"{start}u_sk.gif")
        if seconds["bat"] > 0:
            made += _files("bat/event", "events", "BAT", f"{start}bevshsp_uf.evt.gz")
            made += _files("bat/hk", "table", "BAT", f"{start}bdp.hk.gz", f"{start}ben.hk.gz")
            made += _files("bat/rate", "table", "BAT", f"{start}brtms.lc.gz", f"{start}brt1s.lc.gz")
            made += _files("bat/survey", "table", "BAT", f"{start}bsvabo0bb1g05a.dph.gz")
        made += _files("tdrss", "table", "", f"{start}msb.fits.gz")
        made += _files("log", "text", "", f"{start}.log")
        return made

    month = (EPOCH + timedelta(days=row["start_time"])).strftime("%Y_%m")
    yield Root(f"swift/data/obs/{month}/{obs_id}", seen, files)


def _xrism(mission: str, row: Row) -> Iterator[Root]:
    obs_id = row["obsid"]
    seen = _seen(mission, row, obs_id, row["time"], row["exposure"])
    start = f"xa{obs_id}"

    def files() -> list[HeldFile]:
        made = _files("auxil", "table", "SC", *(f"{start}.{kind}.gz" for kind in ("att", "orb", "ehk", "mkf", "tim")))
        made += _files("resolve/event_uf", "events", "RESOLVE", f"{start}rsl_p0px1000_uf.evt.gz")
        made += _files("resolve/event_uf", "table", "RESOLVE", f"{start}rsl_el.gti.gz")
        made += _files("resolve/hk", "table", "RESOLVE", f"{start}rsl_a0.hk1.gz", f"{start}rsl_b0.hk1.gz")
        if row["exposure"] > 0:
            names = [f"{start}rsl_p0px{mode}_cl" for mode in ("1000", "5000")]
            made += _files("resolve/event_cl", "events", "RESOLVE", *(f"{name}.evt.gz" for name in names))
            made += _files("resolve/products", "image", "RESOLVE", f"{names[0]}.sky.img.gz")
            made += _files("resolve/products", "table", "RESOLVE", f"{names[0]}.pi.gz", f"{names[0]}.lc.gz")
            made += _files("resolve/products", "picture", "", f"{names[0]}.gif")
        classes = [one for one in (row["xtd_dataclas1"], row["xtd_dataclas2"]) if one]
        made += _files("xtend/hk", "table", "XTEND", f"{start}xtd_a0.hk.gz")
        if row["xtd_expo"] > 0:
            made += _files("xtend/event_uf", "events", "XTEND", *(f"{start}xtd_p0{one}_uf.evt.gz" for one in classes))
            made += _files("xtend/event_cl", "events", "XTEND", *(f"{start}xtd_p0{one}_cl.evt.gz" for one in classes))
            made += _files(
                "xtend/products", "image", "XTEND", *(f"{start}xtd_p0{one}_cl.sky.img.gz" for one in classes)
            )
            made += _files("xtend/products", "table", "XTEND", *(f"{start}xtd_p0{one}_cl.pi.gz" for one in classes))
            made += _files("xtend/products", "picture", "", f"{start}xtd_p0{classes[0]}_cl.gif")
        made += _files("log", "text", "", f"{start}_joblog.html")
        return made

    yield Root(f"xrism/data/obs/{obs_id[0]}/{obs_id}", seen, files, row["public_date"])


def _rosat(mission: str, row: Row) -> Iterator[Root]:
    obs_id = row["seq_id"].lower()
    is_survey = mission == "rosat_all_sky"
    start_mjd = row["start_date"] if is_survey else row["start_time"]
    seen = _seen(mission, row, row["seq_id"], start_mjd, row["exposure"])
    is_hri = obs_id[1] == "h"
    inst = "HRI" if is_hri else "PSPC"

    def files() -> list[HeldFile]:
        if row["seq_id"] == UNREVISED_ROSAT:
            # the first processing's names: no basic file, no ancillary one
            old = obs_id[:8]
            return [
                *_files("", "events", inst, f"{old}_events.fits.Z"),
                *_files("", "image", inst, f"{old}_im1.fits.Z"),
                *_files("", "table", inst, f"{old}_src.fits.Z"),
            ]
        made = _files("", "table", inst, f"{obs_id}_anc.fits.Z", f"{obs_id}_his.fits.Z", f"{obs_id}_src.fits.Z")
        made += _files("", "events", inst, f"{obs_id}_bas.fits.Z")
        for band in (1,) if is_hri else (1, 2, 3):
            made += _files("", "image", inst, f"{obs_id}_im{band}.fits.Z")
            made += _files("", "background", inst, f"{obs_id}_bk{band}.fits.Z")
        if not is_hri:
            # some of the survey's exposure maps were never packed
            is_plain = is_survey and int(obs_id[4:8]) % 5 == 0
            made += _files("", "expmap", inst, f"{obs_id}_mex.fits" + ("" if is_plain else ".Z"))
        made += _files("", "picture", "", f"{obs_id}_qlook.gif")
        made += _files("", "text", "", f"{obs_id}.public_contents")
        return made

    folder = "900000" if is_survey else f"{obs_id[2]}00000"
    yield Root(f"rosat/data/{'hri' if is_hri else 'pspc'}/processed_data/{folder}/{obs_id}", seen, files)


def _asca(mission: str, row: Row) -> Iterator[Root]:
    obs_id = str(row["sequence_number"])
    seen = _seen(mission, row, obs_id, row["time"], max(row["sis_exposure"], row["gis_exposure"]))
    start = f"ad{obs_id}"
    kinds = [kind for kind in ("sis", "gis") if row[f"{kind}_exposure"] > 0]
    detectors = [one for kind in kinds for one in (("s0", "s1") if kind == "sis" else ("g2", "g3"))]

    def files() -> list[HeldFile]:
        day = (EPOCH + timedelta(days=row["time"])).strftime("%y%m%d_%H%M")
        made = _files("aux", "table", "SC", f"fa{day}.fits.gz", f"fo{day}.fits.gz", f"{start}.mkf.gz")
        made += _files("calib", "table", "", "ascalin.fits.gz", "bgd_sis.fits.gz")
        made += _files("telem", "table", "SC", f"ft{day}.fits.gz")
        made += _files("", "text", "", f"{start}_index.html")
        for one in detectors:
            inst = {"s": "SIS", "g": "GIS"}[one[0]] + one[1]
            # high and medium bit rate
            code = "00102" if one[0] == "s" else "00170"
            for rate in ("h", "m"):
                made += _files("unscreened", "events", inst, f"{start}{one}{code}{rate}.unf.gz")
                made += _files("screened", "events", inst, f"{start}{one}{code}{rate}.evt.gz")
            made += _files("spectra", "table", inst, f"{start}{one}_1.pi.gz", f"{start}{one}_1.bgd.gz")
            made += _files("lcurves", "table", inst, f"{start}{one}_1.lc.gz")
        for kind in kinds:
            inst, code = kind.upper(), "32000" if kind == "sis" else "25670"
            bands = [f"{start}{kind}{code}_{band}.totsky.gz" for band in ("lo", "hi", "all")]
            made += _files("images", "image", inst, *bands)
            made += _files("images", "expmap", inst, f"{start}{kind}{code}_all.totexpo.gz")
            made += _files("images", "picture", "", f"{start}{kind}{code}_all.gif")
        return made

    yield Root(f"asca/data/rev2/{obs_id}", seen, files)


def _suzaku(mission: str, row: Row) -> Iterator[Root]:
    obs_id = row["obsid"]
    seen = _seen(mission, row, obs_id, row["time"], row["exposure"])
    start = f"ae{obs_id}"

    def files() -> list[HeldFile]:
        made = _files("auxil", "table", "SC", *(f"{start}.{kind}.gz" for kind in ("att", "orb", "tim", "ehk", "mkf")))
        made += _files("xis/hk", "table", "XIS", f"{start}xis_0.hk.gz")
        for number in range(4):
            inst = f"XIS{number}"
            if row[f"xis{number}_expo"] <= 0:
                continue
            made += _files("xis/hk", "table", inst, f"{start}xi{number}_0.hk.gz")
            modes = ("3x3n000", "5x5n000", "2x2n000")[: row[f"xis{number}_num_modes"]]
            for mode in modes:
                name = f"{start}xi{number}_0_{mode}"
                made += _files("xis/event_uf", "events", inst, f"{name}a_uf.evt.gz")
                made += _files("xis/event_cl", "events", inst, f"{name}a_cl.evt.gz")
                made += _files("xis/products", "image", inst, f"{name}z_sk.img.gz")
                made += _files("xis/products", "picture", "", f"{name}z_sk.gif")
            made += _files("xis/products", "table", inst, f"{start}xi{number}_0_src.pi.gz")
        # the hard X-ray detector is not offered
        made += _files("hxd/event_cl", "events", "HXD", f"{start}hxd_0_pinno_cl.evt.gz")
        made += _files("hxd/hk", "table", "HXD", f"{start}hxd_0.hk.gz")
        made += _files("log", "text", "", f"{start}_job.par")
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


def _integral(mission: str, row: Row) -> Iterator[Root]:
    obs_id, turn = row["scw_id"], row["scw_id"][:4]
    if row["data_in_heasarc"] != "Y":
        return
    seen = _seen(mission, row, obs_id, row["start_date"], row["good_spi"] or row["good_isgri"])

    def files() -> list[HeldFile]:
        made = _files("", "text", "", f"{obs_id}_scw.txt")
        made += _files("", "table", "SC", "swg.fits", "sc_osm_raw.fits.gz", "sc_prp.fits.gz")
        for inst, names in _INTEGRAL_EVENTS.items():
            made += _files("", "events", inst.upper(), *names[:1])
            made += _files("", "table", inst.upper(), *names[1:])
        made += _files("", "table", "IBIS", "ibis_hk.fits.gz", "ibis_veto.fits.gz")
        made += _files("", "events", "IBIS", "compton_sgle.fits.gz")
        return made

    of_turn = Seen(mission, turn, "", seen.ra_deg, seen.dec_deg, float(int(seen.start_mjd)), 200_000.0)

    def of_revolution() -> list[HeldFile]:
        made = _files("idx", "table", "", "isgri_context_index.fits.gz", "spi_context_index.fits.gz")
        made += _files("cfg", "table", "IBIS", f"isgri_context_{turn}.fits.gz")
        made += _files("osm", "table", "SC", "hk_averages.fits.gz")
        made += _files("raw", "table", "SC", f"tim_{turn}.fits.gz")
        made += _files("logs", "text", "", f"{turn}_preproc.txt")
        return made

    def auxiliary() -> list[HeldFile]:
        made = _files("", "table", "SC", *(f"{name}_historic.fits.gz" for name in ("attitude", "orbit")))
        made += _files("", "table", "SC", "time_correlation.fits.gz", "revolution.fits.gz")
        made += _files("", "text", "", f"pod_{turn}.txt")
        return made

    yield Root(f"integral/data/scw/{turn}/{obs_id}.{row['scw_ver']}", seen, files)
    yield Root(f"integral/data/scw/{turn}/rev.001", of_turn, of_revolution, is_shared=True)
    yield Root(f"integral/data/aux/adp/{turn}.001", of_turn, auxiliary, is_shared=True)
    if int(turn) % 7 == 0:
        # some revolutions' auxiliary data have a newer version
        yield Root(f"integral/data/aux/adp/{turn}.002", of_turn, auxiliary, is_shared=True)


_ROOTS: Final[Mapping[str, Callable[[str, Row], Iterator[Root]]]] = {
    "xmm_pointed": _xmm,
    "chandra": _chandra,
    "nustar_pointed": _nustar,
    "swift": _swift,
    "xrism_pointed": _xrism,
    "rosat_pointed": _rosat,
    "rosat_all_sky": _rosat,
    "asca": _asca,
    "suzaku": _suzaku,
    "integral_pointed": _integral,
}
