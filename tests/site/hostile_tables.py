"""A synthetic atlas in which every text that a person, a model or a corpus may have written is hostile."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import cycle
from random import Random
from typing import Any

from synthetic import Size, synthetic_tables

FREE = {
    "tasks": ("name", "title", "description", "needs"),
    "absences": ("name", "title", "reason"),
    "labels": ("name",),
    "hypotheses": ("name", "title", "description"),
    "vocabulary": ("text",),
    "label_mentions": ("labelled", "name"),
    "mentions": ("labelled",),
    "overview_clusters": ("name",),
    "titles": ("title",),
    "prompts": ("text",),
    "prompt_tokens": ("text",),
}
"""Of each table the columns whose words are nobody's of ours."""


def hostile_tables(strings: Sequence[str], size: Size) -> dict[str, dict[str, Any]]:
    """Return every table with the strings in place of all free text, each of them somewhere."""
    tables = synthetic_tables(size=size)
    turn = cycle(Random(0).sample(strings, len(strings)))  # each column has some of every kind
    for table, columns in FREE.items():
        for column in columns:
            tables[table][column] = [next(turn) for _ in tables[table][column]]
    tables["tasks"]["name"] = [f"{number}{name}" for number, name in enumerate(tables["tasks"]["name"])]  # no two alike
    tables["labels"]["name"] = _distinct(tables["labels"])
    tables["hypotheses"]["classes"] = [[next(turn) for _ in classes] for classes in tables["hypotheses"]["classes"]]
    tables["training_log"]["metric"] = [f"{metric}{strings[0]}" for metric in tables["training_log"]["metric"]]
    tables["shapes"]["absent"] = [absent and next(turn) for absent in tables["shapes"]["absent"]]
    tables["provenance"]["value"] = [
        json.dumps(_facts(json.loads(value), turn)) if key in ("model", "corpus") else value
        for key, value in zip(tables["provenance"]["key"], tables["provenance"]["value"], strict=True)
    ]
    return tables


def _distinct(labels: dict[str, Any]) -> list[str]:
    """Return the labels' names, with their numbers where a task has two that are alike."""
    seen: set[tuple[int, str]] = set()
    names = []
    for task, label, name in zip(labels["task"], labels["label"], labels["name"], strict=True):
        names.append(f"{name}{label}" if (task, name) in seen else name)
        seen.add((task, names[-1]))
    return names


def _facts(facts: dict[str, Any], turn: cycle[str]) -> dict[str, Any]:
    return {name: next(turn) if isinstance(value, str) else value for name, value in facts.items()}
