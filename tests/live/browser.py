"""A real Chromium without a window, steered by its DevTools protocol: opens pages, runs scripts in them, photographs."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from processes import free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One page. Only loopback can be reached; ``hosts`` maps patterns of host names to ports of it."""

    def __init__(self, folder: Path, hosts: dict[str, int] | None = None) -> None:
        from websocket import create_connection

        assert CHROMIUM is not None
        port = free_port()
        rules = [f"MAP {pattern} 127.0.0.1:{there}" for pattern, there in (hosts or {}).items()]
        rules += ["MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1"]
        self._log = (folder / "chromium.log").open("wb")
        self._process = subprocess.Popen(
            [
                CHROMIUM, "--headless=new", "--no-sandbox", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
                "--ignore-gpu-blocklist", "--disable-dev-shm-usage", "--window-size=1300,900",
                f"--user-data-dir={folder / 'chromium'}", f"--remote-debugging-port={port}",
                "--remote-allow-origins=*", f"--host-resolver-rules={','.join(rules)}", "about:blank",
            ],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT,
            start_new_session=True, env=os.environ | {"HOME": str(folder)},
        )  # fmt: skip
        self.told: list[str] = []
        self._numbers = itertools.count(1)
        try:
            self._socket = create_connection(self._page(port), timeout=30)
            for domain in ("Page", "Runtime", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def _page(self, port: int) -> str:
        deadline = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=5) as answer:
                    pages = [one for one in json.load(answer) if one["type"] == "page"]
                if pages:
                    return str(pages[0]["webSocketDebuggerUrl"])
            except OSError:
                pass
            assert time.monotonic() < deadline and self._process.poll() is None, "Chromium does not start"
            time.sleep(0.05)  # the only way to learn that another process listens

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol; what the page says meanwhile is kept in ``told``."""
        mine = next(self._numbers)
        self._socket.send(json.dumps({"id": mine, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == mine:
                assert "error" not in message, (method, message["error"])
                return dict(message["result"])
            self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        kind, said = message.get("method"), message.get("params", {})
        if kind == "Page.javascriptDialogOpening":
            # a page waits in its dialogs for ever
            self.told.append(f"dialog: {said['message']}")
            answer = {"id": next(self._numbers), "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
            self._socket.send(json.dumps(answer))
        elif kind == "Runtime.exceptionThrown":
            detail = said["exceptionDetails"]
            self.told.append(f"exception: {detail.get('exception', {}).get('description', detail.get('text'))}")
        elif kind == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.told.append(f"error: {said['entry']['text']} {said['entry'].get('url', '')}")

    def go(self, address: str) -> None:
        """Opens an address in the page."""
        self.call("Page.navigate", url=address)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        detail = found.get("exceptionDetails")
        assert detail is None, f"{script}: {detail.get('exception', {}).get('description', detail)}"
        return found["result"].get("value")

    def until(self, script: str, seconds: float = 60.0) -> Any:
        """The first true value of an expression. Fails with what the page has told when none comes."""
        deadline = time.monotonic() + seconds
        while not (value := self.run(f"(() => {{ try {{ return {script} }} catch {{ return null }} }})()")):
            assert time.monotonic() < deadline, f"{script} did not come true\n" + "\n".join(self.told[-20:])
            time.sleep(0.1)  # a page tells nobody when it is ready
        return value

    def photograph(self, path: Path) -> None:
        """Writes a PNG of what is seen."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def click(self, x: float, y: float) -> None:
        """Presses and releases the left button at a place of the page (CSS pixels)."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def close(self) -> None:
        """Ends it and its children."""
        if hasattr(self, "_socket"):
            self._socket.close()
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        self._log.close()
