from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from atlas.bake import bake
from atlas.bake.arrays import STEPS
from atlas.bake.map import OFF, SHAPES, map_payload, map_words, shape_words, shapes_payload
from atlas.publish.manifest import numbers
from atlas.store import write_atlas
from synthetic import Size, synthetic_tables

EXPERTS = pl.DataFrame({"expert": [7, 3, 5, 1], "silent": [False, False, True, False]})
"""In the order of a first page."""
OVERVIEW = {
    "mix": "70% one thing, 30% another",
    "neighbours": 15,
    "trustworthiness": 0.9312,
    "continuity": 0.8749,
    "by_chance": 0.5071,
    "cluster_name_rule": "The task that most of its titles name.",
}


def places(*rows: tuple[int, float, float, int | None]) -> pl.DataFrame:
    schema = {"expert": pl.Int32, "x": pl.Float32, "y": pl.Float32, "cluster": pl.Int32}
    return pl.DataFrame(rows, schema=schema, orient="row")


def clusters(*rows: tuple[str, float, float]) -> pl.DataFrame:
    columns: dict[str, Sequence[Any]] = {"name": [name for name, _, _ in rows], "x": [x for _, x, _ in rows]}
    columns |= {"y": [y for _, _, y in rows], "basis": ["title"] * len(rows)}
    return pl.DataFrame(columns | {"experts": [2] * len(rows), "named": [1] * len(rows)}, schema_overrides={"name": pl.String})


def test_both_axes_of_the_map_have_one_scale_and_experts_the_lists_order() -> None:
    made = map_payload(places((3, 10.0, 4.0, 0), (7, 0.0, 0.0, 1), (1, 5.0, 2.0, None)), clusters(("Months", 10, 4)), EXPERTS)
    assert made is not None
    assert numbers(made["x"]) == [-STEPS, STEPS, OFF, 0]
    assert numbers(made["y"]) == [-0.4 * STEPS, 0.4 * STEPS, OFF, 0]
    assert numbers(made["cluster"]) == [2, 1, 0, 0]
    assert made["clusters"] == {
        **{"name": ["Months"], "basis": ["title"], "experts": [2], "named": [1]},
        **{"x": [STEPS], "y": [0.4 * STEPS]},
    }


def test_one_place_and_no_cluster_are_a_map_too() -> None:
    made = map_payload(places((3, 1.5, -2.0, None)), clusters(), EXPERTS)
    assert made is not None and numbers(made["x"]) == [OFF, 0, OFF, OFF] and made["clusters"]["name"] == []


def test_without_places_there_is_no_map_and_the_page_says_why() -> None:
    assert map_payload(places(), clusters(), EXPERTS) is None
    for overview in (OVERVIEW, None):
        said = map_words(overview, EXPERTS, [])
        assert (said.is_drawn, said.more) == (False, ()) and said.line.startswith("This atlas has no map: ")


def test_the_map_says_how_far_it_can_be_trusted_beside_chance_and_who_is_not_on_it() -> None:
    said = map_words(OVERVIEW, EXPERTS, [3])
    assert "Trustworthiness 0.93, continuity 0.87: 1 is best, places at random have 0.51." in said.line
    assert said.line.endswith(" Not on it: 1 silent, 2 near no other.")
    assert "Not on it" not in map_words(OVERVIEW, EXPERTS, [3, 7, 5, 1]).line
    assert said.more[0] == "Nearness on the map follows a mix: 70% one thing, 30% another."
    assert "15 nearest" in said.more[1]
    assert said.more[-1] == "A cluster's name: the task that most of its titles name."


def test_a_map_too_small_to_be_judged_claims_no_trust() -> None:
    unknown = {"neighbours": None, "trustworthiness": None, "continuity": None, "by_chance": None}
    said = map_words(OVERVIEW | unknown, EXPERTS, [3, 1])
    assert "too few experts" in said.line and "None" not in said.line + " ".join(said.more)


def shapes(*rows: tuple[int, int, str | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"task": pl.Int32, "expert": pl.Int32, "class": pl.String}, orient="row")


def classes(*rows: tuple[int, str, int, int, float]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["task", "class", "experts", "tested", "expected"], orient="row")


def test_shapes_stand_by_source_and_what_chance_gives_is_their_sum() -> None:
    found = shapes((0, 1, "ring"), (0, 3, "unclear"), (0, 7, None), (2, 7, "curve"))
    made = shapes_payload(found, classes((0, "ring", 1, 2, 0.0213), (2, "ring", 0, 1, 0.1)), EXPERTS)
    assert made is not None and made["classes"] == SHAPES
    assert made["expected"][SHAPES.index("ring")] == "0.12" and made["expected"][SHAPES.index("curve")] == "below 0.1"
    assert [(one["task"], numbers(one["rows"]), [SHAPES[at] for at in numbers(one["classes"])]) for one in made["sources"]] == [
        (0, [1, 3], ["unclear", "ring"]),
        (2, [0], ["curve"]),
    ]
    assert shapes_payload(shapes((0, 7, None)), classes(), EXPERTS) is None


def test_the_page_says_how_many_shapes_there_are_beside_chance() -> None:
    said = shape_words(
        classes(
            (0, "ring", 3, 1200, 0.4), (0, "unclear", 1197, 1200, 1199.6), (2, "ring", 2, 40, 0.031), (2, "unclear", 38, 40, 39.9)
        )
    )
    assert said is not None and said.startswith("1,240 clouds have a shape")
    assert ": 0 line or ray (below 0.1), 0 curve (below 0.1), 5 ring (0.43), 0 sheet (below 0.1)," in said
    assert said.endswith(" 0 clusters (below 0.1). The others are unclear.")
    assert shape_words(classes((0, "ring", 0, 0, 0.0))) is None


def test_the_largest_dictionary_adds_less_than_300_kilobytes() -> None:
    n = 16_384
    random = np.random.default_rng(0)
    experts = pl.DataFrame({"expert": random.permutation(n), "silent": [False] * n})
    overview = pl.DataFrame({"expert": range(n), "x": random.normal(size=n), "y": random.normal(size=n), "cluster": range(n)})
    overview = overview.with_columns(pl.col("cluster") % 300)
    on = [(0, expert) for expert in range(n)] + [(task, expert) for task in range(1, 6) for expert in range(task, n, 20)]
    found = shapes(*((task, expert, SHAPES[expert % len(SHAPES)]) for task, expert in on))
    names = clusters(*((f"one · two · three {number}", 0.0, 0.0) for number in range(300)))
    added = {
        "map": map_payload(overview, names, experts),
        "shapes": shapes_payload(found, classes((0, "ring", 1, 1, 1.0)), experts),
    }
    assert len(json.dumps(added, separators=(",", ":"))) < 300_000


@pytest.mark.parametrize("is_drawn", [True, False], ids=["map", "no map"])
def test_the_page_has_the_map_or_the_line_that_says_why_not(is_drawn: bool, tmp_path: Path) -> None:
    tables = synthetic_tables(size=Size(experts=8, points=4, windows=2))
    if not is_drawn:
        del tables["overview"], tables["overview_clusters"]
    write_atlas(tmp_path / "atlas.duckdb", tables)
    page = (bake(tmp_path / "atlas.duckdb", tmp_path / "site").folder / "index.html").read_text(encoding="utf-8")
    assert ("data-map" in page, "This atlas has no map" in page) == (is_drawn, not is_drawn)
