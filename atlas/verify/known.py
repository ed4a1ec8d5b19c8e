"""What a site's manifest says there is, for what points to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from atlas.publish.manifest import column

_LONGEST = 12
"""Characters of a number that names something."""


@dataclass(frozen=True)
class Known:
    """The things of a site that have a number or a name."""

    numbers: list[int]
    """Of the experts, in the order of the manifest."""
    tasks: range
    labels: Mapping[int, npt.NDArray[np.int64]]
    """By labelled task, how many rows each of its labels has."""
    hypotheses: Mapping[int, int]
    """How many a task has."""
    labelled_names: frozenset[str]
    n_clusters: int
    prompts: range
    shards: Mapping[str, int]
    """Experts to a file, by kind of payload."""
    shown: list[int | None]
    """The task of each expert's small cloud."""

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Known:
        """Read a manifest.

        Raises:
            KeyError, TypeError, ValueError, ...: it has not the form of one.
        """
        labelled = [task for task in manifest["tasks"] if task["kind"] == "labelled"]
        return cls(
            numbers=column(manifest["experts"]["expert"]),
            tasks=range(len(manifest["tasks"])),
            labels={task["task"]: np.array(task["labels"]["rows"], np.int64) for task in labelled},
            hypotheses={task["task"]: len(task["hypotheses"]) for task in manifest["tasks"]},
            labelled_names=frozenset(task["name"] for task in labelled),
            n_clusters=len(manifest["map"]["clusters"]["name"]) if manifest["map"] else 0,
            prompts=range(len(manifest["prompts"])),
            shards={"windows": manifest["shards"]["experts"], **manifest["shards"]},
            shown=column(manifest["experts"]["cloud_task"]),
        )

    @property
    def n(self) -> int:
        """Rows of the manifest's `experts`."""
        return len(self.numbers)

    @cached_property
    def experts(self) -> frozenset[int]:
        """The experts' numbers."""
        return frozenset(self.numbers)

    def of_shard(self, kind: str, shard: int) -> list[int]:
        """Return the experts of a file of so many."""
        size = self.shards[kind]
        return self.numbers[shard * size : (shard + 1) * size]

    def cloud_tasks(self, shard: int) -> list[int | None]:
        """Return the tasks that a file of small clouds shows."""
        size = self.shards["clouds"]
        return self.shown[shard * size : (shard + 1) * size]

    def has(self, key: str, value: str) -> bool:
        """Return whether there is what a part of an address names."""
        if key == "task":
            return value in self.labelled_names
        among = self.experts if key == "at" else range(self.n_clusters)
        return number(value) in among


def number(text: str) -> int | None:
    """Return the number that a part of an address is; None where it is none that a page would take."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < _LONGEST else None
