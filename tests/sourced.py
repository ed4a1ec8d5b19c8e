"""What a harvest and a probe leave for geometry, written by hand: whose firings there are, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.stages import Column, Finished, Ragged, stacked

Firings = Mapping[int, Sequence[int]]
"""Expert ► the token, or the label, that each of its firings is on."""

Codes = Mapping[int, NDArray[Any]]
"""Expert ► the code of each of its firings; without any, it says whose firing it is and which one, in order."""

Tables = dict[str, dict[str, Column]]


def ragged(rows: Sequence[Sequence[Any] | NDArray[Any]], dtype: Any = np.int32) -> Ragged:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return Ragged(np.concatenate([np.zeros(0), *map(np.asarray, rows)]).astype(dtype), offsets.astype(np.int64))


def coded(firings: Firings, codes: Codes | None) -> dict[str, Column]:
    if codes is not None:
        width = next((codes[one].shape[1] for one in firings), 3)
        return {"code": np.concatenate([np.zeros((0, width)), *(codes[one] for one in firings)]).astype(np.float32)}
    named = [(one, i) for one, on in firings.items() for i in range(len(on))]
    return {"code": np.array(named, dtype=np.float32).reshape(len(named), 2)}


def corpus(task: int, name: str, firings: Firings, codes: Codes | None = None) -> Tables:
    """A corpus of two windows, each token of which one firing is on."""
    expert = [one for one, tokens in firings.items() for _ in tokens]
    token = [token for tokens in firings.values() for token in tokens]
    n, half = len(token), len(token) // 2
    return {
        "tasks": {"task": np.array([task]), "name": [name], "title": [name.title()], "kind": ["corpus"]},
        "windows": {"task": np.full(2, task), "tokens": ragged([token[:half], token[half:]])},
        "points": {
            "task": np.full(n, task),
            "expert": np.array(expert, dtype=np.int32),
            "window": np.array([int(i >= half) for i in range(n)], dtype=np.int32),
            "position": np.array([i if i < half else i - half for i in range(n)], dtype=np.int32),
        },
        "codes": coded(firings, codes),
    }


def harvest(*corpora: Tables) -> Finished:
    return Finished({}, {}, {}, {table: stacked([one[table] for one in corpora]) for table in corpora[0]})


def probe(rows: Sequence[int], fired: Firings, codes: Codes | None = None, name: str = "months", task: int = 1) -> Finished:
    """A task with so many rows of each label, and the labels of the rows on which each expert fires."""
    expert = [one for one, labels in fired.items() for _ in labels]
    counts = {(one, label): list(labels).count(label) for one, labels in fired.items() for label in dict.fromkeys(labels)}
    tables: Tables = {
        "tasks": {"task": np.array([task]), "name": [name], "title": [name.title()], "kind": ["labelled"]},
        "labels": {"task": np.full(len(rows), task), "label": np.arange(len(rows)), "rows": np.array(rows)},
        "label_stats": {
            "task": np.full(len(counts), task),
            "expert": np.array([one for one, _ in counts], dtype=np.int32),
            "label": np.array([label for _, label in counts], dtype=np.int32),
            "fires": np.array([n / rows[label] for (_, label), n in counts.items()], dtype=np.float64),
        },
        "points": {
            "task": np.full(len(expert), task),
            "expert": np.array(expert, dtype=np.int32),
            "label": np.array([label for labels in fired.values() for label in labels], dtype=np.int32),
        },
        "codes": coded(fired, codes),
    }
    return Finished({}, {}, {}, tables)
