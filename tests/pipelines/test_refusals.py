"""What cannot be done is refused in one line, and the folder it was asked for in stays as it was."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

import tiny
from atlas.dictionary.checkpoint import CONFIG_FILE, WEIGHTS_FILE
from atlas.probe.tasks import Task, builtin_tasks
from atlas.stages import locked
from pipelines.cli import main
from pipelines.progress import duration
from templated import only

CHECKPOINT = ("--checkpoint", "checkpoint")
BUILD = ("build", *CHECKPOINT, "--corpus", "text.jsonl")
TRAIN = ("train", "--model", "bert", "--hook", tiny.HOOKS["bert"])
WHAT = f"Give a folder with {CONFIG_FILE} and {WEIGHTS_FILE}, or owner/repo[/subfolder][@revision] on the hub."


def run(*arguments: str) -> Result:
    """Run a command and return what came of it; only errors that are bugs are raised."""
    result = CliRunner().invoke(main, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, with the bytes of files; links are not followed."""
    paths = sorted(path for path in folder.rglob("*") if not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}


@pytest.fixture
def folder(models: dict[str, Path], corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands are run in: a model, a dictionary for it, and text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bert").symlink_to(models["bert"])
    shutil.copy(corpus_file, "text.jsonl")
    tiny.checkpoint(tmp_path / "checkpoint", {"model_name": "bert", "hook_name": tiny.HOOKS["bert"]})
    return tmp_path


# How a folder comes to be one that is refused


def nothing(_: Path) -> None:
    """The folder is as it should be."""


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def with_file(name: str, content: bytes | str) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return prepare


def with_tensors(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        path = folder / "checkpoint" / WEIGHTS_FILE
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return prepare


def with_config(**values: object) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        path = folder / "checkpoint" / CONFIG_FILE
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return prepare


def with_dictionary(**shape: object) -> Callable[[Path], None]:
    metadata = {"model_name": "bert", "hook_name": tiny.HOOKS["bert"]}
    return lambda folder: tiny.checkpoint(folder / "checkpoint", metadata, **shape) and None


def moved(to: str) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        (folder / to).parent.mkdir(parents=True)
        (folder / "checkpoint").rename(folder / to)

    return prepare


REFUSALS = {
    "no checkpoint": (
        nothing,
        ("build", "--checkpoint", "nowhere", "--corpus", "text.jsonl"),
        f"No checkpoint folder at 'nowhere'. {WHAT}",
    ),
    "no checkpoint on the hub either": (
        nothing,
        ("build", "--checkpoint", "no/where", "--corpus", "text.jsonl"),
        "There is no folder 'no/where', 'no/where' is not in the hub's cache, and HF_HUB_OFFLINE is set. "
        "Name a local folder, or fetch it where there is a network.",
    ),
    "an empty checkpoint": (
        nothing,
        ("build", "--checkpoint", " ", "--corpus", "text.jsonl"),
        "--checkpoint is empty; name one.",
    ),
    "no cfg.json": (
        without("checkpoint/cfg.json"),
        BUILD,
        f"'checkpoint' has no cfg.json. A checkpoint is a folder with {CONFIG_FILE} and {WEIGHTS_FILE}.",
    ),
    "cfg.json that is no JSON": (
        with_file("checkpoint/cfg.json", "{"),
        BUILD,
        "'checkpoint/cfg.json' is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1).",
    ),
    "truncated weights": (
        with_file(f"checkpoint/{WEIGHTS_FILE}", b"half"),
        BUILD,
        f"'checkpoint/{WEIGHTS_FILE}' is not a whole safetensors file: Error while deserializing header: header too small.",
    ),
    "no tensor": (
        with_tensors(lambda tensors: tensors.__delitem__("W_dec")),
        BUILD,
        f"'checkpoint/{WEIGHTS_FILE}' has no tensor W_dec.",
    ),
    "tensor of another shape": (
        with_tensors(lambda tensors: tensors.update(b_dec=torch.zeros(17))),
        BUILD,
        f"b_dec in 'checkpoint/{WEIGHTS_FILE}' has the shape (17,); cfg.json says (16,).",
    ),
    "another architecture": (
        with_config(architecture="topk"),
        BUILD,
        "'checkpoint' holds the architecture 'topk'; Atlas maps smixae and smixae_rebased.",
    ),
    "work folder as checkpoint": (
        moved("work/train/checkpoint"),
        ("build", "--checkpoint", "work"),
        "'work' has no cfg.json. There is a checkpoint in 'work/train/checkpoint': name that.",
    ),
    "stage as checkpoint": (
        moved("work/train/checkpoint"),
        ("build", "--checkpoint", "work/train"),
        "'work/train' has no cfg.json. There is a checkpoint in 'work/train/checkpoint': name that.",
    ),
    "damaged list of trained documents": (
        with_file("checkpoint/trained_on.safetensors", b"half"),
        BUILD,
        "'checkpoint/trained_on.safetensors' is damaged (Error while deserializing header: header too small). "
        "Copy the checkpoint again, or train again.",
    ),
    "checkpoint that names no model": (
        with_config(metadata={}),
        BUILD,
        "The checkpoint 'checkpoint' does not name its model or hook; give --hook.",
    ),
    "no such model": (
        nothing,
        (*BUILD, "--model", "nowhere/nothing"),
        "The language model 'nowhere/nothing' cannot be loaded: ",
    ),
    "no such hook": (
        nothing,
        (*BUILD, "--hook", "encoder.layers.1"),
        "The model has no hook 'encoder.layers.1'. The nearest it has: encoder.layer.1, encoder.layer.0, encoder.layer.2. "
        "Name one with --hook.",
    ),
    "hook that gives no rows": (
        nothing,
        (*BUILD, "--hook", "pooler"),
        "The hook 'pooler' of 'bert' gives a tensor of shape (1, 16), not a row per token; name a block (model.layers.12).",
    ),
    "dictionary of another width": (
        with_dictionary(d_in=8),
        BUILD,
        "'bert' has 16 numbers per token at 'encoder.layer.1', the checkpoint reads 8; "
        "name the model and hook that it was trained on.",
    ),
    "empty hook": (nothing, (*BUILD, "--hook", ""), "--hook is empty; name one, or leave it out."),
    "empty model": (nothing, (*BUILD, "--model", " "), "--model is empty; name one, or leave it out."),
    "empty hook to train at": (nothing, ("train", "--model", "bert", "--hook", ""), "--hook is empty; name one."),
    "no such corpus": (
        nothing,
        ("build", *CHECKPOINT, "--corpus", "missing.txt"),
        "No corpus at 'missing.txt'. Give a .txt, .json, .jsonl or .parquet file, a folder of them, a data set's id, "
        "or 'python-docs'.",
    ),
    "folder that is no corpus": (
        nothing,
        ("build", *CHECKPOINT, "--corpus", "checkpoint"),
        "'checkpoint/cfg.json' begins with '{'; a .json corpus is a list of records, and one record a line is a .jsonl.",
    ),
    "empty corpus": (
        with_file("a.txt", ""),
        ("build", *CHECKPOINT, "--corpus", "a.txt"),
        "The corpus 'a.txt' holds no text. Name another one with --corpus.",
    ),
    "binary corpus": (
        with_file("a.txt", bytes(range(1, 256))),
        ("build", *CHECKPOINT, "--corpus", "a.txt"),
        "Line 2 of 'a.txt' is not text in UTF-8: invalid start byte at byte 117.",
    ),
    "corpus of NUL": (
        with_file("a.txt", b"\0" * 9),
        ("harvest", *CHECKPOINT, "--corpus", "a.txt"),
        "Line 1 of 'a.txt' is not text: it holds a NUL at character 0.",
    ),
    "corpus that is not gzipped": (
        with_file("a.jsonl.gz", '"text"'),
        ("harvest", *CHECKPOINT, "--corpus", "a.jsonl.gz"),
        "'a.jsonl.gz' is not gzipped (Not a gzipped file (b'\"t')). Name it without .gz, or compress it.",
    ),
    "broken gzip file": (
        with_file("a.txt.gz", gzip.compress(b"text" * 99, mtime=0)[:-9]),
        (*TRAIN, "--corpus", "a.txt.gz"),
        "'a.txt.gz' is a broken gzip file (Compressed file ended before the end-of-stream marker was reached). "
        "Fetch or compress it again.",
    ),
    "null as text": (
        with_file("a.jsonl", '{"text": null}'),
        ("build", *CHECKPOINT, "--corpus", "a.jsonl"),
        "Line 1 of 'a.jsonl' has a text column that holds null, not text.",
    ),
    "bad line far down": (
        with_file("a.jsonl", '{"text": "good"}\n' * 5000 + '{"text": '),
        ("build", *CHECKPOINT, "--corpus", "a.jsonl"),
        "Line 5001 of 'a.jsonl' is not JSON: Expecting value: line 1 column 10 (char 9).",
    ),
    "two limits": (
        nothing,
        (*BUILD, "--preview", "--tokens", "5000"),
        "--preview reads 100,000 tokens, --tokens 5,000; give one of them.",
    ),
    "no such shard": (
        nothing,
        ("harvest", *CHECKPOINT, "--shard", "3/2"),
        "'3/2' is not a shard; write i/N with i from 0 to N - 1, as in 0/4.",
    ),
    "too few documents to train on": (
        with_file("a.txt", "one document"),
        (*TRAIN, "--corpus", "a.txt"),
        "'a.txt' has 1 document in the part that is read, 0 in the fifth that is held out; both kinds are needed. "
        "Give more documents that differ (in a .txt, two blank lines set them apart).",
    ),
    "more experts kept than there are": (
        nothing,
        (*TRAIN, "--corpus", "text.jsonl", "--experts", "3", "--k", "4"),
        "k is 4, but the dictionary has 3 experts; choose a smaller k.",
    ),
    "probe before the harvest": (
        nothing,
        ("probe", *CHECKPOINT),
        "'work' holds no finished harvest. Run `atlas harvest` (or `atlas build`) with this work folder first.",
    ),
    "assembly before the harvest": (
        nothing,
        ("assemble",),
        "'work' holds no finished harvest. Run `atlas harvest` (or `atlas build`) with this work folder first.",
    ),
    "file as work folder": (
        with_file("work", "mine"),
        ("harvest", *CHECKPOINT, "--corpus", "text.jsonl", "--work", "work/inside"),
        "'work/inside' cannot be a work folder: Not a directory. Name another one with --work.",
    ),
    "damaged done.json": (
        with_file("work/harvest/done.json", "{"),
        BUILD,
        "'work/harvest/done.json' is damaged (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)). "
        "Delete the folder 'work/harvest' to run the stage again.",
    ),
    "damaged part": (
        with_file("work/harvest/corpus-0/part-0-of-1.safetensors", b"half"),
        BUILD,
        "'work/harvest/corpus-0/part-0-of-1.safetensors' is damaged (Error while deserializing header: header too small). "
        "Delete 'work/harvest/corpus-0/part-0-of-1.safetensors', then run `atlas harvest` again.",
    ),
}

LOADED = ("no such hook", "hook that gives no rows", "dictionary of another width")
"""Refused only once the model is there."""


@pytest.mark.parametrize(("prepare", "arguments", "message"), REFUSALS.values(), ids=REFUSALS)
def test_refusal_is_one_line_and_changes_nothing(
    prepare: Callable[[Path], None],
    arguments: tuple[str, ...],
    message: str,
    folder: Path,
    request: pytest.FixtureRequest,
) -> None:
    prepare(folder)
    before = contents(folder)

    result = run(*arguments)

    assert (result.exit_code, result.stdout) == (1, "")
    # A model that lies in a folder is said with the way to it.
    *said, error = result.stderr.replace(f"{folder}/", "").splitlines()
    assert error.startswith(f"Error: {message}") if message.endswith(": ") else error == f"Error: {message}"
    assert all(line.startswith("Loading ") for line in said)
    assert bool(said) == (request.node.callspec.id in LOADED)
    assert contents(folder) == before


@pytest.mark.parametrize("command", [("build", *CHECKPOINT), ("harvest", *CHECKPOINT), ("probe", *CHECKPOINT), TRAIN])
def test_negative_seed_is_refused(command: tuple[str, ...], folder: Path) -> None:
    before = contents(folder)

    result = run(*command, "--seed", "-1")

    assert (result.exit_code, result.stdout) == (2, "")
    assert (
        result.stderr.splitlines()[-1] == "Error: Invalid value for '--seed': -1 is not in the range 0<=x<=9223372036854775807."
    )
    assert contents(folder) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("command", [BUILD, (*TRAIN, "--corpus", "text.jsonl")], ids=["build", "train"])
def test_missing_gpu_is_refused(command: tuple[str, ...], folder: Path) -> None:
    before = contents(folder)

    result = run(*command, "--device", "cuda")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: --device cuda was asked for, but torch sees no CUDA device; use --device cpu.\n"
    assert contents(folder) == before


@pytest.mark.parametrize("command", ["build", "harvest"])
def test_dictionary_that_fires_on_nothing_is_refused(command: str, folder: Path) -> None:
    with_dictionary(threshold=1e6)(folder)
    before = contents(folder)

    result = run(command, *CHECKPOINT, "--corpus", "text.jsonl")

    assert (result.exit_code, result.stdout) == (1, "")
    error = result.stderr.splitlines()[-1]
    assert error.startswith("Error: No expert fires on any of ")
    assert error.endswith("the threshold is 1e+06. It is probably the wrong layer or model: check --model and --hook.")
    assert contents(folder) == before


@pytest.mark.parametrize(
    "arguments",
    [
        BUILD,
        ("harvest", *CHECKPOINT, "--corpus", "text.jsonl"),
        ("harvest", *CHECKPOINT, "--corpus", "text.jsonl", "--shard", "0/2"),
        (*TRAIN, "--corpus", "text.jsonl"),
    ],
    ids=["build", "harvest", "shard", "train"],
)
def test_second_run_in_a_work_folder_is_refused(
    arguments: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atlas.stages.GATE_SECONDS", 0.1)
    with locked(Path("work")):
        before = contents(folder)

        result = run(*arguments)

        assert contents(folder) == before
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: Another run is using 'work'. Wait for it, or name another work folder with --work.\n"


# A work folder of another run


@pytest.fixture(scope="module")
def few_tasks() -> Iterator[list[Task]]:
    """One task, so that a probe is quick."""
    task = builtin_tasks()[1]
    with pytest.MonkeyPatch.context() as patch:
        only(patch, task)
        yield [task]


@pytest.fixture
def built(few_tasks: list[Task], folder: Path) -> Path:
    """The folder after a build."""
    assert run(*BUILD).exit_code == 0
    return folder


def test_build_of_other_settings_is_refused_with_both_values(built: Path) -> None:
    (built / "other.jsonl").write_text((built / "text.jsonl").read_text() + '\n"some other text"')
    tiny.checkpoint(built / "other", {"model_name": "bert", "hook_name": tiny.HOOKS["bert"]}, seed=3)
    before = contents(built)
    made, rest = "Error: 'work/harvest' was made from another ", "Name another work folder with --work, or delete this one.\n"
    corpus = ("--corpus", "text.jsonl")
    # By what differs; only that which the model decides is known after it is loaded.
    refused = {
        "settings (tokens: 2000000, now 100000). ": (*BUILD, "--preview"),
        "settings (seed: 0, now 3). ": (*BUILD, "--seed", "3"),
        "corpora ('text.jsonl', now 'other.jsonl'). ": ("build", *CHECKPOINT, "--corpus", "other.jsonl"),
        "checkpoint. ": ("build", "--checkpoint", "other", *corpus),
        "model (hook: 'encoder.layer.1', now 'encoder.layer.0'). ": (*BUILD, "--hook", "encoder.layer.0"),
        "device (dtype: 'float32', now 'bfloat16'). ": (*BUILD, "--dtype", "bfloat16"),
    }

    for what, arguments in refused.items():
        result = run(*arguments)

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.endswith(made + what + rest)
        assert result.stderr.startswith("Loading ") == what.startswith(("model", "device"))
        assert contents(built) == before

    again = run(*BUILD)
    assert again.exit_code == 0
    assert (
        "Harvest: already finished, skipped\nProbe: already finished, skipped\n"
        "Geometry: already finished, skipped\nEvaluate: already finished, skipped\n"
    ) in again.stderr
    assert "Harvesting" not in again.stderr


@pytest.mark.parametrize(
    ("options", "differs"),
    [
        (("--hook", "encoder.layer.0"), "model (hook: 'encoder.layer.1', now 'encoder.layer.0')"),
        (("--dtype", "float16"), "dtype ('float32', now 'float16')"),
    ],
    ids=["hook", "dtype"],
)
def test_probe_of_another_model_than_the_harvests_is_refused(options: tuple[str, ...], differs: str, built: Path) -> None:
    shutil.rmtree(built / "work" / "probe")
    before = contents(built)

    result = run("probe", *CHECKPOINT, *options)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == (
        f"Error: 'work/harvest' was made from another {differs}. Name another work folder with --work, or delete this one."
    )
    assert contents(built) == before


def test_truncated_tables_are_refused(built: Path) -> None:
    path = built / "work" / "harvest" / "tables.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    before = contents(built)

    result = run(*BUILD)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("Error: 'work/harvest/tables.safetensors' is damaged (")
    assert result.stderr.splitlines()[-1].endswith("). Delete the folder 'work/harvest' to run the stage again.")
    assert contents(built) == before


# What is said before the work


def test_plan_says_what_will_be_done(few_tasks: list[Task], folder: Path) -> None:
    result = run(*BUILD, "--dtype", "bfloat16")

    assert result.exit_code == 0
    sentences = len(few_tasks[0].sentences)
    tokens = r"[\d,]+ tokens in 1 chunk"
    for line in (
        rf"Corpus: text.jsonl, all 40 documents, about {tokens}",
        r"Model: .*/bert at encoder.layer.1, bfloat16 on cpu; dictionary: 12 experts that read 16 numbers",
        r"Harvest: about \d+ s, from \d+ windows timed",
        rf"Probe: 1 task: {sentences:,} rows, then scores; its time is not estimated",
        r"Evaluate: about \d+ held-out tokens of text.jsonl, no cross-entropy, [\d,]+ other tokens for PCA, "
        rf"{sentences:,} sentences: about \d+ s",
        r"Assemble and bake: anew each time, into work and site",
    ):
        assert re.search(f"^{line}$", result.stderr, re.MULTILINE), line
    inputs = json.loads((folder / "work" / "harvest" / "done.json").read_text())["inputs"]
    assert (inputs["device"]["dtype"], inputs["settings"]["tokens"]) == ("bfloat16", 2_000_000)


def test_shard_says_which_chunks_it_runs_and_what_is_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atlas.activations.corpus.CHUNK_CHARACTERS", 700)
    harvest = ("harvest", *CHECKPOINT, "--corpus", "text.jsonl", "--shard")

    first, again, last = (run(*harvest, shard).stderr for shard in ("0/2", "0/2", "1/2"))
    merged, over = run("merge"), run(*harvest, "0/2")

    chunks = int(re.search(r"tokens in (\d+) chunks", first)[1])  # type: ignore[index]
    assert re.search(rf"^Harvest: {-(-chunks // 2)} of {chunks} chunks, about \d+ s, from", first, re.MULTILINE)
    assert first.endswith("Shard 0/2 is run. When all 2 are, `atlas merge` puts them together.\n")
    assert "Harvest: shard 0/2 is already run\n" in again and "Harvesting" not in again
    assert re.search(rf"^Harvest: {chunks // 2} of {chunks} chunks, about", last, re.MULTILINE)
    assert (merged.exit_code, merged.stdout, merged.stderr) == (0, "work/harvest\n", "Merging 2 parts\n")
    assert over.stderr.endswith("Harvest: already finished, skipped\n")


def test_finished_training_is_skipped(folder: Path) -> None:
    few = (*TRAIN, "--corpus", "text.jsonl", "--experts", "8", "--k", "2", "--steps", "3", "--batch", "64")

    first, again = run(*few), run(*few)

    assert first.stdout == again.stdout == "work/train/checkpoint\n"
    assert "Training: 8 experts, 3 steps of 64 tokens\n" in first.stderr
    assert again.stderr.endswith("Training: already finished, skipped\n")


@pytest.mark.parametrize(("limit", "recorded"), [(("--preview",), 100_000), (("--tokens", "300"), 300), ((), 2_000_000)])
def test_limit_is_recorded_and_what_is_read_is_said(limit: tuple[str, ...], recorded: int, folder: Path) -> None:
    # 300 characters close a chunk here.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atlas.activations.corpus.CHUNK_CHARACTERS", 300)
        result = run("harvest", *CHECKPOINT, "--corpus", "text.jsonl", *limit)

    assert result.exit_code == 0
    done = json.loads((folder / "work" / "harvest" / "done.json").read_text())
    assert done["inputs"]["settings"]["tokens"] == recorded
    n = done["provenance"]["corpus"]["documents"]
    assert n < 40 if recorded == 300 else n == 40
    assert f"text.jsonl, {'the first' if recorded == 300 else 'all'} {n} documents, about " in result.stderr


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.01, "1 s"), (40.4, "40 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_duration_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert duration(float(seconds)) == said
