"""Which experts a query leaves, and how many each facet would: many queries at random against a plain scan of the tables."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Page

from synthetic import MONTHS, synthetic_tables

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
Row = dict[str, Any]
Query = dict[str, Any]
QUERIES = 60
LABELS = {"months": MONTHS, "numbers": tuple(map(str, range(100)))}
FIND = """async (queries) => {
  const manifest = atlas.columns.decoded(await atlas.payloads.load("atlas"));
  const classes = new atlas.classes.Classes(manifest);
  const finder = new atlas.query.Finder(manifest, classes);
  const labelled = manifest.tasks.filter(({ labels }) => labels.name.length);
  for (const task of labelled) await finder.loadLabels(task);
  const found = [];
  for (const query of queries) {
    const state = { ...atlas.route.DEFAULTS, ...query };
    const { rows, counts, filters, relaxed } = finder.find(state, await finder.ready(state));
    found.push({
      experts: Array.from(rows, (row) => manifest.experts.expert[row]),
      facets: filters.map(({ facet }) => facet),
      relaxed: relaxed.map(({ facet, left }) => [facet, left]),
      tasks: Object.fromEntries(counts.tasks()),
      orders: counts.orders(),
      shapes: Object.fromEntries(classes.names.map((name, at) => [name, counts.shapes()[at]])),
      clusters: [...counts.clusters()],
      activities: counts.activities(),
      labels: Object.fromEntries(labelled.map((task) => [task.name, [...counts.labels(task)]])),
      bins: Object.fromEntries(manifest.amounts.map(({ key, edges }) => {
        const bins = counts.bins(key);
        return [key, { edges, counts: [...bins], missing: bins.missing }];
      })),
    });
  }
  return found;
}"""


def rows_of(table: str) -> list[Row]:
    columns = synthetic_tables()[table]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


# --- the plain scan ---


class Scan:
    """Every answer by going through all rows of the tables."""

    def __init__(self) -> None:
        self.stats = {row["expert"]: row for row in rows_of("expert_stats") if row["task"] == 0}
        self.titles = {row["expert"]: row for row in rows_of("titles")}
        of_r2 = {(row["task"], row["hypothesis"]) for row in rows_of("hypotheses") if row["measure"] == "R²"}
        self.scores = [row for row in rows_of("scores") if (row["task"], row["hypothesis"]) in of_r2]
        self.labels = rows_of("label_stats")
        self.shapes = rows_of("shapes")
        self.clusters = {row["expert"]: row["cluster"] for row in rows_of("overview")}
        self.tasks = {row["name"]: row["task"] for row in rows_of("tasks")}
        self.n_labels = {1: 12, 2: 100}
        self.experts = sorted(self.stats, key=lambda expert: (-self.stats[expert]["importance"], expert))

    def orders(self, expert: int) -> set[int]:
        return {row["task"] for row in self.scores if row["expert"] == expert and row["order_supported"]}

    def is_about(self, expert: int, task: int) -> bool:
        return self.titles[expert]["task"] == task or task in self.orders(expert)

    def best(self, expert: int, task: int | None) -> Row | None:
        """Return the score that stands for an expert: of its title's task, then supported, then by ranking."""
        readable = [
            row
            for row in self.scores
            if row["expert"] == expert and row["testable"] and row["all_rows_low"] > 0 and task in (None, row["task"])
        ]
        home = self.titles[expert]["task"]
        return min(
            readable,
            key=lambda row: (row["task"] != home, not row["order_supported"], -row["ranking"], row["task"], row["hypothesis"]),
            default=None,
        )

    def value(self, expert: int, key: str, query: Query) -> float | None:
        if key in ("score", "coverage"):
            best = self.best(expert, self.tasks.get(query.get("task", "")))
            if best is None:
                return None
            return float(best["all_rows"] if key == "score" else best["covered"] / self.n_labels[best["task"]])
        if key == "effective_dimension":
            (row,) = [row for row in self.shapes if row["expert"] == expert and row["task"] == 0] or [{key: None}]
            return None if row[key] is None else float(row[key])
        value = self.stats[expert][key]
        return None if value is None else float(value)

    def fires(self, expert: int, label: str, least: float) -> bool:
        task, name = label.split(":")
        at = LABELS[task].index(name)
        return any(
            row["expert"] == expert and row["task"] == self.tasks[task] and row["label"] == at and row["fires"] >= least - 1e-12
            for row in self.labels
        )

    def classes(self, expert: int) -> set[str]:
        found = {row["class"] for row in self.shapes if row["expert"] == expert and row["class"] is not None}
        claims = found - {"unclear"}
        return claims or found

    def activity(self, expert: int) -> str:
        stats = self.stats[expert]
        return "silent" if stats["silent"] else "dense" if stats["dense"] else "neither"

    def passes(self, expert: int, query: Query, facet: str) -> bool:
        wanted = query[facet]
        task = self.tasks.get(query.get("task", ""))
        if facet == "task":
            return self.is_about(expert, self.tasks[wanted])
        if facet == "order":
            return bool(self.orders(expert)) if task is None else task in self.orders(expert)
        if facet == "label":
            meets = all if query.get("mode") == "all" else any
            return meets(self.fires(expert, label, query.get("fires", 0.5)) for label in wanted)
        if facet == "shape":
            return bool(self.classes(expert) & set(wanted))
        if facet == "cluster":
            cluster = self.clusters.get(expert)
            return cluster is not None and str(cluster) in wanted
        if facet == "activity":
            return self.activity(expert) in wanted
        value = self.value(expert, facet, query)
        low, high = wanted["low"], wanted["high"]
        return value is not None and (low is None or value >= low) and (high is None or value <= high)

    def left(self, query: Query, *, without: str | None = None) -> list[int]:
        facets = [facet for facet in query if facet not in ("mode", "fires", "sort", without)]
        return [expert for expert in self.experts if all(self.passes(expert, query, facet) for facet in facets)]


