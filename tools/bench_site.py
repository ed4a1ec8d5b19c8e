"""What a site's pages cost a reader, beside a page built the reference's way: the tables of docs/benchmarks/site.md.

    .venv/bin/python tools/bench_site.py make --experts 16384 --work /tmp/atlas-16384   # once: an atlas and its site
    .venv/bin/python tools/bench_site.py measure /tmp/atlas-2048 /tmp/atlas-16384 /tmp/atlas-131072
    .venv/bin/python tools/bench_site.py expert /tmp/atlas-2048                       # an expert's page, in the site of a folder
    .venv/bin/python tools/bench_site.py open site                                    # of any site: to its list, to a scene
    .venv/bin/python tools/bench_site.py reference                                    # the page built the reference's way

Headless Chromium, from disk, the network cut, drawing in software; every opening in a browser of its own. How each figure is
taken stands in docs/benchmarks/site.md.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from big_atlas import write_big_atlas
from playwright.sync_api import Browser, CDPSession, Page, ViewportSize

from atlas.bake import bake, templates_root
from atlas.publish.chromium import started
from atlas.publish.site import Site
from atlas.publish.visiting import Expert

WINDOW: ViewportSize = {"width": 1440, "height": 900}
INSTRUMENT = Path(__file__).with_name("bench_page.js")
WORD = "septem"
LABEL = "months:September"
FOUND = "[data-count], [aria-label='Experts']"
NARROWED = f"{FOUND}, [data-facets]"
MOVES, STRIDE = 60, 5
WARM_VIEWS = 30
MEGABYTE = 1e6


@dataclass
class Measured:
    """What was measured of one site; milliseconds and bytes, one of each run or event."""

    open: list[float] = field(default_factory=list)
    bytes: list[float] = field(default_factory=list)
    keystroke: list[float] = field(default_factory=list)
    first_keystroke: list[float] = field(default_factory=list)
    label: list[float] = field(default_factory=list)
    draw: list[float] = field(default_factory=list)
    apart: list[float] = field(default_factory=list)
    longest: list[tuple[float, str]] = field(default_factory=list)
    """Tasks of more than 50 ms, with what a reader did meanwhile."""
    grown: list[float] = field(default_factory=list)


@contextmanager
def opened(address: str, asked: list[str] | None = None, *, is_ours: bool = True) -> Iterator[tuple[Browser, Page]]:
    """Give a page of a fresh browser, with the instrument in it and no network; `asked` takes every address that it asks for."""
    with started() as browser:
        context = browser.new_context(viewport=WINDOW, offline=True)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.add_init_script(path=INSTRUMENT)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(error.message))
        page.on("request", lambda request: None if asked is None else asked.append(request.url))
        page.goto(address, wait_until="commit")
        yield browser, page
        if wrong and is_ours:
            raise SystemExit(f"{address} is broken, so its times say nothing: {wrong[0]}")


def address_of(site: Path, route: str = "") -> str:
    return (site / "index.html").absolute().as_uri() + route


def open_page(site: Path, into: Measured) -> None:
    """Open the first page, and count what was asked for until its list could be used."""
    asked: list[str] = []
    with opened(address_of(site), asked) as (_, page):
        into.open.append(page.evaluate("() => bench.usable()"))
        paths = {url2pathname(urlsplit(url).path) for url in asked if url.startswith("file:")}
        into.bytes.append(sum(Path(path).stat().st_size for path in paths))


def changed(page: Page, event: str, parts: str, act: Callable[[], None], *, with_map: bool = False) -> float:
    """Return the milliseconds from the event that `act` brings about until what it changed is painted."""
    page.evaluate("([event, parts, withMap]) => { bench.told = bench.change(event, parts, withMap); }", [event, parts, with_map])
    act()
    taken: float = page.evaluate("() => bench.told")
    return taken


def use_page(site: Path, into: Measured) -> None:
    """Type a word, choose a label, scroll the list and move the map, as a reader would."""
    with opened(address_of(site)) as (_, page):
        page.evaluate("() => bench.usable()")
        page.evaluate("() => bench.settled(500)")
        for doing, act in {"searching": search, "filtering": filter_by_label, "scrolling": scroll, "panning": pan}.items():
            since = page.evaluate("() => performance.now()")
            act(page, into)
            page.evaluate("() => bench.settled(500)")
            into.longest += [(taken, doing) for taken in page.evaluate("since => bench.longer(since)", since)]


def search(page: Page, into: Measured) -> None:
    """Type a word, letter by letter."""
    box = page.get_by_role("searchbox", name="Search experts")
    box.click()
    typed = [changed(page, "input", FOUND, partial(page.keyboard.press, letter)) for letter in WORD]
    into.first_keystroke.append(typed[0])
    into.keystroke += typed
    box.fill("")


def filter_by_label(page: Page, into: Measured) -> None:
    """Tick a label in its unfolded facet."""
    page.evaluate(UNFOLD_LABEL, LABEL)
    page.evaluate("() => bench.settled(500)")
    label = page.locator(f"[data-facets] input[value='{LABEL}']")
    into.label.append(changed(page, "click", NARROWED, label.check, with_map=True))
    label.uncheck()


UNFOLD_LABEL = """label => {
  let box = document.querySelector(`[data-facets] input[value='${label}']`);
  while ((box = box.parentElement.closest("details"))) box.open = true;
}"""


def scroll(page: Page, into: Measured) -> None:
    """Turn the wheel over the list."""
    page.locator("[aria-label='Experts'] li").first.hover()
    for _ in range(20):
        page.mouse.wheel(0, 700)
        page.evaluate("() => bench.frame()")


def pan(page: Page, into: Measured) -> None:
    """Drag the map, zoomed in by a step so that it can be moved."""
    page.get_by_role("button", name="Zoom in").click()
    page.evaluate("() => bench.settled(300)")
    box = page.locator("[data-map] canvas").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = page.evaluate("() => atlas.route.state.place")
    page.mouse.move(x, y)
    page.mouse.down()
    since = page.evaluate("() => bench.number")
    for move in range(MOVES):
        x += STRIDE if move // 15 % 2 == 0 else -STRIDE
        y += 1
        page.mouse.move(x, y)
        page.evaluate("() => bench.frame()")
    told = page.evaluate("since => bench.painted(since)", since)
    page.mouse.up()
    page.evaluate("() => bench.settled(500)")
    assert page.evaluate("() => atlas.route.state.place") != before, "the map was not moved"
    into.draw += told["own"]
    into.apart += told["apart"]


def tour(site: Path, views: int) -> float:
    """Return by how many bytes the renderer's resident set grew over so many views, after a few to warm up."""
    draw = random.Random(0)
    with opened(address_of(site)) as (browser, page):
        page.evaluate("() => bench.usable()")
        numbers = page.evaluate("async () => [...atlas.columns.decoded(await atlas.payloads.load('atlas')).experts.expert]")
        system, inside = browser.new_browser_cdp_session(), page.context.new_cdp_session(page)
        for view in range(WARM_VIEWS):
            look(page, view, draw.choice(numbers))
        before = resident(system, inside)
        for view in range(views):
            look(page, view, draw.choice(numbers))
        return resident(system, inside) - before


