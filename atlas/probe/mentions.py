"""Natural mentions of a task's labels, as rows to probe: what the harvest kept of them in held-out documents."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, Int64
from numpy.typing import NDArray

from atlas.probe.scores import MIN_ACTIVE_ROWS, MIN_LABEL_ROWS, MIN_LABELS, Fired, Rows
from atlas.probe.tasks import Task
from atlas.stages import Ragged, Tables

N_GROUPS = 9
"""Groups that documents are dealt to; folds are whole groups, and every third one is the report set."""

MIN_GROUPS = 3
"""Groups with mentions that ranking and report set each need."""

MIN_REPORT_ROWS = 15
"""Mentions that the report set needs: fewer measure nothing."""

_REPORT = range(N_GROUPS)[1::3]


class Mentioned(NamedTuple):
    """Mentions of a task's labels in running text; a template of the rows is a document."""

    rows: Rows
    fired: Fired
    corpus: Int32[np.ndarray, "row"]
    """Number of the corpus that the mention is in."""
    window: Int32[np.ndarray, "row"]
    """Number of its window in that corpus' table."""
    position: Int32[np.ndarray, "row"]
    """Index into the window's tokens of the one that the label ends in."""


def mention_rows(harvested: Tables, task: Task) -> Mentioned | str:
    """Return the mentions of a task's labels in held-out documents of all corpora, or one line that says why they are not used.

    `harvested` are the tables of a harvest. Of mentions at one place of windows with the same tokens the first is taken, since a
    repeated text is no new evidence.
    """
    if _words(harvested, task.name) != list(task.labels):
        return "The harvest did not look for these labels in its text."
    kept = _kept(harvested, task.name)
    if len(kept) < MIN_ACTIVE_ROWS:
        return f"{_many(len(kept), 'mention')} in held-out documents; {MIN_ACTIVE_ROWS} are needed."
    mentions = {name: _array(harvested, "mentions", name)[kept] for name in ("task", "mention", "label", "window", "position")}
    documents, template = np.unique(
        np.stack([mentions["task"], _documents(harvested)[_windows(harvested, kept)]], axis=1), axis=0, return_inverse=True
    )
    names = [str(name) for name in harvested["tasks"]["name"]]
    size = np.bincount(template.ravel(), minlength=len(documents))
    fold = _groups([(names[corpus], document) for corpus, document in documents.tolist()], size)
    report = np.isin(fold, _REPORT)
    reason = _unusable(task, mentions["label"], fold, report, int(size[report].sum()))
    if reason is not None:
        return reason
    return Mentioned(
        Rows(mentions["label"].astype(np.int64), template.ravel(), fold, report, len(task.labels)),
        _fired(harvested, mentions["task"], mentions["mention"]),
        mentions["task"],
        mentions["window"],
        mentions["position"],
    )


def _unusable(
    task: Task, label: NDArray[Any], fold: Int64[np.ndarray, "template"], report: Bool[np.ndarray, "template"], measured: int
) -> str | None:
    groups = [len(np.unique(fold[side])) for side in (~report, report)]
    if min(groups) < MIN_GROUPS:
        n = _many(len(fold), "document")
        return (
            f"Mentions are in {n}, {groups[0]} groups of them for ranking and {groups[1]} for the report; "
            f"{MIN_GROUPS} of each are needed."
        )
    if measured < MIN_REPORT_ROWS:
        return (
            f"{_many(len(label), 'mention')}, all but {measured} in documents that scores are fitted to; {MIN_REPORT_ROWS} others"
            " are needed to measure them."
        )
    often = int((np.bincount(label, minlength=len(task.labels)) >= MIN_LABEL_ROWS).sum())
    if often < MIN_LABELS:
        return f"{_many(often, 'label')} of {len(task.labels)} with {MIN_LABEL_ROWS} or more mentions; {MIN_LABELS} are needed."
    return None


def _many(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n or 'No'} {word}s"


