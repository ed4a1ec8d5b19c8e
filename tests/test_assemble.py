from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from atlas.assemble import assemble, require_assemblable
from atlas.errors import StageMissing, WorkOccupied
from atlas.stages import Column, Ragged, Stage
from atlas.store import Store

INPUTS = {"checkpoint": "c", "model": "m"}
STATS = (
    *("firings", "held_out_firings", "rate", "documents", "importance", "mean_norm", "max_norm", "norm_q10", "norm_q25"),
    *("norm_q50", "norm_q75", "norm_q90", "norm_q99"),
)


def tasks(kind: str, *names: str) -> dict[str, Column]:
    counts = ("tokens", "held_out_tokens", "importance_tokens", "documents", "rows", "templates", "dropped")
    first = {"corpus": 0, "labelled": 1}[kind]
    return {
        "task": np.arange(first, first + len(names)),
        **{column: list(names) for column in ("name", "title", "family", "description", "needs")},
        "kind": [kind] * len(names),
        "cyclic": np.zeros(len(names), bool),
        **{column: np.zeros(len(names), int) for column in counts},
    }


def staged(work: Path, *, corpora: Sequence[str] = ("docs",), evaluated: str = "docs", **tables: dict[str, Column]) -> Path:
    """Finish all stages, the tables being harvest's; probe knows of months."""
    Stage(work, "harvest", INPUTS).finish(
        {"tasks": tasks("corpus", *corpora), **tables}, {"settings": {"harvest": {"seed": 3}}, "corpus": {"name": corpora[0]}}
    )
    Stage(work, "probe", INPUTS).finish({"tasks": tasks("labelled", "months")}, {"settings": {"probe": {}}})
    # Its tasks are numbered as the atlas numbers them.
    found: dict[str, Column] = {
        **{"task": np.array([0, len(corpora)]), "class": ["ring"] * 2, "experts": np.ones(2, int), "tested": np.full(2, 8)},
        "expected": np.array([0.25, 0.5]),
    }
    Stage(work, "geometry", INPUTS).finish({"shape_classes": found}, {"geometry": {"settings": {"shape": {"seed": 5}}}})
    inputs = {**INPUTS, "corpus": {"name": evaluated}, "tasks": {"weekdays": "w", "months": "m"}}
    figures: dict[str, Column] = {
        **{"task": np.arange(3), "subject": ["dictionary"] * 3, "metric": ["fvu"] * 3},
        **{"value": np.array([0.1, 0.2, 0.3]), "tokens": np.full(3, 9)},
    }
    Stage(work, "evaluate", inputs).finish({"evaluation": figures}, {"settings": {"evaluate": {}}})
    return work


@pytest.mark.parametrize("corpora", [("docs",), ("docs", "more")])
def test_an_evaluations_tasks_get_the_probes_numbers_and_those_not_probed_go(corpora: tuple[str, ...], tmp_path: Path) -> None:
    """It measures every task that comes with Atlas: weekdays first, then months, of which only months were probed."""
    with Store(assemble(staged(tmp_path, corpora=corpora))) as store:
        assert store.table("evaluation").select("task", "value").rows() == [(0, 0.1), (len(corpora), 0.3)]


def test_an_evaluation_of_another_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkOccupied, match=r"evaluate' was made from another corpus \('news', now 'docs'\)\. Name another work"):
        assemble(staged(tmp_path, evaluated="news"))


def test_stages_of_an_earlier_version_are_refused(tmp_path: Path) -> None:
    """Its harvest did not keep what is around a firing, nor the norm of one."""
    firings: dict[str, Column] = {name: np.zeros(2, int) for name in ("task", "expert", "rank", "window", "position")}
    work = staged(tmp_path, top_firings={**firings, "stratum": ["top"] * 2})

    with pytest.raises(
        WorkOccupied, match=r"earlier version of Atlas: it has no top_firings\.norm or top_firings\.around\. Build"
    ):
        assemble(work)
    assert not (work / "atlas.duckdb").exists()


def fired(lengths: list[int]) -> dict[str, Column]:
    """Firings on a token sample, whose codes are of these lengths."""
    offsets = np.cumsum([0, *lengths])
    number = np.arange(len(lengths))
    codes = Ragged(np.arange(offsets[-1], dtype=np.float32), offsets)
    return {"task": np.zeros(len(lengths), int), "token": number, "expert": number, "code": codes}


