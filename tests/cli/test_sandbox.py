"""``skyvault sandbox`` as a process: what it prints, who is sent to it, and that it ends tidily."""

import json
import signal
import subprocess
import sys
import urllib.request

import pytest

from processes import environment

QUICK = ["--archives", "sesame,miriade"]


@pytest.fixture
def start(tmp_path):
    running = []

    def begin(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "skyvault.cli", "sandbox", "--directory", str(tmp_path / "sandbox"), *arguments],
            cwd=tmp_path,
            env=environment() | {"SKYVAULT_HOME": str(tmp_path / "home")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def answers(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_shell_lines_serves_and_ends_tidily(start, number):
    process = start(*QUICK, "--env")
    line = process.stdout.readline()
    name, _, url = line.removeprefix("export ").strip().partition("=")
    assert line.startswith("export ") and name == "SKYVAULT_ENDPOINTS__SESAME__RESOLVER"
    assert wait_for(f"{url}/-oxp/SNV?M31")
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0 and "Traceback" not in err


def wait_for(url: str) -> bool:
    # the socket listens before the first line is printed, so that the request waits instead of failing
    return answers(url)


def test_its_settings_are_there_before_the_sky_is_simulated(start, tmp_path):
    process = start("--here")
    assert "Simulating" in process.stderr.readline()
    assert "endpoints.heasarc" in (tmp_path / "skyvault.toml").read_text()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0 and not (tmp_path / "skyvault.toml").exists()


def test_commands_in_its_directory_ask_it_while_it_runs(start, tmp_path):
    process = start(*QUICK, "--here", "--json")
    told = json.loads(process.stdout.readline())
    settings = tmp_path / "skyvault.toml"
    assert told["endpoints"]["sesame"]["resolver"] in settings.read_text()
    code = "from skyvault.missions.sesame import Sesame; print(Sesame().resolve(['WD 2317-054']))"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment() | {"SKYVAULT_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "349.99" in found.stdout, found.stderr
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0 and not settings.exists()


def test_settings_that_are_there_already_are_left_alone(start, tmp_path):
    (tmp_path / "skyvault.toml").write_text('title = "mine"\n')
    process = start(*QUICK, "--here")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2 and "settings in this directory already" in err
    assert (tmp_path / "skyvault.toml").read_text() == 'title = "mine"\n'


def test_mistakes_are_told_in_a_sentence(start):
    process = start("--archives", "vizier")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2 and "has no archive vizier" in err
    first = start(*QUICK, "--json")
    port = json.loads(first.stdout.readline())["url"].rpartition(":")[2]
    second = start(*QUICK, "--port", port)
    _, err = second.communicate(timeout=30)
    assert second.returncode == 2 and f"port {port}" in err


def test_a_welcome_tells_where_the_archives_are(start):
    process = start(*QUICK)
    assert process.stdout.readline().startswith("The archives of the sandbox are at http://127.0.0.1:")
    assert "sesame" in process.stdout.readline()
