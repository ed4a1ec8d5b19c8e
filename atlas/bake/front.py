"""What the first page says in words before any script runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import polars as pl
from markupsafe import Markup

from atlas.bake.data import Data
from atlas.bake.licences import Licence
from atlas.bake.map import MapWords
from atlas.bake.numbers import count, interval, percent, significant
from atlas.bake.overview import Counts
from atlas.bake.sayings import tested_tokens
from atlas.bake.tasks import ABSENCES
from atlas.store import Task

LISTED = 100
"""Experts that are listed without scripts."""
SHOWN_ABSENCES = 3
"""Absent tasks that are named at once; more are folded."""


@dataclass(frozen=True)
class TaskFact:
    """A labelled task on the first page."""

    name: str
    """As the address has it."""
    title: str
    labels: str
    hypotheses: str
    """How many it has, in words."""
    training: str
    """How often its labels occurred in the training text."""
    supported: str
    """Experts with a supported order, where one is tested."""


@dataclass(frozen=True)
class Absence:
    """What this atlas lacks of a task, and why."""

    titles: str
    """Of one task or several."""
    reason: str


@dataclass(frozen=True)
class Absences:
    """What this atlas lacks, by what it is of."""

    title: str
    rows: tuple[Absence, ...]
    is_folded: bool


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
class Piece:
    """A piece of the summary."""

    text: str
    shows: Mapping[str, Any] | None = None
    """The filters that leave the experts it counts, as the page's address knows them."""


@dataclass(frozen=True)
class ListedExpert:
    """An expert in the list of those who see the page without scripts, in words."""

    number: int
    title: str
    rests_on: str
    """What its title rests on."""
    rate: str
    importance: str
    score: str
    """Its best, with the interval; a dash where nothing can be read."""
    read: str
    """What that is of: the hypothesis and its task."""


@dataclass(frozen=True)
class FirstExperts:
    """The most important experts."""

    caption: str
    experts: tuple[ListedExpert, ...]


@dataclass(frozen=True)
class FrontPage:
    """Everything that index.html prints."""

    title: str
    pieces: tuple[Piece, ...]
    """Of the summary."""
    groups: tuple[FactGroup, ...]
    tasks: tuple[TaskFact, ...]
    order: str
    """What is supported: an order, or where places have several numbers also an arrangement."""
    jointly: str | None
    """What several experts read better together."""
    shapes: str | None
    """How many clouds have which shape, beside chance."""
    overview: MapWords
    first: FirstExperts
    absences: tuple[Absences, ...]
    about: Markup | None
    """The author's own words."""
    prompts: tuple[dict[str, Any], ...]
    """What the manifest says of each."""
    licences: tuple[Licence, ...]
    """Of what the site holds of others."""
    data: Data | None
    """The database and its tables, where the site carries them."""

    @property
    def summary(self) -> str:
        """How many experts do what, in one sentence."""
        return "".join(piece.text for piece in self.pieces)


def front_page(
    provenance: Mapping[str, Any],
    tasks: Sequence[Task],
    counts: Counts,
    absences: pl.DataFrame,
    *,
    jointly: int,
    evaluated: bool,
    overview: MapWords,
    shapes: str | None,
    first: FirstExperts,
    title: str | None = None,
    about: Markup | None = None,
    prompts: Sequence[dict[str, Any]] = (),
    licences: tuple[Licence, ...] = (),
    data: Data | None = None,
) -> FrontPage:
    """Return the first page's words from what determined the result, with the author's own title and words where given.

    `jointly` counts the hypotheses that a listed group of experts reads better together; `evaluated` says whether the atlas
    holds what `atlas evaluate` measures; `overview` and `shapes` are the words on the map and on the shapes of clouds;
    `first` are the experts that are listed without any script.
    """
    model, order = provenance["model"], _order(tasks)
    return FrontPage(
        title=title or f"Atlas of {model['id']} · {model['hook']}",
        pieces=_summary(counts, tasks[0], order, probed=any(task.labels for task in tasks)),
        groups=tuple(_groups(provenance, [task for task in tasks if task.kind == "corpus"], evaluated)),
        tasks=tuple(_task_fact(task, counts) for task in tasks if task.labels),
        order=order,
        jointly=_jointly(jointly),
        shapes=shapes,
        overview=overview,
        first=first,
        absences=tuple(_absences(absences)),
        about=about,
        prompts=tuple(prompts),
        licences=licences,
        data=data,
    )


