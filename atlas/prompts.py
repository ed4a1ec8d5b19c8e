"""The prompts of an atlas: added by `atlas trace`, kept when the atlas is assembled anew."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from atlas.errors import AtlasDamaged, AtlasMissing, SchemaMismatch, WorkOccupied
from atlas.store import Store, rewrite_tables

if TYPE_CHECKING:
    from atlas.trace import Prompt

TABLES = ("prompts", "prompt_tokens", "prompt_norms")

SUBJECT = {
    ("dictionary", "sha256"): "dictionary",
    ("model", "hook"): "hook",
    ("model", "revision_or_sha256"): "model",
    ("model", "tokenizer_sha256"): "tokenizer",
}
"""Where provenance has what norms depend on, and what it is called."""

HASH = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
"""As hex digits: a commit or a sha256."""

UNREADABLE = (AtlasMissing, AtlasDamaged, SchemaMismatch)
"""Why nothing can be kept of the file in an atlas' place."""


class Added(NamedTuple):
    """What came of adding prompts to an atlas."""

    added: int
    known: int
    """Prompts of the same tokens as one that was there."""
    forgotten: int


def require_subject(path: Path, provenance: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Raise WorkOccupied, with both values, if an atlas is of another dictionary, hook, model or tokenizer than what is found.

    `found` has the parts of a provenance that are known; what it lacks is not compared.
    """
    for (part, key), name in SUBJECT.items():
        if key in found.get(part, {}) and found[part][key] != provenance.get(part, {}).get(key):
            ours, theirs = found[part][key], provenance.get(part, {}).get(key)
            raise WorkOccupied(f"'{path}' is of another {name} ({_short(theirs)}, here {_short(ours)}). Give --db another atlas.")


def _short(value: Any) -> str:
    """Return a value, of a hash the first digits."""
    return repr(value[:12] if isinstance(value, str) and HASH.fullmatch(value) else value)


def titles(path: Path, found: Mapping[str, Any]) -> dict[int, str]:
    """Return the title of every expert of an atlas, by number.

    Raises:
        AtlasMissing, AtlasDamaged, SchemaMismatch, AtlasBusy: the atlas cannot be read.
        WorkOccupied: it is of another dictionary, hook, model or tokenizer than what is found.
    """
    with Store(path) as store:
        require_subject(path, store.provenance(), found)
        return dict(store.table("titles").select("expert", "title").iter_rows())


def add_prompts(path: Path, prompts: Sequence[Prompt], found: Mapping[str, Any], *, forget: bool = False) -> Added:
    """Add prompts to an atlas, behind those that it has or, to forget these, in their place; none twice.

    Two prompts are the same if they have the same tokens. The file changes once its copy is whole.

    Raises:
        AtlasMissing, AtlasDamaged, SchemaMismatch, AtlasBusy: the atlas cannot be read, or was written meanwhile.
        WorkOccupied: it is of another dictionary, hook, model or tokenizer than what is found.
        StorageError: it cannot be written.
    """
    with Store(path) as store:
        since = path.stat()
        require_subject(path, store.provenance(), found)
        forgotten = store.row_counts()["prompts"] if forget else 0
        # What is forgotten is not even read, so that nothing of it can come into the new file.
        there = {name: store.sql(f"SELECT * FROM {name} LIMIT 0") if forget else store.table(name) for name in TABLES}
    known = {tuple(tokens) for (tokens,) in there["prompt_tokens"].group_by("prompt").agg("token").select("token").iter_rows()}
    fresh = {tuple(prompt.token_ids): prompt for prompt in reversed(prompts) if tuple(prompt.token_ids) not in known}
    new = list(reversed(fresh.values()))
    if new or forgotten:
        made = _rows(new, first=len(there["prompts"]))
        frames = {name: pl.concat([frame, pl.DataFrame(made[name], frame.schema, orient="row")]) for name, frame in there.items()}
        rewrite_tables(path, {name: frame.to_dict() for name, frame in frames.items()}, since)
    return Added(len(new), len(prompts) - len(new), forgotten)


def _rows(prompts: Sequence[Prompt], first: int) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of each table for prompts that are numbered from `first`."""
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
    for number, prompt in enumerate(prompts, start=first):
        tokens = zip(prompt.token_ids, prompt.texts, prompt.window, prompt.special, strict=True)
        rows["prompts"].append((number, prompt.text))
        rows["prompt_tokens"] += [(number, position, *token) for position, token in enumerate(tokens)]
        rows["prompt_norms"] += [(number, *row) for row in zip(prompt.expert.tolist(), prompt.norms.tolist(), strict=True)]
    return rows


def kept_prompts(path: Path, provenance: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the tables of prompts that an atlas takes over from the one at `path`, which it replaces.

    None where there is no atlas that can be read, or where that one is of another dictionary, hook, model or tokenizer.

    Raises:
        AtlasBusy: another program has it open for writing.
    """
    try:
        with Store(path) as store:
            require_subject(path, store.provenance(), provenance)
            return {name: store.table(name).to_dict() for name in TABLES}
    except (*UNREADABLE, WorkOccupied):
        return {}


def prompt_count(path: Path) -> int | None:
    """Return how many prompts the atlas at a path holds: 0 where there is none, None where what is there cannot be read."""
    try:
        with Store(path) as store:
            return len(store.table("prompts"))
    except AtlasMissing:
        return 0
    except UNREADABLE:
        return None
