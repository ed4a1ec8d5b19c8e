"""What the page of an expert shows, read back as the page reads it, beside the rows of the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from atlas.bake.corpora import CONTEXT_TOKENS
from atlas.publish.manifest import array
from atlas.store import Store
from atlas.verify.report import expected

STEPS = 10.0
"""Of a cloud's 64,000, that a drawn coordinate may be off: coordinates are rounded to a multiple of 8, the origin to a whole
step, and the unit to five significant figures, which moves the farthest point by another three."""
FIGURES = 1e-4
"""Share that a number may be off: it is written with five significant figures."""
NORM_STEP = 1 / 65_535


class Rows:
    """The rows of some experts, as a page shows them."""

    def __init__(self, store: Store, experts: list[int]) -> None:
        points = store.points(experts).sort("expert", "task", "window", "position")
        self._points = {key: rows for key, rows in points.partition_by("expert", "task", as_dict=True).items()}
        here = pl.col("expert").is_in(experts)
        self._labels = _by_expert(store.table("label_stats").filter(here))
        self._scores = _by_expert(store.table("scores").filter(here))
        self._shapes = _by_expert(store.table("shapes").filter(here))
        self._tokens = _by_expert(store.table("expert_tokens").filter(here).sort("expert", "task", "rank"))
        self._neighbours = _by_expert(store.neighbours().filter(here))
        self._top = store.table("top_firings").filter(here & (pl.col("stratum") == "top")).sort("expert", "task", "rank")
        windows = store.table("windows")
        addresses = list(windows.select("task", "window").iter_rows())
        self._windows = dict(zip(addresses, windows["tokens"].to_list(), strict=True))
        self._documents = dict(zip(addresses, windows["document"].to_list(), strict=True))
        vocabulary = store.table("vocabulary")
        self._texts = {(task, token): text for task, token, text in vocabulary.select("task", "token", "text").iter_rows()}
        self._order = store.experts()["expert"].to_list()

    def page_faults(self, expert: int, page: Mapping[str, Any], texts: list[str]) -> Iterator[str]:
        """Give what an expert's page says and the rows do not."""
        tasks = [cloud["task"] for cloud in page["tasks"]]
        kept = [task for one, task in self._points if one == expert]
        if sorted(tasks) != sorted(kept):
            yield f"clouds on other tasks ({expected(tasks, sorted(kept))})"
        for cloud in page["tasks"]:
            if (expert, cloud["task"]) in self._points:
                yield from self._cloud(cloud, self._points[expert, cloud["task"]])
        for corpus in page["corpora"]:
            yield from self._contexts(expert, corpus, texts)
            tokens = self._tokens.get(expert, pl.DataFrame(schema={"task": pl.Int32, "token": pl.Int32, "count": pl.Int32}))
            own = tokens.filter(pl.col("task") == corpus["task"])
            shown = [(texts[text], n) for text, n in zip(corpus["tokens"]["text"], corpus["tokens"]["count"], strict=True)]
            wanted = [(self._texts[corpus["task"], token], n) for token, n in own.select("token", "count").iter_rows()]
            if shown != wanted:
                yield f"corpus {corpus['task']}: other tokens ({expected(shown[:3], wanted[:3])})"
        yield from _same("labels", page["labels"], self._labels.get(expert), ("task", "label", "fired", "fires", "lift"))
        compared = ("task", "hypothesis", "all_rows", "all_rows_low", "all_rows_high", "covered", "order_supported")
        yield from _same("scores", page["scores"], self._scores.get(expert), compared)
        shapes = {name: [shape.get(name) for shape in page["shapes"]] for name in ("task", "class")}
        yield from _same("shapes", shapes, self._shapes.get(expert), ("task", "class"))
        near = self._neighbours.get(expert)
        for kind, columns in page["neighbours"].items():
            wanted = [] if near is None else near.filter(pl.col("kind") == kind)["neighbour"].to_list()
            shown = [self._order[row] for row in columns.get("row", [])]
            if shown != wanted:
                yield f"other {kind} neighbours ({expected(shown[:3], wanted[:3])})"

    def _cloud(self, cloud: Mapping[str, Any], rows: pl.DataFrame) -> Iterator[str]:
        """Compare drawn points with the rows that they are of: each has one at its place, with its coordinates and norm."""
        task, unit = cloud["task"], cloud["unit"]
        if cloud["kept"] != len(rows):
            yield f"task {task}: kept points ({expected(cloud['kept'], len(rows))})"
            return
        steps = np.stack([array(cloud[axis]).astype(np.float64) for axis in "xyz"], axis=1)
        drawn = (steps - np.array(cloud["origin"], np.float64)) * unit
        norm = array(cloud["norm"]["steps"]) * (cloud["norm"]["most"] * NORM_STEP)
        place = self._places(cloud)
        xyz, norms = rows.select("x", "y", "z").to_numpy().astype(np.float64), rows["norm"].to_numpy()
        at = _rows_at(place, self._row_places(cloud, task, rows))
        off_xyz = STEPS * unit
        off_norm = cloud["norm"]["most"] * (NORM_STEP + FIGURES)
        wrong = 0
        for point, candidates in enumerate(at):
            near = [
                row
                for row in candidates
                if np.abs(drawn[point] - xyz[row]).max() <= off_xyz and abs(norm[point] - norms[row]) <= off_norm
            ]
            wrong += not near
        if wrong:
            yield f"task {task}: {wrong:,} of {len(drawn):,} points are drawn where no firing of the database is"

    def _places(self, cloud: Mapping[str, Any]) -> list[tuple[int, ...]]:
        if "window" in cloud:
            return [(int(window),) for window in np.cumsum(array(cloud["window"]).astype(np.int64))]
        return list(zip(array(cloud["document"]).tolist(), array(cloud["position"]).tolist(), strict=True))

    def _row_places(self, cloud: Mapping[str, Any], task: int, rows: pl.DataFrame) -> list[tuple[int, ...]]:
        if "window" in cloud:
            return [(window,) for window in rows["window"].to_list()]
        documents = [self._documents[task, window] for window in rows["window"].to_list()]
        return list(zip(documents, rows["position"].to_list(), strict=True))

    def _contexts(self, expert: int, corpus: Mapping[str, Any], texts: list[str]) -> Iterator[str]:
        """Compare the tokens of the strongest contexts with those of their windows."""
        task = corpus["task"]
        shown = next((context for context in corpus["contexts"] if context["stratum"] == "top"), None)
        if shown is None:
            return
        rows = self._top.filter((pl.col("expert") == expert) & (pl.col("task") == task)).head(len(shown["norm"]))
        tokens = array(shown["tokens"]).reshape(-1, 2 * CONTEXT_TOKENS + 1)
        if len(rows) != len(tokens):
            yield f"corpus {task}: strongest contexts ({expected(len(tokens), len(rows))})"
            return
        for rank, (window, position, norm) in enumerate(rows.select("window", "position", "norm").iter_rows()):
            ids = self._windows[task, window]
            reached = range(position - CONTEXT_TOKENS, position + CONTEXT_TOKENS + 1)
            wanted = [self._texts[task, ids[at]] if 0 <= at < len(ids) else "" for at in reached]
            found = [texts[token] for token in tokens[rank]]
            if found != wanted:
                yield f"corpus {task}, context {rank}: other tokens ({expected(''.join(found), ''.join(wanted))})"
            if abs(shown["norm"][rank] - norm) > FIGURES * norm:
                yield f"corpus {task}, context {rank}: another norm ({expected(shown['norm'][rank], norm)})"


def _by_expert(rows: pl.DataFrame) -> dict[int, pl.DataFrame]:
    return {key[0]: own for key, own in rows.partition_by("expert", as_dict=True, maintain_order=True).items()}


def _rows_at(places: list[tuple[int, ...]], rows: list[tuple[int, ...]]) -> list[list[int]]:
    by_place: dict[tuple[int, ...], list[int]] = {}
    for row, place in enumerate(rows):
        by_place.setdefault(place, []).append(row)
    return [by_place.get(place, []) for place in places]


def _same(what: str, shown: Mapping[str, list[Any]], rows: pl.DataFrame | None, columns: tuple[str, ...]) -> Iterator[str]:
    """Compare columns of a page with those of the rows, in the same order."""
    for name in columns:
        wanted = [] if rows is None else rows[name].to_list()
        found = shown[name]
        if len(found) != len(wanted):
            yield f"{what}: rows ({expected(len(found), len(wanted))})"
            return
        for row, (one, other) in enumerate(zip(found, wanted, strict=True)):
            is_number = isinstance(one, float) and isinstance(other, float)
            if abs(one - other) > FIGURES * abs(other) if is_number else one != other:
                yield f"{what}, row {row}: another {name} ({expected(one, other)})"
                break
