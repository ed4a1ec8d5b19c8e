"""The geometry stage: what it leaves, what it does again and what not, and what it says of clouds that have no shape."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import tiny
from atlas.dictionary import Checkpoint, Smixae, save
from atlas.errors import StageDamaged, StageMissing, WorkOccupied
from atlas.geometry import stage as stages
from atlas.geometry.config import GeometryConfig
from atlas.geometry.shape import CLASSES, ShapeConfig
from atlas.geometry.stage import KINDS, STAGE, geometry, is_held
from atlas.stages import Column, Ragged, Stage, finished, stacked
from atlas.store.schema import schema_columns
from harvests import assert_same
from sourced import Codes, Tables, corpus, harvest, probe, ragged

CONFIG = GeometryConfig(ShapeConfig(anchors=3, draws=4, least_draws=0))
"""Few draws: no shape stands out from so short a null, and none has to."""

WRITTEN = ("code_axes", "shapes", "shape_tests", "shape_classes", "neighbours", "overview", "overview_clusters")
INPUTS = {"model": {"id": "m"}, "device": {"dtype": "float32"}}
PLACES = 400
"""Of the token sample."""


def blob(seed: int, n: int = 120, d_code: int = 3) -> NDArray[Any]:
    """A gated Gaussian cloud about a place off the origin."""
    random = np.random.default_rng(seed)
    return (random.normal(0, [1.0, 0.6, 0.3, 0.2, 0.1][:d_code], (n, d_code)) + 2.0).astype(np.float32)


def circle(n: int = 120) -> NDArray[Any]:
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([3 * np.sin(angle), 3 * np.cos(angle), np.full(n, 1.0)], axis=1).astype(np.float32)


def dictionary(
    folder: Path, n_experts: int, d_code: int = 3, silenced: Sequence[int] = (), are_alike: bool = False
) -> Checkpoint:
    """A random dictionary; the decoders of some experts are zero, or those of all are the same."""
    smixae = tiny.dictionary(n_experts=n_experts, d_code=d_code, threshold=0.5)
    smixae.weights.W_latent_dec[list(silenced)] = 0.0
    if are_alike:
        for name in ("W_latent_dec", "W_bottleneck"):
            getattr(smixae.weights, name)[:] = getattr(smixae.weights, name)[:1].clone()
        smixae.weights.W_dec.view(n_experts, -1)[:] = smixae.weights.W_dec.view(n_experts, -1)[:1].clone()
        columns = smixae.weights.W_enc.view(len(smixae.weights.W_enc), n_experts, -1)
        columns[:] = columns[:, :1].clone()
    save(Smixae(smixae.config, smixae.weights, smixae.threshold), folder, {})
    return Checkpoint.load(folder)


def leave_harvest(work: Path, checkpoint: Checkpoint, codes: Codes) -> None:
    """Finish a harvest in which every firing of an expert is on a token of its own."""
    n = checkpoint.smixae.n_experts
    tables = harvest(corpus(0, "docs", {one: range(len(code)) for one, code in codes.items()}, codes)).tables
    random = np.random.default_rng(0)
    fires = {one: np.sort(random.choice(PLACES, 40, replace=False)) for one, code in codes.items() if len(code)}
    firings = sorted((int(token), one) for one, tokens in fires.items() for token in tokens)
    half = len(np.asarray(tables["points"]["task"])) // 2
    tables |= {
        "expert_stats": {
            "task": np.zeros(n, dtype=np.int32),
            "expert": np.arange(n, dtype=np.int32),
            "dense": np.zeros(n, dtype=np.bool_),
            "mean_code": _moments(codes, n, lambda code: code.mean(axis=0)),
            "code_covariance": _moments(codes, n, lambda code: np.cov(code.T, bias=True).ravel()),
        },
        "token_sample": {
            "task": np.zeros(PLACES, dtype=np.int32),
            "window": np.zeros(PLACES, dtype=np.int32),
            "position": (np.arange(PLACES) % max(half, 1)).astype(np.int32),
        },
        "token_sample_firings": {
            "task": np.zeros(len(firings), dtype=np.int32),
            "token": np.array([token for token, _ in firings], dtype=np.int32),
            "expert": np.array([one for _, one in firings], dtype=np.int32),
        },
        "vocabulary": {"task": np.zeros(9, dtype=np.int32), "token": np.arange(9), "text": [f" word{i}" for i in range(9)]},
        "expert_tokens": {
            "task": np.zeros(len(codes), dtype=np.int32),
            "expert": np.array(list(codes), dtype=np.int32),
            "token": np.array([one % 9 for one in codes], dtype=np.int32),
            "share": np.full(len(codes), 0.5),
            "lift": np.full(len(codes), 9.0),
        },
    }
    Stage(work, "harvest", {**INPUTS, "checkpoint": checkpoint.sha256}).finish(tables, {})


def _moments(codes: Codes, n_experts: int, moment: Any) -> Ragged:
    with np.errstate(invalid="ignore"):
        return ragged(
            [moment(codes[one].astype(np.float64)) if len(codes.get(one, ())) else [] for one in range(n_experts)], float
        )


def leave_probe(work: Path, checkpoint: Checkpoint, tasks: Mapping[str, Codes]) -> None:
    """Finish a probe of tasks of one label each; half of the experts' titles name the first."""
    n = checkpoint.smixae.n_experts
    made: dict[str, list[Mapping[str, Column]]] = {}
    for number, (name, codes) in enumerate(tasks.items(), start=1):
        rows = max(map(len, codes.values()), default=1)
        for table, columns in probe(
            [rows], {one: [0] * len(code) for one, code in codes.items()}, codes, name, number
        ).tables.items():
            made.setdefault(table, []).append(columns)
    titles: dict[str, Column] = {
        "expert": np.arange(n),
        "title": [f"Expert {one}" for one in range(n)],
        "basis": ["task" if one % 2 else "tokens" for one in range(n)],
        "task": np.array([1.0 if one % 2 else np.nan for one in range(n)]),
    }
    inputs = {"checkpoint": checkpoint.sha256, "seed": 0, "tasks": {name: "hash" for name in tasks}, "absent": {}}
    tables: Tables = {table: stacked(parts) for table, parts in made.items()}
    Stage(work, "probe", inputs).finish({**tables, "titles": titles}, {})


