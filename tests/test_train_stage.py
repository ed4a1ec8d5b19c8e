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
from atlas.dictionary.training import Step, TrainingConfig
from atlas.errors import CheckpointError, ConfigError, CorpusError, ModelError, WorkOccupied
from atlas.stages import fingerprint
from atlas.train import TrainConfig, train_stage

TRAINING = TrainingConfig(n_experts=8, d_expert=4, k=2, steps=12, batch=64)
CONFIG = TrainConfig(carrier_share=0.05, stream=StreamConfig(window_tokens=48), training=TRAINING)


class Run(NamedTuple):
    """What one training left."""

    work: Path
    folder: Path
    gathered: list[int]
    steps: list[Step]


def trained(model: LanguageModel, corpus: Corpus, work: Path, config: TrainConfig) -> Run:
    gathered: list[int] = []
    steps: list[Step] = []
    return Run(work, train_stage(model, corpus, work, config, gathered.append, steps.append), gathered, steps)


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
    assert {key: value for key, value in checkpoint.metadata.items() if key != "atlas_training"} == {
        "model_name": bert.name,
        "model_class_name": "AutoModel",
        "hook_name": "encoder.layer.1",
        "context_size": 48,
        "dataset_path": "small.jsonl",
    }


def test_checkpoint_says_what_it_was_trained_on(run: Run, corpus: Corpus) -> None:
    said = about(run)

    assert said["tokens"] == counts(run).total()
    assert (said["steps"], said["batch"], said["k"]) == (12, 64, 2)
    assert said["corpus"] == corpus.title


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
    everything = counted(bert, corpus, held_out=False).total() + counted(bert, corpus, held_out=True).total()

    assert run.gathered == sorted(run.gathered) and run.gathered[-1] == everything
    assert [step.step for step in run.steps] == [10, 12]


def test_second_call_trains_nothing(run: Run, bert: LanguageModel, corpus: Corpus) -> None:
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.work.rglob("*") if path.is_file()}

    again = trained(bert, corpus, run.work, CONFIG)

    assert (again.folder, again.gathered, again.steps) == (run.folder, [], [])
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
    assert (inputs["model"]["id"], inputs["model"]["hook"]) == (bert.name, bert.hook)
    assert inputs["settings"]["training"]["n_experts"] == 8
    assert {"expert-atlas", "torch", "transformers"} <= set(inputs["versions"])


def test_reading_stops_where_memory_ends(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    short = trained(bert, corpus, tmp_path, replace(CONFIG, max_tokens=300, carrier_share=0.0))

    # A block of 256 rows is read whole.
    assert 300 <= short.gathered[-1] < 300 + 256
    assert about(short)["tokens"] <= short.gathered[-1]


def test_too_little_text_for_a_batch_is_refused(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    large = replace(CONFIG, training=replace(TRAINING, batch=100_000))

    with pytest.raises(ConfigError, match="fewer than one batch of 100000"):
        train_stage(bert, corpus, tmp_path, large)

    assert not (tmp_path / "train" / "done.json").exists()


def test_corpus_of_one_document_is_refused(bert: LanguageModel, tmp_path: Path) -> None:
    alone = Corpus("alone", "Alone", "One document.", lambda: iter(["the small model fires on 42 tokens"]))

    message = r"'alone' has too few documents to hold a fifth of them out \(1 in the part that is read\); give a larger corpus"
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


def test_documents_beyond_the_last_row_are_not_listed(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atlas.activations.corpus.CHUNK_CHARACTERS", 900)
    short = trained(bert, corpus, tmp_path, replace(CONFIG, max_tokens=300, carrier_share=0.0))
    known = Checkpoint.load(short.folder).trained_on
    assert known is not None

    first = next(corpus.chunks())
    listed = [document.ordinal for document in corpus.read() if known.includes(document.identity)]
    assert listed and set(listed) <= {document.ordinal for document in corpus.read() if not document.held_out}
    assert max(listed) < 20 and first[-1].ordinal < 20, "the corpus has forty documents"
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

    with pytest.raises(CheckpointError, match=r"trained_on\.safetensors' is damaged .*Copy the checkpoint again, or train again"):
        Checkpoint.load(copied)


def test_model_that_returns_no_numbers_is_refused(models: dict[str, Path], corpus: Corpus, tmp_path: Path) -> None:
    broken = LanguageModel.load(str(models["bert"]), tiny.HOOKS["bert"])
    with torch.no_grad():
        broken.embeddings[:] = float("nan")

    with pytest.raises(ModelError, match=r"^'.*bert' returned values that are not finite\.$"):
        train_stage(broken, corpus, tmp_path, CONFIG)

    assert list(tmp_path.iterdir()) == []
