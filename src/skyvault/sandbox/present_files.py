"""The files of the missions that still fly, in HEASARC's directory structure, and XMM-Newton's as ESA has them, too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from skyvault.sandbox.event_files import EPOCH, HeldFile, Seen
from skyvault.sandbox.observation_root import Root, Row, files_in, seen_of
from skyvault.sandbox.present_missions import BIG_CHANDRA, UNSCREENED_NUSTAR


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


def xmm(mission: str, row: Row) -> Iterator[Root]:
    """XMM-Newton: observation data files, and pipeline products that nobody asks for."""
    obs_id = row["obsid"]
    if row["data_in_heasarc"] != "Y" or obs_id.startswith("9"):
        return
    seen = seen_of(mission, row, obs_id, row["time"], row["duration"])

    def files() -> list[HeldFile]:
        names = odf_names(seen, row["xmm_revolution"])
        return [
            *(HeldFile(f"ODF/{one.path}.gz", one.kind, one.instrument) for one in names),
            *files_in("PPS", "events", "EPN", f"P{obs_id}PNS003PIEVLI0000.FTZ"),
            *files_in("PPS", "picture", "", f"P{obs_id}PNX000IMAGE_8000.GIF"),
        ]

    yield Root(f"xmm/data/rev0/{obs_id}", seen, files, row["public_date"])


def chandra(mission: str, row: Row) -> Iterator[Root]:
    """Chandra: primary, secondary and supporting products."""
    obs_id = row["obsid"]
    seen = seen_of(mission, row, obs_id, row["time"], row["exposure"])
    inst = "acis" if row["detector"].startswith("ACIS") else "hrc"
    start, number = f"{inst}f{int(obs_id):05d}", f"{int(obs_id):05d}"
    name = row["detector"]

    def files() -> list[HeldFile]:
        made = files_in("", "table", name, "oif.fits")
        made += files_in("", "text", "", "00README", f"axaf{inst[0]}{number}N003_VV001_vv2.pdf")
        made.append(HeldFile(f"primary/{start}N003_evt2.fits.gz", "events", name, is_big=obs_id == BIG_CHANDRA))
        made += files_in("primary", "image", name, f"{start}N003_cntr_img2.fits.gz", f"{start}N003_full_img2.fits.gz")
        made += files_in("primary", "picture", "", f"{start}N003_cntr_img2.jpg", f"{start}N003_full_img2.jpg")
        made += files_in(
            "primary",
            "table",
            name,
            f"{start}_000N003_bpix1.fits.gz",
            f"{start}_000N003_fov1.fits.gz",
            f"pcadf{number}_000N001_asol1.fits.gz",
            f"orbitf{int(seen.start_mjd) - 50814:05d}0N001_eph1.fits.gz",
        )
        made += files_in("secondary", "events", name, f"{start}_000N003_evt1.fits.gz")
        kinds = ["mtl1", "flt1", "msk1", "stat1"]
        if inst == "acis":
            made += files_in("secondary", "table", name, *(f"{start}_00{i}N003_bias0.fits.gz" for i in range(3)))
            kinds += ["pbk0"]
        else:
            kinds = ["mtl1", "flt1", "msk1", "dtf1"]
        made += files_in("secondary", "table", name, *(f"{start}_000N003_{kind}.fits.gz" for kind in kinds))
        made += files_in("secondary/aspect", "table", "PCAD", f"pcadf{number}_000N001_aqual1.fits.gz")
        made += files_in("secondary/ephem", "table", "EPHIN", f"anglesf{number}N001_eph1.fits.gz")
        made += files_in("supporting", "picture", "", f"{start}_000N003_drw.gif")
        return made

    yield Root(f"chandra/data/byobsid/{obs_id[-1]}/{obs_id}", seen, files, row["public_date"])


def nustar(mission: str, row: Row) -> Iterator[Root]:
    """NuSTAR: raw and screened events of the modules that were on."""
    obs_id = row["obsid"]
    seen = seen_of(mission, row, obs_id, row["time"], max(row["ontime_a"], row["ontime_b"]))
    start = f"nu{obs_id}"

    def files() -> list[HeldFile]:
        made = files_in("", "table", "", f"{start}.cat.gz")
        made += files_in("auxil", "table", "SC", *(f"{start}_{kind}.fits.gz" for kind in ("att", "orb", "mast", "psd")))
        made += files_in("auxil", "text", "", f"{start}.par")
        made += files_in("hk", "table", "SC", f"{start}_met.hk.gz", f"{start}_obeb.hk.gz")
        for module, column in (("A", "ontime_a"), ("B", "ontime_b")):
            inst = f"FPM{module}"
            made += files_in("hk", "table", inst, f"{start}{module}_fpm.hk.gz")
            if row[column] <= 0:
                continue
            made += files_in("event_uf", "events", inst, f"{start}{module}_uf.evt.gz")
            if obs_id == UNSCREENED_NUSTAR:
                continue
            # 01 is science, 02 occulted, 03 slew, 04 the South Atlantic Anomaly, 05 calibration
            made += files_in("event_cl", "events", inst, *(f"{start}{module}0{mode}_cl.evt.gz" for mode in range(1, 6)))
            made += files_in("event_cl", "table", inst, *(f"{start}{module}0{mode}_gti.fits.gz" for mode in (1, 2)))
            made += files_in("event_cl", "table", inst, f"{start}{module}_bp.fits.gz", f"{start}{module}_det1.fits.gz")
            made += files_in("event_cl", "image", inst, f"{start}{module}01_sk.img.gz")
            made += files_in("event_cl", "picture", "", f"{start}{module}01_sk.gif")
        return made

    yield Root(f"nustar/data/obs/{obs_id[1:3]}/{obs_id[0]}/{obs_id}", seen, files, row["public_date"])


def swift(mission: str, row: Row) -> Iterator[Root]:
    """Swift: directories of the instruments that observed."""
    obs_id = row["obsid"]
    seconds = {inst: row[f"{inst}_exposure"] for inst in ("xrt", "uvot", "bat")}
    seen = seen_of(mission, row, obs_id, row["start_time"], max(seconds.values()))
    start = f"sw{obs_id}"

    def files() -> list[HeldFile]:
        made = files_in("auxil", "table", "SC", *(f"{start}{kind}.fits.gz" for kind in ("pat", "sat", "sao", "pjb")))
        if seconds["xrt"] > 0:
            made += files_in("xrt/event", "events", "XRT", f"{start}xpcw3po_cl.evt.gz", f"{start}xpcw3po_uf.evt.gz")
            made += files_in("xrt/event", "events", "XRT", f"{start}xwtw2st_cl.evt.gz", f"{start}xwtw2st_uf.evt.gz")
            made += files_in("xrt/hk", "table", "XRT", f"{start}xhd.hk.gz", f"{start}xen.hk.gz")
            made += files_in("xrt/image", "image", "XRT", f"{start}xim1.img.gz")
            made += files_in("xrt/products", "image", "XRT", f"{start}xpc_sk.img.gz")
            made += files_in("xrt/products", "expmap", "XRT", f"{start}xpc_ex.img.gz")
            made += files_in("xrt/products", "picture", "", f"{start}xpc_im.gif")
        if seconds["uvot"] > 0:
            made += files_in("uvot/event", "events", "UVOTA", f"{start}uuuw1po_uf.evt.gz")
            made += files_in("uvot/hk", "table", "UVOTA", f"{start}uct.hk.gz", f"{start}uaf.hk.gz")
            made += files_in("uvot/image", "image", "UVOTA", f"{start}uuu_rw.img.gz", f"{start}uuu_sk.img.gz")
            made += files_in("uvot/image", "expmap", "UVOTA", f"{start}uuu_ex.img.gz")
            made += files_in("uvot/products", "image", "UVOTA", f"{start}u_sk.img.gz")
            made += files_in("uvot/products", "expmap", "UVOTA", f"{start}u_ex.img.gz")
            made += files_in("uvot/products", "picture", "", f"{start}u_sk.gif")
        if seconds["bat"] > 0:
            made += files_in("bat/event", "events", "BAT", f"{start}bevshsp_uf.evt.gz")
            made += files_in("bat/hk", "table", "BAT", f"{start}bdp.hk.gz", f"{start}ben.hk.gz")
            made += files_in("bat/rate", "table", "BAT", f"{start}brtms.lc.gz", f"{start}brt1s.lc.gz")
            made += files_in("bat/survey", "table", "BAT", f"{start}bsvabo0bb1g05a.dph.gz")
        made += files_in("tdrss", "table", "", f"{start}msb.fits.gz")
        made += files_in("log", "text", "", f"{start}.log")
        return made

    month = (EPOCH + timedelta(days=row["start_time"])).strftime("%Y_%m")
    yield Root(f"swift/data/obs/{month}/{obs_id}", seen, files)


def xrism(mission: str, row: Row) -> Iterator[Root]:
    """XRISM: Resolve and Xtend."""
    obs_id = row["obsid"]
    seen = seen_of(mission, row, obs_id, row["time"], row["exposure"])
    start = f"xa{obs_id}"

    def files() -> list[HeldFile]:
        made = files_in("auxil", "table", "SC", *(f"{start}.{kind}.gz" for kind in ("att", "orb", "ehk", "mkf", "tim")))
        made += files_in("resolve/event_uf", "events", "RESOLVE", f"{start}rsl_p0px1000_uf.evt.gz")
        made += files_in("resolve/event_uf", "table", "RESOLVE", f"{start}rsl_el.gti.gz")
        made += files_in("resolve/hk", "table", "RESOLVE", f"{start}rsl_a0.hk1.gz", f"{start}rsl_b0.hk1.gz")
        if row["exposure"] > 0:
            names = [f"{start}rsl_p0px{mode}_cl" for mode in ("1000", "5000")]
            made += files_in("resolve/event_cl", "events", "RESOLVE", *(f"{name}.evt.gz" for name in names))
            made += files_in("resolve/products", "image", "RESOLVE", f"{names[0]}.sky.img.gz")
            made += files_in("resolve/products", "table", "RESOLVE", f"{names[0]}.pi.gz", f"{names[0]}.lc.gz")
            made += files_in("resolve/products", "picture", "", f"{names[0]}.gif")
        classes = [one for one in (row["xtd_dataclas1"], row["xtd_dataclas2"]) if one]
        made += files_in("xtend/hk", "table", "XTEND", f"{start}xtd_a0.hk.gz")
        if row["xtd_expo"] > 0:
            made += files_in("xtend/event_uf", "events", "XTEND", *(f"{start}xtd_p0{one}_uf.evt.gz" for one in classes))
            made += files_in("xtend/event_cl", "events", "XTEND", *(f"{start}xtd_p0{one}_cl.evt.gz" for one in classes))
            made += files_in(
                "xtend/products", "image", "XTEND", *(f"{start}xtd_p0{one}_cl.sky.img.gz" for one in classes)
            )
            made += files_in("xtend/products", "table", "XTEND", *(f"{start}xtd_p0{one}_cl.pi.gz" for one in classes))
            made += files_in("xtend/products", "picture", "", f"{start}xtd_p0{classes[0]}_cl.gif")
        made += files_in("log", "text", "", f"{start}_joblog.html")
        return made

    yield Root(f"xrism/data/obs/{obs_id[0]}/{obs_id}", seen, files, row["public_date"])