@pytest.fixture(scope="module")
def scan() -> Scan:
    return Scan()


# --- queries at random ---


def queries(scan: Scan) -> Iterator[Query]:
    chance = random.Random(0)

    def bounds(key: str) -> dict[str, float | None]:
        known = sorted({value for expert in scan.experts if (value := scan.value(expert, key, {})) is not None})
        # Between two values, so that single precision cannot decide.
        middles = [(one + other) / 2 for one, other in pairwise(known)] or known
        low, high = sorted((chance.choice(middles), chance.choice(middles)))
        return {"low": chance.choice([low, None]), "high": high}

    def drawn(facet: str) -> Any:
        if facet == "task":
            return chance.choice(["months", "numbers"])
        if facet == "order":
            return True
        if facet == "label":
            task = chance.choice(["months", "numbers"])
            return [f"{task}:{name}" for name in chance.sample(LABELS[task], chance.randint(1, 3))]
        if facet == "shape":
            return chance.sample(["ring", "curve", "sheet", "line or ray", "clusters", "unclear"], chance.randint(1, 2))
        if facet == "cluster":
            return [str(cluster) for cluster in chance.sample([0, 1, 2], chance.randint(1, 2))]
        if facet == "activity":
            return chance.sample(["silent", "dense", "neither"], chance.randint(1, 2))
        return bounds(facet)

    facets = ["task", "order", "label", "shape", "cluster", "activity", "score", "coverage", "importance", "rate", "mean_norm"]
    facets += ["effective_dimension"]
    for _ in range(QUERIES):
        query = {facet: drawn(facet) for facet in chance.sample(facets, chance.randint(0, 3))}
        yield query | (
            {"mode": chance.choice(["any", "all"]), "fires": chance.choice([0.1, 0.5, 0.9])} if "label" in query else {}
        )


@pytest.fixture(scope="module")
def asked(scan: Scan) -> list[Query]:
    return list(queries(scan))


def answered(page: Page, asked: list[Query]) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = page.evaluate(FIND, asked)
    return answers


def test_a_query_leaves_what_a_plain_scan_leaves(open_at: Open, scan: Scan, asked: list[Query]) -> None:
    sizes = set()
    for query, found in zip(asked, answered(open_at(""), [query | {"sort": "importance"} for query in asked]), strict=True):
        assert found["experts"] == scan.left(query), query
        sizes.add(len(found["experts"]))
    assert len(sizes) > 8  # the queries are neither all empty nor all the same