def first_experts(found: pl.DataFrame, tasks: Sequence[Task]) -> FirstExperts:
    """Return the first experts of the overview with their best scores, as `atlas.bake.overview.table` gives them."""
    rows = found.head(LISTED).iter_rows(named=True)
    return FirstExperts(
        caption=f"The {count(LISTED)} most important of {count(len(found))} experts" if len(found) > LISTED else "All experts",
        experts=tuple(_listed(row, {task.task: task for task in tasks}) for row in rows),
    )


def _listed(row: Mapping[str, Any], tasks: Mapping[int, Task]) -> ListedExpert:
    task = tasks.get(row["best_task"])
    read = next((one.title for one in task.hypotheses if one.hypothesis == row["best_hypothesis"]), None) if task else None
    return ListedExpert(
        number=row["expert"],
        title=row["title"],
        rests_on=f"{row['measure']} {significant(row['value'])}",
        rate=percent(row["rate"]),
        importance=percent(row["importance"]),
        score=interval(row["best_all_rows"], row["best_all_rows_low"], row["best_all_rows_high"]) if task else "–",
        read=f"{task.title}: {read}" if task else "",
    )


def _order(tasks: Sequence[Task]) -> str:
    is_mapped = any(hypothesis.shape == "map" for task in tasks for hypothesis in task.hypotheses)
    return "order or arrangement" if is_mapped else "order"


def _jointly(hypotheses: int) -> str | None:
    if not hypotheses:
        return None
    are = "1 hypothesis is" if hypotheses == 1 else f"{count(hypotheses)} hypotheses are"
    return f"{are} read better by several experts together; the pages of these experts say which."


def _absences(absences: pl.DataFrame) -> list[Absences]:
    """Return what the atlas lacks: tasks first; many of a kind are folded, as are remarks on data that is there."""
    found = []
    for what, title in ABSENCES.items():
        rows = absences.filter(pl.col("what") == what).select("title", "reason").rows()
        if rows:
            lines = _lines(rows)
            found.append(Absences(f"{title} ({len(rows)})", lines, is_folded=what != "task" or len(lines) > SHOWN_ABSENCES))
    return found


def _lines(rows: Sequence[tuple[str, str]]) -> tuple[Absence, ...]:
    """Return a line for each reason with all titles that it holds for; reasons of the same titles share one."""
    titles: dict[str, list[str]] = {}
    for title, reason in rows:
        titles.setdefault(reason, []).append(title)
    reasons: dict[str, list[str]] = {}
    for reason, of in titles.items():
        reasons.setdefault(", ".join(dict.fromkeys(of)), []).append(reason)
    return tuple(Absence(of, " ".join(said)) for of, said in reasons.items())


def _summary(counts: Counts, corpus: Task, order: str, *, probed: bool) -> tuple[Piece, ...]:
    activity = (
        Piece(f"{count(counts.experts)} {'expert' if counts.experts == 1 else 'experts'}: "),
        Piece(f"{count(counts.silent)} silent", {"activity": ["silent"]}),
        Piece(f" on {tested_tokens(corpus)}, "),
        Piece(f"{count(counts.dense)} dense", {"activity": ["dense"]}),
    )
    if not probed:
        return (*activity, Piece("; no labelled task was probed."))
    return (
        *activity,
        Piece(", "),
        Piece(f"{count(counts.supported)} with a supported {order}", {"order": True}),
        Piece(
            f" ({count(counts.supported_above_luck)} of them above the best random projection), "
            f"{count(counts.without_claim)} without any claim."
        ),
    )


def _is_told(training: Any) -> TypeGuard[Mapping[str, Any]]:
    """Return whether a checkpoint says of its training what is told of it; others may have anything in that place."""
    told = ("tokens", "steps", "carrier_share")
    return isinstance(training, dict) and all(
        type(training.get(name)) in (int, float) and 0 <= training[name] < 1e18 for name in told
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
    if _is_told(training):
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
    is_tested = any(hypothesis.of_label and hypothesis.shape != "classes" for hypothesis in task.hypotheses)
    return TaskFact(
        name=task.name,
        title=task.title,
        labels=count(len(task.labels)),
        hypotheses=_hypotheses(len(task.hypotheses)),
        training=count(sum(known)) if len(known) == len(occurrences) else "unknown",
        supported=count(counts.by_task.get(task.task, 0)) if is_tested else "–",
    )


def _hypotheses(n: int) -> str:
    return "no hypothesis" if n == 0 else "1 hypothesis" if n == 1 else f"{n} hypotheses"
