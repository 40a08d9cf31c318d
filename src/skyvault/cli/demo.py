"""``skyvault demo``: the whole life of archive data on one machine: publish, serve, find, fetch, analyse, query."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from skyvault.errors import SkyvaultError, UsageError

if TYPE_CHECKING:
    from astropy.table import Table as AstropyTable

    from skyvault.cli.demo_archives import World
    from skyvault.cli.demo_pipeline import Survey

STARS: Final = "demo.stars"
MARKER: Final = ".skyvault-demo"
START_S: Final = 30.0
STOP_S: Final = 10.0
JOB_S: Final = 60.0
#: where the demo looks: Orion's belt, ICRS degrees
CENTRE: Final = (84.05, -1.2)
RADIUS_DEG: Final = 2.0
#: stars a person may know: name, ICRS position in degrees (rounded, as one reads them off a chart)
FAMILIAR: Final = (
    ("Betelgeuse", 88.793, 7.407),
    ("Rigel", 78.634, -8.202),
    ("Bellatrix", 81.283, 6.350),
    ("Alnilam", 84.053, -1.202),
    ("Alnitak", 85.190, -1.943),
    ("Saiph", 86.939, -9.670),
    ("Aldebaran", 68.980, 16.509),
    ("Elnath", 81.573, 28.608),
    ("Spica", 201.298, -11.161),
    ("Antares", 247.352, -26.432),
)


@dataclass
class Step:
    """One thing the demo did: what, the query or call, how long, and what came out (a few rows to show)."""

    title: str
    text: str
    seconds: float
    outcome: str
    rows: AstropyTable | None = None
    chapter: str = ""


@dataclass
class Story:
    """All that happened, told on the terminal while it happens and in the report afterwards."""

    steps: list[Step] = field(default_factory=list)
    say: Callable[[Step], None] = lambda step: None
    chapter: str = ""

    def run(self, title: str, text: str, act: Callable[[], tuple[str, AstropyTable | None]]) -> None:
        """Do ``act`` with the clock running; it returns the outcome in words, and rows or None."""
        begun = time.perf_counter()
        outcome, rows = act()
        self.tell(Step(title, text, time.perf_counter() - begun, outcome, rows))

    def tell(self, step: Step) -> None:
        """Note what was done, and say it."""
        step.chapter = self.chapter
        self.steps.append(step)
        self.say(step)


@click.command(
    "demo",
    epilog="\b\nExamples:\n  skyvault demo\n  skyvault demo --keep /tmp/sky --stay\n",
)
@click.option(
    "--keep",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("skyvault-demo"),
    show_default=True,
    help="Directory for the published tables, the pictures and the report.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the server. [default: a free one]")
@click.option("--sky-only", is_flag=True, help="Only publish, serve and query the sky: no archives, no survey.")
@click.option("--stay", is_flag=True, help="Leave the server running until Ctrl-C, to look around.")
def command(directory: Path, port: int, sky_only: bool, stay: bool) -> int:
    """Tell the whole story on simulated data: publish, serve, find, fetch, reduce, analyse, report, publish, query.

    Everything happens on this machine, in less than a minute. Real bright stars and simulated images of them are
    published and served, and pyvo asks for them as a foreign client. Small archives are started in place of the
    world's: observations are found and fetched there, and a list of stars is run through a survey's light curves. What
    was found is published, too, and queried.
    """
    from rich.console import Console

    from skyvault.cli.demo_archives import archives, environment

    console = Console(highlight=False)
    directory = _prepare(directory)
    console.print(f"[bold]Skyvault demo[/bold] in {directory}")
    begun = time.perf_counter()
    told: set[str] = set()
    story = Story(say=lambda step: _tell(console, step, told))
    own = {"SKYVAULT_HOME": str(directory / "home"), "RETRIEVER_DATA": None, "SKYVAULT_PIPELINE_DB": None}
    with contextlib.ExitStack() as stack:
        stack.enter_context(environment(**own))
        # the archives start while the sky is published
        world = None if sky_only else stack.enter_context(archives(directory))
        story.chapter = "Publish and serve"
        publish_sky(story, directory)
        base_url, started_s = stack.enter_context(server(directory, port))
        story.tell(Step("Serve", "skyvault serve", started_s, f"at {base_url}"))
        story.chapter = "Query"
        results = query_as_client(story, base_url)
        survey = None if world is None else _go_on(story, directory, world, base_url)
        _draw(story, directory, survey, results)
        console.print(f"\nDone in {time.perf_counter() - begun:.1f} s.\n")
        _how_to_go_on(console, directory, survey, base_url)
        if stay:
            console.print(f"The server stays at [bold]{base_url}/[/bold]; Ctrl-C stops it.")
            with contextlib.suppress(KeyboardInterrupt):
                while True:
                    time.sleep(3600)
    return 0


def _go_on(story: Story, directory: Path, world: World, base_url: str) -> Survey:
    """Find, fetch, run a survey, publish it and query it."""
    from skyvault.cli.demo_archives import environment, find_and_fetch
    from skyvault.cli.demo_pipeline import run_survey

    story.chapter = "Find and fetch"
    story.tell(Step("Archives", "skyvault sandbox", world.awaited(), "of the world in small, on this machine"))
    find_and_fetch(story, directory, world)
    story.chapter = "A survey of stars"
    with environment(**world.variables()):
        return run_survey(story, directory, base_url)


def _draw(story: Story, directory: Path, survey: Survey | None, results: dict[str, Any]) -> None:
    from skyvault.cli.demo_report import write_report

    def draw() -> tuple[str, None]:
        more: tuple[str, ...] = ()
        if survey is not None:
            from skyvault.cli.demo_pipeline import draw_star

            draw_star(directory / "star.png", survey)
            more = ("star.png",)
        picture, page = write_report(directory, story.steps, more=more, **results)
        return ", ".join([picture.name, *more]) + f" and {page.name}", None

    story.run("Draw", "matplotlib", draw)


def _tell(console: Any, step: Step, told: set[str]) -> None:
    from rich.table import Table

    if step.chapter not in told:
        told.add(step.chapter)
        console.print(f"\n[bold cyan]{step.chapter}[/bold cyan]")
    line = Table.grid(padding=(0, 2))
    line.add_column(width=24, style="bold", no_wrap=True)
    line.add_column(width=9, justify="right", style="cyan", no_wrap=True)
    line.add_column()
    line.add_row(step.title, duration(step.seconds), step.outcome)
    console.print(line)


def duration(seconds: float) -> str:
    """A time as a person says it: 12 ms, 3.4 s."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _how_to_go_on(console: Any, directory: Path, survey: Survey | None, base_url: str) -> None:
    home = directory / "home"
    pictures = ["sky.png", *(("star.png", "found.png") if survey is not None else ())]
    places: list[tuple[str, Any]] = [("What was done", directory / "report.html")]
    if survey is not None:
        places.append(("The survey", survey.report))
    places += [("Pictures", f"{directory}/{', '.join(pictures)}"), ("Portal", f"{base_url}/ (while it is served)")]
    for label, path in places:
        console.print(f"{label:<14} {path}", soft_wrap=True)
    port = base_url.rpartition(":")[2]
    program = program_name()
    console.print(
        f"\nGo on:    {program} serve --home {home} --port {port}\n"
        f'          {program} query --home {home} "SELECT TOP 5 * FROM {STARS} ORDER BY mag_vt"\n'
        f"          {program} publish YOUR_FILE --name my.table",
        soft_wrap=True,
    )


