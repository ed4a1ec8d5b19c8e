"""What was looked at, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from atlas.errors import AtlasError

Progress = Callable[[str], None]


class Fault(NamedTuple):
    """One thing that is wrong."""

    kind: str
    """In a word: what was looked at."""
    where: str
    """A file, a payload or a table, with the place in it."""
    what: str
    others: int = 0
    """Places of the same table that break the same promise and are not told one by one."""

    def __str__(self) -> str:
        more = f"; and {self.others:,} more like it" if self.others else ""
        return f"{self.kind}: {self.where}: {self.what}{more}"


class Check(NamedTuple):
    """One kind of thing that was looked at."""

    name: str
    things: int
    """How many there were."""
    faults: tuple[Fault, ...] = ()
    said: str = ""
    """What was not looked at, and why."""

    @property
    def n_faults(self) -> int:
        """All that are wrong, told or not."""
        return sum(1 + fault.others for fault in self.faults)


@dataclass(frozen=True)
class Report:
    """Everything that was looked at, in order."""

    checks: tuple[Check, ...]
    stopped: AtlasError | None = None
    """What kept the rest from being looked at."""

    @property
    def n_faults(self) -> int:
        """All that is wrong."""
        return sum(check.n_faults for check in self.checks)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong, in the order in which it was found."""
        return tuple(fault for check in self.checks for fault in check.faults)

    def told(self, most: int) -> tuple[list[Fault], dict[str, int]]:
        """Return at most so many faults of each kind, and of the kinds that have more, how many are left out."""
        kept: list[Fault] = []
        seen: dict[str, int] = {}
        left: dict[str, int] = {}
        for fault in self.faults:
            seen[fault.kind] = seen.get(fault.kind, 0) + 1
            if seen[fault.kind] <= most:
                kept.append(fault)
            else:
                left[fault.kind] = left.get(fault.kind, 0) + 1 + fault.others
        return kept, left


def expected(found: Any, wanted: Any) -> str:
    """Return two values that should be one, in words."""
    return f"found {shown(found)}, expected {shown(wanted)}"


LONGEST = 80
"""Characters of a value that a fault quotes."""


def shown(value: Any) -> str:
    """Return a value in words, cut where it is long."""
    text = f"{value:.9g}" if isinstance(value, float) else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