WORDS = ("the", "may", "two", "state", "work", "time", "value", "hand")
LABELS = ("months:May", "months:September", "numbers:7", "numbers:42", "numbers:99")


def look(page: Page, view: int, expert: int) -> None:
    """Go to a view by its address, as a link would, and wait until it stands."""
    word, label = WORDS[view % len(WORDS)], quote(LABELS[view % len(LABELS)])
    views = (
        "#/",
        f"#/?label={label}",
        f"#/expert/{expert}",
        f"#/?q={word}&view=table",
        f"#/token/{word}",
        f"#/?map=importance&place={view},-{view},3",
        f"#/expert/{expert}?colour=months:norm",
        "#/?sort=rate&view=table",
        "#/?shape=ring&map=shape",
        f"#/?importance=0.001..&at={expert}",
    )
    route = views[view % len(views)]
    page.evaluate(
        "route => { document.querySelector('[data-scene]').removeAttribute('data-ready'); location.hash = route; }", route
    )
    page.evaluate("() => bench.settled(150)")
    if route.startswith("#/expert/"):
        page.wait_for_function(SCENE_IS_DRAWN)


SCENE_IS_DRAWN = """() => document.querySelector("[data-scene][data-ready]")
  || !document.querySelector("[data-stage]")?.checkVisibility()"""


