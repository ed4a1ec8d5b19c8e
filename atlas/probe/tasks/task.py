"""What a labelled task is: rows with their labels in order, and the hypotheses that are tested on them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

Need = Literal["case", "newline", "causal"]
Shape = Literal["ring", "ordinal", "map", "classes"]
Probe = Literal["linear", "ridge", "logistic", "multinomial"]

FEWEST_GROUPS = 3
"""One of every three groups is the report set, and experts are ranked by folds over the others."""


class Sentence(NamedTuple):
    """One labelled sentence and the place in it that is probed."""

    text: str
    """Empty where the task is a matrix."""
    label: int
    template: int
    start: int
    """First character of the label, or of what is probed instead."""
    end: int
    """One past its last character."""


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """A named target, given for each label or for each row."""

    name: str
    title: str
    shape: Shape
    """What it is called if it holds; a map is a place in a space of several numbers, such as RGB."""
    description: str
    """How the targets follow, in words."""
    probe: Probe
    of_label: Float64[np.ndarray, "label target"] | None
    """Where the target is a function of the label; of classes one column, the index into `class_names`."""
    of_row: Float64[np.ndarray, "row target"] | None
    """In the order of the task's sentences; given exactly if `of_label` is not."""
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Task:
    """A labelled data set: sentences with a probed place, or rows of a matrix."""

    name: str
    title: str
    family: str
    """Tasks of one family are not told apart by an expert's title."""
    description: str
    cyclic: bool
    labels: tuple[str, ...]
    values: Float64[np.ndarray, "label"]
    """Each label's place on the task's own axis."""
    colours: tuple[str, ...]
    """`#rrggbb` for each label; empty where the page chooses."""
    hypotheses: tuple[Hypothesis, ...]
    needs: tuple[Need, ...]
    """What a model must give: case, newlines, or a head that predicts the next token."""
    natural_mentions: bool
    """Whether a word of running text that is spelled as a label means it."""
    sentences: tuple[Sentence, ...]
    """Every labelled row, in order."""
    groups: tuple[str, ...]
    """Each template's group; folds are whole groups."""
    matrix: Float32[np.ndarray, "row d_in"] | None = None
    """Rows that are given as numbers; the sentences then hold labels and templates only."""
    remarks: tuple[str, ...] = ()
    """What was left out of the data and why, one line each."""
    assumptions: tuple[str, ...] = ()
    """How the data were read where nothing says it, one line each."""
    files: tuple[Path, ...] = field(default=(), compare=False)
    """What it was read from."""

    def group_names(self) -> list[str]:
        """Return the groups in the order in which they first appear."""
        return list(dict.fromkeys(self.groups))

    def report(self) -> Bool[np.ndarray, "template"]:
        """Return which templates belong to the report set: every third group, whole. Experts are ranked on the others."""
        chosen = set(self.group_names()[1::3])
        return np.array([group in chosen for group in self.groups], dtype=np.bool_)

    def folds(self) -> Int64[np.ndarray, "template"]:
        """Return each template's group as a number."""
        number = {name: index for index, name in enumerate(self.group_names())}
        return np.array([number[group] for group in self.groups], dtype=np.int64)

    def fingerprint(self) -> str:
        """Return the sha256 of everything that the task holds, whatever files it was read from."""
        return hashlib.sha256(json.dumps(_plain(self), ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; of an array its type, shape and hash."""
    if isinstance(value, np.ndarray):
        return [value.dtype.str, list(value.shape), hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value) if field.compare}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
