"""The sandbox's name resolver, asked as astropy asks the real one, and by hand."""

import urllib.request

from skyvault.missions.sesame import read_answer
from skyvault.sandbox.sky import find_object


def asked(sandbox, path):
    with urllib.request.urlopen(f"{sandbox.url}/sesame/nph-sesame/{path}", timeout=10) as answer:
        return answer.read()


def test_several_names_are_answered_in_order(sandbox):
    answers = read_answer(asked(sandbox, "-oxp/SNV?RY%20Cnc&nothing%20of%20that%20name&M%2031"))
    assert [name for name, _ in answers] == ["RY Cnc", "nothing of that name", "M 31"]
    one = find_object("RY Cnc")
    assert answers[0][1] == (one.ra_deg, one.dec_deg)
    assert answers[1][1] is None


def test_what_is_not_known_is_said_in_the_resolvers_words(sandbox):
    assert b"*** Nothing found ***" in asked(sandbox, "-oxp/SNV?xyzzy")
    assert b"#! *** Nothing found ***" in asked(sandbox, "-oI/SNV?xyzzy")


def test_astropy_finds_a_star(sandbox):
    from astropy.coordinates import SkyCoord, name_resolve

    with name_resolve.sesame_url.set([f"{sandbox.url}/sesame/nph-sesame/"]):
        place = SkyCoord.from_name("V* RY Cnc")
    one = find_object("RY Cnc")
    assert abs(place.ra.deg - one.ra_deg) < 1e-6 and abs(place.dec.deg - one.dec_deg) < 1e-6


def test_a_name_full_of_markup_stays_text(sandbox):
    answers = read_answer(asked(sandbox, "-oxp/SNV?%3C%2Fname%3E%26lt%3B"))
    assert answers == [("</name>&lt;", None)]
