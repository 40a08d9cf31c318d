"""A real JupyterLab on loopback with notebooks in a folder, and a page of it in a real browser."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from live.browser import Browser
from live.telescope_site import TelescopeSite
from processes import environment, free_port

#: pywwt's lists come from the stand-in; nothing else of it is touched
_STARTUP = """
import requests
_get = requests.get
requests.get = lambda url, **how: _get(url.replace("https://worldwidetelescope.github.io", "{site}"), **how)
"""
_SETTINGS = {
    # the application that pywwt brings along instead of the one on the web
    "@wwtelescope/jupyterlab:research": {"appUrl": "/wwtstatic/research/"},
    "@jupyterlab/apputils-extension:notification": {"checkForUpdates": False, "fetchNews": "false"},
}


class JupyterLab:
    """``open(cells)`` shows a notebook; ``cell(number)`` runs one and gives its text. A context manager."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder = folder
        self._variables = variables

    def __enter__(self) -> JupyterLab:
        self._site = TelescopeSite().__enter__()
        for name in ("settings", "work", "ipython/profile_default/startup"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "settings" / "overrides.json").write_text(json.dumps(_SETTINGS))
        startup = _STARTUP.format(site=f"http://127.0.0.1:{self._site.port}")
        (self.folder / "ipython" / "profile_default" / "startup" / "telescope.py").write_text(startup)
        self.port = free_port()
        variables = {
            "HOME": str(self.folder),
            "IPYTHONDIR": str(self.folder / "ipython"),
            "JUPYTER_CONFIG_DIR": str(self.folder / "jupyter"),
            "JUPYTER_DATA_DIR": str(self.folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "run"),
        }
        self._log = (self.folder / "lab.log").open("wb")
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
                f"--port={self.port}", "--IdentityProvider.token=", "--expose-app-in-browser",
                f"--LabApp.app_settings_dir={self.folder / 'settings'}",
                '--ServerApp.jpserver_extensions={"pywwt": True}',
                f"--ServerApp.root_dir={self.folder / 'work'}",
            ],
            env=environment() | variables | self._variables, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT,
            stdout=self._log, start_new_session=True,
        )  # fmt: skip
        self.browser: Browser | None = None
        try:
            self._wait()
            sites = ("*.worldwidetelescope.org", "worldwidetelescope.org", "*.wwtassets.org")
            self.browser = Browser(self.folder, dict.fromkeys(sites, self._site.port))
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api", timeout=5) as answer:
                    answer.read()
                return
            except OSError:
                log = (self.folder / "lab.log").read_text()
                assert self._process.poll() is None and time.monotonic() < deadline, log[-3000:]
                time.sleep(0.05)  # the only way to learn that another process listens

    def __exit__(self, *_: object) -> None:
        if self.browser is not None:
            self.browser.close()
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()
        self._site.__exit__()

    @property
    def page(self) -> Browser:
        """The browser's page."""
        assert self.browser is not None
        return self.browser

    def open(self, cells: list[str], *, with_telescope: bool) -> None:
        """Opens a notebook of these cells and waits for its kernel; beside it the WorldWide Telescope if wanted."""
        notebook: dict[str, Any] = {
            "cells": [
                {"cell_type": "code", "id": f"c{number}", "execution_count": None, "metadata": {}, "outputs": [],
                 "source": cell} for number, cell in enumerate(cells)
            ],
            "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }  # fmt: skip
        (self.folder / "work" / "session.ipynb").write_text(json.dumps(notebook))
        self.page.go(f"http://127.0.0.1:{self.port}/lab/tree/session.ipynb")
        self.page.until("jupyterapp.restored.then(() => true)")
        if with_telescope:
            self.page.run("void jupyterapp.commands.execute('wwtelescope:open')")
            self.page.until("document.querySelector('iframe').contentDocument.querySelector('canvas') !== null")
        self.page.run(
            "void jupyterapp.commands.execute('docmanager:open', {path: 'session.ipynb', options: {mode: 'split-left'}})"
            ".then(shown => { window.shown = shown; shown.context.sessionContext.ready"
            ".then(() => { window.isReady = true }) })"
        )
        self.page.until("window.isReady")

    def dismiss(self) -> None:
        """Closes the dialog that recommends to build, if it is there: the widget of pywwt is not needed."""
        self.page.run("document.querySelector('.jp-Dialog .jp-mod-reject')?.click()")

    def cell(self, number: int, seconds: float = 90.0) -> str:
        """Runs a cell and gives what it printed. Fails with the traceback where it raised."""
        self.dismiss()
        self.page.run(
            f"shown.content.activeCellIndex = {number}; window.cellDone = null;"
            "void jupyterapp.commands.execute('notebook:run-cell').then(done => { window.cellDone = true })"
        )
        self.page.until("window.cellDone", seconds)
        outputs = self.page.run(f"shown.content.widgets[{number}].model.outputs.toJSON()")
        said = ""
        for one in outputs:
            assert one["output_type"] != "error", "\n".join(one["traceback"])
            text = one.get("text", one.get("data", {}).get("text/plain", ""))
            said += text if isinstance(text, str) else "".join(text)
        return said