def resident(system: CDPSession, inside: CDPSession) -> float:
    """Return the bytes that the page's process holds, garbage collected."""
    for _ in range(3):
        inside.send("HeapProfiler.collectGarbage")
        time.sleep(0.5)
    processes = [one["id"] for one in system.send("SystemInfo.getProcessInfo")["processInfo"] if one["type"] == "renderer"]
    return max(_resident(process) for process in processes)


def _resident(process: int) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return 1024 * float(line.split()[1])
    raise RuntimeError(f"Process {process} tells no resident set.")


# The page that this atlas wants to be better than: the library inlined, and all figures as JSON, drawn as it opens.

FIGURES, POINTS = 50, 762
DRAWING = """
(async () => {
  for (const [at, figure] of JSON.parse(document.getElementById("figures").textContent).entries()) {
    const place = document.createElement("div");
    document.body.append(place);
    await Plotly.newPlot(place, figure.data, figure.layout);
  }
  document.documentElement.dataset.drawn = "";
})();
"""


def write_reference(path: Path) -> None:
    """Write one HTML file with 50 figures of 762 points, each with a text of its context."""
    draw = random.Random(0)
    words = [" ".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 8))).replace(" ", "") for _ in range(3_000)]
    figures = []
    for number in range(FIGURES):
        axes = {axis: [round(draw.gauss(0, 1), 6) for _ in range(POINTS)] for axis in "xyz"}
        text = [" ".join(draw.choices(words, k=21)) for _ in range(POINTS)]
        marker = {"size": 3, "color": [draw.randrange(12) for _ in range(POINTS)], "colorscale": "Viridis"}
        trace = {"type": "scatter3d", "mode": "markers", "hovertext": text, "hoverinfo": "text", "marker": marker, **axes}
        figures.append({"data": [trace], "layout": {"title": {"text": f"Expert {number}"}, "width": 700, "height": 500}})
    (library,) = (templates_root() / "static" / "vendor" / "plotly.js-gl3d-dist-min").glob("*.min.js")
    source = library.read_text(encoding="utf-8").replace("</script", "<\\/script")
    data = json.dumps(figures).replace("</", "<\\/")
    path.write_text(
        f'<!doctype html><meta charset="utf-8"><title>Experts</title><body><script>{source}</script>'
        f'<script type="application/json" id="figures">{data}</script><script>{DRAWING}</script>',
        encoding="utf-8",
    )


def open_reference(path: Path, into: Measured) -> None:
    # Of 50 scenes a browser keeps sixteen, and the library complains of the others.
    with opened(path.absolute().as_uri(), is_ours=False) as (_, page):
        page.wait_for_function("() => document.documentElement.dataset.drawn !== undefined", polling="raf")
        into.open.append(page.evaluate("async () => { await bench.frame(); await bench.frame(); return performance.now(); }"))
        into.bytes.append(path.stat().st_size)


def open_expert(site: Path, expert: int) -> float:
    """Return the milliseconds until the drawn scene of an expert's page, opened directly."""
    with opened(address_of(site, f"#/expert/{expert}")) as (_, page):
        return scene_stands(page)


@dataclass
class Clouds:
    """What was measured of experts' pages; milliseconds, one of each run or event."""

    cold: list[float] = field(default_factory=list)
    step: list[float] = field(default_factory=list)
    colour: list[float] = field(default_factory=list)
    pages: int = 0
    lost: int = 0
    """WebGL contexts over these pages."""


STEPS_ON, COLOURINGS = 20, 20


def stands(page: Page, event: str, act: Callable[[], Any]) -> float:
    """Return the milliseconds from the event that `act` brings about until the cloud that it asks for is painted."""
    page.evaluate("event => { bench.told = bench.stands(event); }", event)
    act()
    taken: float = page.evaluate("() => bench.told")
    return taken


