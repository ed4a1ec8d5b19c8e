"""Whether a baked site works: its files first, then as a browser sees it, from disk and over HTTP."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from playwright.sync_api import Browser

from atlas.publish.headers import Headers, config_path
from atlas.publish.serving import serving
from atlas.publish.site import PAGE, Fault, Kind, Site
from atlas.publish.visiting import Plan, Progress, Way, visit

PHONE = (390, 844)


@dataclass(frozen=True)
class CheckReport:
    """What was looked at, and what was wrong with it."""

    files: int
    experts: int
    """In the site; 0 if its files were too damaged to open it."""
    opened: int
    """Experts whose pages were opened, each from disk and over HTTP."""
    faults: tuple[Fault, ...]


def check(folder: Path, browser: Browser, *, experts: int, progress: Progress) -> CheckReport:
    """Look at a site's files; if they are what the bake wrote, open it.

    The first page, the table, the page about the atlas, a search, a filter, fidelity and some experts: from disk, over HTTP with
    the headers of netlify.toml, and without search and filter and with one expert on a dark phone.

    Raises:
        SiteMissing: the folder is not a baked site.
    """
    site = Site.open(folder)
    progress(f"files: {len(site.files):,}")
    faults = site.faults()
    if faults:
        return CheckReport(len(site.files), 0, 0, tuple(faults))
    faults = site.policy_faults()
    plan = Plan.of(site.manifest(), experts)
    drawn = [expert for expert in plan.experts if expert.cloud_task is not None]
    brief = replace(plan, experts=drawn[:1], word=None, label=None)
    from_disk = (site.folder / PAGE).as_uri()
    with serving(site.folder, Headers.read(config_path())) as server:
        visits = (
            (Way("disk", from_disk), plan),
            (Way("HTTP", server.url), plan),
            (Way("phone", from_disk, PHONE, dark=True), brief),
        )
        for way, planned in visits:
            faults += visit(browser, site, way, planned, progress)
    # The same fault on every way is one thing to mend.
    once: dict[tuple[Kind, str], Fault] = {}
    for fault in faults:
        once.setdefault((fault.kind, fault.what), fault)
    return CheckReport(len(site.files), len(plan.known), len(plan.experts), tuple(once.values()))
