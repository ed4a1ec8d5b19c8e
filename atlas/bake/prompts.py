"""Prompts ► payloads: the norm of every expert that comes near the threshold, token by token, in steps of the threshold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas.bake.arrays import narrow, packed, typed
from atlas.store import Store

Array = npt.NDArray[Any]

STEPS = 4_096
"""To the threshold: norms up to sixteen times as large take two bytes."""
TITLE = 60
"""Characters of a prompt that stand for it."""


def prompt_payloads(store: Store, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield a payload for each prompt, in order; `numbers` are the experts in the manifest's order."""
    texts = store.table("prompts")
    tokens = store.table("prompt_tokens").partition_by("prompt", as_dict=True)
    norms = store.table("prompt_norms").partition_by("prompt", as_dict=True)
    row_of = {number: row for row, number in enumerate(numbers)}
    threshold = store.provenance()["dictionary"]["threshold"]
    for prompt, text in texts.iter_rows():
        yield {"text": text, **prompt_payload(tokens[prompt,], norms.get((prompt,)), row_of, threshold)}


def prompt_payload(
    tokens: pl.DataFrame, norms: pl.DataFrame | None, row_of: Mapping[int, int], threshold: float
) -> dict[str, Any]:
    """Return the tokens of a prompt and, of each expert that is kept, the norms on them as whole steps."""
    window = tokens["window"].to_numpy()
    kept = [] if norms is None else [(row_of[expert], row) for expert, row in norms.select("expert", "norms").iter_rows()]
    each = np.array([row for _, row in kept], dtype=np.float32).reshape(len(kept), len(tokens))
    return {
        "tokens": tokens["text"].to_list(),
        "special": np.flatnonzero(tokens["special"].to_numpy()).tolist(),
        "windows": np.flatnonzero(np.diff(window, prepend=-1)).tolist(),
        "threshold": threshold,
        "steps": STEPS,
        "rows": typed(narrow(np.array([row for row, _ in kept], dtype=np.int64))),
        "norms": packed(stepped(each, threshold)),
    }


def stepped(norms: Array, threshold: float) -> Array:
    """Return norms as whole steps, of which the threshold has STEPS: exactly those above it have more, those below half none."""
    steps = np.rint(norms / threshold * STEPS)
    steps = np.where(norms > threshold, np.maximum(steps, STEPS + 1), np.minimum(steps, STEPS))
    return narrow(np.where(steps < STEPS / 2, 0, steps))


def prompt_titles(payloads: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what the manifest says of each prompt: its number, the beginning of its text, how many tokens it has."""
    return [
        {"prompt": prompt, "title": _beginning(payload["text"]), "tokens": len(payload["tokens"])}
        for prompt, payload in enumerate(payloads)
    ]


def _beginning(text: str) -> str:
    """Return a text in one line, cut behind a word where there is one."""
    line = " ".join(text.split())
    if len(line) <= TITLE:
        return line
    cut = line[: TITLE - 1]
    return f"{(cut.rpartition(' ')[0] or cut).rstrip('.,;: ')}…"
