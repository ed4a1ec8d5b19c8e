"""The whole path through the commands, from text and a language model to a page, in one process."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

import tiny
from atlas.dictionary import Checkpoint
from atlas.probe.tasks import Task, builtin_tasks
from atlas.store import Store
from pipelines.cli import COMMANDS, main
from templated import only

N_EXPERTS = 12


def run(*arguments: object) -> Result:
    """Run a command and return what came of it; only errors that are bugs are raised."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def printed(result: Result) -> Path:
    """The path that a command prints, and nothing else, on stdout."""
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    return Path(line)


def few_templates(task: Task) -> Task:
    """Two templates of every group: folds and report set stay as they are. Long tasks keep ten labels."""
    kept = [i for i, group in enumerate(task.groups) if task.groups[:i].count(group) < 2]
    n = 12 if len(task.labels) <= 12 else 10
    return replace(
        task,
        labels=task.labels[:n],
        values=task.values[:n],
        sentences=tuple(
            one._replace(template=kept.index(one.template)) for one in task.sentences if one.label < n and one.template in kept
        ),
        groups=tuple(task.groups[i] for i in kept),
        hypotheses=tuple(replace(one, of_label=one.of_label[:n]) for one in task.hypotheses if one.of_label is not None),
    )


@pytest.fixture(scope="module", autouse=True)
def small_tasks() -> Iterator[None]:
    """The first four built-in tasks, with fewer sentences."""
    few = [few_templates(task) for task in builtin_tasks()[:4]]
    with pytest.MonkeyPatch.context() as patch:
        only(patch, *few)
        yield


@dataclass(frozen=True)
class Mapped:
    """Where a whole run left its things."""

    checkpoint: Path
    work: Path
    site: Path
    corpus: Path
    stderr: str

    def build(self) -> Result:
        """Build, or build again."""
        return run("build", "--checkpoint", self.checkpoint, "--corpus", self.corpus, "--work", self.work, "--out", self.site)


