"""The train stage leaves a checkpoint that says what it was trained on, and trains on nothing that it holds out."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import tiny
from atlas.activations.carriers import carrier_documents
from atlas.activations.corpus import Corpus
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig
from atlas.dictionary import Checkpoint
from atlas.dictionary.trained_on import TRAINED_ON_FILE
from atlas.dictionary.training import TrainingConfig
from atlas.dictionary.training_checkpoint import saved
from atlas.dictionary.training_log import read_log
from atlas.errors import (
    CheckpointError,
    ConfigError,
    CorpusError,
    ModelError,
    StageDamaged,
    StorageError,
    TrainingDiverged,
    WorkOccupied,
)
from atlas.stages import fingerprint
from atlas.train import TrainConfig, Watch, train_stage

TRAINING = TrainingConfig(n_experts=8, d_expert=4, k=2, steps=44, batch=64)
CONFIG = TrainConfig(carrier_share=0.05, stream=StreamConfig(window_tokens=48), training=TRAINING)
"""Steps take more rows than the corpus has (some 1,800, and a third more with carriers), so that it is read whole, and once."""

PIECES = replace(CONFIG, buffer_rows=256)
"""The corpus is more than one pool, and gone through more than once."""


class Run(NamedTuple):
    """What one training left."""

    work: Path
    folder: Path
    read: list[int]
    steps: list[int]
    logged: list[int]


def trained(model: LanguageModel, corpus: Corpus, work: Path, config: TrainConfig, **how: Any) -> Run:
    read: list[int] = []
    steps: list[int] = []
    logged: list[int] = []
    watch = Watch(read.append, steps.append, lambda step, _: logged.append(step))
    return Run(work, train_stage(model, corpus, work, config, watch, **how), read, steps, logged)


def bits(folder: Path) -> tuple[str, bytes, bytes]:
    """All that a training determines."""
    return (
        Checkpoint.load(folder).sha256,
        (folder / TRAINED_ON_FILE).read_bytes(),
        (folder / "training_log.jsonl").read_bytes(),
    )


class Stops:
    """Asks a training to stop at the n-th time that it is looked at."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def stopped(model: LanguageModel, corpus: Corpus, work: Path, config: TrainConfig, after: int, **how: Any) -> list[int]:
    """The steps that a training took before it was stopped."""
    steps: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        train_stage(model, corpus, work, config, Watch(stepped=steps.append, interrupted=Stops(after)), **how)
    return steps


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atlas.activations.corpus.CHUNK_CHARACTERS", 900)


