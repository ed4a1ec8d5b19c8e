from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from atlas.bake import bake
from atlas.bake.fidelity import MEASURES, MOST_POINTS, extremes, fidelity_payload, is_evaluated
from atlas.store import Store, write_atlas
from synthetic import EVALUATION_COLUMNS, Size, synthetic_tables, with_cross_entropy


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A synthetic atlas of a causal model."""
    path = tmp_path_factory.mktemp("fidelity") / "atlas.duckdb"
    write_atlas(path, with_cross_entropy(synthetic_tables()))
    with Store(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def payload(store: Store) -> dict[str, Any]:
    """What its fidelity view shows."""
    return fidelity_payload(store["evaluation"], store["training_log"], store.tasks())


def evaluated(store: Store, *rows: tuple[int, str, str, float | None]) -> dict[str, Any]:
    """What the view shows of these rows of the table, each measured on 100 tokens."""
    kinds = dict(zip(EVALUATION_COLUMNS, (pl.Int32, pl.String, pl.String, pl.Float64, pl.Int64), strict=True))
    frame = pl.DataFrame([(*row, 100) for row in rows], schema=kinds, orient="row")
    return fidelity_payload(frame, store["training_log"].clear(), store.tasks())


def logged(steps: list[int], values: list[float], metric: str = "loss") -> pl.DataFrame:
    return pl.DataFrame({"step": steps, "metric": [metric] * len(steps), "value": values})


def test_every_value_is_the_tables(store: Store, payload: dict[str, Any]) -> None:
    table = {(task, subject, metric): value for task, subject, metric, value, _ in store["evaluation"].iter_rows()}
    shown = {
        (0, subject, row["metric"]): row[subject]
        for row in payload["corpus"]["rows"]
        for subject in ("dictionary", "pca")
        if subject in row
    }
    shown |= {
        (row["task"], subject, "fvu"): row[subject] for row in payload["tasks"]["rows"] for subject in ("dictionary", "pca")
    }
    for row in payload["cross_entropy"]["rows"]:
        shown[0, row["subject"], "cross_entropy"] = row["value"]
        if "score" in row:
            shown[0, row["subject"], "cross_entropy_score"] = row["score"]
    told = {"silent", "dense", *(metric for _, _, metric in table if metric.startswith("rate_"))}
    assert shown == {key: value for key, value in table.items() if key[2] not in told}
    assert payload["corpus"]["tokens"] == 104_551
    assert [row["tokens"] for row in payload["tasks"]["rows"]] == [120, 600]
    assert payload["cross_entropy"]["tokens"] == 49_152


def test_what_does_not_apply_is_left_out_and_what_could_not_be_measured_is_null(payload: dict[str, Any]) -> None:
    rows = {row["metric"]: row for row in payload["corpus"]["rows"]}
    assert "pca" not in rows["experts_per_token"]
    assert rows["norm_ratio"]["pca"] is None
    kept = {row["subject"]: row for row in payload["cross_entropy"]["rows"]}
    assert "score" not in kept["model"] and kept["mean"]["value"] is None


@pytest.mark.parametrize(
    ("metric", "dictionary", "pca", "ahead"),
    [
        ("fvu", 0.2, 0.3, "dictionary"),
        ("fvu", 0.3, 0.2, "pca"),
        ("fvu", 0.3, 0.3, None),
        ("cosine", 0.9, 0.8, "dictionary"),
        ("cosine", -0.9, 0.1, "pca"),
        ("norm_ratio", 1.2, 0.9, "pca"),
        ("norm_ratio", 1.05, 0.9, "dictionary"),
        ("normalised_mse", 0.1, None, None),
        ("coordinates_per_token", 24.9, 25.0, None),
    ],
)
def test_the_better_of_two_is_marked(store: Store, metric: str, dictionary: float, pca: float | None, ahead: str | None) -> None:
    found = evaluated(store, (0, "dictionary", metric, dictionary), (0, "pca", metric, pca))
    assert [row["ahead"] for row in found["corpus"]["rows"]] == [ahead]
    assert (found["corpus"]["verdict"] is not None) == (ahead == "pca")


def test_the_verdict_counts_the_measures_on_which_pca_is_closer(payload: dict[str, Any], store: Store) -> None:
    assert payload["corpus"]["verdict"].startswith("PCA is closer by 4 of 4 measures. Its 25 components are the same for")
    mixed = evaluated(
        store,
        (0, "dictionary", "fvu", 0.2),
        (0, "pca", "fvu", 0.1),
        (0, "dictionary", "cosine", 0.9),
        (0, "pca", "cosine", 0.8),
        (0, "pca", "coordinates_per_token", 9.0),
    )
    assert mixed["corpus"]["verdict"].startswith("PCA is closer by 1 of 2 measures. Its 9 components")


def test_tasks_on_which_pca_or_their_mean_is_closer_are_named(payload: dict[str, Any], store: Store) -> None:
    assert payload["tasks"]["verdict"] == (
        "PCA is closer on Numbers 0–99. On Numbers 0–99 the dictionary is further off than the mean of the task’s own rows."
    )
    both = evaluated(store, *((task, who, "fvu", value) for task in (1, 2) for who, value in (("dictionary", 0.5), ("pca", 0.4))))
    assert both["tasks"]["verdict"] == "PCA is closer on Months and Numbers 0–99."
    neither = evaluated(store, (1, "dictionary", "fvu", 0.5), (1, "pca", "fvu", 0.6))
    assert neither["tasks"]["verdict"] is None


def test_rates_are_told_in_a_sentence(payload: dict[str, Any], store: Store) -> None:
    rates = store.experts()["rate"]
    assert payload["rates"].startswith("On the evaluation’s 104,551 held-out tokens: 2 of them silent, 2 of them dense, ")
    assert f"the most frequent on {100 * max(rates):.0f}\u202f%." in payload["rates"]
    alone = evaluated(store, (0, "dictionary", "silent", 3.0), (0, "dictionary", "rate_q50", None))
    assert alone["rates"] == "On the evaluation’s 100 held-out tokens: 3 of them silent."


def test_an_atlas_without_evaluation_or_log_is_said_to_have_none(store: Store) -> None:
    empty = evaluated(store)
    assert (empty["corpus"], empty["cross_entropy"], empty["rates"], empty["training"]) == (None, None, None, [])
    assert empty["tasks"] == {"rows": [], "verdict": None}
    assert not is_evaluated(empty)


def test_a_ratio_over_nothing_is_not_measured(store: Store) -> None:
    found = evaluated(store, (0, "dictionary", "fvu", math.inf), (0, "pca", "fvu", 0.2))
    (row,) = found["corpus"]["rows"]
    assert (row["dictionary"], row["ahead"]) == (None, None)


def test_each_measure_says_what_it_is_and_which_direction_is_better() -> None:
    for measure in MEASURES:
        assert measure.about.endswith("better." if measure.distance else "sparser."), measure.title


# Training curves


def test_a_long_log_is_thinned_to_points_of_it_with_its_extremes(store: Store, payload: dict[str, Any]) -> None:
    log = store["training_log"]
    assert [curve["metric"] for curve in payload["training"]] == [
        "fvu", "loss", "reconstruction_loss", "auxiliary_loss", "dead", "threshold", "experts_above_threshold", "gradient_norm",
        "learning_rate",
    ]  # fmt: skip
    for curve in payload["training"]:
        of = log.filter(pl.col("metric") == curve["metric"])
        at = dict(of.select("step", "value").iter_rows())
        assert curve["logged"] == len(of) == Size().logged_steps
        assert MOST_POINTS / 2 < len(curve["step"]) == len(curve["value"]) <= MOST_POINTS
        assert curve["step"] == sorted(set(curve["step"]))
        assert [at[step] for step in curve["step"]] == pytest.approx(curve["value"], rel=1e-5)
        assert (curve["step"][0], curve["step"][-1]) == (min(at), max(at))
        assert max(curve["value"]) == pytest.approx(max(at.values()), rel=1e-5)
        assert min(curve["value"]) == pytest.approx(min(at.values()), rel=1e-5)


def test_a_short_log_is_kept_whole(store: Store) -> None:
    log = logged([30, 10, 20], [1.0, 3.0, 2.0])
    (curve,) = fidelity_payload(store["evaluation"], log, store.tasks())["training"]
    assert (curve["step"], curve["value"], curve["logged"]) == ([10, 20, 30], [3.0, 2.0, 1.0], 3)


def test_a_step_that_was_taken_again_counts_as_last_logged(store: Store) -> None:
    log = logged([10, 20, 10, 20], [5.0, 6.0, 1.0, 2.0])
    (curve,) = fidelity_payload(store["evaluation"], log, store.tasks())["training"]
    assert (curve["step"], curve["value"]) == ([10, 20], [1.0, 2.0])


def test_values_that_no_axis_has_are_left_out(store: Store) -> None:
    log = pl.concat([logged([10, 20], [math.inf, 2.0]), logged([10], [-math.inf], "gone")])
    (curve,) = fidelity_payload(store["evaluation"], log, store.tasks())["training"]
    assert (curve["metric"], curve["step"], curve["logged"]) == ("loss", [20], 1)


def test_an_unknown_metric_goes_by_its_own_name_after_those_we_know(store: Store) -> None:
    log = pl.concat([logged([1], [1.0], "a_metric_of_theirs"), logged([1], [1.0], "threshold")])
    curves = fidelity_payload(store["evaluation"], log, store.tasks())["training"]
    titles = [(curve["title"], curve["unit"]) for curve in curves]
    assert titles == [("Threshold", "norm of a code, scaled"), ("a metric of theirs", "")]


@pytest.mark.parametrize("length", [1, 2, 512, 513, 514, 1023, 5000])
def test_every_value_left_out_lies_between_kept_ones_of_its_stretch(length: int) -> None:
    values = np.random.default_rng(length).standard_cauchy(length)
    kept = extremes(values, 512)
    assert len(kept) <= 512 and list(kept) == sorted(set(kept))
    assert {0, length - 1} <= set(kept)
    stretch = length // 255 + 2
    for at in set(range(length)) - set(kept):
        near = values[[one for one in kept if abs(one - at) <= stretch]]
        assert near.min() <= values[at] <= near.max()


def test_the_first_page_says_where_nothing_was_evaluated(tmp_path: Path) -> None:
    tables = synthetic_tables()
    write_atlas(tmp_path / "with.duckdb", tables)
    write_atlas(tmp_path / "without.duckdb", {name: rows for name, rows in tables.items() if name != "evaluation"})
    said = {
        name: "run atlas evaluate"
        in (bake(tmp_path / f"{name}.duckdb", tmp_path / name).folder / "index.html").read_text("utf-8")
        for name in ("with", "without")
    }
    assert said == {"with": False, "without": True}
