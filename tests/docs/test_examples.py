"""Every example of the documentation is run, page by page, with the real command line.

In ``console`` blocks a line after ``$`` is a command (``>`` continues it) and what follows is what it prints; a command
that ends in ``&`` stays in the background until the page ends. ``python`` blocks are programs; a ``text`` block right
after one is what it prints; one that begins with ``# file: NAME`` is written to that file too. ``...`` in expected output stands for anything. Of the README the lines of ``sh`` blocks that
begin with ``skyvault`` are run, on files of the names it uses, and its ``py`` block.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from processes import PROJECT, environment, free_port

DOCS = PROJECT / "docs"
DOCUMENTED_PORT = "8421"
DOCUMENTED_DATABASE = "postgresql://skyvault:secret@127.0.0.1:5432/skyvault"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Example:
    """A command or program, its place, and what it is said to print (None: nothing is said)."""

    place: str
    language: str
    code: str
    expected: str | None = None


@dataclass
class Machine:
    """A temporary directory in which a page's examples run one after the other."""

    directory: Path
    port: str
    background: list[subprocess.Popen[bytes]] = field(default_factory=list)
    database: str | None = None

    def here(self, text: str) -> str:
        if self.database is not None:
            text = text.replace(DOCUMENTED_DATABASE, self.database)
        return text.replace(DOCUMENTED_PORT, self.port)

    def environment(self) -> dict[str, str]:
        home = self.directory / "home"
        return environment() | {
            "HOME": str(home),
            "SKYVAULT_HOME": str(home / "data"),
            "SKYVAULT_PORT": self.port,
            "PATH": os.pathsep.join([str(self.directory / "bin"), os.environ["PATH"]]),
            "PYTHONWARNINGS": "ignore",
        }

    def run(self, example: Example) -> str:
        code = self.here(example.code)
        if example.language == "console" and code.rstrip().endswith("&"):
            return self.start(code.rstrip().removesuffix("&"))
        if example.language == "python" and (file := re.match(r"# file: (\S+)\n", code)):
            (self.directory / "work" / file[1]).write_text(code[file.end() :], encoding="utf-8")
        command = ["bash", "-c", code] if example.language == "console" else [sys.executable, "-c", code]
        done = subprocess.run(
            command,
            cwd=self.directory / "work",
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, f"{example.place}: {code}\nexit code {done.returncode}\n{done.stdout}"
        return done.stdout

    def start(self, command: str) -> str:
        log = self.directory / "background.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                shlex.split(command),
                executable=str(self.directory / "bin" / "skyvault"),
                cwd=self.directory / "work",
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.background.append(process)
        deadline = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/tap/availability", timeout=5) as answer:
                    answer.read()
                return ""
            except urllib.error.HTTPError:
                # it listens and is no server of tables: the sandbox
                return ""
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)  # the only way to learn that another process listens

    def stop(self) -> None:
        for process in self.background:
            os.killpg(process.pid, signal.SIGTERM)
        for process in self.background:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.background.clear()


@pytest.fixture
def machine(tmp_path):
    for name in ("bin", "home", "work"):
        (tmp_path / name).mkdir()
    command = tmp_path / "bin" / "skyvault"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m skyvault.cli "$@"\n')
    command.chmod(0o755)
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    machine = Machine(tmp_path, str(free_port()))
    yield machine
    machine.stop()


def examples(page: Path) -> list[Example]:
    text = page.read_text(encoding="utf-8")
    found: list[Example] = []
    last_end = -1
    for block in FENCE.finditer(text):
        language, body = block.groups()
        place = f"{page.relative_to(PROJECT)}:{text.count(chr(10), 0, block.start()) + 1}"
        follows = text[last_end : block.start()].strip() == "" if last_end >= 0 else False
        if language == "python":
            found.append(Example(place, language, body))
        elif language == "console":
            found += commands(place, body)
        elif language == "text" and follows and found and found[-1].language == "python":
            found[-1].expected = body
        last_end = block.end()
    return found


def commands(place: str, body: str) -> list[Example]:
    found: list[Example] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append(Example(place, "console", line[2:] + "\n"))
        elif line.startswith("> ") and found and found[-1].expected is None:
            found[-1].code += line[2:] + "\n"
        else:
            assert found, f"{place}: a console block begins with a command"
            found[-1].expected = (found[-1].expected or "") + line + "\n"
    return found


def matches(said: str, expected: str) -> bool:
    """Whether ``said`` is ``expected``, where ``...`` stands for anything (also for nothing)."""
    pattern = ".*".join(re.escape(part) for part in re.split(r"\n?\.\.\.\n?", expected.strip()))
    return re.fullmatch(pattern, said.strip(), re.DOTALL) is not None


PAGES = sorted(page for page in DOCS.rglob("*.md") if examples(page))


def needs_database(page: Path) -> bool:
    return DOCUMENTED_DATABASE in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=str(page.relative_to(DOCS)), marks=[pytest.mark.postgresql] * needs_database(page))
        for page in PAGES
    ],
)
def test_the_examples_of_the_page_do_what_it_says(page, machine, request):
    if "examples/" in page.read_text(encoding="utf-8"):
        # the page's reader is in the folder of the repository
        (machine.directory / "work" / "examples").symlink_to(PROJECT / "examples")
    if needs_database(page):
        machine.database = request.getfixturevalue("postgresql_schema")
    for example in examples(page):
        said = machine.run(example)
        if example.expected is not None:
            expected = machine.here(example.expected)
            assert matches(said, expected), f"{example.place}: {example.code}\nprinted\n{said}\nnot\n{expected}"


def test_the_examples_of_the_readme_work(machine):
    prepare_files(machine.directory / "work")
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    ran = 0
    for block in FENCE.finditer(text):
        language, body = block.groups()
        if language == "py":
            machine.run(Example("README.md", "python", body))
            ran += 1
        for line in body.splitlines() if language == "sh" else ():
            command = line.partition("  #")[0].strip().replace("0.0.0.0", "127.0.0.1")
            if command.startswith("skyvault serve") or command.endswith("&"):
                machine.stop()
                machine.start(machine.here(command.rstrip("& ")))
                ran += 1
            elif command.startswith("skyvault "):
                machine.run(Example("README.md", "console", command))
                ran += 1
    assert ran >= 7


def prepare_files(directory: Path) -> None:
    """A star table, a list of positions and observations, as the README's users have them."""
    import pyarrow.parquet as pq
    from astropy.table import Table

    from skyvault.cli import demo_sky

    sample = pq.read_table(PROJECT / "src" / "skyvault" / "demo_data" / "stars.parquet")
    stars = Table({name: sample[name].to_numpy() for name in ("source_id", "ra", "dec", "mag_vt")})
    stars.write(directory / "mytable.fits")
    stars[:10]["ra", "dec"].write(directory / "positions.vot", format="votable")
    (directory / "clusters.csv").write_text("name,ra,dec\nComa,194.95,27.98\nCrab,83.63,22.01\n", encoding="utf-8")
    survey = demo_sky.exposures()[:3]
    paths = demo_sky.write_pictures(directory / "images", sample, survey)
    pq.write_table(demo_sky.observations(survey, paths), directory / "observations.parquet")


def test_dots_stand_for_anything():
    assert matches("a 3 rows, 1.2 s.\nmore\n", "a 3 rows...\n...\n")
    assert matches("a 3 rows", "a 3 rows...\n...\n")
    assert not matches("b\n", "a\n")
    assert matches("x\ny\nz\n", "x\n...\nz\n")
