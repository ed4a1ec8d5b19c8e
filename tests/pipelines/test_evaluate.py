"""`atlas evaluate`: what it prints, what it leaves in the atlas, and what it refuses."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

import tiny
from atlas.assemble import assemble
from atlas.errors import StageMissing, WorkOccupied
from atlas.evaluation import Measured
from atlas.probe.tasks import Task, builtin_tasks
from atlas.stages import finished
from atlas.store import Store
from pipelines import evaluate
from pipelines.cli import main
from templated import only

CHECKPOINT = ("--checkpoint", "checkpoint")
CORPUS = ("--corpus", "text.jsonl")
EVALUATE = ("evaluate", *CHECKPOINT, *CORPUS)


def run(*arguments: str) -> Result:
    """Run a command and return what came of it; only errors that are bugs are raised."""
    result = CliRunner().invoke(main, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(autouse=True)
def one_task() -> Iterator[Task]:
    """Weekdays alone."""
    task = builtin_tasks()[1]
    with pytest.MonkeyPatch.context() as patch:
        only(patch, task)
        yield task


@pytest.fixture
def folder(models: dict[str, Path], corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands are run in: models, dictionaries for them, and text."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(corpus_file, "text.jsonl")
    for kind, threshold in (("bert", 0.9), ("gpt2", 0.05)):
        (tmp_path / kind).symlink_to(models[kind])
        metadata = {"model_name": kind, "hook_name": tiny.HOOKS[kind], "context_size": 48}
        tiny.checkpoint(tmp_path / {"bert": "checkpoint", "gpt2": "causal"}[kind], metadata, threshold=threshold, n_experts=4)
    return tmp_path


def rows(work: str = "work") -> list[tuple[object, ...]]:
    """The rows of the table as the stage left it."""
    table = finished(Path(work), "evaluate").tables["evaluation"]
    return list(zip(*(list(table[name]) for name in ("task", "subject", "metric", "value", "tokens")), strict=True))


def test_table_has_a_line_for_each_metric(folder: Path, one_task: Task) -> None:
    result = run("evaluate", "--checkpoint", "causal", *CORPUS)

    assert result.exit_code == 0, result.stderr
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["metric", "dictionary", "PCA", "kept", "zeroed", "mean", "tokens"]
    assert len({len(line) for line in (head, *lines)}) == 1, "columns are as wide as the widest of them"
    assert [line.split()[0] for line in lines[:6]] == [
        *("fvu", "fvu_uncentred", "cosine", "norm_ratio", "normalised_mse", "experts_per_token")
    ]
    assert lines[-1].startswith(f"fvu, {one_task.title} ")
    values = {(subject, metric): value for task, subject, metric, value, _ in rows() if task == 0}
    shown = next(line for line in lines if line.startswith("cross_entropy ")).split()
    subjects = ("dictionary", "pca", "model", "zero", "mean")
    assert shown[1:6] == [f"{values[subject, 'cross_entropy']:.4f}" for subject in subjects]
    assert "Evaluate: about " in result.stderr and " of them, " in result.stderr


def test_json_is_the_rows_of_the_table(folder: Path) -> None:
    result = run(*EVALUATE, "--json")

    found = json.loads(result.stdout)
    assert [tuple(row.values()) for row in found] == rows()
    assert list(found[0]) == ["task", "subject", "metric", "value", "tokens"]


def test_what_was_not_measured_is_said_so() -> None:
    found = [Measured(0, "dictionary", "fvu", float("nan"), 3), Measured(0, "pca", "fvu", 0.25, 3)]

    assert evaluate.table(found, []).splitlines() == [
        "metric    dictionary     PCA  tokens",
        "fvu     not measured  0.2500       3",
    ]


def test_second_run_is_skipped_and_prints_the_same(folder: Path) -> None:
    first = run(*EVALUATE)
    before = {path: path.read_bytes() for path in sorted(Path("work").rglob("*")) if path.is_file()}

    second = run(*EVALUATE)

    assert second.stdout == first.stdout != ""
    assert "Evaluate: already finished, skipped" in second.stderr and "Evaluating" not in second.stderr
    assert {path: path.read_bytes() for path in sorted(Path("work").rglob("*")) if path.is_file()} == before


@pytest.mark.parametrize(
    ("option", "differs"),
    [
        (("--tokens", "100"), "settings (tokens: 250000, now 100)"),
        (("--ce-tokens", "7"), "settings (ce_tokens: 50000, now 7)"),
        (("--hook", "encoder.layer.0"), "model (hook: 'encoder.layer.1', now 'encoder.layer.0')"),
    ],
    ids=["tokens", "tokens of cross-entropy", "hook"],
)
def test_changed_settings_are_refused_with_both_values(option: tuple[str, str], differs: str, folder: Path) -> None:
    run(*EVALUATE)

    result = run(*EVALUATE, *option)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == (
        f"Error: 'work/evaluate' was made from another {differs}. Name another work folder with --work, or delete this one."
    )
    assert result.stderr.startswith("Loading ") == differs.startswith("model")


def test_too_small_a_corpus_is_refused_before_the_model_is_loaded(folder: Path) -> None:
    Path("text.jsonl").write_text('"one document"')

    result = run(*EVALUATE)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: 'text.jsonl' is too small to evaluate on: ")
    assert len(result.stderr.splitlines()) == 1
    assert not Path("work").exists()


def test_build_maps_a_corpus_that_is_too_small_to_evaluate_on(folder: Path) -> None:
    Path("text.jsonl").write_text(json.dumps(" ".join(tiny.documents())))

    result = run("build", *CHECKPOINT, *CORPUS)

    assert result.exit_code == 0, result.stderr
    assert "Evaluate: text.jsonl is too small to hold some of it out, so fidelity is not measured\n" in result.stderr
    assert rows() == [] and Path("site/index.html").is_file()
    assert "Evaluate: already finished, skipped" in run("build", *CHECKPOINT, *CORPUS).stderr


def test_stopped_evaluation_leaves_the_folder_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("atlas.evaluation.stage.task_rows", stopped)

    result = run(*EVALUATE)

    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.splitlines()[-1] == "Stopped. 'work' is as it was; the same command begins the evaluation again."
    assert not Path("work").exists()


# In an atlas


def test_build_evaluates_into_the_atlas(folder: Path) -> None:
    log = Path("checkpoint/training_log.jsonl")
    log.write_text('{"step": 1, "loss": 3.5}\n{"step": 2, "loss": 2.5}\n')

    result = run("build", *CHECKPOINT, *CORPUS)

    assert result.exit_code == 0, result.stderr
    assert result.stderr.index("Probe: ") < result.stderr.index("Evaluate: ")
    with Store(Path("work/atlas.duckdb")) as store:
        assert list(store.table("evaluation").iter_rows()) == rows()
        assert list(store.table("training_log").iter_rows()) == [(1, "loss", 3.5), (2, "loss", 2.5)]
        provenance = store.provenance()
    assert provenance["evaluation"]["tokens"] == rows()[0][-1]
    assert provenance["settings"]["evaluate"]["tokens"] == 250_000
    assert provenance["settings"].keys() == {"harvest", "probe", "evaluate"}


def test_atlas_of_a_checkpoint_without_a_log_has_an_empty_table(folder: Path) -> None:
    assert run("build", *CHECKPOINT, *CORPUS).exit_code == 0

    with Store(Path("work/atlas.duckdb")) as store:
        assert store.table("training_log").height == 0


@pytest.mark.parametrize(("limit", "tokens"), [(2_000_000, 250_000), (100_000, 20_000), (3, 1)])
def test_build_measures_on_no_more_than_its_text_holds_out(limit: int, tokens: int) -> None:
    assert evaluate.config_for(limit).tokens == tokens


def test_atlas_is_not_assembled_without_an_evaluation(folder: Path) -> None:
    for command in ("harvest", "probe", "geometry"):
        run(command, *CHECKPOINT, *(CORPUS if command == "harvest" else ()))

    with pytest.raises(StageMissing, match="holds no finished evaluate. Run `atlas evaluate`"):
        assemble(Path("work"))


def test_atlas_is_not_assembled_from_stages_of_two_dictionaries(folder: Path) -> None:
    metadata = {"model_name": "bert", "hook_name": tiny.HOOKS["bert"], "context_size": 48}
    tiny.checkpoint(folder / "other", metadata, seed=1, threshold=0.9)
    run(*EVALUATE)
    for command in ("harvest", "probe", "geometry"):
        run(command, "--checkpoint", "other", *(CORPUS if command == "harvest" else ()))

    with pytest.raises(WorkOccupied, match="'work/evaluate' was made from another checkpoint"):
        assemble(Path("work"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_missing_gpu_is_refused(folder: Path) -> None:
    result = run(*EVALUATE, "--device", "cuda")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: --device cuda was asked for, but torch sees no CUDA device; use --device cpu.\n"
