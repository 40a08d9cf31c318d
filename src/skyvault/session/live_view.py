"""Views that move in a browser: enlarged, shifted, pointed at; what is clicked is known to the program (bokeh)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.errors import ConfigError, UsageError
from skyvault.session.files import written_beside

#: a model of bokeh, and the source of data whose points are clicked
Built = tuple[Any, Any]

INK: Final = "#1f4e79"
GREY: Final = "#9a9a9a"
BRIGHT: Final = "#d55e00"


def need_bokeh() -> None:
    """Raises ConfigError where bokeh is not installed."""
    try:
        import bokeh.plotting  # noqa: F401
    except ImportError:
        raise ConfigError(
            "views that move in a browser need bokeh", hint="Install it: pip install 'skyvault[live]'."
        ) from None


class LiveView:
    """A view, made anew for each page that shows it.

    ``write`` makes a page whole in itself, ``show`` draws it in a notebook; there the program hears what is clicked.
    """

    def __init__(
        self, build: Callable[[], Built], title: str, *, told: Callable[[int], Any] | None = None, what: str = "point"
    ) -> None:
        need_bokeh()
        self._build, self.title, self._told, self._what = build, title, told, what
        self._clicked: int | None = None
        self._server: Any = None

    def __repr__(self) -> str:
        return f"<LiveView of {self.title}>"

    @property
    def clicked_row(self) -> int | None:
        """The row of the point clicked last in a notebook; None before."""
        return self._clicked

    def clicked(self) -> Any:
        """What was clicked last: a row of the table shown. Raises UsageError where nothing was clicked yet."""
        if self._clicked is None:
            raise UsageError(f"No {self._what} was clicked in this view", hint="Draw it with .show() and click on one.")
        return self._clicked if self._told is None else self._told(self._clicked)

    def model(self) -> Any:
        """A bokeh model of its own, to be put beside others."""
        return self._build()[0]

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Writes a page for a browser, whole in itself; returns its path."""
        from bokeh.embed import file_html
        from bokeh.resources import INLINE

        target = Path(path)
        with written_beside(target, is_precious=False) as beside:
            beside.write_text(file_html(self.model(), INLINE, self.title), encoding="utf-8")
        return target

    def serve(self, document: Any) -> None:
        """Fills a bokeh document whose clicks are heard here."""
        model, source = self._build()
        source.selected.on_change("indices", self._hear)
        document.add_root(model)
        document.title = self.title

    def _hear(self, _attribute: str, _old: Any, indices: list[int]) -> None:
        if indices:
            self._clicked = int(indices[0])

    def show(self) -> None:
        """Draws it below the notebook's cell. Raises UsageError outside a notebook.

        Clicks reach the program where the notebook's server runs on the same machine; elsewhere the view moves, but
        what is clicked is told in it only.
        """
        if not _is_in_notebook():
            raise UsageError("This program runs in no notebook", hint='Write a page instead: .write("view.html").')
        from bokeh.io import output_notebook, show
        from bokeh.resources import INLINE

        origins = _notebook_origins()
        if not origins:
            output_notebook(INLINE, hide_banner=True)
            show(self.model())
            return
        from bokeh.embed import server_document
        from IPython.display import HTML, display

        if self._server is None:
            self._server = self.server(origins)
        display(HTML(server_document(f"http://127.0.0.1:{self._server.port}/view")))

    def server(self, origins: list[str]) -> Any:
        """A running bokeh server of this view on a free port of loopback, for pages from these places (host:port)."""
        from bokeh.application import Application
        from bokeh.application.handlers.function import FunctionHandler
        from bokeh.server.server import Server

        server = Server(
            {"/view": Application(FunctionHandler(self.serve))},
            port=0, address="127.0.0.1", allow_websocket_origin=origins,
        )  # fmt: skip
        server.start()
        return server


def _is_in_notebook() -> bool:
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None


def _notebook_origins() -> list[str]:
    """Where pages of this user's notebook servers on this machine come from."""
    try:
        from jupyter_server.serverapp import list_running_servers
    except ImportError:
        return []
    ports = [one.get("port") for one in list_running_servers() if not one.get("secure")]
    return [f"{host}:{port}" for port in ports for host in ("127.0.0.1", "localhost")]


def numbers(values: Any) -> Any:
    """Numbers as bokeh takes them: float64, NaN where unknown; shape (n,)."""
    return np.asarray(np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan), np.float64)


def telling(source: Any, names: dict[str, str], first: str) -> Any:
    """A line of text that says what was clicked: titles and columns of ``names``; ``first`` until then."""
    from bokeh.models import CustomJS, Div

    said = Div(text=first, width=760)
    # text of an archive is never markup
    code = """
        const i = cb_obj.indices[0];
        if (i === undefined) return;
        const clean = (v) => String(v).replace(/&/g, "&amp;").replace(/</g, "&lt;");
        said.text = names.map(([t, c]) => "<b>" + t + "</b> " + clean(source.data[c][i])).join(" &nbsp; ");
    """
    source.selected.js_on_change(
        "indices", CustomJS(args={"said": said, "source": source, "names": list(names.items())}, code=code)
    )
    return said
