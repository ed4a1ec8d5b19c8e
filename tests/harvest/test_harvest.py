"""One pass gives the same tables however it is cut and interrupted, and they are what a dense model run in full would give."""

from __future__ import annotations

import errno
import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors import safe_open
from transformers import AutoModel

import tiny
from atlas.activations.corpus import Corpus, Document, load_corpus
from atlas.activations.model import LanguageModel
from atlas.activations.stream import BLOCK_ROWS, StreamConfig, blocks, chunk_windows
from atlas.dictionary import Checkpoint, Smixae, save
from atlas.dictionary.trained_on import TRAINED_ON_FILE
from atlas.errors import ConfigError, CorpusError, DictionarySilent, ModelError, StageDamaged, StorageError, WorkOccupied
from atlas.harvest.config import HarvestConfig
from atlas.harvest.harvest import harvest, standing
from atlas.harvest.inputs import harvest_inputs, provenance, require_distinct
from atlas.harvest.merge import merge
from atlas.harvest.parts import WHOLE, Shard
from atlas.harvest.survey import survey
from atlas.harvest.timing import ACCUMULATING, timed
from atlas.sealed import write_arrays
from atlas.stages import Column, Ragged, finished
from harvests import CHUNK_CHARACTERS, CONFIG, WORDS, Tables, assert_same, corpus_of, dictionary_for, raw

NEVER = 1e9
"""Seconds between two saves that no test lasts."""
NO_LIMIT = 1e9
"""Share of the time for saving that is never reached."""


class Interrupted(Exception):
    """Stands for a run that is stopped from outside."""


@pytest.fixture(scope="module", autouse=True)
def small_chunks() -> Iterator[None]:
    """Chunks of a few documents, so that a small corpus has several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atlas.activations.corpus.CHUNK_CHARACTERS", CHUNK_CHARACTERS)
        # Saving is not held back.
        patch.setattr("atlas.harvest.harvest.SAVING_SHARE", NO_LIMIT)
        yield


@pytest.fixture(scope="module")
def checkpoint(bert: LanguageModel, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A dictionary for the tiny BERT, trained on no corpus in particular."""
    return dictionary_for(bert, corpus, tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def whole(checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """The tables of one uninterrupted run."""
    work = tmp_path_factory.mktemp("whole")
    assert harvest(checkpoint, bert, [corpus], work, CONFIG, words=WORDS)
    return finished(work, "harvest").tables


# However it is cut


def test_corpus_has_several_chunks_and_kept_firings_are_few(whole: Tables, corpus: Corpus, bert: LanguageModel) -> None:
    """What the tests below need: something to cut, and something to choose."""
    assert survey(corpus, bert.tokenizer).chunks >= 7
    firings = whole["expert_stats"]["firings"]
    assert np.count_nonzero(firings > CONFIG.fired_tokens) >= 10
    assert whole["top_firings"]["stratum"].count("top") >= 60
    assert whole["tasks"]["tokens"][0] > CONFIG.token_sample == len(whole["token_sample"]["token"])
    assert np.count_nonzero(whole["label_mentions"]["mentions"] > CONFIG.mentions) >= 3


def test_run_stopped_at_every_chunk_gives_the_same_tables(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, whole: Tables, tmp_path: Path
) -> None:
    n_chunks = survey(corpus, bert.tokenizer).chunks
    reached: list[int] = []

    def stop(*, chunks: int, of: int, tokens: int) -> None:
        reached.append(chunks)
        raise Interrupted

    for _ in range(n_chunks):
        with pytest.raises(Interrupted):
            harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, words=WORDS, progress=stop, save_every_s=0.0)
    assert harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, words=WORDS, progress=stop, save_every_s=0.0)

    assert reached == list(range(1, n_chunks + 1)), "a chunk was run twice, or left out"
    assert_same(finished(tmp_path, "harvest").tables, whole)


def test_run_stopped_before_its_first_save_starts_anew(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, whole: Tables, tmp_path: Path
) -> None:
    def stop(*, chunks: int, of: int, tokens: int) -> None:
        if chunks == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, words=WORDS, progress=stop, save_every_s=NEVER)
    harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, words=WORDS)

    assert_same(finished(tmp_path, "harvest").tables, whole)


def test_windows_of_an_interrupted_run_on_other_text_are_not_taken_for_this_ones(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, whole: Tables, tmp_path: Path
) -> None:
    """The other corpus has one long document to a chunk, so its documents lie in other chunks."""
    long = corpus_of(tmp_path / "long.jsonl", [" ".join([f"turns round {i} "] * 100) for i in range(30)])
    n_chunks = survey(corpus, bert.tokenizer).chunks

    def stop(*, chunks: int, of: int, tokens: int) -> None:
        if chunks == n_chunks + 8:
            raise Interrupted

    with pytest.raises(Interrupted):
        harvest(checkpoint, bert, [long], tmp_path, CONFIG, words=WORDS, progress=stop, save_every_s=NEVER)
    harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, words=WORDS)

    assert_same(finished(tmp_path, "harvest").tables, whole)


def test_progress_counts_chunks_and_tokens(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, whole: Tables, tmp_path: Path
) -> None:
    told: list[tuple[int, int, int]] = []

    harvest(
        checkpoint,
        bert,
        [corpus],
        tmp_path,
        CONFIG,
        words=WORDS,
        progress=lambda *, chunks, of, tokens: told.append((chunks, of, tokens)),
    )

    n_chunks = survey(corpus, bert.tokenizer).chunks
    assert [(chunks, of) for chunks, of, _ in told] == [(number, n_chunks) for number in range(1, n_chunks + 1)]
    tokens = [count for _, _, count in told]
    assert sorted(set(tokens)) == tokens
    assert tokens[-1] == whole["tasks"]["tokens"][0]


# A work folder that is in use


