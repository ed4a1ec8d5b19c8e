"""The small clouds of the list, each with the context of the expert's strongest firing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atlas.bake.arrays import narrow, spread, typed
from atlas.bake.contexts import Joined
from atlas.bake.points import UNLABELLED, Points

CLOUD_POINTS = 64
OUTLYING_SHARE, OUTLYING = 0.03, 2.0
"""Of the farthest of these, rounded up, those are left out that lie more than so many times as far as all others: they would
shrink the cloud to a speck."""


def cloud_task(expert: Mapping[str, Any], best: Mapping[str, Any] | None, points: Mapping[int, Points]) -> int | None:
    """Return the task that an expert is first shown on: its title's, else that of its best supported order, else the corpus."""
    ordered = best["task"] if best and best["order_supported"] else None
    wanted = (expert["title_task"], ordered, 0)
    return next((task for task in wanted if task is not None and task in points), None)


@dataclass(frozen=True)
class Cloud:
    """An expert in the list."""

    xyz: npt.NDArray[Any]
    """(point, 3), int8, from the middle of the points' own cube."""
    label: npt.NDArray[Any]
    """Label plus one; 0 where the task has none."""

    @classmethod
    def of(cls, points: Points | None) -> Cloud:
        """Choose points evenly over the labels, else over the rows; none of none."""
        if points is None:
            return cls(np.empty((0, 3), np.int8), np.empty(0, np.int64))
        few = points.at(np.argsort(points.label, kind="stable")[spread(points.count, CLOUD_POINTS)])
        xyz, label = few.xyz, few.label - UNLABELLED
        away = np.linalg.norm(xyz - np.median(xyz, axis=0), axis=1)
        others = max(1, len(away) - math.ceil(OUTLYING_SHARE * len(away)))
        near = away <= OUTLYING * np.sort(away)[others - 1]
        xyz, label = xyz[near], label[near]
        middle = (xyz.min(axis=0) + xyz.max(axis=0)) / 2
        # The whole cloud stays in view however it is turned, so the farthest point sets the scale.
        reach = max(float(np.linalg.norm(xyz - middle, axis=1).max()), 1e-9)
        return cls(np.rint((xyz - middle) / reach * 127).astype(np.int8), label)


def cloud_payload(clouds: Sequence[Cloud], contexts: Joined) -> dict[str, Any]:
    """Return a few experts' clouds end to end, with their strongest contexts."""
    return {
        "context": contexts._asdict(),
        "points": [len(cloud.label) for cloud in clouds],
        "xyz": typed(np.concatenate([cloud.xyz for cloud in clouds])),
        "label": typed(narrow(np.concatenate([cloud.label for cloud in clouds]))),
    }