def program_name() -> str:
    """How this program is called from the shell it was started in: its name, or the path where that is not enough."""
    started, found = Path(sys.argv[0]), shutil.which("skyvault")
    # started in another way: the program lies beside the interpreter
    own = started if started.name == "skyvault" else Path(sys.executable).with_name("skyvault")
    if not own.is_file() or (found is not None and own.resolve() == Path(found).resolve()):
        return "skyvault"
    return shlex.quote(str(own))


def _prepare(directory: Path) -> Path:
    """The demo's own directory; somebody's full directory is not touched."""
    directory = directory.expanduser().absolute()
    if directory.exists() and any(directory.iterdir()) and not (directory / MARKER).exists():
        raise UsageError(
            "the directory is not empty and not from an earlier demo",
            where=str(directory),
            hint="Name another with --keep DIR.",
        )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MARKER).touch()
    # an earlier demo's run would leave nothing to do
    shutil.rmtree(directory / "home" / "pipeline", ignore_errors=True)
    # what the demo makes belongs in nobody's repository
    (directory / ".gitignore").write_text("*\n", encoding="utf-8")
    return directory


def publish_sky(story: Story, directory: Path) -> None:
    """Publish the star sample as demo.stars, and simulated images of it into ivoa.ObsCore."""
    import pyarrow.parquet as pq

    from skyvault.cli import demo_sky
    from skyvault.cli.publish import read_overrides
    from skyvault.config import Settings
    from skyvault.publish.publisher import publish

    home = directory / "home"
    # the demo has a ledger of its own, whatever the operator has set
    settings = Settings(home=home, ledger=None)
    data = files("skyvault") / "demo_data"
    with as_file(data / "stars.parquet") as stars, as_file(data / "stars.yaml") as words:

        def publish_stars() -> tuple[str, None]:
            published = publish(stars, name=STARS, home=home, settings=settings, overrides=read_overrides(words, ()))
            return f"{published.nrows:,} stars of Tycho-2", None

        story.run("Publish stars", f"skyvault publish stars.parquet --name {STARS}", publish_stars)
        sample = pq.read_table(stars)

    observed: dict[str, Path] = {}

    def simulate() -> tuple[str, None]:
        survey = demo_sky.exposures()
        paths = demo_sky.write_pictures(directory / "images", sample, survey)
        observed["file"] = directory / "observations.parquet"
        pq.write_table(demo_sky.observations(survey, paths), observed["file"])
        return f"{len(paths)} FITS images with true WCS", None

    story.run("Simulate images", "a small camera looks at these stars", simulate)

    def publish_observations() -> tuple[str, None]:
        published = publish(
            observed["file"],
            name="demo.obs",
            home=home,
            settings=settings,
            obscore=True,
            overrides={"description": "Simulated images of the stars of demo.stars by a small wide-field camera."},
        )
        return f"{published.nrows:,} rows of ivoa.ObsCore", None

    story.run("Publish observations", "skyvault publish observations.parquet --obscore", publish_observations)


