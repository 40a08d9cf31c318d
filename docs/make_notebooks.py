"""Writes the notebooks beside tutorials from their pages, so that both say the same; a test checks that they do.

Use: python docs/make_notebooks.py

A program of a page becomes a cell; lines that an earlier cell has run (imports, the same session opened again) are left
out, pictures that a page saves are shown, too, and a program that the page writes to a file is written and run.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "tutorials"
#: pages that have a notebook
PAGES = ("century-of-a-star",)

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$\n?", re.MULTILINE | re.DOTALL)
_SAVED = re.compile(r"^(?P<figure>\S.*)\.savefig\((?P<path>\"[^\"]+\")\)$")
_OPENED = re.compile(r"^sess = open_session\(\"")


def cells(page: str) -> list[dict[str, Any]]:
    """The cells of a page's notebook."""
    made: list[dict[str, Any]] = []
    done: set[str] = set()
    last = 0
    for block in _BLOCK.finditer(page):
        _add_text(made, page[last : block.start()])
        last = block.end()
        language, body = block.groups()
        if language == "python":
            _add_program(made, body, done)
        elif language == "console":
            _add_text(made, "In a terminal, in this notebook's folder:\n\n```console\n" + body + "```")
    _add_text(made, page[last:])
    for number, cell in enumerate(made):
        cell["id"] = f"cell-{number}"
    return made


def _add_text(made: list[dict[str, Any]], text: str) -> None:
    if text.strip():
        made.append({"cell_type": "markdown", "metadata": {}, "source": text.strip()})


def _add_program(made: list[dict[str, Any]], body: str, done: set[str]) -> None:
    if name := re.match(r"# file: (\S+)\n", body):
        _add_code(made, f"%%writefile {name[1]}\n{body[name.end() :].rstrip()}")
        _add_code(made, f"import sys\n\n!{{sys.executable}} {name[1]}")
        return
    lines: list[str] = []
    for line in body.splitlines():
        if line.startswith(("import ", "from ")) or (_OPENED.match(line) and done):
            if line in done or _OPENED.match(line):
                continue
            done.add(line)
        if saved := _SAVED.match(line):
            lines += [f"figure = {saved['figure']}", f"figure.savefig({saved['path']})", "display(figure)"]
        else:
            lines.append(line)
    _add_code(made, re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip())
    done.add("sess")


def _add_code(made: list[dict[str, Any]], source: str) -> None:
    made.append({"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": source})


def notebook(name: str) -> str:
    """The text of a notebook."""
    page = (HERE / f"{name}.md").read_text(encoding="utf-8")
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    made = {
        "cells": cells(page),
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for page in PAGES:
        (HERE / f"{page}.ipynb").write_text(notebook(page), encoding="utf-8")