@pytest.fixture
def in_pieces(small_chunks: None, bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> Run:
    """A dictionary trained pool by pool, without any interruption."""
    return trained(bert, corpus, tmp_path / "whole", PIECES)


@pytest.fixture(scope="module")
def run(bert: LanguageModel, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A dictionary trained with carriers."""
    return trained(bert, corpus, tmp_path_factory.mktemp("train"), CONFIG)


@pytest.fixture(scope="module")
def plain_run(bert: LanguageModel, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same without."""
    return trained(bert, corpus, tmp_path_factory.mktemp("plain"), replace(CONFIG, carrier_share=0.0))


def counted(model: LanguageModel, corpus: Corpus, held_out: bool) -> Counter[int]:
    """How often each token that is not special occurs in the corpus' documents of one kind."""
    tokenizer = model.tokenizer
    counts: Counter[int] = Counter()
    for document in corpus.read():
        if document.held_out == held_out:
            counts.update(tokenizer(document.text, add_special_tokens=False)["input_ids"])
    return Counter({token: n for token, n in counts.items() if token not in tokenizer.all_special_ids})


def counts(run: Run) -> Counter[int]:
    """The training vocabulary that a run left."""
    stored = Checkpoint.load(run.folder).trained_on
    assert stored is not None
    return Counter({token: n for token, n in enumerate(stored.vocabulary.tolist()) if n})


def identity(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:16], 16)


def hashed(corpus: Corpus) -> str:
    texts = [document.text.encode() for document in corpus.read()]
    return hashlib.sha256(b"".join(b"%d %s" % (len(text), text) for text in texts)).hexdigest()


def about(run: Run) -> dict[str, Any]:
    return Checkpoint.load(run.folder).metadata["atlas_training"]


def test_checkpoint_is_a_dictionary_that_says_what_it_reads(run: Run, bert: LanguageModel) -> None:
    checkpoint = Checkpoint.load(run.folder)

    assert (checkpoint.smixae.d_in, checkpoint.smixae.n_experts, checkpoint.smixae.d_code) == (bert.d_model, 8, 3)
    assert checkpoint.smixae.threshold > 0
    expected = {
        "model_name": bert.name,
        "model_class_name": "AutoModel",
        "hook_name": "encoder.layer.1",
        "context_size": 48,
        "dataset_path": "small.jsonl",
    }
    assert expected.items() <= checkpoint.metadata.items()


def test_checkpoint_says_what_it_was_trained_on(run: Run, corpus: Corpus) -> None:
    said = about(run)

    assert said["tokens"] == counts(run).total()
    assert (said["steps"], said["batch"], said["k"]) == (44, 64, 2)
    assert said["corpus"] == corpus.title
    assert 0 < said["calibration_rows"]


def test_held_out_documents_are_not_trained_on(plain_run: Run, bert: LanguageModel, corpus: Corpus) -> None:
    assert counted(bert, corpus, held_out=True), "some documents must be held out"
    assert counts(plain_run) == counted(bert, corpus, held_out=False)


def test_without_a_carrier_share_there_are_no_carriers(plain_run: Run, bert: LanguageModel, corpus: Corpus) -> None:
    assert about(plain_run)["carrier_share"] == 0
    assert about(plain_run)["tokens"] == counted(bert, corpus, held_out=False).total()


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_carriers_come_up_to_their_share_and_never_over_it(
    share: float, run: Run, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    found = run if share == 0.05 else trained(bert, corpus, tmp_path, replace(CONFIG, carrier_share=share))
    own = counted(bert, corpus, held_out=False)

    carriers = (counts(found) - own).total() / counts(found).total()

    assert counts(found) >= own, "carriers are added to the corpus, and take nothing from it"
    assert 0.9 * share < carriers <= share
    assert about(found)["carrier_share"] == pytest.approx(carriers)


def test_progress_is_told(run: Run, bert: LanguageModel, corpus: Corpus) -> None:
    read, held_out = run.read[: run.read.index(max(run.read)) + 1], run.read[run.read.index(max(run.read)) + 1 :]

    assert read == sorted(read) and read[-1] == counts(run).total()
    assert held_out == sorted(held_out) and held_out[-1] == counted(bert, corpus, held_out=True).total()
    assert run.steps == list(range(1, 45))
    assert run.logged == [10, 20, 30, 40, 44]


def test_every_logged_step_travels_with_the_checkpoint(run: Run) -> None:
    log = read_log(run.folder)

    assert [entry["step"] for entry in log] == [10, 20, 30, 40, 44]
    assert all({"loss", "fvu", "threshold", "dead", "learning_rate", "auxiliary_loss"} < set(entry) for entry in log)
    assert log[-1]["fvu"] < log[0]["fvu"]


def test_second_call_trains_nothing(run: Run, bert: LanguageModel, corpus: Corpus) -> None:
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.work.rglob("*") if path.is_file()}

    again = trained(bert, corpus, run.work, CONFIG)

    assert (again.folder, again.read, again.steps) == (run.folder, [], [])
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.work.rglob("*") if path.is_file()} == before


def test_other_settings_do_not_go_into_the_same_folder(run: Run, bert: LanguageModel, corpus: Corpus) -> None:
    with pytest.raises(WorkOccupied, match=r"train' was made from another settings \(training.seed: 0, now 1\)\."):
        train_stage(bert, corpus, run.work, replace(CONFIG, training=replace(TRAINING, seed=1)))


