"""How faithful the dictionary is, how often its experts fire and how it was trained ► the payload of the fidelity view."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from atlas.bake.arrays import Array
from atlas.bake.numbers import count, percent
from atlas.store import Task

MOST_POINTS = 512
"""Points of a training curve; a longer log keeps the lowest and the highest value of each stretch."""


@dataclass(frozen=True)
class Measure:
    """A row of the table of fidelity."""

    metric: str
    title: str
    about: str
    """What it is and which direction is better."""
    distance: Callable[[float], float] | None = None
    """How far a value is from the best, up to a monotone change; None where neither direction is better."""


MEASURES = (
    Measure(
        "fvu",
        "Unexplained share",
        "Squared error over the variance of these tokens. 0 is perfect, 1 no better than their mean: smaller is better.",
        lambda value: value,
    ),
    Measure(
        "fvu_uncentred",
        "Unexplained share about zero",
        "Squared error over squared length, so that rebuilding the mean counts too: smaller is better.",
        lambda value: value,
    ),
    Measure(
        "cosine",
        "Cosine",
        "Between the rebuilt activation and the true one, mean over tokens: nearer 1 is better.",
        lambda value: -value,
    ),
    Measure(
        "norm_ratio",
        "Norm ratio",
        "Length of the rebuilt activation over that of the true one, mean over tokens: nearer 1 is better.",
        lambda value: abs(value - 1),
    ),
    Measure(
        "normalised_mse",
        "Normalised error",
        "Squared error over squared length of each token, then the mean over tokens: smaller is better.",
        lambda value: value,
    ),
    Measure("experts_per_token", "Experts per token", "How many fire on a token, on average. Fewer is sparser."),
    Measure(
        "coordinates_per_token",
        "Coordinates per token",
        "How many numbers a token is rebuilt from, on average: experts times the width of a code. Fewer is sparser.",
    ),
)
_CROSS_ENTROPY = {
    "model": "Kept as it is",
    "dictionary": "Rebuilt by the dictionary",
    "pca": "Rebuilt by PCA",
    "mean": "Set to the mean activation",
    "zero": "Set to zero",
}
_TRAINING = {
    "fvu": ("Unexplained share", "of the batch’s variance"),
    "loss": ("Loss", "what is minimised, per scaled row"),
    "reconstruction_loss": ("Reconstruction loss", "squared error of a scaled row"),
    "auxiliary_loss": ("Auxiliary loss", "with its weight"),
    "dead": ("Dead experts", "experts"),
    "threshold": ("Threshold", "norm of a code, scaled"),
    "experts_above_threshold": ("Experts above the threshold", "per row"),
    "experts_above_1e-3": ("Kept experts of norm above 0.001", "per row"),
    "experts_above_1e-1": ("Kept experts of norm above 0.1", "per row"),
    "mean_norm": ("Mean norm", "of kept codes, scaled"),
    "positive_units": ("Hidden units above zero", "per row"),
    "gradient_norm": ("Gradient norm", "before it is clipped"),
    "learning_rate": ("Learning rate", "size of a step"),
    "rows": ("Rows", "trained on so far"),
}
"""Title and unit of what our training logs; another metric goes by its own name."""


def fidelity_payload(evaluation: pl.DataFrame, log: pl.DataFrame, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return what the fidelity view shows.

    `corpus` is null where nothing was evaluated. A value is null where it could not be measured, and left out where it does
    not apply. `ahead` says which of 'dictionary' and 'pca' is nearer the best, null for neither.
    """
    found = _Evaluation(evaluation)
    return {
        "corpus": found.corpus(),
        "tasks": found.tasks(tasks),
        "cross_entropy": found.cross_entropy(),
        "rates": found.rates(),
        "training": _curves(log),
    }


