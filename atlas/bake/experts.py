"""Payloads of expert pages: several experts to a file, with the texts that they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas.bake.arrays import Frame, narrow, packed, spread, typed
from atlas.bake.contexts import Texts, Windows
from atlas.bake.means import Marks, Means
from atlas.bake.neighbours import Neighbours
from atlas.bake.sayings import chosen, sayings
from atlas.bake.shapes import Shapes, needed
from atlas.store import Store, Task

DRAWN_POINTS = 1_000
"""Most points drawn of an expert and task."""
HOVER_TOKENS = 5
"""Tokens on either side of a point's own that are shown with it."""
CONTEXT_TOKENS = 12
"""Tokens on either side of a firing in the lists of contexts."""
STRONGEST = 20
"""Contexts of an expert's strongest firings."""
PER_BAND = 5
"""Contexts from each quarter of its norms, which say what the strongest do not."""
STRATA = ("top", "q75", "q50", "q25", "q0")
LEADING = 20
"""Experts of a task about the place in a line that are said to go with it, unless their gain is large."""
GAIN = 0.02
"""Held-out periodic gain from which an expert is said to go with the place in a line whatever its rank."""
NORM_STEPS = 65_535

_KEPT = ("importance_kept", "dimensions_needed")

Array = npt.NDArray[Any]
Points = Mapping[int, pl.DataFrame]


class Shown(NamedTuple):
    """Token ids of what an expert shows of a corpus."""

    hover: Array
    """Round each drawn point, shape (point, 2 * HOVER_TOKENS + 1)."""
    contexts: Array
    """Round each kept firing, shape (context, 2 * CONTEXT_TOKENS + 1)."""
    tokens: Array


@dataclass(frozen=True)
class Corpus:
    """The windows of a corpus, and what experts did on it, by expert."""

    windows: Windows
    contexts: Mapping[int, pl.DataFrame]
    tokens: Mapping[int, pl.DataFrame]
    norms: Mapping[int, pl.DataFrame]
    stats: Mapping[int, Mapping[str, Any]]
    """Of those that fire on it."""
    kept: Mapping[int, Mapping[str, Any]]
    """How much of their importance few axes keep: `said` in a sentence, and the `shares`."""

    def shown(self, expert: int, drawn: pl.DataFrame | None) -> Shown:
        """Return the ids of what an expert's page shows, whose drawn points are given."""
        tokens = self.tokens.get(expert)
        return Shown(
            self._around(drawn, HOVER_TOKENS),
            self._around(self.contexts.get(expert), CONTEXT_TOKENS),
            np.empty(0, np.int64) if tokens is None else tokens["token"].to_numpy().astype(np.int64),
        )

    def _around(self, rows: pl.DataFrame | None, reach: int) -> Array:
        if rows is None:
            return np.empty((0, 2 * reach + 1), np.int64)
        return self.windows.around(rows["window"].to_numpy(), rows["position"].to_numpy(), before=reach, after=reach)


def _corpora(store: Store, tasks: Sequence[int]) -> dict[int, Corpus]:
    """Return what the atlas holds of each corpus, by its task."""
    windows, stats = store.table("windows"), store.norms()
    contexts = store.contexts(strongest=STRONGEST, per_band=PER_BAND)
    tokens, norms = _rounded(store.table("expert_tokens")), _rounded(store.table("norm_histogram"))
    corpora = {}
    for task in tasks:
        here = pl.col("task") == task
        fires = stats.filter(here)
        corpora[task] = Corpus(
            windows=Windows(windows.filter(here)),
            contexts=by_expert(contexts.filter(here)),
            tokens=by_expert(tokens.filter(here)),
            norms=by_expert(norms.filter(here)),
            stats={row.pop("expert"): row for row in fires.drop("task", *_KEPT).iter_rows(named=True)},
            kept={
                expert: {"said": needed(kept, axes), "shares": [_short(share) for share in kept or []]}
                for expert, kept, axes in fires.select("expert", *_KEPT).iter_rows()
            },
        )
    return corpora