def test_training_that_was_cut_off_starts_again(run: Run, bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    left = tmp_path / "train" / "checkpoint"
    left.mkdir(parents=True)
    (left / "sae_weights.safetensors").write_bytes(b"half")

    again = trained(bert, corpus, tmp_path, CONFIG)

    assert Checkpoint.load(again.folder).sha256 == Checkpoint.load(run.folder).sha256, "the same inputs train the same bits"


def test_stage_names_its_inputs(run: Run, bert: LanguageModel, corpus: Corpus) -> None:
    inputs = fingerprint(run.work, "train")

    assert inputs["corpus"] == {"name": "small.jsonl", "sha256": hashed(corpus)}
    assert (inputs["model"]["id"], inputs["model"]["hook"]) == (Path(bert.name).name, bert.hook)
    assert inputs["settings"]["training"]["n_experts"] == 8
    assert {"expert-atlas", "torch", "transformers"} <= set(inputs["versions"])


def test_no_more_is_read_than_the_steps_take(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    short = trained(bert, corpus, tmp_path, replace(CONFIG, training=replace(TRAINING, steps=4)))

    assert max(short.read) == 4 * 64
    assert about(short)["tokens"] == 4 * 64


def test_buffer_is_never_exceeded(in_pieces: Run) -> None:
    assert max(in_pieces.read) == 256
    assert in_pieces.read.count(256) > 1, "there were several pools"
    assert in_pieces.steps == list(range(1, 45))


def test_pools_hold_what_was_trained_on(in_pieces: Run, bert: LanguageModel, corpus: Corpus) -> None:
    own = counted(bert, corpus, held_out=False)
    known = Checkpoint.load(in_pieces.folder).trained_on
    assert known is not None

    # What the last chunk of a pool has beyond it is left out, and nothing is counted twice.
    assert 0.5 * own.total() < (counts(in_pieces) & own).total() <= own.total()
    assert not any(known.includes(document.identity) for document in corpus.read() if document.held_out)


@pytest.mark.parametrize("after", [7, 12, 19, 26, 33, 40])
def test_stopped_training_goes_on_to_the_same_bits(
    after: int, in_pieces: Run, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    first = stopped(bert, corpus, tmp_path, PIECES, after)
    second = trained(bert, corpus, tmp_path, PIECES)

    assert first + second.steps == list(range(1, 45)), "no step is taken twice, or left out"
    assert bits(second.folder) == bits(in_pieces.folder)


def test_killed_training_goes_on_from_its_last_checkpoint(
    in_pieces: Run, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    class KilledError(Exception):
        pass

    def killed(step: int) -> None:
        if step == 18:
            raise KilledError

    with pytest.raises(KilledError):
        train_stage(bert, corpus, tmp_path, PIECES, Watch(stepped=killed), save_every=5)
    (last,) = saved(tmp_path / "train" / "under_way")
    left = last.with_name(".step-00000015-pool-000009.4711.part")
    left.mkdir()
    (left / "sae_weights.safetensors").write_bytes(b"half")
    with (last.parent / "training_log.jsonl").open("a") as log:
        log.write('{"step": 20, "lo')

    again = trained(bert, corpus, tmp_path, PIECES, save_every=5)

    assert 15 <= again.steps[0] - 1 <= 17 and again.steps[-1] == 44
    assert bits(again.folder) == bits(in_pieces.folder)
    assert sorted(path.name for path in (tmp_path / "train").iterdir()) == [
        "checkpoint", "done.json", "tables.json", "tables.safetensors",
    ]  # fmt: skip


@pytest.mark.usefixtures("small_chunks")
def test_checkpoint_of_a_training_under_way_is_a_dictionary(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    stopped(bert, corpus, tmp_path, PIECES, 26)

    (last,) = saved(tmp_path / "train" / "under_way")
    checkpoint = Checkpoint.load(last)

    assert checkpoint.smixae.normalisation.factor > 0 and checkpoint.smixae.threshold > 0
    assert checkpoint.metadata["hook_name"] == bert.hook
    read = [document for document in corpus.read() if checkpoint.trained_on and checkpoint.trained_on.includes(document.identity)]
    assert read and not any(document.held_out for document in read)
    names = {path.suffix or path.name for path in last.iterdir() if path.name != "model_folder.txt"}
    assert names == {".json", ".safetensors", "SHA256SUMS"}, "nothing is pickled"


@pytest.mark.usefixtures("small_chunks")
def test_training_does_not_go_on_with_other_settings(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    stopped(bert, corpus, tmp_path, PIECES, 26)

    with pytest.raises(WorkOccupied, match=r"another settings \(training.learning_rate: 0.004, now 0.001\)"):
        train_stage(bert, corpus, tmp_path, replace(PIECES, training=replace(TRAINING, learning_rate=1e-3)))


@pytest.mark.usefixtures("small_chunks")
def test_text_that_changed_under_a_training_is_refused(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    texts = [document.text for document in corpus.read()]
    growing = Corpus(corpus.name, corpus.title, corpus.description, lambda: iter(texts))
    steps: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        train_stage(bert, growing, tmp_path, PIECES, Watch(stepped=steps.append, interrupted=lambda: len(steps) == 6))
    # Six steps are a pool and a half. What the survey read of the text, before any training, stays as it was.
    texts[12:] = [text.upper() + " and more" for text in texts[12:]]

    with pytest.raises(
        CorpusError, match=r"The text of 'small.jsonl' has changed since this training was saved; delete '.*under_way'"
    ):
        train_stage(bert, growing, tmp_path, PIECES)


@pytest.mark.parametrize("name", ["sae_weights.safetensors", "optimiser.safetensors", "used_up.safetensors", "resume.json"])
def test_damaged_checkpoint_is_named(name: str, bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    stopped(bert, corpus, tmp_path, CONFIG, 30)
    (last,) = saved(tmp_path / "train" / "under_way")
    (last / name).write_bytes(b"half")

    with pytest.raises(StageDamaged, match=rf"{name}' is damaged .*Delete the folder '.*step-"):
        train_stage(bert, corpus, tmp_path, CONFIG)


def test_damaged_log_is_named(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    stopped(bert, corpus, tmp_path, CONFIG, 30)
    log = tmp_path / "train" / "under_way" / "training_log.jsonl"
    log.write_text("half\n" + log.read_text())

    with pytest.raises(StageDamaged, match=r"training_log.jsonl' is damaged \(Expecting value"):
        train_stage(bert, corpus, tmp_path, CONFIG)


def test_checkpoint_can_be_read_by_whom_the_folder_can(run: Run) -> None:
    plain = run.folder / "plain"
    plain.touch()
    wanted = plain.stat().st_mode
    plain.unlink()

    assert {path.stat().st_mode for path in run.folder.iterdir()} == {wanted}


def test_another_number_of_threads_is_refused_with_what_to_set(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(bert, corpus, tmp_path, CONFIG, 30)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)

    with pytest.raises(
        WorkOccupied, match=r"another device \(threads: 1, now 7\)\. Set OMP_NUM_THREADS=1 to go on with it, name"
    ):
        train_stage(bert, corpus, tmp_path, CONFIG)


def test_dictionary_too_large_for_memory_is_refused(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    huge = replace(CONFIG, training=replace(TRAINING, n_experts=10**9, d_expert=512))

    with pytest.raises(ConfigError, match=r"1,000,000,000 experts of 512 units .* do not fit into memory; choose fewer"):
        train_stage(bert, corpus, tmp_path, huge)


def test_full_disk_keeps_the_last_good_checkpoint(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from atlas.dictionary import training_checkpoint

    written = training_checkpoint.save_file
    calls: list[Path] = []

    def full(tensors: Any, path: Path) -> None:
        calls.append(path)
        if len(calls) > 2:
            path.write_bytes(b"some of it")
            raise OSError(28, "No space left on device", str(path))
        written(tensors, path)

    monkeypatch.setattr(training_checkpoint, "save_file", full)
    with pytest.raises(StorageError, match=r"step-.*' cannot be written: No space left on device\. What was there is"):
        train_stage(bert, corpus, tmp_path, CONFIG, save_every=5)
    monkeypatch.undo()

    (last,) = saved(tmp_path / "train" / "under_way")
    assert last.name.startswith("step-00000010") and Checkpoint.load(last)
    assert not list(last.parent.glob(".*")), "nothing half written is left"
    assert bits(trained(bert, corpus, tmp_path, CONFIG).folder)[0] == bits(run.folder)[0]


def test_diverged_training_keeps_the_last_good_checkpoint(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    wild = replace(CONFIG, training=replace(TRAINING, learning_rate=20.0, warmup_steps=44))

    with pytest.raises(TrainingDiverged, match=r"Lower the learning rate \(now 20\)"):
        train_stage(bert, corpus, tmp_path, wild, log_every=1, save_every=1)

    (last,) = saved(tmp_path / "train" / "under_way")
    assert all(bool(torch.isfinite(w).all()) for w in Checkpoint.load(last).smixae.weights)


def test_too_little_text_for_a_batch_is_refused(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    large = replace(CONFIG, training=replace(TRAINING, batch=100_000))

    with pytest.raises(
        ConfigError, match=r"'small.jsonl' has \d+ rows to train on, fewer than one batch of 100000; give more text"
    ):
        train_stage(bert, corpus, tmp_path, large)

    assert not (tmp_path / "train" / "done.json").exists()


def test_corpus_of_one_document_is_refused(bert: LanguageModel, tmp_path: Path) -> None:
    alone = Corpus("alone", "Alone", "One document.", lambda: iter(["the small model fires on 42 tokens"]))

    message = r"'alone' has 1 document in the part that is read, . in the fifth that is held out; both kinds are needed"
    with pytest.raises(CorpusError, match=message):
        train_stage(bert, alone, tmp_path, CONFIG)


@pytest.mark.parametrize("share", [-0.1, 0.6])
def test_carrier_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match=f"carrier_share is {share}; give a share from 0 to 0.5"):
        TrainConfig(carrier_share=share)


def test_documents_that_rows_were_read_from_are_listed(plain_run: Run, corpus: Corpus) -> None:
    known = Checkpoint.load(plain_run.folder).trained_on
    assert known is not None

    assert known.documents.tolist() == sorted(identity(d.text) for d in corpus.read() if not d.held_out)
    assert all(known.includes(document.identity) != document.held_out for document in corpus.read())


@pytest.mark.usefixtures("small_chunks")
def test_documents_beyond_the_last_row_are_not_listed(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    short = trained(bert, corpus, tmp_path, replace(CONFIG, carrier_share=0.0, training=replace(TRAINING, steps=4)))
    known = Checkpoint.load(short.folder).trained_on
    assert known is not None

    listed = [document.ordinal for document in corpus.read() if known.includes(document.identity)]
    assert listed and set(listed) <= {document.ordinal for document in corpus.read() if not document.held_out}
    assert max(listed) < 20, "the corpus has forty documents"
    assert len(listed) == len(known.documents)


def test_carriers_that_were_read_are_listed(run: Run, corpus: Corpus) -> None:
    known = Checkpoint.load(run.folder).trained_on
    assert known is not None
    own = {document.identity for document in corpus.read()}

    carriers = set(known.documents.tolist()) - own

    written = [identity(text) for text in carrier_documents(50, CONFIG.training.seed)]
    assert carriers and carriers == set(written[: len(carriers)])


def test_checkpoint_from_elsewhere_does_not_say_what_it_was_trained_on(run: Run, tmp_path: Path) -> None:
    assert Checkpoint.load(run.folder).trained_on is not None
    copied = shutil.copytree(run.folder, tmp_path / "checkpoint")
    (copied / TRAINED_ON_FILE).unlink()

    assert Checkpoint.load(copied).trained_on is None


def test_damaged_list_of_documents_is_refused(run: Run, tmp_path: Path) -> None:
    copied = shutil.copytree(run.folder, tmp_path / "checkpoint")
    (copied / TRAINED_ON_FILE).write_bytes(b"half")

    with pytest.raises(CheckpointError, match=r"trained_on\.safetensors' is damaged .*Copy the checkpoint again"):
        Checkpoint.load(copied)
    (copied / "SHA256SUMS").unlink()
    with pytest.raises(StageDamaged, match=r"trained_on\.safetensors' is damaged .*Copy the checkpoint again, or train again"):
        Checkpoint.load(copied)


def test_model_that_returns_no_numbers_is_refused(models: dict[str, Path], corpus: Corpus, tmp_path: Path) -> None:
    broken = LanguageModel.load(str(models["bert"]), tiny.HOOKS["bert"])
    with torch.no_grad():
        broken.embeddings[:] = float("nan")

    with pytest.raises(ModelError, match=r"document \d+"):
        train_stage(broken, corpus, tmp_path, CONFIG)

    assert list(tmp_path.iterdir()) == []