@pytest.mark.parametrize("lengths", [[3, 3, 3], [2, 0, 5, 1], [0], []], ids=["equal", "unequal", "empty list", "no rows"])
def test_lists_come_back_as_they_were_cut(lengths: list[int], tmp_path: Path) -> None:
    path = assemble(staged(tmp_path, token_sample_firings=fired(lengths)))
    with Store(path) as store:
        found = store.table("token_sample_firings")["code"].to_list()
    values = iter(range(sum(lengths)))
    assert found == [[float(next(values)) for _ in range(length)] for length in lengths]


def test_an_expert_that_never_fires_has_no_mean_code(tmp_path: Path) -> None:
    stats: dict[str, Column] = {name: np.array([1.0, 0.0]) for name in STATS}
    stats |= {name: np.zeros(2, int) for name in ("task", "firings", "held_out_firings", "documents")}
    stats |= {"expert": np.arange(2), "silent": np.array([False, True]), "dense": np.zeros(2, bool)}
    stats |= {"mean_code": Ragged(np.array([0.5, 2.0]), np.array([0, 2, 2]))}
    stats |= {"code_covariance": Ragged(np.array([1.0, 0.0, 0.0, 1.0]), np.array([0, 4, 4]))}
    stats |= {"importance_kept": Ragged(np.array([0.5, 0.9, 1.0]), np.array([0, 3, 3]))}
    stats |= {"dimensions_needed": np.array([1, np.nan])}
    with Store(assemble(staged(tmp_path, expert_stats=stats))) as store:
        found = store.table("expert_stats")
    assert found["mean_code"].to_list() == [[0.5, 2.0], None]
    assert found["code_covariance"].to_list() == [[1.0, 0.0, 0.0, 1.0], None]
    assert found["importance_kept"].to_list() == [[0.5, 0.9, 1.0], None]
    assert found["dimensions_needed"].to_list() == [1, None]


def test_labelled_tasks_are_numbered_behind_all_corpora(tmp_path: Path) -> None:
    with Store(assemble(staged(tmp_path, corpora=("docs", "more")))) as store:
        assert [(task.task, task.name, task.kind) for task in store.tasks()] == [
            *[(0, "docs", "corpus"), (1, "more", "corpus"), (2, "months", "labelled")]
        ]


@pytest.mark.parametrize("corpora", [("docs",), ("docs", "more")])
def test_shapes_keep_the_numbers_of_their_tasks(corpora: tuple[str, ...], tmp_path: Path) -> None:
    with Store(assemble(staged(tmp_path, corpora=corpora))) as store:
        months = next(task.task for task in store.tasks() if task.name == "months")
        assert store.table("shape_classes").select("task", "expected").rows() == [(0, 0.25), (months, 0.5)]


def test_settings_of_all_stages_are_kept(tmp_path: Path) -> None:
    with Store(assemble(staged(tmp_path))) as store:
        assert store.provenance()["settings"] == {"harvest": {"seed": 3}, "probe": {}, "evaluate": {}}
        assert store.provenance()["geometry"]["settings"] == {"shape": {"seed": 5}}


@pytest.mark.parametrize("stage", ["harvest", "probe", "geometry", "evaluate"])
def test_a_missing_stage_is_named_with_its_command(stage: str, tmp_path: Path) -> None:
    (staged(tmp_path) / stage / "done.json").unlink()
    said = rf"holds no finished {stage}\. Run `atlas {stage}` \(or `atlas build`\) with this work folder first\."
    for require in (assemble, require_assemblable):
        with pytest.raises(StageMissing, match=said):
            require(tmp_path)


def test_stages_of_two_models_are_no_atlas(tmp_path: Path) -> None:
    Stage(staged(tmp_path), "probe", INPUTS | {"model": "other"}).finish({}, {})
    with pytest.raises(WorkOccupied, match="made from another model \\('other', now 'm'\\)"):
        assemble(tmp_path)


def test_a_stage_made_from_another_harvest_is_refused(tmp_path: Path) -> None:
    Stage(staged(tmp_path), "probe", INPUTS | {"harvest": {**INPUTS, "seed": 5}}).finish({}, {})

    with pytest.raises(
        WorkOccupied, match=r"probe' was made from another harvest than '.*harvest' holds now\. Run `atlas probe`"
    ):
        assemble(tmp_path)
