"""What came of faults: looked at in a folder, and put into a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness import DATABASE, SITE, Reference, different, files, leftovers, tables


@dataclass(frozen=True)
class Outcome:
    """What came of one fault."""

    fault: str
    """What was done, and to what: one line of the table."""
    finished: bool
    """The next run did."""
    rows: bool
    """Every table of its atlas has the rows of a run without faults."""
    bytes: bool
    """Its site has the bytes of one, and nothing else is left in the folder."""
    lost: bool
    """An earlier good atlas or site was not there, whole, after the fault."""
    named: bool | None
    """The message named the cause; None where a process cannot say anything."""
    details: str = ""
    """What else to look at where something is wrong."""

    @property
    def is_good(self) -> bool:
        """Return whether nothing was lost, all came right, and the message said why."""
        return self.finished and self.rows and self.bytes and not self.lost and self.named is not False


def rows_and_bytes(folder: Path, wanted: Reference) -> tuple[bool, bool]:
    """Return whether an atlas has the rows, and a site the bytes, of a run without faults."""
    rows = (folder / DATABASE).is_file() and different(tables(folder / DATABASE), wanted.tables) == []
    return rows, different(files(folder / SITE), wanted.site) == [] and leftovers(folder, wanted) == []


def is_lost(folder: Path, wanted: Reference, was_earlier: bool) -> bool:
    """Return whether a folder shows less than what was there before a fault, or something that is not whole.

    The page says which site counts: each of its files must be there as it was written, whatever else lies beside them.
    """
    atlases = [wanted.tables] + [wanted.earlier_tables] * was_earlier
    sites = [wanted.site] + [wanted.earlier_site] * was_earlier
    is_there = (folder / DATABASE).is_file(), (folder / SITE / "index.html").is_file()
    if was_earlier and not all(is_there):
        return True
    if is_there[0]:
        found = tables(folder / DATABASE)
        if all(different(found, whole) for whole in atlases):
            return True
    return is_there[1] and not any(_shows(folder / SITE, site) for site in sites)


def _shows(folder: Path, site: dict[str, bytes]) -> bool:
    """Return whether a folder has all files of a site but the record, which may know of more while one takes another's place."""
    found = files(folder)
    return all(found.get(name) == content for name, content in site.items() if name != "baked.json")


def table(outcomes: Iterable[Outcome]) -> str:
    """Return the outcomes as a table in Markdown, a line for each fault."""
    by_fault: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_fault.setdefault(outcome.fault, []).append(outcome)
    lines = [
        "| fault | runs | finished after | rows equal | bytes equal | lost | message named the cause |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for fault, those in by_fault.items():
        said = [one.named for one in those if one.named is not None]
        named = f"{sum(said)} of {len(said)}" if said else "–"
        counts = (sum(one.finished for one in those), sum(one.rows for one in those), sum(one.bytes for one in those))
        lines.append(f"| {fault} | {len(those)} | {' | '.join(map(str, counts))} | {sum(one.lost for one in those)} | {named} |")
    return "\n".join(lines)