CODES: Codes = {**{one: blob(one) for one in range(5)}, 5: circle()}
MONTHS: Mapping[str, Codes] = {"months": {1: blob(21, 60), 5: circle(80)}}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return dictionary(tmp_path_factory.mktemp("checkpoint"), 8)


@pytest.fixture
def work(tmp_path: Path, checkpoint: Checkpoint) -> Path:
    """Eight experts, of which six fire on the corpus and two on a task."""
    leave_harvest(tmp_path, checkpoint, CODES)
    leave_probe(tmp_path, checkpoint, MONTHS)
    return tmp_path


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory, checkpoint: Checkpoint) -> Path:
    """The same work folder with its geometry, only to be read."""
    folder = tmp_path_factory.mktemp("mapped") / "work"
    leave_harvest(folder, checkpoint, CODES)
    leave_probe(folder, checkpoint, MONTHS)
    geometry(checkpoint, folder, CONFIG, 1)
    return folder


@pytest.fixture
def again(mapped: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(mapped, tmp_path / "again")


def found(work: Path) -> dict[str, dict[str, Column]]:
    return finished(work, STAGE).tables


def clouds_measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many clouds each call measures, from now on."""
    measured: list[int] = []

    def counting(clouds: Sequence[Any], *rest: Any) -> Any:
        measured.append(len(clouds))
        return measure_all(clouds, *rest)

    measure_all = stages.measure_all
    monkeypatch.setattr(stages, "measure_all", counting)
    return measured


# What it leaves


def test_its_tables_have_the_columns_of_the_schema(mapped: Path) -> None:
    assert {table: set(columns) for table, columns in found(mapped).items()} == {
        table: set(schema_columns()[table]) for table in WRITTEN
    }


def test_every_cloud_has_a_row_with_a_class_or_a_reason_and_silent_experts_none(mapped: Path) -> None:
    shapes = found(mapped)["shapes"]
    rows = list(zip(*(np.asarray(shapes[name]).tolist() for name in ("task", "expert", "points")), strict=True))
    assert rows == [*((0, one, 120) for one in range(6)), (1, 1, 60), (1, 5, 80)]
    assert all(name in CLASSES for name in shapes["class"]) and set(shapes["absent"]) == {None}
    spectrum = shapes["spectrum"]
    assert isinstance(spectrum, Ragged)
    for one in spectrum.rows():
        assert sum(one) == pytest.approx(1) and one == sorted(one, reverse=True)
    counted = found(mapped)["shape_classes"]
    assert [counted["class"][i : i + 6] for i in (0, 6)] == [list(CLASSES)] * 2
    assert np.asarray(counted["tested"]).tolist() == [6] * 6 + [2] * 6
    assert np.asarray(counted["experts"]).reshape(2, 6).sum(axis=1).tolist() == [6, 2]


def test_axes_map_codes_to_uncorrelated_places_with_their_variance(mapped: Path) -> None:
    table = found(mapped)["code_axes"]
    assert isinstance(table["code"], Ragged)
    axes = np.array(table["code"].rows()).reshape(8, 3, 3)
    variance, share = (np.asarray(table[name]).reshape(8, 3) for name in ("variance", "share"))
    for expert in range(6):
        places = CODES[expert].astype(np.float64) @ axes[expert].T
        np.testing.assert_allclose(np.cov(places.T, bias=True), np.diag(variance[expert]), atol=1e-6 * variance.max())
    np.testing.assert_allclose(share.sum(axis=1), [1] * 6 + [0] * 2)


def test_neighbours_are_of_three_kinds_and_the_map_says_how_far_to_trust_it(mapped: Path) -> None:
    neighbours = found(mapped)["neighbours"]
    kinds = neighbours["kind"]
    assert isinstance(kinds, list) and list(dict.fromkeys(kinds)) == list(KINDS)
    ranks = np.asarray(neighbours["rank"])
    assert ranks.min() == 0 and (np.asarray(neighbours["neighbour"]) != np.asarray(neighbours["expert"])).all()
    # What never fires writes nothing; it has an encoder all the same.
    assert {kind for kind, one in zip(kinds, np.asarray(neighbours["expert"]).tolist(), strict=True) if one == 7} == {"encoder"}
    said = finished(mapped, STAGE).provenance[STAGE]
    assert said["settings"] == asdict(CONFIG)
    assert set(said["versions"]) == {"scikit-learn", "scipy", "gudhi"}
    assert {"mix", "neighbours", "trustworthiness", "continuity", "experts", "left_out", "cluster_name_rule"} <= set(
        said["overview"]
    )
    assert said["overview"]["experts"] == len(np.asarray(found(mapped)["overview"]["expert"]))


def test_the_result_depends_on_neither_processes_nor_threads(
    work: Path, mapped: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atlas.geometry.processes.BATCH", 4)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        geometry(checkpoint, work, CONFIG, 2)
    finally:
        torch.set_num_threads(threads)

    assert_same(found(work), found(mapped))


# What it does again


def test_a_finished_stage_is_not_done_again(
    work: Path, again: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_held(checkpoint, work, CONFIG) and is_held(checkpoint, again, CONFIG)
    written = {path: path.stat().st_mtime_ns for path in (again / STAGE).rglob("*")}
    measured = clouds_measured(monkeypatch)

    geometry(checkpoint, again, CONFIG, 1)

    assert measured == []
    assert {path: path.stat().st_mtime_ns for path in (again / STAGE).rglob("*")} == written


def test_stopped_it_goes_on_from_the_block_it_was_at_to_the_same_tables(
    work: Path, mapped: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "BLOCK", 2)
    measured = clouds_measured(monkeypatch)

    def stop(what: str, unit: str, done: int, of: int) -> None:
        if (what, done) == ("Shapes", 4):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        geometry(checkpoint, work, CONFIG, 1, stop)
    assert measured == [2, 2]

    geometry(checkpoint, work, CONFIG, 1)
    assert measured == [2, 2, 2, 2, 2]
    assert sorted(path.parent.name for path in (work / STAGE / "shapes").rglob("done.json")) == sorted(
        ["clouds-0", "clouds-2", "clouds-4", "clouds-0"]
    )
    assert_same(found(work), found(mapped))


def test_another_task_costs_no_more_than_itself(again: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_probe(again, checkpoint, {**MONTHS, "days": {0: blob(31, 70)}})
    measured = clouds_measured(monkeypatch)

    geometry(checkpoint, again, CONFIG, 1)

    assert measured == [1]
    assert set(np.asarray(found(again)["shapes"]["task"]).tolist()) == {0, 1, 2}


def test_another_seed_is_another_geometry(again: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = clouds_measured(monkeypatch)

    geometry(checkpoint, again, GeometryConfig(ShapeConfig(seed=2**63 - 1, anchors=3, draws=4, least_draws=0)), 1)

    assert measured == [8]
    assert finished(again, STAGE).provenance[STAGE]["settings"]["shape"]["seed"] == 2**63 - 1


def test_progress_says_what_is_done_and_how_much_is_left(work: Path, checkpoint: Checkpoint) -> None:
    heard: dict[str, list[tuple[int, int]]] = {}

    geometry(checkpoint, work, CONFIG, 1, lambda what, unit, done, of: heard.setdefault(what, []).append((done, of)))

    assert list(heard)[:2] == ["Shapes", "Null of shapes"]
    assert {"Neighbours by output", "Neighbours by context", "Map of all experts"} <= set(heard)
    assert heard["Shapes"][-1] == (8, 8)
    for said in heard.values():
        assert said == sorted(said) and said[-1][0] == said[-1][1]


# What it refuses


def test_it_needs_a_harvest_and_a_probe_of_the_same_dictionary(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(StageMissing, match="holds no finished harvest"):
        geometry(checkpoint, tmp_path, CONFIG, 1)
    leave_harvest(tmp_path, checkpoint, CODES)
    with pytest.raises(StageMissing, match="holds no finished probe. Run `atlas probe`"):
        geometry(checkpoint, tmp_path, CONFIG, 1)
    Stage(tmp_path, "probe", {"checkpoint": "another"}).finish({}, {})
    with pytest.raises(WorkOccupied, match="probe' was made from another checkpoint"):
        geometry(checkpoint, tmp_path, CONFIG, 1)
    assert not (tmp_path / STAGE).exists()


@pytest.mark.parametrize("stage", ["harvest", "probe"])
def test_what_an_older_atlas_left_without_codes_is_named(stage: str, work: Path, checkpoint: Checkpoint) -> None:
    left = finished(work, stage)
    Stage(work, stage, left.inputs).finish({name: table for name, table in left.tables.items() if name != "codes"}, {})

    with pytest.raises(StageDamaged, match=f"{stage}' was left by an older Atlas, .* Delete the folder to run"):
        geometry(checkpoint, work, CONFIG, 1)


@pytest.mark.parametrize(("part", "table"), [("shapes/corpus-0/clouds-0", "measured"), ("null", "null")])
def test_a_damaged_part_is_one_line(part: str, table: str, again: Path, checkpoint: Checkpoint) -> None:
    left = finished(again / STAGE, part)
    some = dict(list(left.tables[table].items())[:-1])
    Stage(again / STAGE, part, left.inputs).finish({table: some}, {})
    (again / STAGE / "done.json").unlink()

    with pytest.raises(StageDamaged, match=r"tables\.safetensors' is damaged .* Delete the folder '.*/geometry' to run"):
        geometry(checkpoint, again, CONFIG, 1)


# Clouds that have no shape


def with_one(code: NDArray[Any], value: float) -> NDArray[Any]:
    code = code.copy()
    code[3, 1] = value
    return code


def told(tmp_path: Path, codes: Codes, n_experts: int, d_code: int = 3, **given: Any) -> dict[int, tuple[Any, Any]]:
    """Class and reason of each expert with a cloud, after all of it was written as a stage writes it."""
    checkpoint = dictionary(tmp_path / "checkpoint", n_experts, d_code, **given)
    leave_harvest(tmp_path / "work", checkpoint, codes)
    leave_probe(tmp_path / "work", checkpoint, {"months": {one: code[:70] for one, code in codes.items()}})
    geometry(checkpoint, tmp_path / "work", CONFIG, 1)
    shapes = found(tmp_path / "work")["shapes"]
    at = np.flatnonzero(np.asarray(shapes["task"]) == 0)
    assert isinstance(shapes["class"], list) and isinstance(shapes["absent"], list)
    return {int(np.asarray(shapes["expert"])[i]): (shapes["class"][i], shapes["absent"][i]) for i in at}


def test_bad_clouds_are_absent_with_a_sentence_and_the_others_are_told(tmp_path: Path) -> None:
    codes: Codes = {
        0: np.zeros((0, 3)),
        1: blob(1, 1),
        2: blob(2, 3),
        3: np.tile(blob(3, 1), (50, 1)),
        4: with_one(blob(4), np.nan),
        5: with_one(blob(5), np.inf),
        6: blob(6),
        7: blob(7),
        8: circle(),
        9: np.tile(blob(9, 1), (400, 1)),
    }

    shapes = told(tmp_path, codes, n_experts=10, silenced=[6])

    assert sorted(shapes) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    for expert in (1, 2, 3, 4, 5, 6, 9):
        name, reason = shapes[expert]
        assert name is None and isinstance(reason, str) and reason.endswith("."), expert
    for expert in (7, 8):
        assert shapes[expert][0] in CLASSES and shapes[expert][1] is None
    said = finished(tmp_path / "work", STAGE).tables
    for table in WRITTEN:
        for name, column in said[table].items():
            values = column.values if isinstance(column, Ragged) else column
            # NaN stands where there is nothing; infinity never does.
            assert isinstance(values, list) or not np.isinf(values.astype(np.float64)).any(), (table, name)
    assert np.isfinite(np.asarray(said["code_axes"]["variance"])).all()
    assert np.isfinite(np.asarray(said["neighbours"]["value"])).all()


@pytest.mark.parametrize("d_code", [1, 2, 5])
def test_codes_of_any_width_have_axes_shapes_and_neighbours(d_code: int, tmp_path: Path) -> None:
    codes = {one: blob(one, 120, d_code) for one in range(4)}

    shapes = told(tmp_path, codes, n_experts=4, d_code=d_code)

    assert {name for name, _ in shapes.values()} <= set(CLASSES) and len(shapes) == 4
    axes = finished(tmp_path / "work", STAGE).tables["code_axes"]
    assert isinstance(axes["code"], Ragged)
    assert [len(one) for one in axes["code"].rows()] == [d_code] * 4 * d_code


def test_a_single_expert_has_a_shape_and_nothing_near_it(tmp_path: Path) -> None:
    shapes = told(tmp_path, {0: blob(0)}, n_experts=1)

    assert shapes[0][0] in CLASSES
    tables = finished(tmp_path / "work", STAGE).tables
    assert len(np.asarray(tables["neighbours"]["expert"])) == 0 and len(np.asarray(tables["overview"]["expert"])) <= 1


def test_experts_that_are_all_alike_are_told_alike(tmp_path: Path) -> None:
    shapes = told(tmp_path, {one: blob(0) for one in range(6)}, n_experts=6, are_alike=True)

    assert len(set(shapes.values())) == 1
    neighbours = finished(tmp_path / "work", STAGE).tables["neighbours"]
    values = np.asarray(neighbours["value"])[[kind != "context" for kind in neighbours["kind"]]]
    assert len(values) == 2 * 6 * 5
    np.testing.assert_allclose(values, 1, rtol=1e-4)


def test_a_dictionary_that_fires_on_nothing_has_no_clouds(tmp_path: Path) -> None:
    assert told(tmp_path, {0: np.zeros((0, 3))}, n_experts=2) == {}
    counted = finished(tmp_path / "work", STAGE).tables["shape_classes"]
    assert np.asarray(counted["tested"]).tolist() == [0] * 12