class _Evaluation:
    """The rows of the table `evaluation` by task, subject and metric."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._rows = {
            (row["task"], row["subject"], row["metric"]): (_finite(row["value"]), row["tokens"])
            for row in frame.iter_rows(named=True)
        }
        coordinates = self._value(0, "pca", "coordinates_per_token")
        self._coordinates = None if coordinates is None else round(coordinates)

    def corpus(self) -> dict[str, Any] | None:
        rows = [
            {"metric": measure.metric, "title": measure.title, "about": measure.about} | compared
            for measure in MEASURES
            if (compared := self._compared(0, measure))
        ]
        if not rows:
            return None
        behind = sum(row["ahead"] == "pca" for row in rows)
        counted = sum(row["ahead"] is not None for row in rows)
        return {
            "tokens": next(tokens for (task, _, _), (_, tokens) in self._rows.items() if task == 0),
            "coordinates": self._coordinates,
            "rows": rows,
            "verdict": self._verdict(f"by {behind} of {counted} measures") if behind else None,
        }

    def tasks(self, tasks: Sequence[Task]) -> dict[str, Any]:
        rows = [
            {"task": task.task, "tokens": self._tokens(task.task, "fvu")} | compared
            for task in tasks
            if task.task != 0 and (compared := self._compared(task.task, MEASURES[0]))
        ]
        titles = {task.task: task.title for task in tasks}
        behind = [titles[row["task"]] for row in rows if row["ahead"] == "pca"]
        worse = [titles[row["task"]] for row in rows if (row.get("dictionary") or 0.0) > 1]
        said = [f"PCA is closer on {_listed(behind)}."] if behind else []
        if worse:
            said.append(f"On {_listed(worse)} the dictionary is further off than the mean of the task’s own rows.")
        return {"rows": rows, "verdict": " ".join(said) or None}

    def cross_entropy(self) -> dict[str, Any] | None:
        rows = []
        for subject, title in _CROSS_ENTROPY.items():
            if (0, subject, "cross_entropy") in self._rows:
                row = {"subject": subject, "title": title, "value": self._value(0, subject, "cross_entropy")}
                if (0, subject, "cross_entropy_score") in self._rows:
                    row["score"] = self._value(0, subject, "cross_entropy_score")
                rows.append(row)
        if not rows:
            return None
        dictionary, pca = (self._value(0, subject, "cross_entropy") for subject in ("dictionary", "pca"))
        behind = dictionary is not None and pca is not None and pca < dictionary
        return {
            "tokens": self._tokens(0, "cross_entropy"),
            "rows": rows,
            "verdict": "Rebuilt by PCA, it costs the model less here than rebuilt by the dictionary." if behind else None,
        }

    def rates(self) -> str | None:
        """Return a sentence on the experts' rates over the evaluation's own tokens."""
        values = {
            metric: value
            for (task, subject, metric), (value, _) in self._rows.items()
            if task == 0 and subject == "dictionary" and value is not None
        }
        parts = [f"{count(round(values[name]))} of them {name}" for name in ("silent", "dense") if name in values]
        if "rate_q50" in values:
            parts.append(f"the median expert fires on {percent(values['rate_q50'])} of tokens")
        if "rate_q10" in values and "rate_q90" in values:
            parts.append(f"the middle 80\u202f% of experts on {percent(values['rate_q10'])} to {percent(values['rate_q90'])}")
        if "rate_q100" in values:
            parts.append(f"the most frequent on {percent(values['rate_q100'])}")
        if not parts:
            return None
        tokens = self._tokens(0, "silent") or self._tokens(0, "rate_q50")
        return f"On the evaluation’s {count(tokens or 0)} held-out tokens: {', '.join(parts)}."

    def _verdict(self, where: str) -> str:
        dense = "components" if self._coordinates is None else f"{count(self._coordinates)} components"
        return (
            f"PCA is closer {where}. Its {dense} are the same for every token and chosen for the least squared error; "
            "the dictionary chooses other coordinates for each token."
        )

    def _compared(self, task: int, measure: Measure) -> dict[str, Any]:
        """Return the values that there are rows for and which is nearer the best; nothing where there is no row."""
        values = {
            subject: self._value(task, subject, measure.metric)
            for subject in ("dictionary", "pca")
            if (task, subject, measure.metric) in self._rows
        }
        return values | {"ahead": _ahead(measure, values.get("dictionary"), values.get("pca"))} if values else {}

    def _value(self, task: int, subject: str, metric: str) -> float | None:
        return self._rows.get((task, subject, metric), (None, 0))[0]

    def _tokens(self, task: int, metric: str) -> int | None:
        of = [tokens for (at, _, what), (_, tokens) in self._rows.items() if (at, what) == (task, metric)]
        return of[0] if of else None


def _ahead(measure: Measure, dictionary: float | None, pca: float | None) -> str | None:
    if measure.distance is None or dictionary is None or pca is None:
        return None
    ours, theirs = measure.distance(dictionary), measure.distance(pca)
    return None if ours == theirs else "dictionary" if ours < theirs else "pca"


def _curves(log: pl.DataFrame) -> list[dict[str, Any]]:
    """Return one curve per metric: those we know first, the others by name."""
    curves = []
    names = log["metric"].unique().to_list()
    known = list(_TRAINING)
    for name in sorted(names, key=lambda name: (known.index(name) if name in _TRAINING else len(known), name)):
        # A run that was taken up again logs some steps twice; the later one is what the dictionary went on from.
        rows = log.filter((pl.col("metric") == name) & pl.col("value").is_finite())
        rows = rows.unique("step", keep="last", maintain_order=True).sort("step")
        step, value = rows["step"].to_numpy(), rows["value"].to_numpy()
        if len(step) == 0:
            continue
        title, unit = _TRAINING.get(name, (name.replace("_", " "), ""))
        kept = extremes(value, MOST_POINTS)
        curves.append(
            {
                "metric": name,
                "title": title,
                "unit": unit,
                "logged": len(step),
                "step": step[kept].tolist(),
                "value": [float(f"{value:.6g}") for value in value[kept]],
            }
        )
    return curves


def extremes(values: Array, most: int) -> Array:
    """Return at most `most` indices, ascending: all, or the ends and the lowest and highest value of each stretch between."""
    if len(values) <= most:
        return np.arange(len(values))
    inner = np.array_split(np.arange(1, len(values) - 1), (most - 2) // 2)
    kept = {0, len(values) - 1}
    for stretch in inner:
        kept |= {int(stretch[values[stretch].argmin()]), int(stretch[values[stretch].argmax()])}
    return np.array(sorted(kept))


def _finite(value: float | None) -> float | None:
    """Return None for what no payload can hold: a ratio over a variance of nothing was not measured either."""
    return value if value is not None and math.isfinite(value) else None


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def is_evaluated(payload: Mapping[str, Any]) -> bool:
    """Return whether the atlas holds anything that `atlas evaluate` measured."""
    return payload["corpus"] is not None
