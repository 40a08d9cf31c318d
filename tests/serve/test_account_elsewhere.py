"""Logging in by OpenID Connect: the flow with a login service on a real socket, whose account it opens, every forgery."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from serve.accounts import BROWSER, PASSWORD, Browser, Client, make_users
from serve.login_provider import CLIENT, SECRET, Provider
from skyvault.config import Settings
from skyvault.errors import ConfigError
from skyvault.ledger.ledger import open_ledger
from skyvault.serve.account_elsewhere import account_name
from skyvault.serve.login_service import LoginService, Person

BEGIN, BACK = "/login/elsewhere", "/login/elsewhere/back"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


def variables(provider: Provider, folder: Path) -> dict[str, str]:
    secret = folder / "client-secret"
    secret.touch(0o600)
    secret.write_text(SECRET + "\n")
    return {
        "SKYVAULT_OIDC_ISSUER": provider.issuer,
        "SKYVAULT_OIDC_CLIENT_ID": CLIENT,
        "SKYVAULT_OIDC_CLIENT_SECRET_FILE": str(secret),
        "SKYVAULT_OIDC_TITLE": "the Institute",
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any], provider: Provider) -> Any:
    home = tmp_path_factory.mktemp("elsewhere") / "home"
    make_users(home, "alice", "bob")
    return start_server(home, **variables(provider, home.parent))


@pytest.fixture(autouse=True)
def _clean(site: Any, provider: Provider) -> Iterator[None]:
    provider.reset()
    yield
    with open_ledger(site.home / "ledger.sqlite") as ledger:
        for user in ledger.users.all():
            if user.password_hash is None:
                ledger.users.remove(user.name)
            elif ledger.external_logins.of(user.id):
                ledger.external_logins.unlink(user, provider.issuer, actor="test")


def there(address: str) -> str:
    """Log in at the provider; where it sends the browser back to."""
    parts = urlsplit(address)
    answer = Client(f"{parts.scheme}://{parts.netloc}")("GET", f"{parts.path}?{parts.query}")
    assert answer.status == 302
    back = urlsplit(answer.headers["Location"])
    return f"{back.path}?{back.query}"


def log_in(browser: Browser, begin: str = BEGIN) -> Any:
    sent = browser("GET", begin)
    assert sent.status == 303, sent.text
    return browser("GET", there(sent.headers["Location"]))


def name_of(browser: Browser) -> str | None:
    name: str | None = browser("GET", "/account").headers["X-VO-Authenticated"]
    return name


def test_a_first_login_makes_an_account_and_the_second_finds_it(site: Any, provider: Provider) -> None:
    browser = Browser(site.base_url)
    assert "log in with the Institute" in browser("GET", "/login?next=/query").text
    done = log_in(browser, f"{BEGIN}?next=/query")
    assert (done.status, done.headers["Location"], done.headers["X-VO-Authenticated"]) == (303, "/query", "j.doe")
    assert name_of(browser) == "j.doe"
    # another name there is the same person still
    provider.person["preferred_username"] = "jane"
    again = Browser(site.base_url)
    log_in(again)
    assert name_of(again) == "j.doe"
    # and no password opens this account
    for password in ("", "None", PASSWORD):
        assert Client(site.base_url).as_user("j.doe", password)("GET", "/account").status == 401


def test_the_session_is_a_new_one_and_its_cookie_is_closed(site: Any) -> None:
    browser = Browser(site.base_url)
    browser.cookies["skyvault_session"] = "chosen-by-somebody-else"
    sent = browser("GET", BEGIN)
    assert "HttpOnly" in sent.headers["Set-Cookie"] and "SameSite=lax" in sent.headers["Set-Cookie"]
    done = browser("GET", there(sent.headers["Location"]))
    cookies = done.headers.get_all("Set-Cookie") or []
    session = next(one for one in cookies if one.startswith("skyvault_session="))
    assert "HttpOnly" in session and "chosen" not in session
    assert any(one.startswith("skyvault_elsewhere=") and "Max-Age=0" in one for one in cookies)


def test_the_name_of_an_account_that_is_there_opens_it_to_nobody(site: Any, provider: Provider) -> None:
    provider.person = {"sub": "1", "preferred_username": "Alice", "email": "alice@example.org", "email_verified": True}
    browser = Browser(site.base_url)
    log_in(browser)
    assert name_of(browser) == "Alice-2"


def test_an_account_is_linked_by_its_owner_and_unlinked(site: Any, provider: Provider) -> None:
    browser = Browser(site.base_url)
    browser.log_in("alice")
    page = browser("GET", "/account").text
    found = re.search(r'href="(/login/elsewhere\?link=[^"]*)"', page)
    assert found is not None
    log_in(browser, found[1])
    other = Browser(site.base_url)
    log_in(other)
    assert name_of(other) == "alice"
    # the same person cannot be two
    bob = Browser(site.base_url)
    bob.log_in("bob")
    link = re.search(r'href="(/login/elsewhere\?link=[^"]*)"', bob("GET", "/account").text)
    assert link is not None
    refused = log_in(bob, link[1])
    assert refused.status == 409 and "belongs to another account" in refused.text
    form = urlencode({"CSRF": browser.csrf("/account")})
    assert browser("POST", "/account/elsewhere", "CSRF=wrong", origin=site.base_url).status == 403
    assert browser("POST", "/account/elsewhere", form, origin=site.base_url).status == 303
    log_in(other)
    assert name_of(other) == "j.doe"


def test_whoever_has_no_password_stays_linked(site: Any) -> None:
    browser = Browser(site.base_url)
    log_in(browser)
    form = urlencode({"CSRF": browser.csrf("/account")})
    refused = browser("POST", "/account/elsewhere", form, origin=site.base_url)
    assert refused.status == 409 and "could not log in any more" in refused.text


def test_a_link_of_another_session_ties_nothing(site: Any) -> None:
    alice, bob = Browser(site.base_url), Browser(site.base_url)
    alice.log_in("alice")
    bob.log_in("bob")
    link = re.search(r'href="(/login/elsewhere\?link=[^"]*)"', alice("GET", "/account").text)
    assert link is not None
    assert bob("GET", link[1]).status == 403
    assert Browser(site.base_url)("GET", link[1]).status == 401
    # nor does a session that ended, or changed, before the browser came back
    sent = alice("GET", link[1])
    back = there(sent.headers["Location"])
    alice.cookies["skyvault_session"] = bob.cookies["skyvault_session"]
    refused = alice("GET", back)
    assert refused.status == 403 and "logged out meanwhile" in refused.text


def test_the_operator_links_and_may_let_nobody_else_in(
    tmp_path: Path, start_server: Callable[..., Any], provider: Provider, skyvault: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    home = tmp_path / "home"
    make_users(home, "alice")
    settings = variables(provider, tmp_path) | {"SKYVAULT_OIDC_NEW_USERS": "false"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    site = start_server(home)
    browser = Browser(site.base_url)
    refused = log_in(browser)
    assert refused.status == 403 and "No account here belongs to this login" in refused.text
    assert skyvault("users", "link", "alice", "248289761001", "--home", str(home)).code == 0
    log_in(browser)
    assert name_of(browser) == "alice"
    assert skyvault("users", "unlink", "alice", "--home", str(home)).code == 0
    assert log_in(Browser(site.base_url)).status == 403
    assert skyvault("users", "unlink", "alice", "--home", str(home)).code == 1


def test_keys_may_change(site: Any, provider: Provider) -> None:
    assert log_in(Browser(site.base_url)).status == 303
    provider.rotate()
    assert log_in(Browser(site.base_url)).status == 303


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"iss": "https://evil.example"}, "wrong issuer"),
        ({"aud": "another client"}, "wrong audience"),
        ({"aud": [CLIENT, "another"]}, "wrong party"),
        ({"aud": None}, "wrong audience"),
        ({"azp": "another client"}, "wrong party"),
        ({"exp": 1_000_000_000}, "wrong end"),
        ({"exp": None}, "wrong end"),
        ({"exp": "soon"}, "wrong end"),
        ({"iat": 9_000_000_000}, "wrong beginning"),
        ({"nbf": 9_000_000_000}, "wrong validity"),
        ({"nonce": "of another login"}, "wrong nonce"),
        ({"nonce": None}, "wrong nonce"),
        ({"sub": None}, "wrong subject"),
        ({"sub": ""}, "wrong subject"),
        ({"sub": 7}, "wrong subject"),
        ({"sub": "x" * 256}, "wrong subject"),
    ],
)
def test_a_token_that_is_not_for_this_login_opens_nothing(
    site: Any, provider: Provider, wrong: dict[str, Any], told: str
) -> None:
    provider.wrong = wrong
    browser = Browser(site.base_url)
    answer = log_in(browser)
    assert (answer.status, told in answer.text) == (403, True)
    assert "skyvault_session" not in browser.cookies


@pytest.mark.parametrize("signed", ["none", "HS256", "other"])
def test_a_token_that_the_login_service_has_not_signed_opens_nothing(
    site: Any, provider: Provider, signed: str
) -> None:
    # also where the login service itself offers such signatures
    provider.signed, provider.described = signed, {"id_token_signing_alg_values_supported": ["RS256", "none", "HS256"]}
    browser = Browser(site.base_url)
    answer = log_in(browser)
    assert answer.status == 403 and "signature is not right" in answer.text
    assert "skyvault_session" not in browser.cookies


def test_an_answer_belongs_to_one_browser_and_is_good_once(site: Any) -> None:
    victim, attacker = Browser(site.base_url), Browser(site.base_url)
    sent = attacker("GET", BEGIN)
    back = there(sent.headers["Location"])
    # a link with the attacker's code in somebody else's browser, who began none or another login
    assert victim("GET", back).status == 403
    victim("GET", BEGIN)
    assert victim("GET", back).status == 403
    assert "skyvault_session" not in victim.cookies
    kept = dict(attacker.cookies)
    assert attacker("GET", back).status == 303
    attacker.cookies = kept
    assert attacker("GET", back).status == 403


@pytest.mark.parametrize("change", ["no state", "no code", "other iss", "twice", "long code", "forged cookie"])
def test_an_answer_that_was_changed_on_its_way_opens_nothing(site: Any, change: str) -> None:
    browser = Browser(site.base_url)
    back = there(browser("GET", BEGIN).headers["Location"])
    asked = {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}
    if change == "no state":
        del asked["state"]
    elif change == "no code":
        del asked["code"]
    elif change == "other iss":
        asked["iss"] = "https://evil.example"
    elif change == "long code":
        asked["code"] = "x" * 3000
    elif change == "forged cookie":
        browser.cookies["skyvault_elsewhere"] = "e30." + browser.cookies["skyvault_elsewhere"].rpartition(".")[2]
    query = urlencode(asked) + ("&state=another" if change == "twice" else "")
    assert browser("GET", f"{BACK}?{query}").status == 403
    assert "skyvault_session" not in browser.cookies


def test_a_refusal_there_is_told_in_our_words(site: Any, provider: Provider) -> None:
    provider.denies = True
    answer = log_in(Browser(site.base_url))
    assert answer.status == 403 and "it was refused there" in answer.text
    browser = Browser(site.base_url)
    state = parse_qs(urlsplit(browser("GET", BEGIN).headers["Location"]).query)["state"][0]
    said = urlencode({"state": state, "error": "<script>", "error_description": "call this number"})
    answer = browser("GET", f"{BACK}?{said}")
    assert answer.status == 403 and "script>" not in answer.text.split("<main")[-1].replace("</script>", "")
    assert "call this number" not in answer.text


@pytest.mark.parametrize(
    "elsewhere", ["//evil.example/", "/\\evil.example", "https://evil.example", "javascript:alert(1)"]
)
def test_a_login_leads_to_no_other_site(site: Any, elsewhere: str) -> None:
    done = log_in(Browser(site.base_url), f"{BEGIN}?{urlencode({'next': elsewhere})}")
    assert (done.status, done.headers["Location"]) == (303, "/account")


def test_neither_codes_nor_secrets_are_shown(site: Any, provider: Provider) -> None:
    sent = Browser(site.base_url)("GET", BEGIN)
    assert SECRET not in str(sent.headers) and "verifier" not in sent.headers["Location"]
    with open_ledger(site.home / "ledger.sqlite") as ledger:
        told = " ".join(f"{one.actor} {one.act} {one.subject}" for one in ledger.audit.newest(50))
    assert SECRET not in told and "skv_" not in told


def test_a_login_service_that_is_down_takes_nothing_down(tmp_path: Path, start_server: Callable[..., Any]) -> None:
    provider = Provider(status=500)
    home = tmp_path / "home"
    make_users(home, "alice")
    site = start_server(home, **variables(provider, tmp_path))
    try:
        browser = Browser(site.base_url)
        answer = browser("GET", BEGIN)
        assert answer.status == 503 and "does not answer" in answer.text and "<form" in answer.text
        provider.status, provider.described = 200, {"issuer": "https://evil.example"}
        answer = browser("GET", BEGIN)
        assert answer.status == 503 and "says that it is another" in answer.text
        provider.described = {"token_endpoint": "http://unencrypted.example/token"}
        assert "its token_endpoint is no https address" in browser("GET", BEGIN).text
        assert browser.log_in("alice").status == 303
        # what could be read once is remembered
        provider.described = {}
        assert browser("GET", BEGIN).status == 303
    finally:
        provider.close()


def test_a_server_with_a_wrong_setting_does_not_start_and_says_why(
    tmp_path: Path, skyvault: Callable[..., Any]
) -> None:
    secret = tmp_path / "open"
    secret.write_text("x")
    secret.chmod(0o644)
    for workers in ("1", "2"):
        done = skyvault(
            "serve", "--home", str(tmp_path), "--port", "0", "--workers", workers,
            env={"SKYVAULT_OIDC_ISSUER": "https://sso.example.org", "SKYVAULT_OIDC_CLIENT_ID": "us",
                 "SKYVAULT_OIDC_CLIENT_SECRET_FILE": str(secret)},
        )  # fmt: skip
        assert (done.code, done.out) == (2, "")
        assert "others may read the client secret" in done.err and "chmod 600" in done.err


def test_a_public_client_proves_itself_by_its_verifier_alone(
    tmp_path: Path, start_server: Callable[..., Any], provider: Provider
) -> None:
    provider.is_public = True
    make_users(tmp_path / "home", "alice")
    settings = variables(provider, tmp_path)
    del settings["SKYVAULT_OIDC_CLIENT_SECRET_FILE"]
    browser = Browser(start_server(tmp_path / "home", **settings).base_url)
    log_in(browser)
    assert name_of(browser) == "j.doe"


def test_nothing_of_it_is_there_unless_the_operator_names_a_login_service(server: Any) -> None:
    for path in (BEGIN, BACK):
        assert Client(server.base_url)("GET", path, None, accept=BROWSER).status == 404
    assert "elsewhere" not in Client(server.base_url)("GET", "/login", None, accept=BROWSER).text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"oidc_client_id": None}, "belong together"),
        ({"oidc_issuer": "http://sso.example.org"}, "must be an https address"),
        ({"oidc_client_secret_file": "open"}, "others may read the client secret"),
        ({"oidc_client_secret_file": "missing"}, "cannot be read"),
        ({"oidc_client_secret_file": "empty"}, "is empty"),
    ],
)
def test_a_wrong_setting_is_told_at_the_start(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    for name, mode in (("open", 0o644), ("empty", 0o600)):
        (tmp_path / name).write_text("x" if name == "open" else "\n")
        os.chmod(tmp_path / name, mode)
    given: dict[str, Any] = {"oidc_issuer": "https://sso.example.org", "oidc_client_id": "us"} | change
    if "oidc_client_secret_file" in change:
        given["oidc_client_secret_file"] = tmp_path / change["oidc_client_secret_file"]
    with pytest.raises(ConfigError, match=told):
        LoginService(Settings(home=tmp_path, **given))


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("j.doe", "j.doe"),
        ("Jörg Döblin", "J-rg-D-blin"),
        ("../../etc", "etc"),
        ("anonymous", "user"),
        (None, "user"),
        ("", "user"),
        ("x" * 90, "x" * 50),
        ("link_abc", "user"),
        ("\u202eevil", "evil"),
    ],
)
def test_an_account_gets_a_name_that_can_be_one(name: str | None, called: str) -> None:
    assert account_name(Person("i", "s", name)) == called
