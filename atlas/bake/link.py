"""What a link to an expert's page says of its cloud."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs

from atlas.errors import ConfigError


@dataclass(frozen=True)
class Link:
    """The address of an expert's page, as far as a cloud is drawn by it."""

    expert: int
    colour: str | None = None
    """A task, or a task and by what its points are coloured: 'months', 'months:norm'."""
    view: str | None = None
    """'gate', or None: as the model sees it."""
    camera: str | None = None
    only: tuple[str, ...] = ()
    """Entries of the key that alone are coloured."""
    without: tuple[str, ...] = ()
    """Entries that are not."""

    @classmethod
    def read(cls, text: str) -> Link:
        """Return what an address, or the part of it from the # on, says.

        Raises:
            ConfigError: it leads to no expert's page.
        """
        path, _, query = text.partition("#")[2].partition("?")
        found = re.fullmatch(r"/?expert/(\d{1,9})", path)
        if not found:
            raise ConfigError(
                f"--link is {text!r}, which leads to no expert's page; it ends as '#/expert/12?colour=months' does."
            )
        given = parse_qs(query)
        # As the page chooses: the task that is asked for, else that which the list was narrowed by.
        labels = [label.partition(":")[0] for label in given.get("label", [])]
        colour = next(iter([*given.get("colour", []), *labels, *given.get("task", [])]), None)
        return cls(
            expert=int(found[1]),
            colour=colour,
            view=next(iter(given.get("seen", [])), None),
            camera=next(iter(given.get("camera", [])), None),
            only=tuple(given.get("only", [])),
            without=tuple(given.get("without", [])),
        )
