"""What the first page says in words before any script runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from atlas.bake.numbers import count, percent, significant
from atlas.bake.overview import Counts
from atlas.bake.sayings import tested_tokens
from atlas.store import Task


@dataclass(frozen=True)
class TaskFact:
    """A labelled task on the first page."""

    title: str
    labels: int
    sentences: str
    training: str
    """How often its labels occurred in the training text."""
    supported: str
    """Experts with a supported order."""


@dataclass(frozen=True)
class Link:
    """A way to another view of the page."""

    view: str
    text: str
    note: str | None
    """What to know before going there."""


@dataclass(frozen=True)
class FactGroup:
    """A heading with what there is to know under it."""

    title: str
    facts: tuple[tuple[str, str], ...]
    link: Link | None = None
    """To the view that tells more."""


@dataclass(frozen=True)
class FrontPage:
    """Everything that index.html prints."""

    title: str
    summary: str
    groups: tuple[FactGroup, ...]
    tasks: tuple[TaskFact, ...]
    about: Markup | None
    """The author's own words."""


def front_page(
    provenance: Mapping[str, Any],
    tasks: Sequence[Task],
    counts: Counts,
    *,
    evaluated: bool,
    title: str | None = None,
    about: Markup | None = None,
) -> FrontPage:
    """Return the first page's words from what determined the result, with the author's own title and words where given.

    `evaluated` says whether the atlas holds what `atlas evaluate` measures.
    """
    model = provenance["model"]
    return FrontPage(
        title=title or f"Atlas of {model['id']} · {model['hook']}",
        summary=_summary(counts, tasks[0]),
        groups=tuple(_groups(provenance, [task for task in tasks if task.kind == "corpus"], evaluated)),
        tasks=tuple(_task_fact(task, counts) for task in tasks if task.labels),
        about=about,
    )


def _summary(counts: Counts, corpus: Task) -> str:
    return (
        f"{count(counts.experts)} experts: {count(counts.silent)} silent on {tested_tokens(corpus)}, "
        f"{count(counts.dense)} dense, {count(counts.supported)} with a supported order "
        f"({count(counts.supported_above_luck)} of them above the best random projection), "
        f"{count(counts.without_claim)} without any claim."
    )


def _groups(provenance: Mapping[str, Any], corpora: Sequence[Task], evaluated: bool) -> list[FactGroup]:
    model, dictionary = provenance["model"], provenance["dictionary"]
    fidelity, training = provenance["fidelity"], provenance.get("training")
    groups = [
        _group(
            "Model",
            ("Name", model["id"]),
            ("Hook", model["hook"]),
            ("Width", count(model["d_in"])),
            ("Note", model["note"]),
        ),
        _group(
            "Dictionary",
            ("Kind", dictionary["architecture"]),
            ("Experts", count(dictionary["n_experts"])),
            ("Width", f"{dictionary['d_expert']} each, code of {dictionary['d_code']}"),
            ("Threshold", significant(dictionary["threshold"])),
            ("Firings", f"{significant(fidelity['firings_per_token'])} per token"),
            ("Unexplained", _unexplained(fidelity["fvu_held_out"], corpora[0].held_out_tokens > 0)),
            link=Link("fidelity", "Fidelity and training", None if evaluated else "not measured yet: run atlas evaluate"),
        ),
        *(_corpus(task, "Corpus" if task.task == 0 else "Another corpus") for task in corpora),
    ]
    if training:
        groups.append(
            _group(
                "Training text",
                ("Tokens", count(training["tokens"])),
                ("Steps", count(training["steps"])),
                (
                    "Carriers",
                    f"{percent(training['carrier_share'])} of tokens: sentences made up so that labels occur in it at all",
                ),
            )
        )
    return groups


def _corpus(task: Task, heading: str) -> FactGroup:
    return _group(
        heading,
        ("Name", task.title),
        ("Documents", count(task.documents)),
        ("Tokens", count(task.tokens)),
        ("Held out", f"{count(task.held_out_tokens)} tokens"),
        ("Importance", f"measured on {count(task.importance_tokens)} tokens, {_measured(task)}"),
    )


def _measured(task: Task) -> str:
    if not task.held_out_tokens:
        return "which the dictionary was trained on"
    return "all of these" if task.importance_tokens == task.held_out_tokens else "of these, chosen by a hash"


def _unexplained(fvu: float | None, is_held_out: bool) -> str:
    # Text of one token repeated has no variance to explain.
    if fvu is None:
        return "not measured: the text has no variance"
    return f"{percent(fvu)} of variance, {'held out' if is_held_out else 'on text that it was trained on'}"


def _group(title: str, *facts: tuple[str, str | None], link: Link | None = None) -> FactGroup:
    return FactGroup(title, tuple((name, value) for name, value in facts if value), link)


def _task_fact(task: Task, counts: Counts) -> TaskFact:
    occurrences = [label.training_occurrences for label in task.labels]
    known = [number for number in occurrences if number is not None]
    return TaskFact(
        title=task.title,
        labels=len(task.labels),
        sentences=count(task.rows),
        training=count(sum(known)) if len(known) == len(occurrences) else "unknown",
        supported=count(counts.by_task.get(task.task, 0)),
    )
