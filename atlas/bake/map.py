"""The map of all experts and the shapes of their clouds: what the first page draws, and what it says of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas.bake.arrays import Frame, narrow, typed
from atlas.bake.numbers import by_chance, count, score

Array = npt.NDArray[Any]

OFF = -32_768
"""Both coordinates of an expert that is not on the map; no step of a frame lies so far out."""
SHAPES = ("line or ray", "curve", "ring", "sheet", "clusters", "unclear")
"""Every class of the table `shapes`, in the order of the page."""
UNCLEAR = "unclear"
"""The class that claims nothing."""


@dataclass(frozen=True)
class MapWords:
    """What the first page says of the map."""

    is_drawn: bool
    line: str
    """How far it can be trusted and who is not on it; where it is not drawn, why there is none."""
    more: tuple[str, ...]
    """What it is made of and what the numbers mean, a paragraph each."""


def map_payload(overview: pl.DataFrame, clusters: pl.DataFrame, experts: pl.DataFrame) -> dict[str, Any] | None:
    """Return the experts' places in the order of `experts`, the clusters' names and middles.

    None where no expert has a place. Places are whole steps of one scale for both axes, OFF where there is none; a cluster is
    its number plus one, 0 for none.
    """
    if overview.is_empty():
        return None
    placed = experts.select("expert").join(overview, on="expert", how="left", maintain_order="left")
    is_placed = placed["x"].is_not_null().to_numpy()
    dots, middles = _flat(placed.filter(pl.col("x").is_not_null())), _flat(clusters)
    frame = Frame.around(np.concatenate([dots, middles]))
    steps = np.full((len(placed), 2), OFF, np.int16)
    steps[is_placed] = frame.stepped(dots)[:, :2]
    middles = frame.stepped(middles)
    return {
        "x": typed(steps[:, 0]),
        "y": typed(steps[:, 1]),
        "cluster": typed(narrow(placed["cluster"].cast(pl.Int64).fill_null(-1).to_numpy() + 1)),
        "clusters": {
            **{name: clusters[name].to_list() for name in ("name", "basis", "experts", "named")},
            "x": middles[:, 0].tolist(),
            "y": middles[:, 1].tolist(),
        },
    }


def _flat(places: pl.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return places as points of a frame, which has three axes."""
    xy = places.select("x", "y").to_numpy().astype(np.float64)
    return np.column_stack([xy, np.zeros(len(xy))])


def map_words(overview: Mapping[str, Any] | None, experts: pl.DataFrame, placed: Sequence[int]) -> MapWords:
    """Return what the layout is made of, how far it can be trusted, and who is not on it.

    `overview` is what provenance says of the map, `placed` the numbers of the experts on it.
    """
    if overview is None or not placed:
        return MapWords(False, "This atlas has no map: no two of its experts are near each other.", ())
    k, trust, chance = (overview[key] for key in ("neighbours", "trustworthiness", "by_chance"))
    line = ["Only nearness means anything here; directions and long distances do not."]
    more = [f"Nearness on the map follows a mix: {overview['mix']}."]
    if trust is None:
        line.append("It has too few experts to say how far it can be trusted.")
    else:
        continuity = overview["continuity"]
        line.append(
            f"Trustworthiness {score(trust)}, continuity {score(continuity)}: 1 is best, places at random have {score(chance)}."
        )
        more.append(
            f"Trustworthiness falls with every expert among another's {k} nearest on the map that is not among the {k} nearest "
            f"by the mix, the more the farther it is; continuity with every one among the {k} nearest by the mix that is not "
            f"among the {k} nearest on the map."
        )
    if off := _off(experts.filter(~pl.col("expert").is_in(list(placed)))):
        line.append(f"Not on it: {off}.")
    rule = str(overview["cluster_name_rule"])
    return MapWords(True, " ".join(line), (*more, f"A cluster's name: {rule[:1].lower()}{rule[1:]}"))


def _off(left_out: pl.DataFrame) -> str:
    silent = int(left_out["silent"].sum())
    counts = {"silent": silent, "near no other": len(left_out) - silent}
    return ", ".join(f"{count(n)} {why}" for why, n in counts.items() if n)


def shapes_payload(shapes: pl.DataFrame, classes: pl.DataFrame, experts: pl.DataFrame) -> dict[str, Any] | None:
    """Return every source's classes, and how many clouds of each class chance would give; None where no cloud has one.

    `rows` are places in `experts`, `classes` places in the list of all classes.
    """
    found = shapes.filter(pl.col("class").is_not_null())
    if found.is_empty():
        return None
    place = experts.select("expert").with_row_index("row")
    rows = found.join(place, on="expert").with_columns(at=pl.col("class").replace_strict(SHAPES, range(len(SHAPES))))
    expected = dict(classes.group_by("class").agg(pl.col("expected").sum()).iter_rows())
    return {
        "classes": SHAPES,
        "expected": [by_chance(expected.get(name, 0.0)) for name in SHAPES],
        "sources": [
            {"task": task, "rows": typed(narrow(some["row"].to_numpy())), "classes": typed(narrow(some["at"].to_numpy()))}
            for (task,), some in rows.sort("task", "row").group_by("task", maintain_order=True)
        ],
    }


def shown_shapes(shapes: pl.DataFrame, experts: pl.DataFrame, cloud_tasks: Sequence[int | None]) -> Array:
    """Return the class that the list shows of each expert, by place in SHAPES: its cloud's, else the first corpus'; else -1."""
    found = shapes.filter(pl.col("class").is_not_null())
    classes = found.select("expert", "task", at=pl.col("class").replace_strict(SHAPES, range(len(SHAPES)), return_dtype=pl.Int64))
    wanted = experts.select("expert").with_columns(task=pl.Series(list(cloud_tasks), dtype=shapes.schema["task"]))
    here = wanted.join(classes, on=["expert", "task"], how="left", maintain_order="left")["at"]
    corpus = classes.filter(pl.col("task") == 0).drop("task")
    on_corpus = wanted.join(corpus, on="expert", how="left", maintain_order="left")["at"]
    return here.fill_null(on_corpus).fill_null(-1).to_numpy()


def shape_words(classes: pl.DataFrame) -> str | None:
    """Return how many clouds are called what, beside what chance would give; None where none was tested."""
    tested = int(classes.group_by("task").agg(pl.col("tested").max())["tested"].sum())
    if not tested:
        return None
    sums = classes.group_by("class").agg(pl.col("experts", "expected").sum())
    found = {name: (experts, expected) for name, experts, expected in sums.iter_rows()}
    claims = {name: found.get(name, (0, 0.0)) for name in SHAPES if name != UNCLEAR}
    said = ", ".join(f"{count(n)} {name} ({by_chance(expected)})" for name, (n, expected) in claims.items())
    clouds = "cloud has" if tested == 1 else "clouds have"
    return (
        f"{count(tested)} {clouds} a shape, one for each expert and source. In brackets, how many would be called so if there "
        f"were nothing to see: {said}. The others are unclear."
    )