class ExpertPages:
    """Makes the payloads of expert pages from the tables that are small enough to hold whole."""

    def __init__(self, store: Store, tasks: Mapping[int, Task], experts: pl.DataFrame) -> None:
        self._tasks = tasks
        self._n_experts = len(experts)
        self._overview = {row["expert"]: row for row in experts.iter_rows(named=True)}
        self._corpora = _corpora(store, [task.task for task in tasks.values() if task.kind == "corpus"])
        vocabulary = store.table("vocabulary").filter(pl.col("task").is_in(list(self._corpora)))
        self._vocabulary = dict(vocabulary.select("token", "text").iter_rows())
        self._scores = by_expert(_with_mentions(store))
        labels = store.table("label_stats")
        self._labels = by_expert(_rounded(labels))
        self._means = Means(labels, list(tasks.values()))
        self._task_stats = by_expert(_rounded(store.table("task_stats")))
        groups = _groups(store.table("shattered"))
        self.read_jointly = len(groups)
        """Hypotheses that a listed group of experts reads better together."""
        self._groups = {
            expert: [one for one in groups if expert in one["experts"]] for one in groups for expert in one["experts"]
        }
        newline = store.table("newline_scores")
        leading = (pl.col("rank") < LEADING) & (pl.col("held_out_gain") > 0)
        self._newline = by_expert(_rounded(newline.filter(leading | (pl.col("held_out_gain") > GAIN))))
        self._shapes = Shapes(store, tasks)
        self._neighbours = Neighbours(store, experts)
        provenance = store.provenance()
        self._seed: int = provenance["settings"]["harvest"]["seed"]
        self._d_code: int = provenance["dictionary"]["d_code"]
        axes = store.table("code_axes").sort("expert", "axis").group_by("expert", maintain_order=True).agg("share")
        self._axes: dict[int, list[float]] = dict(axes.iter_rows())

    def payload(self, points: Mapping[int, Points]) -> dict[str, Any]:
        """Return the payload of a few experts, whose points are given by expert and task."""
        drawn = {expert: _drawn(tables) for expert, tables in points.items()}
        # What an expert shows of each corpus on which it fires.
        shown = {
            (expert, number): corpus.shown(expert, tables.get(number))
            for expert, tables in drawn.items()
            for number, corpus in self._corpora.items()
            if expert in corpus.stats
        }
        texts = Texts(self._vocabulary, *(ids for one in shown.values() for ids in one))
        return {
            "texts": texts.list,
            "experts": {
                str(expert): {
                    "sayings": self._sayings(expert),
                    "tasks": [
                        self._cloud(expert, task, few, len(points[expert][task]))
                        | ({"hover": packed(narrow(texts.index(one.hover)))} if (one := shown.get((expert, task))) else {})
                        for task, few in drawn[expert].items()
                    ],
                    "corpora": [
                        self._evidence(expert, task, one, texts, points[expert])
                        for (of, task), one in shown.items()
                        if of == expert
                    ],
                    "labels": self._label_columns(expert),
                    "task_stats": _columns(self._task_stats.get(expert), "task", "p_label", "preference_band"),
                    "scores": _columns(_rounded(self._scores[expert]) if expert in self._scores else None, *_SCORES),
                    "groups": self._groups.get(expert, []),
                    "newline": _columns(self._newline.get(expert), *_NEWLINE),
                    "axes": [_short(share) for share in self._axes.get(expert, [0.0] * self._d_code)],
                    "shapes": self._shapes.payload(expert),
                    "neighbours": self._neighbours.payload(expert),
                }
                for expert in points
            },
        }

    def _sayings(self, expert: int) -> list[str]:
        scores = self._scores.get(expert)
        rows = [] if scores is None else list(scores.iter_rows(named=True))
        row = self._overview[expert] | {"documents": self._corpora[0].stats.get(expert, {"documents": 0})["documents"]}
        return sayings(row, rows, self._tasks, n_experts=self._n_experts)

    def _evidence(self, expert: int, task: int, shown: Shown, texts: Texts, points: Points) -> dict[str, Any]:
        """Return what the firings on one corpus show: contexts by stratum, tokens, norms."""
        corpus = self._corpora[task]
        stats, tokens = corpus.stats[expert], corpus.tokens.get(expert)
        firings, kept = stats["firings"], len(points[task]) if task in points else 0
        counted = 0 if tokens is None else int(tokens["sampled"][0])
        return {
            "task": task,
            "contexts": _by_stratum(corpus.contexts.get(expert), texts.index(shown.contexts)),
            "sampled": chosen(kept, firings, self._seed),
            "tokens": _columns(tokens, "count", "share", "share_low", "share_high", "lift")
            | {"text": texts.index(shown.tokens).tolist(), "sampled": chosen(counted, firings, self._seed)},
            "norms": _columns(corpus.norms.get(expert), "bin", "lower", "count"),
            "stats": {name: _short(value) if isinstance(value, float) else value for name, value in stats.items()},
            "kept": corpus.kept[expert],
        }

    def _cloud(self, expert: int, task: int, drawn: pl.DataFrame, kept: int) -> dict[str, Any]:
        labelled = self._tasks[task].kind == "labelled"
        means = self._means.of(expert, task)
        xyz = _xyz(drawn)
        # The origin is where the expert is silent: it belongs in every picture.
        frame = Frame.around(np.concatenate([np.zeros((1, 3)), xyz, means.xyz]))
        return {
            "task": task,
            "kept": kept,
            "origin": frame.stepped(np.zeros((1, 3)))[0].tolist(),
            "unit": _short(frame.unit),
            **_coordinates(frame.stepped(xyz)),
            "norm": _norms(drawn["norm"].to_numpy()),
            **({"window": typed(narrow(drawn["window"].to_numpy()))} if labelled else {}),
            **({"means": _mean_columns(frame, means)} if labelled else {}),
        }

    def _label_columns(self, expert: int) -> dict[str, Any]:
        return _columns(self._labels.get(expert), "task", "label", "fired", "fires", "lift", "preference")


