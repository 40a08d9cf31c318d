"""Pages that list files are read without trust: only what lies directly below, and nothing from a damaged page."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.missions.listing import Entry, read_listing
from skyvault.net.faults import WrongContent

URL = "https://heasarc.example/FTP/suzaku/data/obs/1/100001010/xis/"


def page(*rows: str, title: str = "Index of /FTP/suzaku") -> bytes:
    return f"<html><head><title>{title}</title></head><body><pre>{''.join(rows)}</pre></body></html>".encode()


def row(href: str, shown: str | None = None, rest: str = "  2020-01-01 10:00  1.2M\n") -> str:
    return f'<a href="{href}">{href if shown is None else shown}</a>{rest}'


def test_files_and_directories_with_their_sizes() -> None:
    found = read_listing(
        page(row("?C=N;O=D", "Name"), row("/FTP/", "Parent Directory"), row("event_cl/", rest="  2020-01-01 10:00  -\n"),
             row("a.evt.gz"), row("b.img", rest="  01-Jan-2020 10:00   345\n"), row("c.gif", rest="")),
        URL,
    )  # fmt: skip
    assert found == {
        "event_cl": Entry("event_cl", True),
        "a.evt.gz": Entry("a.evt.gz", False, int(1.2 * (1 << 20))),
        "b.img": Entry("b.img", False, 345),
        "c.gif": Entry("c.gif", False, None),
    }


@pytest.mark.parametrize(
    "href",
    [
        "../secret", "/etc/passwd", "..", "../../x/", "https://elsewhere.example/FTP/suzaku/data/obs/1/100001010/xis/x",
        "//elsewhere.example/x", "a/b", "%2e%2e%2fx", "..%2fx", "a%2fb", "a%00b", "a\\b", "x.part", ".hidden", "-" * 300,
        "javascript:alert(1)", "file:///etc/passwd", "x?y=1", "http://[", "",
    ],
)  # fmt: skip
def test_links_that_lead_elsewhere_are_passed_over(href: str) -> None:
    assert set(read_listing(page(row("good.fits"), row(href, "good")), URL)) == {"good.fits"}


def test_names_that_apache_cuts_are_whole_and_percent_signs_are_read() -> None:
    found = read_listing(
        page(row("acisf03205N006_evt2.fits.gz", "acisf03205N006_e..&gt;"), row("a%2Bb.fits", "a+b.fits")), URL
    )
    assert set(found) == {"acisf03205N006_evt2.fits.gz", "a+b.fits"}


def test_an_empty_directory_is_no_fault_but_a_page_without_files_is() -> None:
    assert read_listing(page(row("/FTP/", "Parent Directory")), URL) == {}
    with pytest.raises(WrongContent, match=r"lists no files but says 'Log in'"):
        read_listing(page(title="Log in"), URL)


@given(cut=st.integers(0, 400), damage=st.integers(0, 400))
def test_a_cut_or_damaged_page_never_looks_like_a_shorter_list(cut: int, damage: int) -> None:
    names = {f"sw0007105700{n}xpcw3po_cl.evt.gz" for n in range(4)}
    whole = page(*(row(name) for name in sorted(names)))
    cut_page = whole[: -min(cut, len(whole) - 1) or None]
    at = min(damage, len(whole) - 16)
    damaged = whole[:at] + bytes(byte ^ 0x55 for byte in whole[at : at + 16]) + whole[at + 16 :]
    for body in (cut_page, damaged):
        try:
            found = set(read_listing(body, URL))
        except WrongContent:
            continue
        assert found == names


@given(st.binary(max_size=400))
def test_any_bytes_are_a_list_or_one_sentence(body: bytes) -> None:
    try:
        read_listing(b"<html>" + body, URL)
    except WrongContent as told:
        assert "\n" not in str(told)


@pytest.mark.shared
def test_erodats_real_pages(shared_data: Path) -> None:
    base = "https://erosita.mpe.mpg.de/dr1/erodat/data/download/135/134/"
    found = {}
    for name, below in (("134135.txt", ""), ("134135_exp.txt", "EXP_010/"), ("134135_det.txt", "DET_010/")):
        body = ast.literal_eval((shared_data / "daxa" / name).read_text(encoding="utf-8")).encode()
        found[name] = read_listing(body, base + below)
    assert {"EXP_010", "DET_010"} <= set(found["134135.txt"]) and found["134135.txt"]["EXP_010"].is_directory
    image = found["134135_exp.txt"]["em01_134135_026_Image_c010.fits.gz"]
    assert image == Entry("em01_134135_026_Image_c010.fits.gz", False, 31405895)
    assert sum("BackgrImage" in name for name in found["134135_det.txt"]) == 4
