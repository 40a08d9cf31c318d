"""Accounts: who is recognised by what, what is told about it, and how guesses, forgeries and old tokens end."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from serve.accounts import PASSWORD, Browser, Client, make_token, make_users
from skyvault.config import Settings
from skyvault.errors import ConfigError, NotFound
from skyvault.ledger.ledger import open_ledger
from skyvault.ledger.login_attempts import MOST
from skyvault.serve.secret import Keys, rotate


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> Any:
    home = tmp_path_factory.mktemp("accounts") / "home"
    make_users(home, "alice", "bob", "eve", "mallory", groups={"survey": ("alice", "bob")})
    return start_server(home)


@pytest.fixture
def anybody(site: Any) -> Client:
    return Client(site.base_url)


def test_nobody_needs_to_log_in_to_ask(anybody: Client) -> None:
    query = urlencode({"LANG": "ADQL", "QUERY": "SELECT schema_name FROM TAP_SCHEMA.schemas"})
    answer = anybody("POST", "/tap/sync", query)
    assert answer.status == 200
    assert answer.headers["X-VO-Authenticated"] is None


def test_capabilities_are_open_and_offer_every_way_to_log_in(anybody: Client) -> None:
    answer = anybody("GET", "/tap/capabilities")
    assert answer.status == 200
    offers = answer.headers.get_all("WWW-Authenticate")
    assert offers is not None
    assert [offer.split()[0] for offer in offers] == ["Basic", "Bearer", "ivoa_cookie"]
    assert f'access_url="{anybody.base_url}/login"' in offers[2]


def test_a_name_and_password_are_recognised_and_told_back(anybody: Client) -> None:
    answer = anybody.as_user("alice")("GET", "/tap/capabilities")
    assert answer.status == 200
    assert answer.headers["X-VO-Authenticated"] == "alice"
    assert answer.headers["WWW-Authenticate"] is None


@pytest.mark.parametrize(
    "header",
    ["Bearer nonsense", "Bearer skv_0123456789abcdef_" + "a" * 43, "Basic !!!", "Basic YQ==", "Digest x", "Bearer", ""],
)
def test_credentials_that_are_none_are_answered_401_with_challenges(anybody: Client, header: str) -> None:
    answer = Client(anybody.base_url, {"Authorization": header})("GET", "/tap/capabilities")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_a_token_opens_what_it_is_for_until_it_is_revoked(anybody: Client, site: Any) -> None:
    alice = anybody.as_user("alice")
    made = alice("POST", "/account/tokens", "NAME=notebook&SCOPES=read&DAYS=2")
    assert made.status == 201
    told = json.loads(made.body)
    assert told["scopes"] == ["read"]
    token = anybody.with_token(told["token"])
    assert json.loads(token("GET", "/account").body)["way"] == "bearer"
    # a token cannot make tokens, unless it was made for that
    assert token("POST", "/account/tokens", "NAME=more").status == 403
    assert token("GET", "/account/tokens").status == 403
    listed = json.loads(alice("GET", "/account/tokens").body)
    assert told["id"] in [one["id"] for one in listed]
    assert told["token"].split("_")[2] not in json.dumps(listed)
    assert alice("DELETE", f"/account/tokens/{told['id']}").status == 200
    assert token("GET", "/account").status == 401
    assert alice("DELETE", f"/account/tokens/{told['id']}").status == 404


def test_nobody_can_revoke_the_token_of_another(anybody: Client, site: Any) -> None:
    token = make_token(site.home, "alice")
    assert anybody.as_user("bob")("DELETE", f"/account/tokens/{token.split('_')[1]}").status == 404
    assert anybody.with_token(token)("GET", "/account").status == 200


def test_an_expired_token_is_none(anybody: Client, site: Any) -> None:
    assert anybody.with_token(make_token(site.home, "alice", life_s=-1.0))("GET", "/account").status == 401


def test_secrets_are_not_in_the_ledger_nor_readable_by_others(anybody: Client, site: Any) -> None:
    token = make_token(site.home, "alice")
    with open_ledger(site.home / "ledger.sqlite") as ledger:
        ledger.backup(site.home / "copy")
    kept = (site.home / "copy").read_bytes()
    assert token.split("_")[2].encode() not in kept
    assert PASSWORD.encode() not in kept
    for path in (site.home / "copy", site.home / "secret", *site.home.glob("ledger.sqlite")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_somebody_who_guesses_must_wait_while_others_need_not(anybody: Client) -> None:
    guesses = [anybody.as_user("eve", f"guess {n}")("GET", "/account").status for n in range(MOST["pair"] + 1)]
    assert guesses == [401] * MOST["pair"] + [429]
    held = anybody.as_user("eve")("GET", "/account")
    assert held.status == 429
    assert int(held.headers["Retry-After"]) > 60
    assert anybody.as_user("alice")("GET", "/account").status == 200


def test_a_user_who_is_not_there_is_told_nothing_else_than_a_wrong_password(anybody: Client) -> None:
    unknown = anybody.as_user("nobody-of-that-name")("GET", "/account")
    wrong = anybody.as_user("bob", "wrong password")("GET", "/account")
    assert (unknown.status, unknown.body) == (wrong.status, wrong.body)


def test_a_browser_logs_in_sees_the_account_and_logs_out(anybody: Client) -> None:
    browser = Browser(anybody.base_url)
    sent_on = browser.log_in("alice")
    assert (sent_on.status, sent_on.headers["Location"]) == (303, "/account")
    cookie = sent_on.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie
    page = browser("GET", "/account")
    assert page.status == 200
    assert page.headers["X-VO-Authenticated"] == "alice"
    assert "no-store" in page.headers["Cache-Control"]
    kept = dict(browser.cookies)
    out = browser("POST", "/logout", urlencode({"CSRF": browser.csrf("/account")}), origin=anybody.base_url)
    assert out.status == 303
    # a copy of the cookie is worth nothing either
    browser.cookies = kept
    assert browser("GET", "/account").status == 303


def test_a_form_without_its_token_or_from_elsewhere_is_refused(anybody: Client) -> None:
    browser = Browser(anybody.base_url)
    browser.log_in("alice")
    ours = anybody.base_url
    csrf = browser.csrf("/account")
    assert browser("POST", "/account/tokens", "NAME=x", origin=ours).status == 403
    assert browser("POST", "/account/tokens", "NAME=x&CSRF=wrong", origin=ours).status == 403
    assert browser("POST", "/account/tokens", f"NAME=x&CSRF={csrf}", origin="http://evil.example").status == 403
    assert browser("POST", "/account/tokens", f"NAME=x&CSRF={csrf}", sec_fetch_site="cross-site").status == 403
    assert browser("POST", "/tap/async", "QUERY=SELECT+1", origin="http://evil.example").status == 403
    # a remembered password is sent by browsers, too
    forged = anybody.as_user("alice")("POST", "/tap/async", "QUERY=SELECT+1", origin="http://evil.example")
    assert forged.status == 403
    assert browser("POST", "/account/tokens", f"NAME=x&CSRF={csrf}", origin=ours).status == 200


def test_a_program_may_log_in_for_a_cookie_as_authvo_describes(anybody: Client) -> None:
    offers = anybody("GET", "/tap/capabilities").headers.get_all("WWW-Authenticate") or []
    assert 'standard_id="ivo://ivoa.net/sso#tls-with-password"' in offers[2]
    answer = anybody("POST", "/login", urlencode({"username": "alice", "password": PASSWORD}))
    assert (answer.status, answer.headers["X-VO-Authenticated"]) == (200, "alice")
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    job = anybody("POST", "/tap/async", "LANG=ADQL&QUERY=SELECT+1", cookie=cookie)
    assert (job.status, job.headers["X-VO-Authenticated"]) == (303, "alice")
    assert anybody("POST", "/login", urlencode({"username": "alice", "password": "wrong word"})).status == 401
    # but it changes no account without the form's token
    assert anybody("POST", "/account/tokens", "NAME=x", cookie=cookie).status == 403


def test_a_forged_cookie_is_nobody_s(anybody: Client) -> None:
    browser = Browser(anybody.base_url)
    browser.log_in("alice")
    text, _, signature = browser.cookies["skyvault_session"].rpartition(".")
    for wrong in (f"{text}.{'A' * len(signature)}", f"x{text}.{signature}", "....", "", "\xff"):
        answer = anybody("GET", "/account", cookie=f"skyvault_session={wrong}")
        assert answer.status == 401
        assert anybody("GET", "/tap/capabilities", cookie=f"skyvault_session={wrong}").status == 200


@pytest.mark.parametrize("elsewhere", ["//evil.example/", "/\\evil.example", "https://evil.example", "/a\nb", ""])
def test_a_login_never_leads_elsewhere(anybody: Client, elsewhere: str) -> None:
    browser = Browser(anybody.base_url)
    form = {"USERNAME": "alice", "PASSWORD": PASSWORD, "CSRF": browser.csrf("/login"), "NEXT": elsewhere}
    assert browser("POST", "/login", urlencode(form), origin=anybody.base_url).headers["Location"] == "/account"


def test_another_password_ends_the_sessions(anybody: Client) -> None:
    browser = Browser(anybody.base_url)
    browser.log_in("mallory")
    form = {"OLD": PASSWORD, "NEW": "another horse", "CSRF": browser.csrf("/account")}
    assert browser("POST", "/account/password", urlencode(form), origin=anybody.base_url).status == 303
    assert browser("GET", "/account").status == 303
    assert anybody.as_user("mallory")("GET", "/account").status == 401
    assert anybody.as_user("mallory", "another horse")("GET", "/account").status == 200


def test_two_keys_are_valid_while_they_rotate(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    keys, other = Keys(settings), Keys(settings)
    first = keys.sign("session", "text")
    assert other.is_signed("session", "text", first)
    assert not other.is_signed("form", "text", first)
    rotate(settings)
    second = keys.sign("session", "text")
    assert second != first
    assert other.is_signed("session", "text", first) and other.is_signed("session", "text", second)
    rotate(settings)
    assert not other.is_signed("session", "text", first)
    assert other.is_signed("session", "text", second)


def test_a_secret_others_may_read_is_refused(tmp_path: Path) -> None:
    Keys(Settings(home=tmp_path))
    os.chmod(tmp_path / "secret", 0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        Keys(Settings(home=tmp_path))


def test_a_user_who_is_removed_leaves_nothing_to_whoever_gets_the_name(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.users.add("alice", None)
        ledger.users.join("survey", "alice")
        _, text = ledger.tokens.create(ledger.users.get("alice"), "t", ("read",), 60)
        job = ledger.jobs.create(
            "tap", {}, execution_duration_s=1, destruction_time=9e9, owner="alice", quota_key="alice"
        )
        ledger.users.remove("alice")
        again = ledger.users.add("ALICE", None)
        assert ledger.tokens.check(text) is None
        assert ledger.users.groups_of(again.id) == frozenset()
        assert ledger.jobs.get(job.id).owner != "alice"
        with pytest.raises(NotFound):
            ledger.users.get("bob")
        assert [entry.act for entry in ledger.audit.newest()][:2] == ["add user", "remove user"]


def test_the_command_line_makes_accounts_and_logs_in(skyvault: Callable[..., Any], site: Any, tmp_path: Path) -> None:
    here = {"SKYVAULT_HOME": str(site.home)}
    made = skyvault("users", "add", "carol", "--generate", env=here)
    assert made.code == 0
    password = made.out.strip()
    assert skyvault("users", "add", "carol", "--generate", env=here).code != 0
    credentials = tmp_path / "credentials"
    login = ("login", site.base_url, "--user", "carol", "--password-stdin", "--credentials", credentials)
    assert skyvault(*login, stdin="wrong\n").code != 0
    done = skyvault(*login, stdin=f"{password}\n")
    assert done.code == 0, done.err
    assert stat.S_IMODE(credentials.stat().st_mode) == 0o600
    from skyvault.net.auth import Credentials

    header = Credentials.from_file(credentials).header_for(f"{site.base_url}/tap")
    assert header is not None and header.startswith("Bearer ")
    assert header.split()[1] not in done.out + done.err
    assert Client(site.base_url, {"Authorization": header})("GET", "/account").status == 200
    listed = json.loads(skyvault("users", "list", "--json", env=here).out)
    assert "carol" in [user["name"] for user in listed["users"]]
    assert skyvault("users", "remove", "carol", "--yes", env=here).code == 0
    assert Client(site.base_url, {"Authorization": header})("GET", "/account").status == 401


def test_the_operator_sees_which_tables_take_the_space(
    tmp_path: Path, start_server: Callable[..., Any], skyvault: Callable[..., Any]
) -> None:
    home = tmp_path / "home"
    make_users(home, "alice")
    client = Client(start_server(home, SKYVAULT_USER_TABLES="true").base_url)
    alice = client.as_user("alice")
    for asker, name, rows in ((alice, "small", 1), (alice, "large", 20_000), (client, "shared", 1)):
        asker("PUT", f"/tap/user_tables/{name}", b"a\n" + b"1234567\n" * rows, content_type="text/csv")
    alice("POST", "/tap/user_tables/large/shares", "LINK=true")
    alice("POST", "/tap/user_tables/small/freeze", "")
    told = json.loads(skyvault("users", "usage", "--json", "--home", str(home)).out)
    assert {(one["user"], one["table"]) for one in told["tables"]} == {
        ("alice", "small"), ("alice", "large"), ("anonymous", "shared")
    }  # fmt: skip
    assert told["bytes"] == sum(one["bytes"] for one in told["tables"])
    shown = skyvault("users", "usage", "alice", "--home", str(home)).out
    assert "shared 1 times" in shown and ", frozen" in shown and "2 tables" in shown
    assert "1 tables" in skyvault("users", "usage", "anonymous", "--home", str(home)).out
    assert skyvault("users", "usage", "nobody", "--home", str(home)).code == 1