def test_finished_stage_is_not_run_again(checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    harvest(checkpoint, bert, [corpus], tmp_path, CONFIG)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in (tmp_path / "harvest").iterdir()}

    def never(*, chunks: int, of: int, tokens: int) -> None:
        raise AssertionError("a chunk was run again")

    assert harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, progress=never)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in (tmp_path / "harvest").iterdir()} == before


OTHER_SETTINGS = replace(CONFIG, seed=1)


@pytest.mark.parametrize("stopped", [True, False], ids=["parts", "finished"])
def test_other_settings_are_refused_by_name(
    stopped: bool, checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, Shard(0, 2) if stopped else Shard())

    with pytest.raises(WorkOccupied, match=r"another settings \(seed: 0, now 1\)\. Name another work folder with --work"):
        harvest(checkpoint, bert, [corpus], tmp_path, OTHER_SETTINGS, Shard(0, 2) if stopped else Shard())


def test_shard_of_other_settings_is_not_put_beside_another(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, Shard(0, 2))

    with pytest.raises(WorkOccupied, match="was made from another settings"):
        harvest(checkpoint, bert, [corpus], tmp_path, OTHER_SETTINGS, Shard(1, 2))


def test_other_text_and_another_dictionary_are_named_together(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    harvest(checkpoint, bert, [corpus], tmp_path, CONFIG)
    other_text = corpus_of(tmp_path / "other.jsonl", tiny.documents(20))
    other_dictionary = Checkpoint.load(tiny.checkpoint(tmp_path / "checkpoint", {}, seed=5))

    with pytest.raises(WorkOccupied, match=r"made from another checkpoint, corpora \('small.jsonl', now 'other.jsonl'\)\."):
        harvest(other_dictionary, bert, [other_text], tmp_path, CONFIG)


# What it refuses


def test_model_of_another_width_is_refused(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    narrow = Checkpoint.load(tiny.checkpoint(tmp_path / "checkpoint", {}, d_in=8))

    with pytest.raises(
        ModelError, match=r"has 16 numbers per token at 'encoder\.layer\.1', the checkpoint reads 8; name the model"
    ):
        harvest(narrow, bert, [corpus], tmp_path, CONFIG)


def test_value_that_is_not_finite_is_refused_with_its_document(
    models: dict[str, Path], checkpoint: Checkpoint, corpus: Corpus, tmp_path: Path
) -> None:
    broken = LanguageModel.load(str(models["bert"]), tiny.HOOKS["bert"])
    ids = {document.ordinal: set(broken.tokenizer(document.text)["input_ids"]) for document in corpus.read()}
    documents = Counter(token for found in ids.values() for token in found)
    only_here = next(token for token, n in documents.items() if n == 1)
    (bad,) = (ordinal for ordinal, found in ids.items() if only_here in found)
    with torch.no_grad():
        broken.embeddings[only_here] = float("nan")

    with pytest.raises(ModelError, match=rf"not finite for window 0 of document {bad} of '.*small\.jsonl' \(both from 0\)\."):
        harvest(checkpoint, broken, [corpus], tmp_path, CONFIG)


def test_reading_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="tokens is 0; a harvest reads at least 1"):
        HarvestConfig(tokens=0)


@pytest.mark.parametrize(
    ("setting", "kept"),
    [("sample", "firing"), ("fired_tokens", "firing"), ("top", "firing"), ("token_sample", "token"), ("mentions", "token")],
)
def test_keeping_nothing_is_refused(setting: str, kept: str) -> None:
    with pytest.raises(ConfigError, match=f"{setting} is 0; a harvest keeps at least 1 {kept}"):
        HarvestConfig(**{setting: 0})


@pytest.mark.parametrize("text", ["", "1", "2/2", "-1/2", "a/b", "1/2/3", "0/0", "1/"])
def test_text_that_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=f"'{text}' is not a shard; write i/N"):
        Shard.parse(text)


def test_shard_is_read_from_text() -> None:
    assert Shard.parse("3/4") == Shard(3, 4)


# Text that the dictionary was trained on


def held_out_tokens(found: Tables, bert: LanguageModel, documents: list[Document]) -> None:
    """Hold that exactly the tokens of these documents count as held out."""
    special = {bert.tokenizer.cls_token_id, bert.tokenizer.sep_token_id}
    lengths = [sum(token not in special for token in bert.tokenizer(document.text)["input_ids"]) for document in documents]
    assert found["tasks"]["held_out_tokens"] == [sum(lengths)]


