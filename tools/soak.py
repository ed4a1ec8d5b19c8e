"""What grows, or is lost, when Atlas works for long.

    .venv/bin/python tools/soak.py page /tmp/soak                # 16,384 experts baked and verified, 500 pages in one browser
    .venv/bin/python tools/soak.py builds /tmp/builds            # twenty builds in a row in one process

Both print a Markdown table on stdout and end with 1 if anything went wrong: a script error, a report of the page's policy, a
request that leaves the folder, a graphics context that was lost, or a handle, thread or process that is left.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import chdir, redirect_stderr
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests"), str(ROOT / "tests" / "reliability")]

import click  # noqa: E402

MEGABYTE = 1e6
MEASURED_EVERY = 50
"""Pages."""
PLACES = (1, 5, 10, 15, 20)
"""Builds after which the table has a row."""
COUNT_REPORTS = """
window.reports = [];
document.addEventListener("securitypolicyviolation", event => window.reports.push(event.violatedDirective));
"""


def say(text: str) -> None:
    click.echo(text, err=True)


# A large atlas and a long visit


def page(work: Path, experts: int, pages: int) -> list[str]:
    """Bake a large atlas, visit pages of it, print what it took, and return what went wrong."""
    from big_atlas import write_big_atlas

    from atlas.bake import bake

    work.mkdir(parents=True, exist_ok=True)
    if not (work / "atlas.duckdb").exists():
        write_big_atlas(work / "atlas.duckdb", experts)
        say(f"{experts:,} experts written")
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    bake(work / "atlas.duckdb", work / "site")
    taken, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = f"at most {peak / 1e3:,.0f} MB, {before / 1e3:,.0f} before"
    print(f"{experts:,} experts baked in {taken:.0f} s, {experts / taken:.0f} a second; {memory}.\n")
    return visit(work / "site", pages)


def visit(site: Path, pages: int) -> list[str]:
    """Go from expert to expert in one page, print what its process holds, and return what went wrong."""
    from bench_site import SCENE_IS_DRAWN, address_of, opened, resident, with_a_cloud

    known = with_a_cloud(site)
    experts = [known[place * len(known) // pages] for place in range(pages)]
    asked: list[str] = []
    heard: list[str] = []
    print("| pages visited | the page's process, MB |\n|---|---|")
    with opened(address_of(site), asked, is_ours=False) as (browser, seen):
        seen.on("pageerror", lambda error: heard.append(f"script error: {error.message}"))
        seen.on("console", lambda told: heard.append(told.text) if told.type == "error" else None)
        seen.evaluate(COUNT_REPORTS)
        seen.evaluate("() => bench.usable()")
        system, inside = browser.new_browser_cdp_session(), seen.context.new_cdp_session(seen)
        for count, expert in enumerate(experts, start=1):
            seen.evaluate(
                "route => { document.querySelector('[data-scene]').removeAttribute('data-ready'); location.hash = route; }",
                f"#/expert/{expert}",
            )
            seen.wait_for_function(SCENE_IS_DRAWN)
            if count == 1 or count % MEASURED_EVERY == 0:
                print(f"| {count} | {resident(system, inside) / MEGABYTE:.0f} |", flush=True)
        reports: list[str] = seen.evaluate("() => window.reports")
        lost: int = seen.evaluate("() => bench.lost")
    left = [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
    print(
        f"\n{len(experts)} pages: {len(heard)} script errors, {len(reports)} reports of the policy, {len(left)} requests that "
        f"leave the folder, {lost} graphics contexts lost."
    )
    return [*heard, *reports, *left, *(["a graphics context was lost"] * lost)]


# Builds in a row


@dataclass(frozen=True)
class Held:
    """What this process holds."""

    megabytes: float
    """Of its resident set."""
    handles: int
    threads: int
    """As the system counts them."""
    python_threads: int
    children: int
    objects: int
    """That Python's collector knows."""

    @classmethod
    def now(cls) -> Held:
        """Look, once what nobody refers to is collected."""
        gc.collect()
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("utf-8").splitlines())
        tasks = Path("/proc/self/task")
        children = sum(len((task / "children").read_text("utf-8").split()) for task in tasks.iterdir())
        return cls(
            megabytes=1024 * float(status["VmRSS"].split()[0]) / MEGABYTE,
            handles=len(os.listdir("/proc/self/fd")),
            threads=int(status["Threads"]),
            python_threads=threading.active_count(),
            children=children,
            objects=len(gc.get_objects()),
        )


def builds(work: Path, count: int) -> list[Held]:
    """Build a tiny atlas in new folders, one after the other, and return what this process holds after each."""
    # Chunks and tasks as the tests of faults have them.
    import warm  # noqa: F401
    from harness import BUILD, STAGES, new_folder

    from pipelines.cli import main

    held = []
    for number in range(count):
        with chdir(new_folder(work / f"build-{number:02d}")), open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
            main(list(STAGES["train"]), standalone_mode=False)
            main(list(BUILD), standalone_mode=False)
        held.append(Held.now())
        say(f"{number + 1} of {count}: {held[-1]}")
    return held


def grown(held: Sequence[Held]) -> list[str]:
    """Return what later builds hold more of than the second: the first loads what is loaded once."""
    settled, last = held[1], held[-1]
    names = ("handles", "threads", "python_threads", "children")
    return [
        f"{name}: {getattr(settled, name)}, then {getattr(last, name)}"
        for name in names
        if getattr(last, name) > getattr(settled, name)
    ]


def print_builds(held: Sequence[Held]) -> None:
    names = ("builds", "resident, MB", "handles", "threads", "Python's threads", "processes", "Python's objects")
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")
    for place in (place for place in PLACES if place <= len(held)):
        one = held[place - 1]
        row = (place, f"{one.megabytes:.0f}", one.handles, one.threads, one.python_threads, one.children, f"{one.objects:,}")
        print("| " + " | ".join(map(str, row)) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    paging = steps.add_parser("page", help="bake a large atlas and visit it")
    paging.add_argument("work", type=Path, metavar="DIR")
    paging.add_argument("--experts", type=int, default=16_384)
    paging.add_argument("--pages", type=int, default=500)
    building = steps.add_parser("builds", help="build again and again")
    building.add_argument("work", type=Path, metavar="DIR")
    building.add_argument("--count", type=int, default=20)
    given = parser.parse_args()
    if given.step == "page":
        wrong = page(given.work, given.experts, given.pages)
    else:
        held = builds(given.work, given.count)
        print_builds(held)
        wrong = grown(held)
    for one in wrong:
        say(one)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