def sentences_payload(store_windows: pl.DataFrame, vocabulary: pl.DataFrame, task: Task) -> dict[str, Any]:
    """Return a labelled task's sentences, by window number: token texts, the probed position and the label."""
    rows = store_windows.filter(pl.col("task") == task.task).sort("window")
    words = dict(vocabulary.filter(pl.col("task") == task.task).select("token", "text").iter_rows())
    ids = rows["tokens"].explode(empty_as_null=False).to_numpy().astype(np.int64)
    texts = Texts(words, ids)
    return {
        "texts": texts.list,
        "window": typed(narrow(rows["window"].to_numpy())),
        "length": packed(narrow(rows["tokens"].list.len().to_numpy())),
        "tokens": packed(narrow(texts.index(ids))),
        "position": packed(narrow(rows["position"].to_numpy())),
        "label": packed(narrow(rows["label"].to_numpy())),
    }


def by_expert(frame: pl.DataFrame) -> dict[int, pl.DataFrame]:
    """Return the rows of each expert, in their order."""
    parts = frame.partition_by("expert", as_dict=True, maintain_order=True)
    return {int(key[0]): rows for key, rows in parts.items()}


def by_expert_and_task(frame: pl.DataFrame, experts: Sequence[int]) -> dict[int, dict[int, pl.DataFrame]]:
    """Return the rows of each expert and task; an expert without rows has no task."""
    found: dict[int, dict[int, pl.DataFrame]] = {expert: {} for expert in experts}
    for key, rows in frame.partition_by("expert", "task", as_dict=True, maintain_order=True).items():
        found[int(key[0])][int(key[1])] = rows
    return {expert: dict(sorted(tables.items())) for expert, tables in found.items()}


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
            {"task": task, "hypothesis": hypothesis, "experts": steps["expert"].to_list(), "alone": _short(steps["all_rows"][0])}
            | {name: _short(together[name]) for name in ("all_rows", "all_rows_low", "all_rows_high")}
        )
    return found


def _drawn(tables: Points) -> dict[int, pl.DataFrame]:
    return {task: rows.sort("label", maintain_order=True)[spread(len(rows), DRAWN_POINTS)] for task, rows in tables.items()}


def _xyz(rows: pl.DataFrame) -> Array:
    return rows.select("x", "y", "z").to_numpy().astype(np.float64)


def _coordinates(steps: Array) -> dict[str, Any]:
    return {name: typed(steps[:, axis]) for axis, name in enumerate("xyz")}


def _by_stratum(rows: pl.DataFrame | None, tokens: Array) -> list[dict[str, Any]]:
    """Return the contexts of each stratum that has any, whose token indices are given in the order of the rows."""
    if rows is None:
        return []
    found = []
    for stratum in STRATA:
        here = rows["stratum"] == stratum
        if here.any():
            norms = [_short(norm) for norm in rows["norm"].filter(here)]
            found.append({"stratum": stratum, "norm": norms, "tokens": tokens[here.to_numpy()].tolist()})
    return found


def _mean_columns(frame: Frame, means: Marks) -> dict[str, Any]:
    return {"text": means.text, "place": means.place, "label": means.label, **_coordinates(frame.stepped(means.xyz))}


def _norms(norm: Array) -> dict[str, Any]:
    most = float(norm.max())
    return {"most": _short(most), "steps": typed(np.rint(norm / most * NORM_STEPS).astype(np.uint16))}


def _rounded(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows as they are printed: no figure that a reader could use is lost."""
    return rows.with_columns(pl.selectors.float().round_sig_figs(5))


def _columns(rows: pl.DataFrame | None, *names: str) -> dict[str, Any]:
    return {name: [] if rows is None else rows[name].to_list() for name in names}


def _short(number: float) -> float:
    return float(f"{number:.5g}")
