"""The key of DASCH's users: sent to their archive and nobody else, kept out of everything that is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from skyvault.config import Secret, Settings
from skyvault.errors import ConfigError, SkyvaultError
from skyvault.missions.dasch_api import DaschApi
from skyvault.net.auth import ApiKey, Credentials
from skyvault.session.session import Session

pytestmark = pytest.mark.filterwarnings("ignore:.*dubious year")

KEY = "k3y-of-forty-characters-0123456789abcdef"


def test_with_a_key_the_full_interface_is_asked(
    sandbox: Any, sandbox_settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASCHLAB_API_KEY", KEY)
    api = DaschApi(sandbox_settings)
    assert api.base.endswith("/dasch/full")
    session = Session(str(tmp_path / "star"), False, settings=sandbox_settings)
    session.select_target(ra_deg=129.97758, dec_deg=19.82192).select_refcat("apass")
    row = session.exposures().keep_only.has_phot(verbose=False)[0]
    assert session.cutout(row) and session.mosaic(row.plate_id(), 16)
    assert row.photcal_asdf_url().startswith("http") and row.photcal_asdf_url("atlas") != row.photcal_asdf_url("apass")
    session.export_script(tmp_path / "again.py")
    # in no file of the session, of the home directory, of the script
    held = [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert held == []
    assert KEY not in repr(api.key) + repr(session) + repr(api.client.credentials)


def test_without_a_key_the_full_interface_refuses_and_the_public_one_answers(
    sandbox: Any, sandbox_settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DASCHLAB_API_KEY", raising=False)
    api = DaschApi(sandbox_settings)
    assert api.key is None and api.base.endswith("/dasch/public")
    assert api.reference_stars(129.97758, 19.82192, 60).num_rows > 0
    address = sandbox.endpoints()["dasch"]["api"].replace("public", "full")
    closed = DaschApi(Settings(home=sandbox_settings.home / "other", endpoints={"dasch": {"api": address}}))
    with pytest.raises(SkyvaultError, match="refuses access") as caught:
        closed.reference_stars(129.97758, 19.82192, 60)
    assert "\n" not in str(caught.value)


def test_the_credentials_file_holds_a_key_by_host(
    sandbox: Any, sandbox_settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DASCHLAB_API_KEY", raising=False)
    path = tmp_path / "credentials.ini"
    host = sandbox.url.split("://")[1]
    path.write_text(f"[{host}]\napi_key = {KEY}\n")
    path.chmod(0o600)
    settings = Settings(home=tmp_path / "home2", endpoints=sandbox.endpoints(), credentials_file=path)
    api = DaschApi(settings)
    assert api.base.endswith("/dasch/full")
    assert api.reference_stars(129.97758, 19.82192, 60).num_rows > 0


def test_a_key_travels_in_its_own_header_and_never_unencrypted() -> None:
    known = Credentials({"archive.example.org": ApiKey(Secret(KEY))})
    url = "https://archive.example.org/a"
    assert (known.header_name(url), known.header_for(url)) == ("x-api-key", KEY)
    assert known.header_for("https://store.example.org/a") is None
    with pytest.raises(ConfigError, match="unencrypted") as caught:
        known.header_for("http://archive.example.org:80/a", ApiKey(Secret(KEY)))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("text", ["api_key = a\ntoken = b", "api_key = a\nuser = b", "api_key =", "user = x"])
def test_half_a_credential_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credentials.ini"
    path.write_text(f"[archive.example.org]\n{text}\n")
    path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        Credentials.from_file(path)
    assert "\n" not in str(caught.value)