def _words(harvested: Tables, name: str) -> list[str]:
    """Return the labels of the task that the harvest looked for in its first corpus; they are the same in all."""
    table = harvested["label_mentions"]
    columns = zip(np.asarray(table["task"]).tolist(), table["labelled"], table["name"], strict=True)
    return [word for corpus, labelled, word in columns if corpus == 0 and labelled == name]


def _kept(harvested: Tables, name: str) -> Int64[np.ndarray, "row"]:
    """Return which held-out mentions of the task are taken, as rows of the table of mentions."""
    table = harvested["mentions"]
    wanted = np.array([labelled == name for labelled in table["labelled"]], dtype=bool) & np.array(table["held_out"], dtype=bool)
    chosen = np.flatnonzero(wanted)
    tokens = harvested["windows"]["tokens"]
    assert isinstance(tokens, Ragged)
    position = _array(harvested, "mentions", "position")
    first: dict[tuple[bytes, int], int] = {}
    for row, window in zip(chosen.tolist(), _windows(harvested, chosen).tolist(), strict=True):
        text = tokens.values[tokens.offsets[window] : tokens.offsets[window + 1]].tobytes()
        first.setdefault((text, int(position[row])), row)
    return np.array(list(first.values()), dtype=np.int64)


def _windows(harvested: Tables, chosen: Int64[np.ndarray, "row"]) -> Int64[np.ndarray, "row"]:
    """Return each mention's window, as a row of the table of windows, which stands in the order of corpora and windows."""
    known = _places(_array(harvested, "windows", "task"), _array(harvested, "windows", "window"))
    wanted = _places(_array(harvested, "mentions", "task")[chosen], _array(harvested, "mentions", "window")[chosen])
    return np.searchsorted(known, wanted)


def _places(corpus: NDArray[Any], number: NDArray[Any]) -> NDArray[Any]:
    """Return one number for the number of a thing in its corpus."""
    return corpus.astype(np.int64) << 32 | number


def _documents(harvested: Tables) -> Int64[np.ndarray, "window"]:
    return _array(harvested, "windows", "document").astype(np.int64)


def _groups(documents: list[tuple[str, int]], size: Int64[np.ndarray, "template"]) -> Int64[np.ndarray, "template"]:
    """Return the group of each document: the largest first, each goes to the group with the fewest mentions so far.

    One document may hold most mentions of a task, and would by a hash alone leave others with hardly any. Documents of equally
    many come in the order of a hash of their place.
    """
    order = sorted(range(len(documents)), key=lambda at: (-int(size[at]), _hash(*documents[at])))
    filled = np.zeros(N_GROUPS, dtype=np.int64)
    fold = np.zeros(len(documents), dtype=np.int64)
    for at in order:
        fold[at] = filled.argmin()
        filled[fold[at]] += size[at]
    return fold


def _hash(corpus: str, document: int) -> bytes:
    return hashlib.blake2b(f"{corpus} {document}".encode(), digest_size=8).digest()


def _fired(harvested: Tables, corpus: NDArray[Any], mention: NDArray[Any]) -> Fired:
    """Return the firings on mentions."""
    code = harvested["mention_firings"]["code"]
    assert isinstance(code, Ragged)
    number = _places(_array(harvested, "mention_firings", "task"), _array(harvested, "mention_firings", "mention"))
    wanted = _places(corpus, mention)
    order = np.argsort(wanted)
    at = np.searchsorted(wanted[order], number).clip(max=len(wanted) - 1)
    firing = np.flatnonzero(wanted[order][at] == number)
    codes = code.values.reshape(len(number), -1) if len(number) else code.values.reshape(0, 1)
    return Fired(order[at[firing]], _array(harvested, "mention_firings", "expert")[firing], codes[firing])


def _array(harvested: Tables, table: str, column: str) -> NDArray[Any]:
    values = harvested[table][column]
    assert isinstance(values, np.ndarray)
    return values