def use_experts(site: Path, expert: int, into: Clouds) -> None:
    """Open an expert's page, go on from one to the next in the list, and colour a cloud otherwise, as a reader would."""
    with opened(address_of(site, f"#/expert/{expert}")) as (_, page):
        into.cold.append(scene_stands(page))
        page.evaluate("() => bench.settled(500)")
        following = page.locator("[data-page=expert] [data-step='1']")
        for _ in range(STEPS_ON):
            into.step.append(stands(page, "click", following.click))
            page.evaluate("() => bench.settled(200)")
        colours = page.locator("[data-page=expert] [data-colour]")
        source = colours.input_value().rpartition(":")[0] or colours.input_value()
        ways = [way for way in colours.evaluate(WAYS) if way == source or way.startswith(f"{source}:")]
        for _ in range(COLOURINGS):
            way = ways[(ways.index(colours.input_value()) + 1) % len(ways)]
            into.colour.append(stands(page, "change", partial(colours.select_option, way)))


WAYS = "select => [...select.options].map(({ value }) => value)"


def scene_stands(page: Page) -> float:
    """Return the milliseconds from the start of the navigation until an expert's scene is drawn, and a frame more is painted."""
    page.wait_for_function("() => document.querySelector('[data-scene][data-ready]')", polling="raf")
    taken: float = page.evaluate("async () => { await bench.frame(); await bench.frame(); return performance.now(); }")
    return taken


def leaf_through(site: Path, experts: Sequence[int], into: Clouds) -> None:
    """Look at one expert's cloud after another in one page, and count the WebGL contexts that are lost meanwhile."""
    with opened(address_of(site)) as (_, page):
        page.evaluate("() => bench.usable()")
        for expert in experts:
            go = "route => { document.querySelector('[data-scene]').removeAttribute('data-ready'); location.hash = route; }"
            page.evaluate(go, f"#/expert/{expert}")
            page.wait_for_function(SCENE_IS_DRAWN)
        into.pages, into.lost = len(experts), page.evaluate("() => bench.lost")


# --- what is printed ---


def spread(values: Sequence[float], unit: str = " ms") -> str:
    """Return the median, with the 95th percentile and the worst."""
    ordered = sorted(values)
    late = ordered[min(round(0.95 * len(ordered)), len(ordered) - 1)]
    return f"{median(values):.0f}{unit} (95 %: {late:.0f}; worst {ordered[-1]:.0f})"


ROWS: dict[str, Callable[[Measured], str]] = {
    "open to usable list": lambda told: f"{median(told.open) / 1e3:.2f} s",
    "keystroke to results": lambda told: spread(told.keystroke),
    "of these the first letter, with the index to load": lambda told: spread(told.first_keystroke),
    "a filter by label to list, counts and map redrawn": lambda told: spread(told.label),
    "bytes before the first list": lambda told: f"{median(told.bytes) / MEGABYTE:.2f} MB",
    "map while panning: our own work in a frame": lambda told: spread(told.draw),
    "map while panning: from frame to frame": lambda told: spread(told.apart),
    "longest task on the main thread after start": lambda told: (
        "{:.0f} ms ({})".format(*max(told.longest)) if told.longest else "below 50 ms"
    ),
    "renderer's resident set, grown over the tour": lambda told: f"{median(told.grown) / MEGABYTE:.0f} MB" if told.grown else "–",
}


