"""A site seen by a browser: what is heard while it is opened, and what must be on the page then."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import url2pathname

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Request, Response, TimeoutError

from atlas.publish.manifest import column
from atlas.publish.site import PAGE, Fault, Kind, Site

PATIENCE = 15.0
"""Seconds that anything on a page may take."""
MOST_FAULTY_VIEWS = 3
"""After so many a visit ends: a site that is broken everywhere shall not be waited for everywhere."""
LEAST_COLOURED = 12
"""Pixels: one mark of a point is larger."""
_SLICE = 0.25
_SETTLING = 50
"""Milliseconds that a page is listened to once all is there."""
_DRAWING = 500
"""Milliseconds that a list may take to show what was searched for."""

Progress = Callable[[str], None]

# Axes, names and ground are grey, so what has a colour is the cloud.
_COLOURED = """async picture => {
  const image = new Image();
  image.src = `data:image/png;base64,${picture}`;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height);
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0);
  const data = pen.getImageData(0, 0, canvas.width, canvas.height).data;
  let coloured = 0;
  for (let at = 0; at < data.length; at += 4) {
    const channels = [data[at], data[at + 1], data[at + 2]];
    coloured += Math.max(...channels) - Math.min(...channels) > 40;
  }
  return coloured;
}"""
_REPORT_VIOLATIONS = """addEventListener("securitypolicyviolation", (event) =>
  globalThis.atlasCheckViolation([event.effectiveDirective, event.blockedURI, event.sourceFile ?? ""]));"""
# The scene says when it is drawn, and one scene serves all experts: what it said of the last one must not count.
_FORGET_SCENE = '() => document.querySelector("[data-scene]")?.removeAttribute("data-ready")'
# The body says which page is shown by the same name, hence "main" before a page's.
_LIST_IS_DRAWN = """() => {
  const items = document.querySelectorAll("[aria-label='Experts'] li");
  const said = document.querySelector("main [data-page=list] [data-count]")?.textContent ?? "";
  return items.length > 0 && /[1-9]/.test(said);
}"""
_FIRST_ROWS = 8
_A_CLOUD_IS_PAINTED = """rows => [...document.querySelectorAll("[aria-label='Experts'] canvas")].slice(0, rows).some((canvas) =>
  canvas.width > 0 && canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0))"""
_ALERTS = """() => [...document.querySelectorAll("[role=alert]")]
  .filter((alert) => alert.checkVisibility() && alert.textContent.trim()).map((alert) => alert.textContent.trim())"""
_A_NUMBER_IS_SAID = """() => /[0-9]/.test(document.querySelector("main [data-page=list] [data-count]")?.textContent ?? "")"""
_FIDELITY_IS_SHOWN = """() => {
  const page = document.querySelector("main [data-page=fidelity]");
  const parts = ["corpus", "rates", "training"].map((name) => page.querySelector(`[data-${name}]`));
  return page.checkVisibility() && parts.every((part) => part.textContent !== "");
}"""
_TABLE_IS_SHOWN = """() => {
  const rows = [...document.querySelectorAll("table[aria-label='Experts'] tbody tr")];
  return rows.some((row) => row.checkVisibility() && /[0-9]/.test(row.textContent));
}"""
_ABOUT_IS_SHOWN = """() => document.querySelector("main [data-page=about]").checkVisibility()"""
_CHOSEN = """label => [...document.querySelectorAll("main [data-page=list] input[type=checkbox]:checked")]
  .some((box) => box.value === label)"""
_LINKS = """() => [...document.querySelectorAll("a[href]")].map((link) => link.getAttribute("href"))"""
_FITS = "() => document.documentElement.scrollWidth <= innerWidth"


@dataclass(frozen=True)
class Expert:
    """What the manifest says of one expert."""

    number: int
    title: str
    cloud_task: int | None
    """Task that it is first shown on; None where there is no point to draw."""

    @classmethod
    def all_of(cls, manifest: dict[str, Any]) -> list[Expert]:
        """Return all experts in the order of the list."""
        columns = (column(manifest["experts"][name]) for name in ("expert", "title", "cloud_task"))
        return [cls(*row) for row in zip(*columns, strict=True)]


@dataclass(frozen=True)
class Plan:
    """What is looked at, chosen from the manifest."""

    experts: Sequence[Expert]
    """Those whose pages are opened."""
    known: frozenset[int]
    """Numbers of all experts of the site."""
    any_cloud: bool
    """Whether the first rows of the list have anything to paint."""
    word: str | None
    """What is searched for, if anything."""
    label: str | None
    """`task:label` that is filtered by, if any."""
    fidelity: bool
    """Whether the view of fidelity and training is opened."""

    @classmethod
    def of(cls, manifest: dict[str, Any], most: int) -> Plan:
        """Choose up to `most` experts evenly from the list, among them one shown on labels and a silent one, if there are any."""
        experts = Expert.all_of(manifest)
        labelled = [expert for expert in experts if expert.cloud_task]
        silent = [expert for expert in experts if expert.cloud_task is None]
        wanted = [*labelled[:1], *silent[:1]][:most]
        others = _spread([expert for expert in experts if expert not in wanted], most - len(wanted))
        return cls(
            experts=sorted({*wanted, *others}, key=experts.index),
            known=frozenset(expert.number for expert in experts),
            any_cloud=any(expert.cloud_task is not None for expert in experts[:_FIRST_ROWS]),
            word=_word(experts),
            label=next((f"{task['name']}:{name}" for task in manifest["tasks"] for name in task["labels"]["name"]), None),
            fidelity="fidelity" in manifest["files"],
        )


@dataclass(frozen=True)
class Way:
    """A way to open the site."""

    name: str
    address: str
    """Of the page, without #."""
    size: tuple[int, int] = (1280, 900)
    dark: bool = False


