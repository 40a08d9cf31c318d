"""Names turned into positions: by the offline list, by memory, by the resolver, and what happens when it fails."""

import json

import pytest

from skyvault.missions.bright_objects import bright_object, bright_objects, normal_name
from skyvault.missions.faults import MissionWarning, NameResolveError
from skyvault.missions.sesame import Sesame, read_answer
from skyvault.sandbox import Fault
from skyvault.sandbox.sky import find_object, named_objects

UNLISTED = "WD 2317-054"  # the sandbox knows it, the offline list does not


@pytest.mark.parametrize(
    "spelling",
    ["M31", "m 31", "Messier 31", "NGC 224", "NGC0224", "Andromeda Galaxy", "  m  031 "],
)
def test_all_spellings_of_a_galaxy_are_one(spelling):
    assert bright_object(spelling) == bright_object("M 31") is not None


@pytest.mark.parametrize(
    "spelling", ["\u03b1 CMa", "alpha CMa", "alf CMa", "* alf CMa", "alpha Canis Majoris", "HD 48915"]
)
def test_greek_letters_and_constellations_may_be_written_out(spelling):
    assert bright_object(spelling) == bright_object("Sirius") is not None


def test_names_that_are_alike_stay_apart():
    assert bright_object("Cyg X-1") != bright_object("Cyg X-3")
    assert bright_object("gamma1 Andromedae") == bright_object("Almach")
    assert bright_object("M 311") is None and bright_object("") is None and bright_object("x" * 5000) is None


def test_no_name_of_the_list_stands_for_two_places():
    from skyvault.missions.bright_objects import _rows

    known = {}
    for names, place in _rows():
        for name in names:
            other = known.setdefault(normal_name(name), place)
            assert abs(other[0] - place[0]) < 0.02 and abs(other[1] - place[1]) < 0.02, name


def test_the_list_holds_hundreds_of_objects_within_the_sky():
    places = bright_objects()
    assert len(places) > 500
    assert all(0 <= ra < 360 and abs(dec) <= 90 for ra, dec in places.values())
    assert sum(name.startswith("M ") for name in places) >= 110


def test_the_list_agrees_with_the_sandboxs_sky():
    from math import cos, radians

    for one in named_objects():
        place = bright_object(one.name)
        if place is not None:
            east = ((place[0] - one.ra_deg + 180) % 360 - 180) * cos(radians(place[1]))
            assert abs(east) < 0.02 and abs(place[1] - one.dec_deg) < 0.02, one.name


def test_bright_objects_need_no_network(tmp_path):
    from skyvault.config import Settings

    nobody = Settings(home=tmp_path, endpoints={"sesame": {"resolver": "http://127.0.0.1:9/nobody"}})
    assert Sesame(nobody).resolve(["Sirius", "3C 273"]).keys() == {"Sirius", "3C 273"}


def test_the_resolver_is_asked_once_and_remembered(sandbox, sandbox_settings):
    first = Sesame(sandbox_settings).resolve([UNLISTED, "no such thing"])
    one = find_object(UNLISTED)
    assert first == {UNLISTED: (one.ra_deg, one.dec_deg)}
    sandbox.faults.set(Fault("missing", archive="sesame"))
    again = Sesame(sandbox_settings)
    assert again.resolve(["wd 2317-054", "no such thing"]) == {"wd 2317-054": first[UNLISTED]}
    assert "missing" not in sandbox.faults.struck or sandbox.faults.all()


def test_unknown_names_are_asked_for_again_the_next_day(sandbox, sandbox_settings):
    now = [1e9]
    Sesame(sandbox_settings, clock=lambda: now[0]).resolve(["no such thing"])
    struck = sandbox.faults.struck.get("busy", 0)
    sandbox.faults.set(Fault("busy", archive="sesame", times=1))
    now[0] += 3600
    assert Sesame(sandbox_settings, clock=lambda: now[0]).resolve(["no such thing"]) == {}
    assert sandbox.faults.struck.get("busy", 0) == struck
    now[0] += 86400
    assert Sesame(sandbox_settings, clock=lambda: now[0]).resolve(["no such thing"]) == {}
    assert sandbox.faults.struck["busy"] == struck + 1


def test_a_failure_is_told_and_never_remembered(sandbox, sandbox_settings):
    sandbox.faults.set(Fault("html", archive="sesame", times=1))
    sesame = Sesame(sandbox_settings)
    with pytest.raises(NameResolveError, match=r"could not be asked for WD 2317-054"):
        sesame.resolve([UNLISTED])
    assert sesame.resolve([UNLISTED])


def test_what_is_known_is_given_when_the_rest_cannot_be_asked_for(sandbox, sandbox_settings):
    sandbox.faults.set(Fault("missing", archive="sesame"))
    with pytest.warns(MissionWarning, match="could not be asked"):
        assert Sesame(sandbox_settings).resolve(["Sirius", UNLISTED]).keys() == {"Sirius"}


def test_many_names_go_in_few_requests(sandbox, sandbox_settings):
    names = [f"unknown {number}" for number in range(95)]
    sandbox.faults.set(Fault("slow", archive="sesame", seconds=0.0))
    before = sandbox.faults.struck.get("slow", 0)
    found = Sesame(sandbox_settings).resolve([*names, UNLISTED])
    assert found.keys() == {UNLISTED}
    assert sandbox.faults.struck["slow"] - before == 5


def test_a_damaged_memory_counts_as_none(sandbox, sandbox_settings, tmp_path):
    path = tmp_path / "names.json"
    path.write_text('{"format": 1, "names": {"wd2317-054": ["x"]}}')
    assert Sesame(sandbox_settings, cache=path).resolve([UNLISTED])
    assert len(json.loads(path.read_text())["names"]) == 1


def test_coordinates_within_names_need_no_network(tmp_path):
    from skyvault.config import Settings

    nobody = Settings(home=tmp_path, endpoints={"sesame": {"resolver": "http://127.0.0.1:9/nobody"}})
    places = Sesame(nobody, may_parse=True).resolve(["CRTS J194428-420209"])
    assert places["CRTS J194428-420209"] == pytest.approx((296.116667, -42.035833), abs=1e-5)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>maintenance</body></html>",
        b"<?xml version='1.0'?><!DOCTYPE s [<!ENTITY a 'aaaa'>]><Sesame><Target><name>&a;</name></Target></Sesame>",
        b"\xff\xfe\x00<",
    ],
)
def test_hostile_answers_are_refused_in_a_sentence(body):
    with pytest.raises(NameResolveError, match="name resolver"):
        read_answer(body)


def test_positions_off_the_sky_are_none():
    answer = b"""<Sesame><Target><name>a</name><Resolver name="S"><jradeg>nan</jradeg><jdedeg>1</jdedeg></Resolver>
    <Resolver name="V"><jradeg>-10.5</jradeg><jdedeg>-3</jdedeg></Resolver></Target></Sesame>"""
    assert read_answer(answer) == [("a", (349.5, -3.0))]