@pytest.fixture(scope="module")
def path(models: dict[str, Path], corpus_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapped:
    """A dictionary trained on the tiny BERT, and mapped."""
    root = tmp_path_factory.mktemp("path")
    options = {"model": models["bert"], "hook": tiny.HOOKS["bert"], "corpus": corpus_file, "work": root / "work"}
    shape = {"experts": N_EXPERTS, "width": 4, "k": 3, "steps": 12, "batch": 256, "window-tokens": 48, "carrier-share": 0.05}
    trained = run("train", *(part for name, value in (options | shape).items() for part in (f"--{name}", value)))
    whole = Mapped(printed(trained), root / "work", root / "site", corpus_file, trained.stderr)
    assert printed(whole.build()) == root / "site" / "index.html"
    return whole


def bytes_under(folder: Path) -> dict[str, str]:
    """Name and hash of every file."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


# Train


def test_train_prints_its_checkpoint_and_talks_on_stderr(path: Mapped) -> None:
    assert path.checkpoint == path.work / "train" / "checkpoint"
    assert "The dictionary is in" in path.stderr


def test_checkpoint_says_what_it_was_trained_on(path: Mapped, models: dict[str, Path]) -> None:
    checkpoint = Checkpoint.load(path.checkpoint)

    assert checkpoint.smixae.n_experts == N_EXPERTS
    assert checkpoint.metadata["model_name"] == str(models["bert"])
    assert checkpoint.metadata["hook_name"] == tiny.HOOKS["bert"]
    assert checkpoint.metadata["context_size"] == 48
    assert 0 < checkpoint.metadata["atlas_training"]["carrier_share"] <= 0.05


def test_training_again_with_other_settings_is_refused_in_one_line(path: Mapped, models: dict[str, Path]) -> None:
    arguments = ("--model", models["bert"], "--hook", tiny.HOOKS["bert"], "--corpus", path.corpus, "--work", path.work)

    result = run("train", *arguments, "--experts", 5, "--k", 3)

    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert "was made from another settings" in result.stderr.splitlines()[-1]


# Build


def test_database_holds_what_was_mapped(path: Mapped) -> None:
    with Store(path.work / "atlas.duckdb") as store:
        tasks = store.tasks()
        experts = store.experts()
        provenance = store.provenance()
        tables = {name: store.table(name) for name in ("windows", "points", "scores", "titles", "baselines", "vocabulary")}

    assert [task.name for task in tasks] == ["small.jsonl", "months", "weekdays", "numbers", "years"]
    assert [len(task.hypotheses) for task in tasks] == [0, 3, 3, 3, 2]
    assert sorted(experts["expert"]) == list(range(N_EXPERTS))
    assert experts["importance"].is_sorted(descending=True)
    assert provenance["model"]["hook"] == tiny.HOOKS["bert"]
    assert provenance["dictionary"]["sha256"] == Checkpoint.load(path.checkpoint).sha256
    assert "bidirectional" in provenance["model"]["note"]
    # The dictionary never saw a fifth of the text, and only that fifth is held out.
    assert 0 < tasks[0].held_out_tokens < tasks[0].tokens / 2
    for task in tasks[1:]:
        assert tables["windows"].filter(pl.col("task") == task.task).height == task.rows == task.templates * len(task.labels)
        assert 0 < task.report_rows < task.rows / 2
        assert all(label.training_occurrences is None or label.training_occurrences >= 0 for label in task.labels)
    assert tables["titles"].height == N_EXPERTS
    assert np.isfinite(tables["scores"]["all_rows"].to_numpy()).all()
    points = tables["points"].join(tables["windows"], on=["task", "window"], how="left")
    assert points["tokens"].null_count() == 0
    assert (points["position"] < points["tokens"].list.len()).all()
    shown = tables["windows"].explode("tokens").select("task", token="tokens").unique()
    assert shown.join(tables["vocabulary"], on=["task", "token"], how="anti").height == 0


def test_labels_of_the_carriers_were_met_in_training(path: Mapped) -> None:
    """The corpus names one month and two days; carriers name them all now and then."""
    with Store(path.work / "atlas.duckdb") as store:
        known = [label.training_occurrences for task in store.tasks()[1:3] for label in task.labels]

    assert sum(n or 0 for n in known) > 0


def test_site_has_its_page(path: Mapped) -> None:
    page = (path.site / "index.html").read_text(encoding="utf-8")

    assert page.startswith("<!doctype html>")
    assert len(list((path.site / "data").glob("atlas.*.js"))) == 1
    assert str(path.work.parent) not in page


def test_second_build_skips_its_stages_and_changes_no_byte(path: Mapped) -> None:
    before = bytes_under(path.site)
    stages = {name: bytes_under(path.work / name) for name in ("train", "harvest", "probe", "geometry", "evaluate")}
    assert len(before) > 10

    result = path.build()

    assert printed(result) == path.site / "index.html"
    assert bytes_under(path.site) == before
    assert {name: bytes_under(path.work / name) for name in stages} == stages
    assert "scoring" not in result.stderr


def test_stages_one_by_one_give_the_same_atlas(path: Mapped, tmp_path: Path) -> None:
    """Harvested in two shards and merged, then each stage by its own command; shapes are found by one process, not by all."""
    subject = ("--checkpoint", path.checkpoint, "--work", tmp_path / "work")
    for shard in ("1/2", "0/2"):
        assert printed(run("harvest", *subject, "--corpus", path.corpus, "--shard", shard)) == tmp_path / "work" / "harvest"
    assert printed(run("merge", "--work", tmp_path / "work")) == tmp_path / "work" / "harvest"
    assert printed(run("probe", *subject)) == tmp_path / "work" / "probe"
    assert printed(run("geometry", *subject, "--workers", 1)) == tmp_path / "work" / "geometry"
    assert run("evaluate", *subject, "--corpus", path.corpus).exit_code == 0
    atlas = printed(run("assemble", "--work", tmp_path / "work"))
    page = printed(run("bake", atlas, "--out", tmp_path / "site"))

    assert page == tmp_path / "site" / "index.html"
    assert bytes_under(tmp_path / "site") == bytes_under(path.site)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_other_kinds_of_model_pass_too(kind: str, models: dict[str, Path], corpus_file: Path, tmp_path: Path) -> None:
    metadata = {"model_name": str(models[kind]), "hook_name": tiny.HOOKS[kind], "context_size": 48}
    # Rows of these models are two hundredths long, so that little passes a threshold of more.
    checkpoint = tiny.checkpoint(tmp_path / "checkpoint", metadata, threshold=0.02)

    result = run(
        *("build", "--checkpoint", checkpoint, "--corpus", corpus_file, "--work", tmp_path / "work", "--out", tmp_path / "site")
    )

    assert printed(result).is_file()
    with Store(tmp_path / "work" / "atlas.duckdb") as store:
        assert store.provenance()["model"]["note"] is None
        assert store.tasks()[0].held_out_tokens == store.tasks()[0].tokens > 0
        assert store.table("scores").height > 0


# Errors and help


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("build", "--checkpoint", "nowhere"), "No checkpoint folder at 'nowhere'"),
        (("bake", "nowhere.duckdb"), "No atlas at 'nowhere.duckdb'. Run `atlas build` to write one."),
        (("assemble", "--work", "empty"), "holds no finished harvest. Run `atlas harvest`"),
        (("harvest", "--checkpoint", "nowhere", "--shard", "3/2"), "'3/2' is not a shard"),
        (
            ("train", "--model", "nowhere/nothing", "--hook", "h.0"),
            "'nowhere/nothing' cannot be loaded",
        ),
    ],
    ids=["checkpoint", "atlas", "stage", "shard", "model"],
)
def test_mendable_error_is_one_line_on_stderr_and_exit_code_1(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    result = run(*arguments)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert [line for line in result.stderr.splitlines() if not line.startswith("Loading ")] == [
        line for line in result.stderr.splitlines() if line.startswith("Error: ")
    ]
    assert result.stderr.count("Error: ") == 1 and message in result.stderr


def test_checkpoint_that_names_no_model_says_which_options_to_give(tmp_path: Path) -> None:
    checkpoint = tiny.checkpoint(tmp_path / "checkpoint", {})

    result = run("build", "--checkpoint", checkpoint, "--work", tmp_path / "work")

    assert result.exit_code == 1
    assert "does not name its model or hook; give --model and --hook." in result.stderr


def test_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, path: Mapped) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("atlas.assemble.finished", broken)

    with pytest.raises(ZeroDivisionError):
        run("assemble", "--work", path.work)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(command: str) -> None:
    result = run(command, "--help")

    assert result.exit_code == 0
    assert re.search(rf"Example:\n +atlas {command}\b", result.stdout)


def test_help_lists_every_command() -> None:
    result = run("--help")

    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.partition("Commands:\n")[2].splitlines()] == list(COMMANDS)
