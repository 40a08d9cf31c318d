"""What the WorldWide Telescope fetches from its makers when it starts, in small, on loopback: lists and markers."""

from __future__ import annotations

import io
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SURVEY = "Digitized Sky Survey (Color)"
_SURVEYS = f"""<?xml version="1.0" encoding="utf-8"?>
<Folder Name="Sky" Group="Explorer">
<ImageSet Generic="False" DataSetType="Sky" BandPass="Visible" Name="{SURVEY}" Projection="Toast" FileType=".png"
 Url="http://cdn.worldwidetelescope.org/tiles/{{1}}/{{2}}/{{3}}.png" TileLevels="3" WidthFactor="1" Sparse="True"
 Rotation="0" QuadTreeMap="" CenterY="0" CenterX="0" BottomsUp="False" StockSet="True" ElevationModel="False"
 OffsetX="0" OffsetY="0" BaseTileLevel="0" BaseDegreesPerTile="180">
<ThumbnailUrl></ThumbnailUrl><Credits></Credits><CreditsUrl></CreditsUrl></ImageSet>
</Folder>"""


@cache
def _picture() -> bytes:
    """A white disc: what markers are drawn with."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGBA", (64, 64))
    ImageDraw.Draw(picture).ellipse((4, 4, 60, 60), fill="white")
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if "surveys" in self.path or "catalog" in self.path:
            body = _SURVEYS.encode()
        elif self.path.endswith(".json"):
            body = b"{}"
        elif self.path.startswith("/engine/assets/") and self.path.endswith(".png"):
            body = _picture()
        else:
            # anything but success is told in a dialog that stops the application
            body = b" "
        self.send_response(200)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class TelescopeSite:
    """A server on a free port; a context manager."""

    def __enter__(self) -> TelescopeSite:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
