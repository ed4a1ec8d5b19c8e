"""Where names stand beside their marks: never on each other, on no large mark, and off the points where that can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

GAP = 1.5
"""Between a name and its mark, and between names, in points."""
DIRECTIONS = 24
RINGS = 7
"""How many distances from the mark are tried, a line of text apart."""
LED = 1
"""Rings from which on a line leads from the name to its mark."""
_PER_RING, _PER_POINT, _PER_CROSSING, _ASTRAY = 3.0, 1.0, 12.0, 24.0
"""What it costs to stand farther away, on a point, to have one's line cross another or lie under a name, and to stand nearer to
another mark than to one's own with no line that tells whose it is."""


class Name(NamedTuple):
    """A name to be placed, in points."""

    x: float
    """Of what it names."""
    y: float
    width: float
    height: float
    radius: float
    """Of the mark that it names."""


class Placed(NamedTuple):
    """Where a name stands."""

    x: float
    """Its left end."""
    y: float
    """Its lower end."""
    leader: tuple[tuple[float, float], tuple[float, float]] | None
    """The line from its mark, where it stands away from it."""


def place(names: Sequence[Name], points: Array, size: tuple[float, float], foot: float = 0.0) -> list[Placed | None]:
    """Return where each name stands inside a figure, in the order given; None where there is no room for it.

    `points` have the shape (point, 2); they may be covered if nothing better is left, marks and names never. The lowest
    `foot` points of the figure are kept free.
    """
    marks = np.array([[name.x, name.y, name.radius] for name in names]).reshape(-1, 3)
    boxes, leaders = np.empty((0, 4)), np.empty((0, 4))
    found: list[Placed | None] = []
    for at, name in enumerate(names):
        tried, rings = _candidates(name)
        lines = _leaders(name, tried)
        gaps = _gaps(tried, marks)
        is_free = _inside(tried, size, foot) & (gaps >= 0).all(axis=1) & ~_overlapping(tried, boxes).any(axis=1)
        others = np.delete(marks, at, axis=0)
        is_led = rings >= LED
        is_free &= ~(is_led & _overlapping_lines(lines, boxes).any(axis=1))
        if not is_free.any():
            found.append(None)
            continue
        crossings = _crossed(lines, leaders).sum(axis=1) + _near(lines, others).sum(axis=1)
        under = _overlapping_lines(leaders, tried).sum(axis=0) if len(leaders) else 0
        is_astray = ~is_led & (gaps[:, at] > gaps.min(axis=1))
        cost = _PER_RING * rings + _PER_POINT * _covered(tried, points) + _PER_CROSSING * (is_led * crossings + under)
        cost = cost + _ASTRAY * is_astray
        best = int(np.where(is_free, cost, np.inf).argmin())
        boxes = np.vstack([boxes, tried[best] + [-GAP, -GAP, GAP, GAP]])
        line = lines[best]
        if is_led[best]:
            leaders = np.vstack([leaders, line])
        start, end = (float(line[0]), float(line[1])), (float(line[2]), float(line[3]))
        found.append(Placed(float(tried[best, 0]), float(tried[best, 1]), (start, end) if is_led[best] else None))
    return found


def _candidates(name: Name) -> tuple[Array, Array]:
    """Return boxes (candidate, 4), left, low, right, high, around a mark, nearest first, and the ring of each."""
    angles = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS + np.pi / 2
    ring = np.repeat(np.arange(RINGS), DIRECTIONS)
    cosine, sine = np.tile(np.cos(angles), RINGS), np.tile(np.sin(angles), RINGS)
    away = name.radius + GAP + ring * name.height
    # The box touches a circle round the mark: half of it lies on either side of the direction.
    x = name.x + cosine * (away + name.width / 2)
    y = name.y + sine * (away + name.height / 2)
    half = np.array([name.width, name.height]) / 2
    middle = np.stack([x, y], axis=1)
    return np.concatenate([middle - half, middle + half], axis=1), ring


def _leaders(name: Name, boxes: Array) -> Array:
    """Return the line (candidate, 4) from the edge of a mark to the nearest place of each box."""
    mark = np.array([name.x, name.y])
    end = np.clip(mark, boxes[:, :2], boxes[:, 2:])
    way = end - mark
    length = np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9)
    return np.concatenate([mark + way / length * np.minimum(name.radius, length), end], axis=1)


def _inside(boxes: Array, size: tuple[float, float], foot: float) -> Array:
    return np.all((boxes[:, :2] >= [0, foot]) & (boxes[:, 2:] <= size), axis=1)


def _overlapping(boxes: Array, others: Array) -> Array:
    """Return whether each box lies on each other one."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.all(low < high, axis=2)


def _gaps(boxes: Array, marks: Array) -> Array:
    """Return how far each box is from the edge of each mark; below 0 where it lies on it."""
    nearest = np.clip(marks[None, :, :2], boxes[:, None, :2], boxes[:, None, 2:])
    return np.linalg.norm(nearest - marks[None, :, :2], axis=2) - marks[None, :, 2]


def _covered(boxes: Array, points: Array) -> Array:
    """Return how many points each box lies on."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    return ((points[None] >= low) & (points[None] <= high)).all(axis=2).sum(axis=1)


def _crossed(lines: Array, others: Array) -> Array:
    """Return whether each line crosses each other one."""
    a, b = lines[:, None, :2], lines[:, None, 2:]
    c, d = others[None, :, :2], others[None, :, 2:]
    return (_side(a, b, c) * _side(a, b, d) < 0) & (_side(c, d, a) * _side(c, d, b) < 0)


def _side(start: Array, end: Array, point: Array) -> Array:
    (x, y), (u, v) = np.moveaxis(end - start, -1, 0), np.moveaxis(point - start, -1, 0)
    return np.sign(x * v - y * u)


def _near(lines: Array, marks: Array) -> Array:
    """Return whether each line leads over each mark."""
    start, way = lines[:, None, :2], lines[:, None, 2:] - lines[:, None, :2]
    along = ((marks[None, :, :2] - start) * way).sum(axis=2) / np.maximum((way**2).sum(axis=2), 1e-9)
    nearest = start + np.clip(along, 0, 1)[..., None] * way
    return np.linalg.norm(nearest - marks[None, :, :2], axis=2) < marks[None, :, 2]


def _overlapping_lines(lines: Array, boxes: Array) -> Array:
    """Return whether each line leads through each box: at one of twenty places along it, evenly."""
    along = np.linspace(0, 1, 20)[None, :, None]
    places = lines[:, None, :2] + along * (lines[:, None, 2:] - lines[:, None, :2])
    low, high = boxes[None, None, :, :2], boxes[None, None, :, 2:]
    return ((places[:, :, None] > low) & (places[:, :, None] < high)).all(axis=3).any(axis=1)