class Visit:
    """One browser window on a site; collects faults, each once."""

    def __init__(self, site: Site, known: frozenset[int], way: Way, context: BrowserContext) -> None:
        self._site = site
        self._known = known
        self._way = way
        self._where = way.name
        self._heard: list[Fault] = []
        self._refusals: list[str] = []
        self._violated = False
        self.faults: dict[tuple[Kind, str], Fault] = {}
        self.faulty_views = 0
        context.set_default_timeout(1000 * PATIENCE)
        context.route(lambda address: not self._is_local(address), lambda route: route.abort())
        context.expose_binding("atlasCheckViolation", lambda _source, violation: self._on_violation(*violation))
        context.add_init_script(_REPORT_VIOLATIONS)
        # A page of its own looks at pictures, so that a page that hangs cannot stop it.
        self._looker = context.new_page()
        self._page = context.new_page()
        self._page.on("pageerror", lambda error: self._hear("script", f"script error: {error.message}"))
        self._page.on("crash", lambda _page: self._hear("script", "the page crashed"))
        self._page.on("console", self._on_console)
        self._page.on("request", self._on_request)
        self._page.on("requestfailed", self._on_failed)
        self._page.on("response", self._on_response)

    def view(self, route: str, look: Callable[[], None]) -> None:
        """Open an address after the #, look for what must be there, and collect what is heard meanwhile."""
        self._where = f"{self._way.name} {route}"
        try:
            self._ask(_FORGET_SCENE)
            self._page.goto(self._way.address + route, wait_until="load")
            look()
            self._no_alert()
            self._links_lead_somewhere()
            self.rest(_SETTLING)
        except Error as error:
            # What a script error has broken is one fault, not two.
            if not self._heard:
                late = isinstance(error, TimeoutError)
                self._hear("view", f"nothing came within {PATIENCE:.0f} s" if late else error.message)
        if self._refusals and not self._violated:
            self._hear("policy", self._refusals[0])
        for fault in self._heard:
            self.faults.setdefault((fault.kind, fault.what), fault)
        self.faulty_views += bool(self._heard)
        self._heard.clear()
        self._refusals.clear()
        self._violated = False

    def must(self, script: str, otherwise: str, argument: Any = None, *, kind: Kind = "view") -> None:
        """Wait until a function in the page returns true; hear a fault if it does not, or if something else goes wrong first."""
        if not self._comes(script, argument) and not self._heard:
            self._hear(kind, otherwise)

    def search(self, word: str) -> None:
        """Type a word into the search box."""
        try:
            self._page.get_by_role("searchbox", name="Search experts").fill(word, timeout=1000 * PATIENCE)
        except TimeoutError:
            self._hear("view", "there is no search box to type into")

    def rest(self, milliseconds: int) -> None:
        """Give the page time, and hear what comes."""
        self._page.wait_for_timeout(milliseconds)

    def scene(self) -> None:
        """Wait until the scene is drawn, and count its coloured pixels."""
        self.must('() => document.querySelector("[data-scene][data-ready]")', "the scene was never drawn", kind="scene")
        scene = self._page.locator("[data-scene][data-ready]")
        deadline = time.monotonic() + PATIENCE / 3
        while not self._heard:
            picture = base64.b64encode(scene.screenshot()).decode()
            if self._looker.evaluate(_COLOURED, picture) >= LEAST_COLOURED:
                return
            if time.monotonic() > deadline:
                self._hear("scene", "the scene drew no pixel of a cloud")

    def _comes(self, script: str, argument: Any) -> bool:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not self._heard:
            try:
                self._page.wait_for_function(script, arg=argument, timeout=1000 * _SLICE)
                return True
            except TimeoutError:
                continue
        return False

    def _ask(self, script: str) -> Any:
        return self._page.wait_for_function(f"() => ({{ answer: ({script})() }})").json_value()["answer"]

    def _no_alert(self) -> None:
        if not self._heard:
            for alert in self._ask(_ALERTS):
                self._hear("view", f"the page says: {alert}")

    def _links_lead_somewhere(self) -> None:
        if self._heard:
            return
        for link in self._ask(_LINKS):
            expert = re.match(r"#/expert/(\d+)", link)
            if expert and int(expert[1]) not in self._known:
                self._hear("link", f"leads to {link}, and there is no such expert")
            scheme, host, path, *_ = urlsplit(link)
            if path and not scheme and not host and not self._site.holds(link):
                self._hear("link", f"leads to {link}, which is not there")

    def _hear(self, kind: Kind, what: str) -> None:
        self._heard.append(Fault(kind, self._where, " ".join(what.split())[:300]))

    def _is_local(self, address: str) -> bool:
        if address.startswith(("data:", "blob:")):
            return True
        if self._way.address.startswith("file:"):
            path = Path(url2pathname(urlsplit(address).path))
            return address.startswith("file:") and path.resolve().is_relative_to(self._site.folder)
        return address.startswith(self._way.address)

    def _on_request(self, request: Request) -> None:
        if not self._is_local(request.url):
            self._hear("request", f"asks for {request.url}, which is not in the folder")

    def _on_failed(self, request: Request) -> None:
        # A policy speaks for itself; a request that leaves was heard when it was made; a page that goes aborts its own.
        if self._is_local(request.url) and request.failure not in ("csp", "net::ERR_ABORTED"):
            self._hear("missing", f"could not load {self._relative(request.url)} ({request.failure})")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self._hear("missing", f"could not load {self._relative(response.url)} (HTTP {response.status})")

    def _on_violation(self, directive: str, blocked: str, source: str) -> None:
        self._violated = True
        if urlsplit(blocked).scheme in ("http", "https", "ws", "wss", "file") and not self._is_local(blocked):
            self._hear("request", f"asks for {blocked}, which is not in the folder; its policy stopped it")
        else:
            self._hear("policy", f"breaks its own Content-Security-Policy: {directive} forbids {blocked or source}")

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type != "error" or message.text.startswith("Failed to load resource"):
            return
        if "Content Security Policy" in message.text:
            self._refusals.append(message.text)
        else:
            self._hear("script", f"console error: {message.text}")

    def _relative(self, address: str) -> str:
        return address.removeprefix(self._way.address.removesuffix(PAGE))