@pytest.mark.parametrize(
    "is_trained_on",
    [
        pytest.param(lambda document: not document.held_out, id="a training on this text"),
        pytest.param(lambda document: not document.held_out and document.ordinal < 20, id="a training on half of it"),
        pytest.param(lambda document: True, id="a training on all of it"),
        pytest.param(lambda document: False, id="a training on other text"),
    ],
)
def test_documents_that_training_never_read_are_held_out(
    is_trained_on: Callable[[Document], bool], bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoint"
    dictionary_for(bert, corpus, folder)
    documents = list(corpus.read())
    others = [2**64 - 1, 0, 5]
    identities = sorted([*others, *(document.identity for document in documents if is_trained_on(document))])
    known = {"counts": np.zeros(3, dtype=np.int64), "documents": np.array(identities, dtype=np.uint64)}
    write_arrays(folder / TRAINED_ON_FILE, known)

    harvest(Checkpoint.load(folder), bert, [corpus], tmp_path, CONFIG)

    found: dict[str, dict[str, Any]] = finished(tmp_path, "harvest").tables
    held_out_tokens(found, bert, [d for d in documents if not is_trained_on(d)])
    assert found["tasks"]["importance_tokens"] == [found["tasks"]["held_out_tokens"][0] or found["tasks"]["tokens"][0]]
    assert (found["expert_stats"]["importance"] != 0).all()
    assert not found["expert_stats"]["silent"].any()


def test_importance_of_a_long_corpus_is_measured_on_chosen_chunks(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, whole: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atlas.harvest.survey.IMPORTANCE_TOKENS", 400)
    chosen = survey(corpus, bert.tokenizer, is_held_out=lambda _: True).measured(CONFIG.seed, corpus.name)

    harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, words=WORDS)

    special = {bert.tokenizer.cls_token_id, bert.tokenizer.sep_token_id}
    of_chunks = [
        sum(token not in special for d in chunk for token in bert.tokenizer(d.text)["input_ids"]) for chunk in corpus.chunks()
    ]
    found: dict[str, dict[str, Any]] = finished(tmp_path, "harvest").tables
    assert 0 < len(chosen) < len(of_chunks)
    assert found["tasks"]["importance_tokens"] == [sum(of_chunks[number] for number in chosen)]
    assert not np.array_equal(found["expert_stats"]["importance"], whole["expert_stats"]["importance"])
    assert raw(found["expert_stats"]["firings"]) == raw(whole["expert_stats"]["firings"])


def test_everything_is_held_out_from_a_dictionary_that_does_not_say(whole: Tables, bert: LanguageModel, corpus: Corpus) -> None:
    held_out_tokens(whole, bert, list(corpus.read()))


def test_harvest_does_not_go_on_where_the_training_text_has_changed(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    harvest(dictionary_for(bert, corpus, folder), bert, [corpus], tmp_path, CONFIG)
    known = {"counts": np.zeros(3, dtype=np.int64), "documents": np.zeros(0, dtype=np.uint64)}
    write_arrays(folder / TRAINED_ON_FILE, known)

    with pytest.raises(WorkOccupied, match="was made from another trained_on"):
        harvest(Checkpoint.load(folder), bert, [corpus], tmp_path, CONFIG)


# A part of a corpus


LIMIT = 500
LIMITED = replace(CONFIG, tokens=LIMIT)


@pytest.fixture(scope="module")
def first_documents(bert: LanguageModel, corpus: Corpus) -> list[Document]:
    """The documents of the first chunks that hold 500 tokens, by the first chunk's tokens per character."""
    chunks = list(corpus.chunks())
    tokens = sum(len(bert.tokenizer(document.text, add_special_tokens=False)["input_ids"]) for document in chunks[0])
    rate = tokens / sum(len(document.text) for document in chunks[0])
    read: list[Document] = []
    for chunk in chunks:
        if rate * sum(len(document.text) for document in read) >= LIMIT:
            break
        read += chunk
    assert len(chunks[0]) < len(read) < len(list(corpus.read()))
    return read


def test_survey_ends_with_the_chunk_that_reaches_the_limit(
    bert: LanguageModel, corpus: Corpus, first_documents: list[Document]
) -> None:
    whole, part = survey(corpus, bert.tokenizer), survey(corpus, bert.tokenizer, LIMIT)

    assert (part.documents, part.whole) == (len(first_documents), False)
    assert part.held_out == sum(document.held_out for document in first_documents)
    assert LIMIT <= part.tokens < LIMIT + 400
    assert part.sha256 != whole.sha256
    assert (whole.documents, whole.whole) == (40, True)
    assert survey(corpus, bert.tokenizer, 10**9) == whole


@pytest.mark.parametrize("limit", [1, 300, 900])
def test_corpus_is_not_read_beyond_the_limit(limit: int, bert: LanguageModel) -> None:
    read: list[int] = []

    def endless() -> Iterator[str]:
        for i in range(10_000):
            read.append(i)
            yield tiny.documents()[i % 40]

    plan = survey(Corpus("endless", "Endless", "Made for a test.", endless), bert.tokenizer, limit)

    assert plan.chunks >= 1 and not plan.whole
    assert len(read) < plan.documents + 20


def test_limited_harvest_is_that_of_a_file_of_just_these_documents(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, first_documents: list[Document], tmp_path: Path
) -> None:
    short = corpus_of(tmp_path / corpus.name, [document.text for document in first_documents])

    harvest(checkpoint, bert, [corpus], tmp_path / "limited", LIMITED)
    harvest(checkpoint, bert, [short], tmp_path / "short", CONFIG)

    assert_same(finished(tmp_path / "limited", "harvest").tables, finished(tmp_path / "short", "harvest").tables)


def test_tokenised_corpus_is_harvested_as_its_text(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A token counts for four characters, so that only a single chunk is the same one.
    monkeypatch.setattr("atlas.activations.corpus.CHUNK_CHARACTERS", 10**6)
    rows = [{"input_ids": bert.tokenizer(document.text)["input_ids"]} for document in corpus.read()]
    (tmp_path / corpus.name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    tokenised = load_corpus(str(tmp_path / corpus.name))

    harvest(checkpoint, bert, [corpus], tmp_path / "text", CONFIG)
    harvest(checkpoint, bert, [tokenised], tmp_path / "ids", CONFIG)

    assert_same(finished(tmp_path / "ids", "harvest").tables, finished(tmp_path / "text", "harvest").tables)
    plans = [survey(each, bert.tokenizer) for each in (corpus, tokenised)]
    assert plans[0].tokens == plans[1].tokens and plans[0].sha256 != plans[1].sha256


def test_provenance_names_a_dictionary_of_the_hub_and_no_folder_of_the_machine(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus
) -> None:
    plan = survey(corpus, bert.tokenizer)
    inputs = harvest_inputs(checkpoint, bert, [corpus], [plan], CONFIG, {})
    fetched = replace(checkpoint, source="someone/dictionaries/a@v1", revision="0123abc")

    local, hub = (provenance(inputs, one, bert)["dictionary"] for one in (checkpoint, fetched))

    assert str(checkpoint.path) not in str(local) and set(local["files"]) == {"cfg.json", "sae_weights.safetensors"}
    assert hub == {**local, "source": "someone/dictionaries/a@v1", "revision": "0123abc"}


def test_other_limit_is_another_harvest(checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    harvest(checkpoint, bert, [corpus], tmp_path, LIMITED)

    with pytest.raises(WorkOccupied, match=r"another corpora \(sha256\), settings \(tokens: 500, now 900\)\."):
        harvest(checkpoint, bert, [corpus], tmp_path, replace(CONFIG, tokens=900))


# Nothing fires


def test_dictionary_that_never_fires_is_refused_with_its_norms(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    silent = Checkpoint.load(tiny.checkpoint(tmp_path / "checkpoint", {}, threshold=1e6))
    norms, n_tokens = all_norms(bert, silent.smixae, corpus)

    with pytest.raises(DictionarySilent) as refused:
        harvest(silent, bert, [corpus], tmp_path / "work", CONFIG)

    assert str(refused.value) == (
        f"No expert fires on any of {n_tokens:,} tokens: norms are {norms.mean():.3g} on average and {norms.max():.3g} at most, "
        "the threshold is 1e+06. It is probably the wrong layer or model: check --model and --hook."
    )
    assert not (tmp_path / "work").exists()


def test_silence_is_noticed_after_some_tokens(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atlas.harvest.harvest.SILENT_TOKENS", 300)
    silent = Checkpoint.load(tiny.checkpoint(tmp_path / "checkpoint", {}, threshold=1e6))

    with pytest.raises(DictionarySilent) as refused:
        harvest(silent, bert, [corpus], tmp_path / "work", CONFIG, save_every_s=0.0)

    tokens = int(re.search(r"any of ([\d,]+) tokens", str(refused.value))[1])  # type: ignore[index]
    assert 300 <= tokens < 300 + 256
    assert not (tmp_path / "work").exists()


def test_firings_that_come_late_are_harvested(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    """The chunk of the smallest norms comes first, and nothing fires in it."""
    usual = tiny.dictionary(threshold=1.0)
    texts = [[document.text for document in chunk] for chunk in corpus.chunks()]
    largest = [float(all_norms(bert, usual, corpus_of(tmp_path / "a.jsonl", part))[0].max()) for part in texts]
    ordered = [part for _, part in sorted(zip(largest, texts, strict=True))]
    late = corpus_of(tmp_path / "late.jsonl", [text for part in ordered for text in part])
    save(Smixae(usual.config, usual.weights, sorted(largest)[0] * 1.0001), tmp_path / "checkpoint", {})
    fired_after: list[int] = []

    def progress(*, chunks: int, of: int, tokens: int) -> None:
        if (tmp_path / "harvest").exists():
            fired_after.append(chunks)

    harvest(Checkpoint.load(tmp_path / "checkpoint"), bert, [late], tmp_path, CONFIG, progress=progress)

    assert fired_after and fired_after[0] > 1, "nothing is written before something fires"
    found = finished(tmp_path, "harvest").tables
    assert found["tasks"]["tokens"] == [all_norms(bert, usual, late)[1]]
    assert found["expert_stats"]["firings"].sum() > 0


def all_norms(bert: LanguageModel, smixae: Smixae, corpus: Corpus) -> tuple[torch.Tensor, int]:
    """Norms of every expert on every token, and how many tokens there are."""
    windows = chunk_windows(corpus.read(), bert.tokenizer, CONFIG.stream)
    x = torch.cat([block.x[: len(block.tokens.document)] for block in blocks(windows, bert, CONFIG.stream)])
    ungated = Smixae(smixae.config, smixae.weights, threshold=-1.0)
    return ungated.encode(x).norm(dim=2), len(x)


# Damage, and leftovers


def test_subject_that_was_lost_is_written_by_the_next_run_of_any_shard(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, whole: Tables, tmp_path: Path
) -> None:
    for index in (0, 1):
        harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, Shard(index, 2), WORDS)
    (tmp_path / "harvest" / "subject.json").unlink()

    harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, Shard(1, 2), WORDS)
    merge([tmp_path], tmp_path)

    assert_same(finished(tmp_path, "harvest").tables, whole)


def test_corpus_with_the_name_of_a_labelled_task_is_refused(corpus: Corpus) -> None:
    with pytest.raises(CorpusError, match=r"^The corpus 'months' has the name of a labelled task\. Rename its file or folder\.$"):
        require_distinct([corpus, replace(corpus, name="months")], {"months": ["June"]})


def test_damaged_part_says_what_to_delete_and_the_other_shards_stay(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, whole: Tables, tmp_path: Path
) -> None:
    harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, Shard(0, 2), WORDS)
    part = tmp_path / "harvest" / "corpus-0" / "part-0-of-2.safetensors"
    part.write_bytes(part.read_bytes()[:100])

    message = rf"'{part}' is damaged \(.*\)\. Delete '{part}', then run `atlas harvest --shard 0/2` again\."
    for index in (0, 1):
        with pytest.raises(StageDamaged, match=message):
            harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, Shard(index, 2), WORDS)

    part.unlink()
    for index in (0, 1):
        harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, Shard(index, 2), WORDS)
    merge([tmp_path], tmp_path)
    assert_same(finished(tmp_path, "harvest").tables, whole)


def test_missing_windows_say_what_to_delete(checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    def stop(*, chunks: int, of: int, tokens: int) -> None:
        if chunks == 4:
            raise Interrupted

    with pytest.raises(Interrupted):
        harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, progress=stop, save_every_s=0.0)
    (tmp_path / "harvest" / "corpus-0" / "windows-000002.safetensors").unlink()

    with pytest.raises(StageDamaged, match=r"windows-000002\.safetensors' is damaged \(it is missing\)\. Delete '.*part-0"):
        harvest(checkpoint, bert, [corpus], tmp_path, CONFIG)
    assert not (tmp_path / "harvest" / "done.json").exists()


def test_shard_sweeps_its_own_leftovers_only(checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    folder = tmp_path / "harvest" / "corpus-0"
    folder.mkdir(parents=True)
    own = [".part-1-of-2.safetensors.99.part", ".windows-000003.safetensors.99.part"]
    others = [".part-0-of-2.safetensors.99.part", ".windows-000002.safetensors.99.part", ".done.json.99.part"]
    for name in own + others:
        (folder / name).write_bytes(b"half")

    harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, Shard(1, 2))

    assert [name for name in own + others if (folder / name).exists()] == others


@pytest.mark.parametrize("name", ["part-0-of-1.safetensors", "windows-000004.safetensors", "tables.json"])
def test_full_disk_leaves_the_last_good_state_and_the_run_goes_on_from_it(
    name: str,
    checkpoint: Checkpoint,
    bert: LanguageModel,
    corpus: Corpus,
    whole: Tables,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk is full when the third state, a chunk's windows, or the tables are to be put in place."""
    written: Counter[str] = Counter()
    replace_file = os.replace

    def full(part: Path, path: Path) -> None:
        written[path.name] += 1
        if path.name == name and written[name] == (3 if name.startswith("part") else 1):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace_file(part, path)

    with monkeypatch.context() as patch:
        patch.setattr("atlas.files.os.replace", full)
        with pytest.raises(StorageError, match=rf"{name}' cannot be written: No space left on device\. What was there is"):
            harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, words=WORDS, save_every_s=0.0)

    part = tmp_path / "harvest" / "corpus-0" / "part-0-of-1.safetensors"
    with safe_open(part, "numpy") as file:
        chunks = json.loads(file.metadata()["about"])["next_chunk"]
    n_chunks = survey(corpus, bert.tokenizer).chunks
    assert chunks == {"part-0-of-1.safetensors": 2, "windows-000004.safetensors": 4, "tables.json": n_chunks}[name]
    assert list(tmp_path.rglob("*.part")) == [] and not (tmp_path / "harvest" / "done.json").exists()
    reached: list[int] = []
    harvest(
        *(checkpoint, bert, [corpus], tmp_path, CONFIG),
        words=WORDS,
        progress=lambda *, chunks, of, tokens: reached.append(chunks),
    )
    assert reached == list(range(chunks + 1, n_chunks + 1))
    assert_same(finished(tmp_path, "harvest").tables, whole)
    assert list((tmp_path / "harvest").glob("corpus-*")) == []


def test_shards_of_other_inputs_do_not_share_a_folder(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    """However many parts each is cut into: their windows would be written over."""
    harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, Shard(0, 2))

    with pytest.raises(WorkOccupied, match=r"another settings \(seed: 0, now 1\)"):
        harvest(checkpoint, bert, [corpus], tmp_path, OTHER_SETTINGS, Shard(1, 3))


# Several corpora


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Another text, of another length."""
    return corpus_of(tmp_path_factory.mktemp("second") / "second.jsonl", [text.upper() for text in tiny.documents(23)])


def rows_of(tables: Tables, task: int) -> Tables:
    """The rows of one task, numbered as if there were no other."""
    found: Tables = {}
    for name, columns in tables.items():
        if "task" in columns:
            mine = np.flatnonzero(np.asarray(columns["task"]) == task)
            found[name] = {column: _rows(values, mine) for column, values in columns.items()}
            found[name]["task"] = np.zeros(len(mine), dtype=np.int32)
    return found


def _rows(column: Column, rows: np.ndarray) -> Column:
    if isinstance(column, Ragged):
        lists = [column.values[column.offsets[i] : column.offsets[i + 1]] for i in rows]
        values = np.concatenate([column.values[:0], *lists])
        return Ragged(values, np.concatenate([[0], np.cumsum([len(part) for part in lists])]).astype(np.int64))
    return column[rows] if isinstance(column, np.ndarray) else [column[i] for i in rows]


def test_each_of_two_corpora_is_what_it_is_alone_but_for_the_frames_it_is_drawn_in(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, second: Corpus, whole: Tables, tmp_path: Path
) -> None:
    harvest(checkpoint, bert, [second], tmp_path / "alone", CONFIG, words=WORDS)

    harvest(checkpoint, bert, [corpus, second], tmp_path / "both", CONFIG, words=WORDS)

    both = finished(tmp_path / "both", "harvest")
    alone = finished(tmp_path / "alone", "harvest").tables
    assert both.tables["tasks"]["name"] == ["small.jsonl", "second.jsonl"]
    assert_same(rows_of(both.tables, 0), rows_of(whole, 0))
    drawn = {"x", "y", "z"}
    expected, found = rows_of(alone, 0), rows_of(both.tables, 1)
    assert any(raw(found["points"][axis]) != raw(expected["points"][axis]) for axis in drawn)
    for tables in (expected, found):
        tables["points"] = {name: column for name, column in tables["points"].items() if name not in drawn}
    assert_same(found, expected)
    for name in ("frames", "experts"):
        assert_same({name: both.tables[name]}, {name: whole[name]})
    assert [each["documents"] for each in both.provenance["corpora"]] == [40, 23]
    assert both.provenance["corpus"] == both.provenance["corpora"][0]


def test_two_corpora_stopped_at_every_chunk_give_the_same_tables(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, second: Corpus, tmp_path: Path
) -> None:
    both = [corpus, second]
    harvest(checkpoint, bert, both, tmp_path / "whole", CONFIG, words=WORDS)
    n_chunks = sum(survey(each, bert.tokenizer).chunks for each in both)

    def stop(*, chunks: int, of: int, tokens: int) -> None:
        raise Interrupted

    for _ in range(n_chunks):
        with pytest.raises(Interrupted):
            harvest(checkpoint, bert, both, tmp_path / "cut", CONFIG, words=WORDS, progress=stop, save_every_s=0.0)
    assert harvest(checkpoint, bert, both, tmp_path / "cut", CONFIG, words=WORDS, progress=stop, save_every_s=0.0)

    assert_same(finished(tmp_path / "cut", "harvest").tables, finished(tmp_path / "whole", "harvest").tables)


@pytest.mark.parametrize("stopped", [True, False], ids=["parts", "finished"])
def test_corpora_in_another_order_are_another_harvest(
    stopped: bool, checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, second: Corpus, tmp_path: Path
) -> None:
    """The first is what titles and coordinates are of."""
    shard = Shard(0, 2) if stopped else WHOLE
    harvest(checkpoint, bert, [corpus, second], tmp_path, CONFIG, shard)

    names = r"\('small.jsonl, second.jsonl', now 'second.jsonl, small.jsonl'\)"
    with pytest.raises(WorkOccupied, match=rf"made from another corpora {names}\."):
        harvest(checkpoint, bert, [second, corpus], tmp_path, CONFIG, shard)


def test_two_corpora_of_one_name_are_refused(checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    other = corpus_of(tmp_path / "elsewhere" / corpus.name, tiny.documents(7))

    with pytest.raises(CorpusError, match=r"Two corpora are named 'small\.jsonl'\. Give each text once, and rename one"):
        harvest(checkpoint, bert, [corpus, other], tmp_path / "work", CONFIG)

    assert not (tmp_path / "work").exists()


# Documents and experts that are out of the ordinary


@pytest.fixture(scope="module")
def odd(bert: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, list[int], Tables, int]:
    """Documents of no token, of one and of 200,000, harvested with an expert that never fires and one that always does;
    with the tokens of each document, and how many seconds there were for 100,000 of them."""
    folder = tmp_path_factory.mktemp("odd")
    line = " ".join(tiny.documents()) + " "
    per_line = len(bert.tokenizer(line, add_special_tokens=False)["input_ids"])
    # A control character is no token of a BERT.
    texts = ["\x01", "june", line * -(-200_000 // per_line), "\x01\x02", "monday", "\x01"]
    corpus = corpus_of(folder / "odd.jsonl", texts)
    usual = dictionary_for(bert, corpus_of(folder / "usual.jsonl", tiny.documents()), folder / "usual").smixae
    W_enc, b_enc = usual.weights.W_enc.clone(), usual.weights.b_enc.clone()
    W_enc[:, : 2 * usual.config.d_expert] = 0.0
    b_enc[: usual.config.d_expert] = 0.0
    b_enc[usual.config.d_expert : 2 * usual.config.d_expert] = 50.0
    save(Smixae(usual.config, usual.weights._replace(W_enc=W_enc, b_enc=b_enc), usual.threshold), folder / "planted", {})
    wide = HarvestConfig(stream=StreamConfig(window_tokens=128, model_batch=64))
    started = time.perf_counter()
    harvest(Checkpoint.load(folder / "planted"), bert, [corpus], folder / "work", wide, words=WORDS)
    seconds = time.perf_counter() - started
    lengths = [len(bert.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    return corpus, lengths, finished(folder / "work", "harvest").tables, round(seconds)


def test_documents_of_no_token_of_one_and_of_200_000_are_counted(odd: tuple[Corpus, list[int], Tables, int]) -> None:
    _, lengths, tables, seconds = odd
    assert (lengths[0], lengths[1], lengths[3:]) == (0, 1, [0, 1, 0]) and lengths[2] >= 200_000
    assert tables["tasks"]["tokens"] == [sum(lengths)]
    assert tables["tasks"]["documents"] == [3]
    assert tables["vocabulary"]["count"].sum() == sum(lengths)
    assert tables["expert_stats"]["documents"][1] == 3
    # The long one's windows are in order, and hold its tokens where they say: at most 126 to a window.
    windows = tables["windows"]
    assert set(windows["document"]) <= {1, 2, 4}
    assert windows["ordinal"].max() > 1000
    assert windows["ordinal"].max() <= (lengths[2] - 1) // 126
    assert seconds < 60


def test_expert_that_never_fires_has_no_rows_but_its_statistics(odd: tuple[Corpus, list[int], Tables, int]) -> None:
    _, _, tables, _ = odd
    stats = tables["expert_stats"]
    assert [int(stats[name][0]) for name in ("firings", "held_out_firings", "documents", "rate")] == [0, 0, 0, 0]
    assert stats["silent"][0] and not stats["dense"][0] and stats["importance"][0] == 0.0
    assert all(np.isnan(stats[name][0]) for name in ("mean_norm", "max_norm", "norm_q10", "norm_q50", "norm_q99"))
    assert stats["mean_code"].rows()[0] == stats["code_covariance"].rows()[0] == []
    for name in ("points", "top_firings", "expert_tokens", "norm_histogram", "token_sample_firings", "mention_firings"):
        assert 0 not in tables[name]["expert"]


def test_expert_that_always_fires_fires_on_every_token(odd: tuple[Corpus, list[int], Tables, int]) -> None:
    _, lengths, tables, _ = odd
    stats = tables["expert_stats"]
    assert stats["firings"][1] == stats["held_out_firings"][1] == sum(lengths)
    assert stats["rate"][1] == 1.0 and stats["dense"][1] and not stats["silent"][1]
    # Its code is the same everywhere.
    assert stats["mean_norm"][1] == pytest.approx(stats["max_norm"][1], rel=1e-6)
    np.testing.assert_allclose(stats["code_covariance"].rows()[1], 0, atol=1e-6 * stats["max_norm"][1] ** 2)
    for name, number in (("token_sample", "token"), ("mentions", "mention")):
        firings = tables[f"{name.removesuffix('s')}_firings"]
        on = firings[number][firings["expert"] == 1]
        assert on.tolist() == tables[name][number].tolist()
    rates = tables["position_rates"]
    assert set(rates["rate"][rates["expert"] == 1]) == {1.0}


# How long it takes


def test_timing_runs_some_of_the_text_and_keeps_nothing(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    speed = timed(checkpoint, bert, corpus, CONFIG)

    first = chunk_windows(next(corpus.chunks()), bert.tokenizer, CONFIG.stream)
    assert 0 < speed.windows <= len(first)
    assert 0 < speed.tokens <= sum(len(window.token_ids) for window in first)
    assert speed.seconds > 0
    assert speed.seconds_for(3 * speed.tokens) == pytest.approx(ACCUMULATING * 3 * speed.seconds)


@pytest.mark.parametrize("finished_chunks", [0, 3])
def test_standing_counts_the_chunks_that_are_left(
    finished_chunks: int, checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    plan = survey(corpus, bert.tokenizer)
    inputs = harvest_inputs(checkpoint, bert, [corpus], [plan], CONFIG, {})

    def stop(*, chunks: int, of: int, tokens: int) -> None:
        if chunks == finished_chunks:
            raise Interrupted

    if finished_chunks:
        with pytest.raises(Interrupted):
            harvest(checkpoint, bert, [corpus], tmp_path, CONFIG, progress=stop, save_every_s=0.0)

    left = plan.chunks - finished_chunks
    assert standing(tmp_path, inputs, WHOLE, [plan]) == (False, (left,), finished_chunks > 0)
    assert standing(tmp_path, inputs, Shard(1, 2), [plan]) == (False, (plan.chunks // 2,), False)
    harvest(checkpoint, bert, [corpus], tmp_path, CONFIG)
    assert standing(tmp_path, inputs, WHOLE, [plan]) == (True, (0,), True)


# Against a dense run


Place = tuple[int, int, int]
"""Document, window in it, position in that."""


class Dense(NamedTuple):
    """What a model run in full, and a dictionary without a gate, make of every token that counts."""

    token: dict[Place, int]
    code: dict[Place, torch.Tensor]
    """Of every expert."""
    ends: dict[Place, tuple[int, int]]
    """Characters of the document that the token is of."""


def dense_run(model: LanguageModel, smixae: Smixae, texts: list[str]) -> Dense:
    """Run one unpadded window at a time."""
    ungated = Smixae(smixae.config, smixae.weights, threshold=-1.0)
    full = AutoModel.from_pretrained(model.name)
    tokenizer = model.tokenizer
    before = {"bert": [tokenizer.cls_token_id], "llama": [tokenizer.bos_token_id], "gpt2": []}[full.config.model_type]
    after = [tokenizer.sep_token_id] if full.config.model_type == "bert" else []
    special = {*before, *after, tokenizer.eos_token_id, tokenizer.mask_token_id}
    width = CONFIG.stream.window_tokens - len(before) - len(after)
    dense = Dense({}, {}, {})
    for document, text in enumerate(texts):
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids = encoded["input_ids"]
        for window, start in enumerate(range(0, len(ids), width)):
            part = ids[start : start + width]
            with torch.no_grad():
                states = full(input_ids=torch.tensor([before + part + after]), output_hidden_states=True).hidden_states
            # hidden_states[0] are the embeddings: the second block's output is the third of them.
            rows = states[2][0, len(before) : len(before) + len(part)]
            for position, (token, code) in enumerate(zip(part, ungated.encode(rows), strict=True)):
                if token not in special:
                    dense.token[document, window, position] = token
                    dense.code[document, window, position] = code
                    dense.ends[document, window, position] = encoded["offset_mapping"][start + position]
    return dense


class DenseCase(NamedTuple):
    """A harvest, and what it should be."""

    texts: list[str]
    smixae: Smixae
    tables: dict[str, dict[str, Any]]
    dense: Dense

    def norm(self, place: Place) -> torch.Tensor:
        """Norms of every expert's code."""
        return self.dense.code[place].norm(dim=1)

    def places(self, table: str) -> list[Place]:
        """Where the rows of a table point to."""
        windows, shown = self.tables["windows"], self.tables[table]
        document, ordinal = (windows[name][shown["window"]].tolist() for name in ("document", "ordinal"))
        return list(zip(document, ordinal, shown["position"].tolist(), strict=True))


@pytest.fixture(scope="module")
def dense_case(tiny_model: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> DenseCase:
    """Texts that spell a special token out, come twice, and are longer than a window, through each kind of tokenizer."""
    folder = tmp_path_factory.mktemp("dense")
    special = tiny_model.tokenizer.mask_token or tiny_model.tokenizer.eos_token
    texts = [*tiny.documents(24), tiny.documents()[3], f"every expert {special} holds 42 tokens", " ".join(tiny.documents(5))]
    corpus = corpus_of(folder / "texts.jsonl", texts)
    checkpoint = dictionary_for(tiny_model, corpus, folder / "checkpoint")
    with pytest.MonkeyPatch.context() as patch:
        # Blocks and batches that end within windows.
        patch.setitem(BLOCK_ROWS, "cpu", 32)
        patch.setattr("atlas.harvest.harvest.OBSERVED_ROWS", 60)
        harvest(checkpoint, tiny_model, [corpus], folder, CONFIG, words=WORDS)
    return DenseCase(
        texts, checkpoint.smixae, finished(folder, "harvest").tables, dense_run(tiny_model, checkpoint.smixae, texts)
    )


def test_counts_and_norms_equal_those_of_a_dense_run(dense_case: DenseCase) -> None:
    _, smixae, tables, dense = dense_case
    assert tables["tasks"]["tokens"] == [len(dense.token)]
    counted = {t: n for t, n in zip(tables["vocabulary"]["token"], tables["vocabulary"]["count"], strict=True) if n}
    assert counted == Counter(dense.token.values())

    norm = torch.stack(list(dense.code.values())).norm(dim=2)
    fires = norm > smixae.threshold
    # Padding and batching move a norm by a few units in the last place: one that close to the threshold may go either way.
    near = (norm - smixae.threshold).abs() < 1e-5
    assert fires.sum() > 1000
    assert (fires.sum(dim=0) > 0).all()
    assert (np.abs(tables["expert_stats"]["firings"] - fires.sum(dim=0).numpy()) <= near.sum(dim=0).numpy()).all()
    np.testing.assert_allclose(tables["expert_stats"]["max_norm"], norm.max(dim=0).values, rtol=1e-4)


def test_evidence_is_what_a_dense_run_finds_there(dense_case: DenseCase) -> None:
    _, smixae, tables, dense = dense_case
    tokens = tables["windows"]["tokens"].rows()
    for table in ("points", "top_firings"):
        shown = tables[table]
        places = dense_case.places(table)
        for place, expert, window, strength in zip(places, *(shown[name] for name in ("expert", "window", "norm")), strict=True):
            assert tokens[window][place[2]] == dense.token[place]
            assert strength == pytest.approx(float(dense_case.norm(place)[expert]), rel=1e-4)

    top = tables["top_firings"]
    first = (top["rank"] == 0) & (np.array(top["stratum"]) == "top")
    assert top["expert"][first].tolist() == list(range(smixae.n_experts))
    strongest = torch.stack(list(dense.code.values())).norm(dim=2).max(dim=0).values
    np.testing.assert_allclose(top["norm"][first], strongest, rtol=1e-4)


def test_levels_around_a_firing_are_what_a_dense_run_finds_there(dense_case: DenseCase) -> None:
    _, smixae, tables, _ = dense_case
    shown = tables["top_firings"]
    norms = {place: [float(norm) for norm in dense_case.norm(place)] for place in dense_case.dense.code}
    steps = [*range(-12, 0), *range(1, 13)]
    met: Counter[int] = Counter()
    for place, expert, levels in zip(dense_case.places("top_firings"), shown["expert"], shown["around"].rows(), strict=True):
        document, window, position = place
        middle = norms[place][expert]
        for step, level in zip(steps, levels, strict=True):
            # A special token that the text spells out has no row.
            norm = norms.get((document, window, position + step), [0.0] * smixae.n_experts)[expert]
            if min(abs(norm - edge) for edge in (smixae.threshold, middle / 2, middle)) > 1e-5:
                fires = norm > smixae.threshold
                assert level == fires * (1 + (norm > middle / 2) + (norm > middle))
                met[level] += 1
    assert min(met[level] for level in range(4)) > 20, "all levels were met"


@pytest.mark.parametrize(
    ("table", "firings", "number"),
    [("token_sample", "token_sample_firings", "token"), ("mentions", "mention_firings", "mention")],
    ids=["token sample", "mentions"],
)
def test_every_firing_on_a_kept_token_is_kept(table: str, firings: str, number: str, dense_case: DenseCase) -> None:
    _, smixae, tables, _ = dense_case
    places = dense_case.places(table)
    assert tables[table][number].tolist() == list(range(len(places)))
    at, expert = tables[firings][number].tolist(), tables[firings]["expert"].tolist()
    found = dict(zip(zip(at, expert, strict=True), tables[firings]["code"].rows(), strict=True))
    assert len(found) == len(at) > len(places), "more than one expert fires on a token, and each once"

    missed = 0
    for i, place in enumerate(places):
        norm = dense_case.norm(place)
        for e in range(smixae.n_experts):
            if abs(float(norm[e]) - smixae.threshold) < 1e-5:
                continue
            assert ((i, e) in found) == bool(norm[e] > smixae.threshold)
            if (i, e) in found:
                np.testing.assert_allclose(found[i, e], dense_case.dense.code[place][e], rtol=1e-3, atol=1e-5)
            else:
                missed += 1
    assert missed, "some expert is silent on some token"


def test_token_sample_holds_each_place_once_and_as_many_as_wanted(dense_case: DenseCase) -> None:
    places = dense_case.places("token_sample")

    assert len(set(places)) == len(places) == CONFIG.token_sample
    assert len({document for document, _, _ in places}) > 15


def test_mentions_are_counted_exactly_and_stand_on_the_last_token_of_their_label(dense_case: DenseCase) -> None:
    """Each tiny document is searched with a pattern that is slower and plainer than the one searched with."""
    texts, _, tables, dense = dense_case
    counted = tables["label_mentions"]
    expected: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for task, labels in WORDS.items():
        for number, label in enumerate(labels):
            expected[task, number] = [
                (document, match.end()) for document, text in enumerate(texts) for match in re.finditer(rf"\b{label}\b", text)
            ]
    keys = list(zip(counted["labelled"], counted["label"].tolist(), strict=True))
    assert keys == list(expected)
    assert counted["name"] == [label for labels in WORDS.values() for label in labels]
    assert counted["mentions"].tolist() == [len(found) for found in expected.values()]
    assert counted["documents"].tolist() == [len({document for document, _ in found}) for found in expected.values()]
    assert {key for key, found in expected.items() if not found} == {("months", 0), ("months", 2), ("days", 2)}

    kept: Counter[tuple[str, int]] = Counter()
    mentions = tables["mentions"]
    for task, label, place in zip(mentions["labelled"], mentions["label"].tolist(), dense_case.places("mentions"), strict=True):
        kept[task, label] += 1
        start, end = dense.ends[place]
        assert any(place[0] == document and start < stop <= end for document, stop in expected[task, label])
    assert kept == {key: min(len(found), CONFIG.mentions) for key, found in expected.items() if found}


def test_corpus_of_special_tokens_only_is_refused(bert: LanguageModel, checkpoint: Checkpoint, tmp_path: Path) -> None:
    silent = corpus_of(tmp_path / "special.jsonl", ["[SEP] [PAD] [MASK]", "[SEP]"])

    with pytest.raises(CorpusError, match="'special.jsonl' holds no token but special ones"):
        harvest(checkpoint, bert, [silent], tmp_path / "work", CONFIG)

    assert not (tmp_path / "work").exists()
