"""What tasks need of a language model, and whether it has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from atlas.probe.tasks.task import Need

_WORDS = ("Paris", "June", "NASA", "A", "The")
_SPACED = ("one two", "a b", "the end")


class ModelFacts(NamedTuple):
    """What a language model and its tokenizer give to tasks."""

    keeps_case: bool
    """Capital letters and small ones become different tokens."""
    keeps_newlines: bool
    """A newline becomes a token, and not that of a space."""
    is_causal: bool
    """It has a head that predicts the next token."""


def model_facts(tokenizer: Any, is_causal: bool) -> ModelFacts:
    """Return what a tokenizer keeps, found by what it does."""

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return found

    def has_newline(text: str) -> bool:
        broken = ids(text.replace(" ", "\n"))
        return broken not in (ids(text), ids(text.replace(" ", ""))) and tokenizer.unk_token_id not in broken

    return ModelFacts(
        keeps_case=any(ids(word) != ids(word.lower()) for word in _WORDS),
        keeps_newlines=any(map(has_newline, _SPACED)),
        is_causal=is_causal,
    )


def needed(needs: Sequence[Need]) -> str:
    """Return in one sentence what a task needs of a model; nothing where any will do."""
    wanted: dict[Need, str] = {
        "case": "a tokenizer that keeps capital letters",
        "newline": "a tokenizer that keeps newlines",
        "causal": "a head that predicts the next token",
    }
    return f"It needs {', and '.join(wanted[need] for need in needs)}." if needs else ""


def unmet(needs: Sequence[Need], facts: ModelFacts) -> str | None:
    """Return in one sentence why a model cannot give a task what it needs; None where it can."""
    lacking: dict[Need, str] = {}
    if not facts.keeps_case:
        lacking["case"] = "capital letters, which the model's tokenizer makes small"
    if not facts.keeps_newlines:
        lacking["newline"] = "newlines, which the model's tokenizer does not keep"
    if not facts.is_causal:
        lacking["causal"] = "a head that predicts the next token, which the model does not have"
    reasons = [lacking[need] for need in needs if need in lacking]
    return f"It needs {', and '.join(reasons)}." if reasons else None
