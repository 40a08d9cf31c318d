"""``skyvault serve``: the published tables on the network."""

from __future__ import annotations

from pathlib import Path

import click

from skyvault.cli.options import home_option, settings_from


@click.command(
    "serve",
    epilog="""\b
Examples:
  skyvault serve
  skyvault serve --host 0.0.0.0 --workers 4 --base-url https://data.example.org/vo
""",
)
@click.option("--host", help="Address to listen on. [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one. [default: 8421]")
@click.option("--workers", type=int, help="Server processes. [default: 1]")
@click.option("--base-url", metavar="URL", help="Address clients use, when a proxy stands before the server.")
@home_option
def command(host: str | None, port: int | None, workers: int | None, base_url: str | None, home: Path | None) -> int:
    """Serve the published tables by TAP, cone search and web pages until stopped by Ctrl-C.

    Tables published or withdrawn meanwhile appear and disappear without a restart.
    """
    settings = settings_from(home=home, host=host, port=port, workers=workers, base_url=base_url)
    from skyvault.publish.merging import catch_up
    from skyvault.serve.run import serve

    if catch_up(settings):
        click.echo(
            "ivoa.ObsCore was behind its collections, since a publish was broken off; it holds them now", err=True
        )
    serve(settings)
    return 0
