"""Data colours, for a light and a dark page: computed where they must be even, listed where they must be told apart."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from plotly.colors import sequential

from atlas.store import Task

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
Array = npt.NDArray[Any]

GROUND: dict[Scheme, str] = {"light": "#fbfaf7", "dark": "#14171a"}
PANEL: dict[Scheme, str] = {"light": "#ffffff", "dark": "#1b1f23"}
TEXT: dict[Scheme, str] = {"light": "#1f2328", "dark": "#e6e8ea"}
MUTED: dict[Scheme, str] = {"light": "#5d646d", "dark": "#a0a8b0"}
LINE: dict[Scheme, str] = {"light": "#c9c5bb", "dark": "#444b52"}
CATEGORIES: dict[Scheme, tuple[str, ...]] = {
    "light": (
        *("#0072b2", "#d55e00", "#00875f", "#b8538f", "#a87400"),
        *("#2787bd", "#7a5195", "#8c6d31", "#5f6b73", "#a83240"),
    ),
    "dark": (
        *("#4aa3e0", "#f08a3c", "#2fc79a", "#e39cc6", "#e6b84a"),
        *("#8fd0f5", "#b59ad6", "#c9a867", "#a9b4bb", "#ea8791"),
    ),
}
RAMP = 32
"""Colours that a number is drawn in: more cannot be told apart."""
NONE: dict[Scheme, str] = {"light": "#8f959b", "dark": "#70777e"}
"""Of dots and points that belong to no category: a grey that hardly passes the least contrast of data."""
MIN_CONTRAST = 3.0
"""Of a data colour on its panel."""
LIGHTNESS_STEPS = 101
IN_GAMUT = 1e-4
"""How far outside sRGB a channel may lie before it is rounded to it."""
# The cyclic scale's circle in OKLab: lightness of its centre, radius, and how far it leans out of even lightness. Leaning
# gives readers who cannot tell the hues apart a light and a dark side of the year; all of it lies inside sRGB.
CYCLE: dict[Scheme, tuple[float, float, float]] = {"light": (0.59, 0.11, 0.7), "dark": (0.72, 0.13, 0.7)}


def data_colours() -> dict[str, dict[str, Any]]:
    """Return, by scheme, the `categories`, the `ramp` of a number, the `cycle` of an angle, and the colour of `none` of these."""
    return {
        scheme: {
            "categories": CATEGORIES[scheme],
            "none": NONE[scheme],
            "ramp": ordered(np.linspace(0, 1, RAMP), scheme),
            "cycle": cyclic(RAMP, scheme),
        }
        for scheme in SCHEMES
    }


def label_colours(task: Task, scheme: Scheme) -> list[str]:
    """Return one colour per label of a task, in label order: its own where it is given, made to be seen on the panel.

    Labels without an order that are more than the categories share the colour of their class, if the task sorts them into
    classes; else they stand round the hues.
    """
    if given := given_colours(task):
        return [legible(colour, scheme) for colour in given]
    if task.cyclic:
        return cyclic(len(task.labels), scheme)
    if is_ordered(task):
        values = np.array([label.value for label in task.labels])
        span = float(np.ptp(values)) or 1.0
        return ordered((values - values.min()) / span, scheme)
    categories = CATEGORIES[scheme]
    if len(task.labels) <= len(categories):
        return list(categories[: len(task.labels)])
    classes = [one.class_of_label for one in task.hypotheses if one.class_of_label and len(one.classes) <= len(categories)]
    if classes:
        return [categories[number] for number in max(classes, key=lambda numbers: len(set(numbers)))]
    return cyclic(len(task.labels), scheme)


def given_colours(task: Task) -> list[str]:
    """Return the colours that the task gives its labels; none unless each has one."""
    given = [label.colour for label in task.labels if label.colour is not None]
    return given if len(given) == len(task.labels) else []


def is_ordered(task: Task) -> bool:
    """Return whether a hypothesis says that the labels have an order."""
    return any(hypothesis.shape in ("ring", "ordinal") for hypothesis in task.hypotheses)


def legible(colour: str, scheme: Scheme) -> str:
    """Return the colour with the least change of lightness, in OKLab, that makes it stand out from the panel.

    The hue is kept; chroma gives way only where sRGB has no such colour of that lightness.
    """
    if contrast(colour, PANEL[scheme]) >= MIN_CONTRAST:
        return colour
    lightness, *chroma = _oklab(_linear(colour))
    away = 0.0 if scheme == "light" else 1.0
    steps = np.linspace(lightness, away, LIGHTNESS_STEPS)
    kept = np.linspace(1, 0, LIGHTNESS_STEPS)[:, None] * np.array(chroma)
    lab = np.concatenate(
        [np.broadcast_to(steps[:, None, None], (len(steps), len(kept), 1)), np.broadcast_to(kept, (len(steps), *kept.shape))],
        axis=2,
    )
    linear = _linear_from_oklab(lab)
    # Grey is a colour of every lightness, so the last of each row is inside.
    inside = np.all((linear >= -IN_GAMUT) & (linear <= 1 + IN_GAMUT), axis=2)
    inside[:, -1] = True
    most_chroma = linear[np.arange(len(steps)), inside.argmax(axis=1)]
    return next(seen for step in most_chroma if contrast(seen := _hex(step), PANEL[scheme]) >= MIN_CONTRAST)


def cyclic(count: int, scheme: Scheme) -> list[str]:
    """Return `count` colours an equal way apart on a closed circle in OKLab, the first at its light side."""
    lightness, radius, lean = CYCLE[scheme]
    turn = 2 * np.pi * np.arange(count) / count
    lab = np.stack(
        [
            lightness + radius * np.sin(lean) * np.cos(turn),
            radius * np.cos(lean) * np.cos(turn),
            radius * np.sin(turn),
        ],
        axis=1,
    )
    return [_hex(colour) for colour in _linear_from_oklab(lab)]


def ordered(places: Array, scheme: Scheme) -> list[str]:
    """Return viridis at places from 0 to 1, without the end that would fade into the panel."""
    stops = np.array([_linear(stop) for stop in sequential.Viridis])
    fine = _along(_oklab(stops), np.linspace(0, 1, 256))
    seen = [contrast(_hex(colour), PANEL[scheme]) >= MIN_CONTRAST for colour in _linear_from_oklab(fine)]
    visible = fine[np.array(seen)]
    # Dark stands for little on a light page and light for little on none: the order of viridis stays.
    return [_hex(colour) for colour in _linear_from_oklab(_along(visible, places))]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours as WCAG 2 defines it: 1 is none, 21 is black on white."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    low, high = sorted(float(_linear(colour) @ weights) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def _along(stops: Array, places: Array) -> Array:
    at = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(places, at, channel) for channel in stops.T], axis=1)


def _linear(colour: str) -> Array:
    encoded = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def _hex(linear: Array) -> str:
    clipped = np.clip(linear, 0, 1)
    encoded = np.where(clipped <= 0.0031308, clipped * 12.92, 1.055 * clipped ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(float(channel) * 255):02x}" for channel in encoded)


# OKLab: Björn Ottosson, "A perceptual color space for image processing" (2020).
_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _oklab(linear: Array) -> Array:
    return np.cbrt(linear @ _TO_CONES.T) @ _TO_LAB.T


def _linear_from_oklab(lab: Array) -> Array:
    return (lab @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_TO_CONES).T
