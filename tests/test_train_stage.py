"""The train stage leaves a checkpoint that says what it was trained on, and trains on nothing that it holds out."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from atlas.activations.corpus import Corpus
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig
from atlas.dictionary import load
from atlas.dictionary.training import Step, TrainingConfig
from atlas.errors import ConfigError, CorpusError, WorkOccupied
from atlas.stages import fingerprint
from atlas.train import TrainConfig, train_stage, training_vocabulary

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
    stored = training_vocabulary(run.folder)
    assert stored is not None
    return Counter({token: n for token, n in enumerate(stored.tolist()) if n})


def about(run: Run) -> dict[str, Any]:
    return load(run.folder).metadata["atlas_training"]


def test_checkpoint_is_a_dictionary_that_says_what_it_reads(run: Run, bert: LanguageModel) -> None:
    checkpoint = load(run.folder)

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
    assert (said["corpus"], said["corpus_sha256"]) == (corpus.title, corpus.sha256())


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
    with pytest.raises(WorkOccupied, match="train' was made from another settings"):
        train_stage(bert, corpus, run.work, replace(CONFIG, training=replace(TRAINING, seed=1)))


def test_training_that_was_cut_off_starts_again(run: Run, bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    left = tmp_path / "train" / "checkpoint"
    left.mkdir(parents=True)
    (left / "sae_weights.safetensors").write_bytes(b"half")

    again = trained(bert, corpus, tmp_path, CONFIG)

    assert load(again.folder).sha256 == load(run.folder).sha256, "the same inputs train the same bits"


def test_stage_names_its_inputs(run: Run, bert: LanguageModel, corpus: Corpus) -> None:
    inputs = fingerprint(run.work, "train")

    assert inputs["corpus"] == {"name": "small.jsonl", "sha256": corpus.sha256()}
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

    with pytest.raises(CorpusError, match="'alone' has too few documents to hold a fifth of them out; give a larger corpus"):
        train_stage(bert, alone, tmp_path, CONFIG)


@pytest.mark.parametrize("share", [-0.1, 0.6])
def test_carrier_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match=f"carrier_share is {share}; give a share from 0 to 0.5"):
        TrainConfig(carrier_share=share)


def test_checkpoint_from_elsewhere_has_no_training_vocabulary(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_text(json.dumps({}))

    assert training_vocabulary(tmp_path) is None and training_vocabulary(run.folder) is not None
