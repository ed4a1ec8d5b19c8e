"""Payloads of expert pages: several experts to a file, whose tokens are places among the texts of the site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from atlas.bake.arrays import short
from atlas.bake.by_expert import ByExpert, rounded
from atlas.bake.corpora import corpora
from atlas.bake.gate import Gates
from atlas.bake.means import Means
from atlas.bake.neighbours import Neighbours
from atlas.bake.points import Points, drawn_payload
from atlas.bake.sayings import sayings
from atlas.bake.shapes import Shapes
from atlas.store import Store, Task

LEADING = 20
"""Experts of a task about the place in a line that are said to go with it, unless their gain is large."""
GAIN = 0.02
"""Held-out periodic gain from which an expert is said to go with the place in a line whatever its rank."""

PointsOf = Mapping[int, Mapping[int, Points]]
"""By expert and task."""


class ExpertPages:
    """Makes the payloads of expert pages from the tables that are small enough to hold whole."""

    def __init__(self, store: Store, tasks: Mapping[int, Task], experts: pl.DataFrame) -> None:
        self._tasks = tasks
        self._n_experts = len(experts)
        self._overview = {row["expert"]: row for row in experts.iter_rows(named=True)}
        provenance = store.provenance()
        dictionary = provenance["dictionary"]
        self._d_code: int = dictionary["d_code"]
        of_text = [task.task for task in tasks.values() if task.kind == "corpus"]
        self.texts, self._corpora = corpora(store, of_text, seed=provenance["settings"]["harvest"]["seed"])
        scores = _with_mentions(store)
        self._exact_scores, self._scores = ByExpert(scores), ByExpert(rounded(scores))
        labels = store.table("label_stats")
        self._labels = ByExpert(rounded(labels))
        self._means = Means(labels, list(tasks.values()))
        self._task_stats = ByExpert(rounded(store.table("task_stats")))
        self._importance = ByExpert(rounded(store.importance()))
        groups = _groups(store.table("shattered"))
        self.read_jointly = len(groups)
        """Hypotheses that a listed group of experts reads better together."""
        self._groups = {
            expert: [one for one in groups if expert in one["experts"]] for one in groups for expert in one["experts"]
        }
        newline = store.table("newline_scores")
        leading = (pl.col("rank") < LEADING) & (pl.col("held_out_gain") > 0)
        self._newline = ByExpert(rounded(newline.filter(leading | (pl.col("held_out_gain") > GAIN))))
        self._shapes = Shapes(store, tasks)
        self._neighbours = Neighbours(store, experts)
        code_axes = store.table("code_axes")
        self._axes = ByExpert(rounded(code_axes.sort("expert", "axis")))
        self._gates = Gates(code_axes, d_code=self._d_code, threshold=dictionary["threshold"])

    def payload(self, points: PointsOf) -> dict[str, Any]:
        """Return the payload of a few experts, whose points are given."""
        return {
            str(expert): {
                "sayings": self._sayings(expert),
                "tasks": [self._cloud(expert, task, few) for task, few in own.items()],
                "corpora": [
                    corpus.evidence(expert, kept=own[task].count if task in own else 0)
                    for task, corpus in self._corpora.items()
                    if expert in corpus.stats
                ],
                **self._findings(expert),
            }
            for expert, own in points.items()
        }

    def windows(self, experts: Sequence[int]) -> dict[str, Any]:
        """Return the payload of the windows that a few experts' contexts are from."""
        return {
            str(expert): [corpus.windows_payload(expert) for corpus in self._corpora.values() if expert in corpus.stats]
            for expert in experts
        }

    def _cloud(self, expert: int, task: int, points: Points) -> dict[str, Any]:
        drawn, corpus = points.drawn(), self._corpora.get(task)
        means = None if corpus else self._means.of(expert, task)
        said = corpus.cloud(drawn) if corpus else {}
        return {"task": task, "kept": points.count} | drawn_payload(drawn, means) | said

    def _findings(self, expert: int) -> dict[str, Any]:
        """Return what is found without the texts."""
        shares = self._axes.columns(expert, "share")["share"] or [0.0] * self._d_code
        return {
            "importance_on": self._importance.columns(expert, "task", "importance", "rows"),
            "labels": self._labels.columns(expert, "task", "label", "fired", "fires", "lift", "preference"),
            "task_stats": self._task_stats.columns(expert, "task", "p_label", "preference_band"),
            "scores": self._scores.columns(expert, *_SCORES),
            "groups": self._groups.get(expert, []),
            "newline": self._newline.columns(expert, *_NEWLINE),
            "axes": shares,
            "gate": self._gates.payload(expert),
            "shapes": self._shapes.payload(expert),
            "neighbours": self._neighbours.payload(expert),
        }

    def _sayings(self, expert: int) -> list[str]:
        row = self._overview[expert] | {"documents": self._corpora[0].stats.get(expert, {"documents": 0})["documents"]}
        return sayings(row, self._exact_scores.rows(expert), self._tasks, n_experts=self._n_experts)


_SCORES = (
    *("task", "hypothesis", "all_rows", "all_rows_low", "all_rows_high", "where_it_fires", "n_where_it_fires", "left_out_label"),
    *("left_out_direction", "covered", "active_rows", "testable", "p_order_adjusted", "p_within_halves", "order_supported"),
    *("mention_words", "mention_documents", "mention_others", "mention_rows", "mention_low", "mention_high", "mention_active"),
)
_NEWLINE = ("task", "rate", "periodic_gain", "held_out_gain", "decode_r2", "held_out_decode_r2")


def _with_mentions(store: Store) -> pl.DataFrame:
    """Return the scores, and with each what is read on natural mentions where it was measured."""
    measured = store.table("mention_sets").select(
        "task",
        mention_words="report_words",
        mention_documents="report_documents",
        mention_others=pl.col("words") - pl.col("report_words"),
    )
    read = (
        store.table("mention_scores")
        .select(
            *("task", "hypothesis", "expert"),
            mention_rows="all_rows",
            mention_low="all_rows_low",
            mention_high="all_rows_high",
            mention_active="n_where_it_fires",
        )
        .join(measured, on="task")
    )
    scores = store.table("scores")
    return scores.join(read, on=["task", "hypothesis", "expert"], how="left", maintain_order="left")


def _groups(shattered: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the listed groups of experts that read a hypothesis better together, the best one alone first."""
    found = []
    listed = shattered.filter("listed").sort("task", "hypothesis", "step")
    for (task, hypothesis), steps in listed.partition_by("task", "hypothesis", as_dict=True, maintain_order=True).items():
        together = steps.row(-1, named=True)
        found.append(
            {"task": task, "hypothesis": hypothesis, "experts": steps["expert"].to_list(), "alone": short(steps["all_rows"][0])}
            | {name: short(together[name]) for name in ("all_rows", "all_rows_low", "all_rows_high")}
        )
    return found