def table(sites: dict[str, Measured]) -> str:
    """Return the measures as a Markdown table, a column to a site."""
    lines = ["| | " + " | ".join(sites) + " |", "|---" * (len(sites) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(words(told) for told in sites.values()) + " |" for name, words in ROWS.items()]
    return "\n".join(lines)


def make(experts: int, work: Path, *, full: bool) -> None:
    """Write an atlas and bake it; what is already there is not made again but baked again."""
    began = time.perf_counter()
    if not (work / "atlas.duckdb").exists():
        write_big_atlas(work / "atlas.duckdb", experts, full=full)
        say(f"{experts:,} experts written in {time.perf_counter() - began:.0f} s")
    began = time.perf_counter()
    report = bake(work / "atlas.duckdb", work / "site")
    taken = time.perf_counter() - began
    say(f"baked in {taken:.1f} s, {report.experts / taken:.0f} experts a second: {per_expert(work / 'site', report.experts)}")


def per_expert(site: Path, experts: int) -> str:
    """Return what all files of a site take, over its experts."""
    total = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    return f"{total / MEGABYTE:.0f} MB in all, {total / experts / 1e3:.1f} kB per expert"


def measure(works: Sequence[Path], runs: int, views: int) -> None:
    """Print the table of these sites, each in the folder `site` of its own."""
    sites = {}
    for work in works:
        told = sites[work.name] = Measured()
        for run in range(runs):
            open_page(work / "site", told)
            use_page(work / "site", told)
            say(f"{work.name}: {run + 1} of {runs}")
        if views:
            told.grown.append(tour(work / "site", views))
    print(table(sites))


def with_a_cloud(site: Path) -> list[int]:
    """Return the numbers of the experts that have one, in the list's first order."""
    return [expert.number for expert in Expert.all_of(Site.open(site).manifest()) if expert.cloud_task is not None]


def measure_experts(work: Path, runs: int, pages: int) -> None:
    """Print what experts' pages cost: to be drawn, to be coloured otherwise, and on disk."""
    site, told = work / "site", Clouds()
    drawn = with_a_cloud(site)
    for run in range(runs):
        use_experts(site, drawn[0], told)
        say(f"{run + 1} of {runs}")
    if pages:
        leaf_through(site, random.Random(0).sample(drawn, min(pages, len(drawn))), told)
    rows = {
        "an expert's page, the library cold: to its drawn scene": spread(told.cold),
        "on to the next expert: to its drawn scene": spread(told.step),
        "another colouring: to the painted cloud": spread(told.colour),
        "WebGL contexts lost": f"{told.lost} over {told.pages} pages",
        "the site on disk": per_expert(site, len(Expert.all_of(Site.open(site).manifest()))),
    }
    print("\n".join([f"| | {work.name} |", "|---|---|", *(f"| {name} | {words} |" for name, words in rows.items())]))


def measure_opening(site: Path, runs: int) -> None:
    told = Measured()
    for _ in range(runs):
        open_page(site, told)
    print(f"list: {median(told.open) / 1e3:.2f} s, {median(told.bytes) / MEGABYTE:.2f} MB")
    if drawn := with_a_cloud(site):
        print(f"scene: {median(open_expert(site, drawn[0]) for _ in range(runs)) / 1e3:.2f} s")


def measure_reference(runs: int) -> None:
    with TemporaryDirectory() as folder:
        told, path = Measured(), Path(folder, "reference.html")
        write_reference(path)
        for _ in range(runs):
            open_reference(path, told)
    print(f"open to all {FIGURES} figures drawn: {median(told.open) / 1e3:.2f} s, {median(told.bytes) / MEGABYTE:.2f} MB")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    making = steps.add_parser("make")
    making.add_argument("--experts", type=int, required=True)
    making.add_argument("--work", type=Path, required=True)
    making.add_argument("--full", action="store_true", help="every expert that fires has 1,000 points on each of three tasks")
    measuring = steps.add_parser("measure")
    measuring.add_argument("works", type=Path, nargs="+", metavar="DIR")
    measuring.add_argument("--views", type=int, default=300, help="of the tour; 0 for none")
    leafing = steps.add_parser("expert")
    leafing.add_argument("work", type=Path, metavar="DIR")
    leafing.add_argument("--pages", type=int, default=500, help="to leaf through in one page; 0 for none")
    opening = steps.add_parser("open")
    opening.add_argument("site", type=Path)
    reference = steps.add_parser("reference")
    for step in (measuring, leafing, opening, reference):
        step.add_argument("--runs", type=int, default=7)
    given = parser.parse_args()
    if given.step == "make":
        make(given.experts, given.work, full=given.full)
    elif given.step == "measure":
        measure(given.works, given.runs, given.views)
    elif given.step == "expert":
        measure_experts(given.work, given.runs, given.pages)
    elif given.step == "open":
        measure_opening(given.site, given.runs)
    else:
        measure_reference(given.runs)


if __name__ == "__main__":
    main()
