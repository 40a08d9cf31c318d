"""A resource whose actions run by themselves, for tests: written, published, watched."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from skyvault.config import Settings
from skyvault.ledger.ledger import Ledger
from skyvault.ledger.resources import ActionRun
from skyvault.store.home_ledger import open_home_ledger
from skyvault.store.layout import Layout

HEAD = "schema: living\ntitle: Living data\ndescription: They change.\n"


def until(true: Callable[[], Any], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    wait = threading.Event()
    while not true():
        if time.monotonic() > deadline:
            return False
        wait.wait(0.02)
    return True


def write(folder: Path, actions: str, hooks: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "resource.yaml").write_text(f"{HEAD}actions:\n{actions}")
    (folder / "hooks.py").write_text(hooks)
    return folder


def ledger_of(settings: Settings) -> Ledger:
    return open_home_ledger(Layout.of(settings))


def runs(settings: Settings, action: str | None = None) -> list[ActionRun]:
    with ledger_of(settings) as ledger:
        return ledger.resources.runs("living", action, 100)


HOOKS = """
import os, sys, time

def works(context):
    context.logger.info("%s has %s", context.name, context.resource["title"])
    (context.home / "seen").write_text(str(context.folder))
    return "done well"

def plain():
    print("x" * 50_000)
    print("the end")

def fails(context):
    for number in range(3):
        print(1 / (2 - number))

def dies():
    os.abort()

def hangs():
    print("begun", flush=True)
    while True:
        time.sleep(60)

def stays(context):
    (context.home / "begun").write_text(str(os.getpid()))
    while True:
        time.sleep(60)

def many(a, b):
    pass
"""


def settings_of(home: Path, variables: Callable[[Path], dict[str, str]], **more: str) -> Settings:
    # the processes of actions are told by settings alone where the ledger is
    address = variables(home).get("SKYVAULT_LEDGER")
    return Settings(home=home, **more, **({} if address is None else {"ledger": address}))