def visit(browser: Browser, site: Site, way: Way, plan: Plan, progress: Progress) -> list[Fault]:
    """Open the first page, the table, the page about the atlas, and all that is planned; return what was wrong."""
    width, height = way.size
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark" if way.dark else "light")
    try:
        seen = Visit(site, plan.known, way, context)
        for name, route, look in _views(seen, plan):
            if seen.faulty_views >= MOST_FAULTY_VIEWS:
                progress(f"{way.name}: stopped after {MOST_FAULTY_VIEWS} views with faults")
                break
            progress(f"{way.name}: {name}")
            seen.view(route, look)
        return list(seen.faults.values())
    finally:
        context.close()


def _views(seen: Visit, plan: Plan) -> Iterator[tuple[str, str, Callable[[], None]]]:
    """Give each view's name, its address after the #, and what to look for on it."""

    def first_page() -> None:
        seen.must(_LIST_IS_DRAWN, "the list of experts stays empty")
        if plan.any_cloud:
            seen.must(_A_CLOUD_IS_PAINTED, "no small cloud in the list was painted", _FIRST_ROWS, kind="scene")
        fits()

    def fits() -> None:
        seen.must(_FITS, "the page is wider than its window")

    def search(word: str) -> None:
        seen.search(word)
        seen.must('() => location.hash.includes("q=")', "a search does not reach the address")
        seen.rest(_DRAWING)  # what was found before may still be on the page
        seen.must(_LIST_IS_DRAWN, f"a search for {word!r}, from an expert's title, finds nothing")

    def chosen(label: str) -> None:
        seen.must(_A_NUMBER_IS_SAID, f"the filter {label!r} shows no number of results")
        seen.must(_CHOSEN, f"the filter {label!r} is not ticked on the page", label)

    def fidelity() -> None:
        seen.must(_FIDELITY_IS_SHOWN, "the view of fidelity and training stays empty")
        fits()

    def page(expert: Expert) -> None:
        heading = """number => {
          const heading = document.querySelector("main [data-page=expert] [data-heading]");
          return heading.checkVisibility() && new RegExp(`^Expert ${number}(?![0-9])`).test(heading.textContent.trim());
        }"""
        seen.must(heading, f"the page of expert {expert.number} shows no heading", expert.number)
        if expert.cloud_task is not None:
            seen.scene()
        fits()

    def table() -> None:
        seen.must(_TABLE_IS_SHOWN, "the table of experts stays empty")
        fits()

    def about() -> None:
        seen.must(_ABOUT_IS_SHOWN, "the page about the atlas is not shown")
        fits()

    yield "first page", "#/", first_page
    yield "table", "#/?view=table", table
    yield "about", "#/about", about
    if plan.word is not None:
        yield f"search for {plan.word!r}", "#/?sort=number", partial(search, plan.word)
    if plan.label is not None:
        yield f"filter by {plan.label!r}", f"#/?{urlencode({'label': plan.label})}", partial(chosen, plan.label)
    if plan.fidelity:
        yield "fidelity and training", "#/fidelity", fidelity
    for count, expert in enumerate(plan.experts, 1):
        yield f"expert {expert.number} ({count} of {len(plan.experts)})", f"#/expert/{expert.number}", partial(page, expert)


def _spread(experts: Sequence[Expert], most: int) -> list[Expert]:
    """Return up to `most` experts, evenly over the list."""
    if len(experts) <= most:
        return list(experts)
    return [experts[round(place * (len(experts) - 1) / max(most - 1, 1))] for place in range(most)]


def _word(experts: Sequence[Expert]) -> str:
    """Return a word that a title begins with, else an expert's number."""
    starts = (re.match(r"\s*([^\W\d_]{3,})\b", expert.title) for expert in experts if expert.cloud_task is not None)
    return next((start[1] for start in starts if start), str(experts[0].number) if experts else "0")
