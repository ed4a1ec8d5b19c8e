from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from atlas.bake.labels import labels_payload
from atlas.publish.manifest import numbers
from synthetic import synthetic_tables

Found = list[dict[int, tuple[int, float]]]


def frame(rows: list[tuple[int, int, int, int, float]]) -> pl.DataFrame:
    schema = {"task": pl.Int32, "label": pl.Int32, "expert": pl.Int32, "fired": pl.Int32, "lift": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def labels(payload: dict[str, Any]) -> Found:
    """Return what a payload says: by label, the expert's place ► rows fired on and lift, in the order of the payload."""
    starts, rows, fired, lift = (numbers(payload[name]) for name in ("starts", "rows", "fired", "lift"))
    assert starts[-1] == len(rows) == len(fired) == len(lift)
    return [
        dict(zip(rows[first:end], zip(fired[first:end], lift[first:end], strict=True), strict=True))
        for first, end in zip(starts[:-1], starts[1:], strict=True)
    ]


def test_a_label_holds_its_experts_and_what_they_did() -> None:
    rows = [(1, 2, 5, 300, 0.5), (1, 0, 7, 9, 45.25), (1, 0, 5, 10, 2.0), (2, 0, 7, 1, 1.0)]
    assert labels(labels_payload(frame(rows), 1, [7, 5], 4)) == [{0: (9, 45.25), 1: (10, 2.0)}, {}, {1: (300, 0.5)}, {}]


def test_a_task_on_which_no_expert_fires_has_empty_labels() -> None:
    assert labels(labels_payload(frame([]), 1, [0, 1], 3)) == [{}, {}, {}]


@given(
    keys=st.lists(st.tuples(st.integers(1, 2), st.integers(0, 3), st.integers(0, 4)), unique=True, max_size=30),
    fired=st.lists(st.integers(0, 70_000), min_size=30, max_size=30),
    lift=st.lists(st.floats(0, 1e6, width=32), min_size=30, max_size=30),
    experts=st.permutations(list(range(5))),
)
def test_the_counts_are_exact(keys: list[tuple[int, int, int]], fired: list[int], lift: list[float], experts: list[int]) -> None:
    rows = [(*key, *did) for key, did in zip(keys, zip(fired, lift, strict=True), strict=False)]
    obvious: Found = [{}, {}, {}, {}]
    for task, label, expert, *did in rows:
        if task == 2:
            obvious[label][experts.index(expert)] = (int(did[0]), did[1])
    found = labels(labels_payload(frame(rows), 2, experts, 4))
    assert found == obvious
    assert all(list(of) == sorted(of) for of in found)


def test_fires_can_be_had_from_the_counts_again() -> None:
    tables = synthetic_tables()
    stats = pl.DataFrame({name: tables["label_stats"][name] for name in ("task", "label", "expert", "fired", "fires", "lift")})
    of = dict(zip(zip(tables["labels"]["task"], tables["labels"]["label"], strict=True), tables["labels"]["rows"], strict=True))
    found = labels(labels_payload(stats.drop("fires"), 1, list(range(40)), 12))
    for label, expert, fires in stats.filter(pl.col("task") == 1).select("label", "expert", "fires").iter_rows():
        assert found[label][expert][0] / of[1, label] == fires
