"""Settings: later sources win, and a wrong one is told in one sentence."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from processes import PROJECT
from skyvault.config import Secret, Settings
from skyvault.errors import ConfigError


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKYVAULT_HOME", str(tmp_path / "home"))


def test_the_defaults_are_those_of_the_table():
    settings = Settings()
    assert (settings.maxrec_default, settings.maxrec_hard) == (20_000, 20_000_000)
    assert (settings.sync_time_s, settings.async_time_s) == (60, 7200)
    assert (settings.upload_bytes, settings.user_table_bytes) == (100_000_000, 2_000_000_000)
    assert (settings.query_bytes, settings.query_nesting) == (1_000_000, 100)
    assert (settings.jobs_per_user, settings.job_life_days) == (4, 7)
    assert settings.requests_per_minute == 600
    assert settings.port == 8421
    assert settings.upload_hosts == ()


def test_arguments_win_over_the_environment_over_the_files_over_the_defaults(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "skyvault.toml").write_text("port = 1\nworkers = 2\ntitle = 'home'\nmaxrec_default = 7\n")
    (tmp_path / "skyvault.toml").write_text("port = 3\nworkers = 4\ntitle = 'here'\n")
    monkeypatch.setenv("SKYVAULT_PORT", "5")
    monkeypatch.setenv("SKYVAULT_WORKERS", "6")
    settings = Settings(port=8)
    assert (settings.port, settings.workers, settings.title, settings.maxrec_default) == (8, 6, "here", 7)


def test_sizes_may_have_units():
    assert Settings(upload_bytes="100 MB").upload_bytes == 100_000_000
    assert Settings(memory_limit="2GiB").memory_limit == 2 * 1024**3
    assert Settings(memory_limit="1.5g").memory_limit == 1_500_000_000


def test_endpoints_come_from_variables_and_files(tmp_path, monkeypatch):
    (tmp_path / "skyvault.toml").write_text("[endpoints.heasarc]\ntap = 'https://a.example/tap'\n")
    monkeypatch.setenv("SKYVAULT_ENDPOINTS__HEASARC__FILES", "https://b.example/files/")
    settings = Settings()
    assert settings.endpoint("HEASARC", "tap", "-") == "https://a.example/tap"
    assert settings.endpoint("heasarc", "files", "-") == "https://b.example/files"
    assert settings.endpoint("xsa", "tap", "https://c.example") == "https://c.example"


def test_hosts_are_a_list_or_words_separated_by_commas(monkeypatch):
    assert Settings(upload_hosts=["A.example"]).upload_hosts == ("a.example",)
    monkeypatch.setenv("SKYVAULT_UPLOAD_HOSTS", "a.example, B.example,")
    assert Settings().upload_hosts == ("a.example", "b.example")


def test_a_secret_never_shows_itself():
    settings = Settings(secret="moonlight")
    assert "moonlight" not in f"{settings} {settings!r} {settings.secret} {settings.secret!r}"
    assert settings.secret is not None and settings.secret.reveal() == "moonlight"
    assert isinstance(settings.secret, Secret)


def test_a_wrong_secret_is_not_quoted():
    with pytest.raises(ConfigError) as caught:
        Settings(secret=12345)
    assert "12345" not in str(caught.value)


def test_settings_are_frozen_and_copied_with_changes():
    settings = Settings(port=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.port = 2  # type: ignore[misc]
    changed = dataclasses.replace(settings, port=2)
    assert (changed.port, changed.home) == (2, settings.home)
    assert dataclasses.replace(Settings(secret="moonlight"), port=2).secret == Secret("moonlight")


def test_the_public_address_is_the_base_url_or_that_of_the_listener():
    assert Settings(base_url="https://data.example.org/vo/").public_url == "https://data.example.org/vo"
    assert Settings(host="0.0.0.0", port=80).public_url == "http://127.0.0.1:80"
    assert Settings(host="::1", port=80).public_url == "http://[::1]:80"


def test_home_is_absolute(monkeypatch, tmp_path):
    monkeypatch.setenv("SKYVAULT_HOME", "data")
    assert Settings().home == tmp_path / "data"
    assert Settings(home=Path("~/x")).home == Path.home() / "x"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"port": 70_000}, "port = '70000' is more than 65535"),
        ({"port": True}, "is not a whole number"),
        ({"workers": 0}, "workers = '0' is less than 1"),
        ({"maxrec_default": 2, "maxrec_hard": 1}, "is more than maxrec_hard"),
        ({"upload_bytes": "lots"}, "is not a size such as"),
        ({"sync_time_s": "nan"}, "is not a finite number"),
        ({"base_url": "ftp://x"}, "does not begin with http"),
        ({"log_level": "loud"}, "is none of debug, info, warning, error"),
        ({"upload_hosts": 3}, "is not a list of texts"),
        ({"endpoints": {"heasarc": "x"}}, "is not a table of archives"),
        ({"maxrec": 3}, "there is no setting 'maxrec'"),
        ({"maxrec_defualt": 3}, "Did you mean maxrec_default"),
    ],
)
def test_a_wrong_value_is_one_sentence(values, words):
    with pytest.raises(ConfigError, match=words):
        Settings(**values)


def test_a_misspelt_variable_is_refused_not_ignored(monkeypatch):
    monkeypatch.setenv("SKYVAULT_MAXREC_DEFALT", "3")
    with pytest.raises(ConfigError, match="Did you mean SKYVAULT_MAXREC_DEFAULT"):
        Settings()


def test_a_broken_file_names_its_line(tmp_path):
    (tmp_path / "skyvault.toml").write_text("port = 1\nworkers = = 2\n")
    with pytest.raises(ConfigError, match=r"skyvault\.toml: the file is not valid TOML: .*line 2"):
        Settings()


def test_a_setting_has_an_effect_or_says_that_it_has_none_yet():
    source = PROJECT / "src" / "skyvault"
    code = "\n".join(
        path.read_text() for path in source.rglob("*.*") if path.suffix in (".py", ".j2") and path.name != "config.py"
    )
    for field in dataclasses.fields(Settings):
        used = re.search(rf"(settings|configuration)\.{field.name}\b", code) is not None
        assert used is not ("(not used yet)" in field.metadata["description"]), field.name
