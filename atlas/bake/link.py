"""What a link to an expert's page says of its cloud."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from atlas.errors import ConfigError


@dataclass(frozen=True)
class Link:
    """The address of an expert's page, as far as a cloud is drawn by it."""

    expert: int
    colour: str | None = None
    """A task, or a task and by what its points are coloured: 'months', 'months:norm'."""
    task: str | None = None
    """The task that the list was narrowed by."""
    view: str | None = None
    """'gate', or None: as the model sees it."""
    camera: str | None = None
    pin: str | None = None
    """Number of the point whose context stays in sight."""
    only: tuple[str, ...] = ()
    """Entries of the key that alone are coloured."""
    without: tuple[str, ...] = ()
    """Entries that are not."""
    flat: bool = False
    """Projections in place of the scene."""
    join: bool = False
    """Class means joined in label order even where the order is not supported."""

    @classmethod
    def read(cls, text: str) -> Link:
        """Return what an address, or the part of it from the # on, says.

        Raises:
            ConfigError: it leads to no expert's page.
        """
        path, _, query = text.partition("#")[2].partition("?")
        found = re.fullmatch(r"/?expert/([0-9]{1,9})", path)
        if not found:
            raise ConfigError(
                f"--link is {text!r}, which leads to no expert's page; it ends as '#/expert/12?colour=months' does."
            )
        given = parse_qs(query)
        labels = [label.partition(":")[0] for label in given.get("label", [])]
        return cls(
            expert=int(found[1]),
            colour=_first(given.get("colour", [])),
            task=_first([*labels, *given.get("task", [])]),
            view=_first(given.get("seen", [])),
            camera=_first(given.get("camera", [])),
            pin=_first(given.get("pin", [])),
            only=tuple(given.get("only", [])),
            without=tuple(given.get("without", [])),
            flat=given.get("flat") == ["1"],
            join=given.get("join") == ["1"],
        )


def _first(values: Sequence[str]) -> str | None:
    return values[0] if values else None