@contextlib.contextmanager
def server(directory: Path, port: int) -> Iterator[tuple[str, float]]:
    """A server process of its own; yields its address and the seconds it took to its first answer."""
    port = port or _free_port()
    base_url = f"http://127.0.0.1:{port}"
    log = directory / "server.log"
    begun = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "skyvault.cli", "serve", "--port", str(port), "--home", str(directory / "home")],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _await(process, f"{base_url}/tap/availability", log)
            yield base_url, time.perf_counter() - begun
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _await(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline:
        if process.poll() is not None:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise SkyvaultError(f"the server did not start: {' '.join(last) or 'it said nothing'}", where=str(log))
        try:
            with direct.open(url, timeout=2) as answer:
                answer.read()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise SkyvaultError(f"the server did not answer within {START_S:.0f} s", where=str(log))


def query_as_client(story: Story, base_url: str) -> dict[str, Any]:
    """What any Virtual Observatory client can do, by pyvo; returns what the report draws."""
    import pyvo
    import requests
    from astropy import units as u
    from astropy.coordinates import SkyCoord
    from astropy.table import Table

    warnings.filterwarnings("ignore", module="pyvo")
    warnings.filterwarnings("ignore", module="astropy")
    # a proxy of the environment must not stand between this machine and itself
    session = requests.Session()
    session.trust_env = False
    tap = pyvo.dal.TAPService(f"{base_url}/tap", session=session)
    drawn: dict[str, Any] = {"centre": CENTRE, "radius_deg": RADIUS_DEG}
    ra, dec = CENTRE

    def look_around() -> tuple[str, None]:
        names = [name for name in tap.tables.keys() if not name.lower().startswith("tap_schema.")]  # noqa: SIM118
        return f"tables {', '.join(names)}", None

    story.run("Look around", "TAPService(...).tables", look_around)

    def simple_cone() -> tuple[str, Table]:
        service = pyvo.dal.SCSService(f"{base_url}/demo/stars/scs", session=session)
        found = service.search(pos=SkyCoord(ra, dec, unit="deg"), radius=RADIUS_DEG * u.deg).to_table()
        return f"{len(found)} stars within {RADIUS_DEG:g} deg of Alnilam", found

    story.run("Cone search", f"SCSService(...).search(pos=({ra}, {dec}), radius={RADIUS_DEG} deg)", simple_cone)

    def ask(title: str, adql: str, words: Callable[[Table], str], **uploads: Any) -> Table:
        answer: dict[str, Table] = {}

        def act() -> tuple[str, Table]:
            answer["rows"] = tap.run_sync(adql, uploads=uploads or None).to_table()
            return words(answer["rows"]), answer["rows"]

        story.run(title, adql, act)
        return answer["rows"]

    ask(
        "ADQL cone",
        "SELECT source_id, hip, ra, dec, mag_vt, bv\n"
        f"FROM {STARS}\n"
        f"WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE({ra}, {dec}, {RADIUS_DEG}))\n"
        "ORDER BY mag_vt",
        lambda rows: f"{len(rows)} stars, the brightest of VT = {rows['mag_vt'][0]:.2f}",
    )
    names, ras, decs = zip(*FAMILIAR, strict=True)
    ask(
        "Upload join",
        "SELECT mine.name, stars.hip, stars.mag_vt, stars.bv,\n"
        "       IN_UNIT(DISTANCE(mine.ra, mine.dec, stars.ra, stars.dec), 'arcsec') AS away\n"
        f"FROM TAP_UPLOAD.mine AS mine JOIN {STARS} AS stars\n"
        "  ON DISTANCE(mine.ra, mine.dec, stars.ra, stars.dec) < 10 / 3600.\n"
        "ORDER BY mag_vt",
        lambda rows: f"{len(set(rows['name']))} of {len(FAMILIAR)} stars of my own list found",
        mine=Table({"name": names, "ra": ras * u.deg, "dec": decs * u.deg}),
    )
    images = ask(
        "Images of a place",
        "SELECT obs_id, target_name, t_min, t_exptime, em_min, em_max, s_region, access_url\n"
        "FROM ivoa.ObsCore\n"
        f"WHERE dataproduct_type = 'image' AND 1 = CONTAINS(POINT({ra}, {dec}), s_region)\n"
        "ORDER BY t_min",
        lambda rows: f"{len(rows)} images show Alnilam",
    )
    drawn["image_url"] = str(images["access_url"][0]) if len(images) else None

    counts = (
        "SELECT FLOOR(mag_vt) AS magnitude, COUNT(*) AS stars, AVG(bv) AS mean_colour\n"
        f"FROM {STARS}\nGROUP BY FLOOR(mag_vt)\nORDER BY magnitude"
    )

    def in_background() -> tuple[str, Table]:
        job = tap.submit_job(counts)
        job.run().wait(phases=["COMPLETED", "ERROR", "ABORTED"], timeout=JOB_S)
        job.raise_if_error()
        rows = job.fetch_result().to_table()
        job.delete()
        return f"a job counted {int(rows['stars'].sum()):,} stars by magnitude", rows

    story.run("Asynchronous job", counts, in_background)
    drawn["stars"] = ask(
        "Fetch the sky",
        f"SELECT ra, dec, mag_vt, bv\nFROM {STARS}\nWHERE mag_vt < 6.5",
        lambda rows: f"{len(rows):,} stars the naked eye can see",
    )
    drawn["footprints"] = ask(
        "Fetch footprints",
        "SELECT obs_id, target_name, s_region\nFROM ivoa.ObsCore",
        lambda rows: f"{len(rows):,} footprints",
    )
    return drawn