def test_counts_are_of_what_the_other_filters_leave(open_at: Open, scan: Scan, asked: list[Query]) -> None:
    for query, found in zip(asked, answered(open_at(""), asked), strict=True):
        # Whose score is asked for follows from the task that would be chosen.
        chosen = {str(scan.tasks[name]): len(scan.left(query | {"task": name})) for name in LABELS}
        chosen["null"] = len(scan.left({facet: query[facet] for facet in query if facet != "task"}))
        assert {task: found["tasks"][task] for task in chosen} == chosen, query
        task = scan.tasks.get(query.get("task", ""))
        ordered = [scan.orders(expert) for expert in scan.left(query, without="order")]
        assert found["orders"] == sum(bool(tasks) if task is None else task in tasks for tasks in ordered), query
        others = scan.left(query, without="shape")
        assert found["shapes"] == {name: sum(name in scan.classes(expert) for expert in others) for name in found["shapes"]}, (
            query
        )
        others = scan.left(query, without="cluster")
        assert found["clusters"] == [
            sum(scan.clusters.get(expert) == cluster for expert in others) for cluster in range(len(found["clusters"]))
        ], query
        activities = [scan.activity(expert) for expert in scan.left(query, without="activity")]
        assert found["activities"] == {name: activities.count(name) for name in ("silent", "dense", "neither")}, query
        for task_name, counts in found["labels"].items():
            kept = None if query.get("mode") == "all" else "label"
            others, least = scan.left(query, without=kept), query.get("fires", 0.5)
            some = range(0, len(counts), 11)
            assert [counts[at] for at in some] == [
                sum(scan.fires(expert, f"{task_name}:{LABELS[task_name][at]}", least) for expert in others) for at in some
            ], query


def test_bins_hold_what_the_other_filters_leave(open_at: Open, scan: Scan, asked: list[Query]) -> None:
    for query, found in zip(asked[:20], answered(open_at(""), asked[:20]), strict=True):
        for key, bins in found["bins"].items():
            if key == "dimensions_needed":
                continue
            values = [scan.value(expert, key, query) for expert in scan.left(query, without=key)]
            known = [value for value in values if value is not None]
            assert bins["missing"] == len(values) - len(known), (query, key)
            assert sum(bins["counts"]) == len(known), (query, key)
            inner = bins["edges"][1:-1]
            cumulated = [sum(bins["counts"][: at + 1]) for at in range(len(inner))]
            slack = 1e-6
            for edge, n in zip(inner, cumulated, strict=True):
                assert sum(value < edge * (1 - slack) for value in known) <= n, (query, key, edge)
                assert n <= sum(value < edge * (1 + slack) for value in known), (query, key, edge)


def test_an_empty_finding_says_which_filters_to_relax(open_at: Open, scan: Scan) -> None:
    asked: list[Query] = [
        {"activity": ["silent"], "rate": {"low": 0.001, "high": None}},
        {"task": "months", "shape": ["curve"], "activity": ["silent"]},
        {"label": ["months:May", "numbers:7"], "mode": "all", "order": True, "activity": ["dense"]},
    ]
    for query, found in zip(asked, answered(open_at(""), asked), strict=True):
        assert found["experts"] == []
        if "mode" in query:  # each of the labels is a filter of its own
            parts = [query | {"label": [label]} for label in reversed(query["label"])]
            left = [("label", len(scan.left(part))) for part in parts]
            left += [(facet, len(scan.left(query, without=facet))) for facet in ("order", "activity")]
        else:
            left = [(facet, len(scan.left(query, without=facet))) for facet in query]
        assert sorted(map(tuple, found["relaxed"])) == sorted((facet, n) for facet, n in left if n)


@pytest.mark.parametrize("sort", ["score", "coverage", "rate", "mean_norm", "effective_dimension"])
@pytest.mark.parametrize("task", [None, "months"])
def test_sorts_go_by_the_value_and_what_has_none_stands_last(open_at: Open, scan: Scan, sort: str, task: str | None) -> None:
    query: Query = {} if task is None else {"task": task}
    down, up = answered(open_at(""), [query | {"sort": sort}, query | {"sort": f"-{sort}"}])
    left = scan.left(query)
    values = {expert: scan.value(expert, sort, query) for expert in left}
    known = [expert for expert in left if values[expert] is not None]
    unknown = [expert for expert in left if values[expert] is None]
    assert sorted(down["experts"]) == sorted(left)
    ordered = [values[expert] for expert in down["experts"][: len(known)]]
    assert ordered == sorted(ordered, key=lambda value: -(value or 0.0))
    assert down["experts"][len(known) :] == unknown
    assert up["experts"] == [*reversed(down["experts"][: len(known)]), *unknown]
