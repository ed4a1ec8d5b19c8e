"""Labelled sentences: their labels in order, the templates they are made from, and the hypotheses that are tested on them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from atlas.errors import TaskError

BUILTIN = Path(__file__).with_name("builtin")
BUILTIN_TASKS = ("months", "weekdays", "numbers", "years")

SLOT = "{label}"


@dataclass(frozen=True)
class Hypothesis:
    """A named target that is a function of the label."""

    name: str
    title: str
    kind: Literal["ring", "linear", "log"]
    """ring: sine and cosine of the value within `period`; linear: the value; log: ln(1 + value)."""
    period: int | None

    @property
    def shape(self) -> str:
        """What a supported order is called."""
        return "ring" if self.kind == "ring" else "ordinal"

    @property
    def description(self) -> str:
        """How the targets follow from the label's value."""
        return {
            "ring": f"sine and cosine of 2π · value / {self.period}" if self.period else "",
            "linear": "the value",
            "log": "ln(1 + value)",
        }[self.kind]

    def targets(self, values: Float[np.ndarray, "label"]) -> Float[np.ndarray, "label target"]:
        """Return each label's target."""
        if self.kind == "ring":
            assert self.period is not None
            angle = 2 * np.pi * values / self.period
            return np.stack([np.sin(angle), np.cos(angle)], axis=1)
        return (np.log1p(values) if self.kind == "log" else values.astype(np.float64))[:, None]


class Sentence(NamedTuple):
    """One labelled sentence and where its label stands."""

    text: str
    label: int
    template: int
    start: int
    """First character of the label."""
    end: int
    """One past its last character."""


@dataclass(frozen=True)
class Task:
    """A labelled data set made from sentence templates in groups."""

    name: str
    title: str
    family: str
    """Tasks of one family are not told apart by an expert's title."""
    description: str
    cyclic: bool
    labels: tuple[str, ...]
    values: Float[np.ndarray, "label"]
    """Each label's place on the task's own axis."""
    templates: tuple[str, ...]
    groups: tuple[str, ...]
    """Each template's group; folds are whole groups."""
    hypotheses: tuple[Hypothesis, ...]

    def sentences(self) -> list[Sentence]:
        """Return every label in every template."""
        made = []
        for template, text in enumerate(self.templates):
            before, after = text.split(SLOT)
            for index, label in enumerate(self.labels):
                made.append(Sentence(f"{before}{label}{after}", index, template, len(before), len(before) + len(label)))
        return made

    def group_names(self) -> list[str]:
        """Return the groups in the order in which they first appear."""
        return list(dict.fromkeys(self.groups))

    def report(self) -> Bool[np.ndarray, "template"]:
        """Return which templates belong to the report set: every third group, whole. Experts are ranked on the others."""
        chosen = set(self.group_names()[1::3])
        return np.array([group in chosen for group in self.groups])

    def folds(self) -> Int64[np.ndarray, "template"]:
        """Return each template's group as a number."""
        names = self.group_names()
        return np.array([names.index(group) for group in self.groups], dtype=np.int64)


def load_task(path: Path) -> Task:
    """Return the task that a TOML file describes.

    A name slot is filled with one name per template, so that a name never tells the label.

    Raises:
        TaskError: the file is not TOML, lacks a key, or a template has not exactly one label.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        return _task(raw, path)
    except tomllib.TOMLDecodeError as error:
        raise TaskError(f"'{path}' is not TOML: {error}.") from error
    except KeyError as error:
        raise TaskError(f"The task in '{path}' lacks the key {error}.") from error


def builtin_tasks() -> list[Task]:
    """Return the tasks that come with Atlas."""
    return [load_task(BUILTIN / f"{name}.toml") for name in BUILTIN_TASKS]


def _task(raw: dict[str, Any], path: Path) -> Task:
    given = raw["labels"]
    if isinstance(given, dict):
        numbers = range(given["first"], given["last"] + 1)
        labels, values = [str(n) for n in numbers], [float(n) for n in numbers]
    else:
        labels, values = list(given), [float(n) for n in range(len(given))]
    texts = []
    for index, template in enumerate(raw["templates"]):
        text = template["text"]
        for slot, names in raw.get("fills", {}).items():
            text = text.replace("{" + slot + "}", names[index % len(names)])
        if text.count(SLOT) != 1 or "{" in text.replace(SLOT, ""):
            raise TaskError(f"Template {index} of '{path}' needs {SLOT} once and no slot without names: {text!r}.")
        texts.append(text)
    if len(set(labels)) != len(labels):
        raise TaskError(f"The task in '{path}' has a label twice.")
    return Task(
        name=raw["name"],
        title=raw["title"],
        family=raw["family"],
        description=raw["description"],
        cyclic=raw["cyclic"],
        labels=tuple(labels),
        values=np.array(values),
        templates=tuple(texts),
        groups=tuple(template["group"] for template in raw["templates"]),
        hypotheses=tuple(_hypothesis(stated, path) for stated in raw["hypotheses"]),
    )


def _hypothesis(stated: dict[str, Any], path: Path) -> Hypothesis:
    kind = stated["kind"]
    if kind not in ("ring", "linear", "log"):
        raise TaskError(
            f"The hypothesis '{stated['name']}' in '{path}' is of the kind {kind!r}; Atlas knows ring, linear and log."
        )
    return Hypothesis(stated["name"], stated["title"], kind, stated["period"] if kind == "ring" else None)
