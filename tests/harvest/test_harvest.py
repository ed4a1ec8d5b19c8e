"""One pass gives the same tables however it is cut and interrupted, and they are what a dense model run in full would give."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel

import tiny
from atlas.activations.corpus import Corpus, Document, load_corpus
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig, blocks, chunk_windows
from atlas.dictionary import Checkpoint, Smixae, save
from atlas.dictionary.trained_on import TRAINED_ON_FILE
from atlas.errors import ConfigError, CorpusError, DictionarySilent, ModelError, StageDamaged, WorkOccupied
from atlas.harvest.harvest import HarvestConfig, Shard, harvest, harvest_inputs, provenance, standing, survey
from atlas.harvest.timing import timed
from atlas.stages import Column, Ragged, finished, write_arrays

CONFIG = HarvestConfig(sample=40, top=8, stream=StreamConfig(window_tokens=32, model_batch=4))
NEVER = 1e9
"""Seconds between two saves that no test lasts."""


class Interrupted(Exception):
    """Stands for a run that is stopped from outside."""


@pytest.fixture(scope="module", autouse=True)
def small_chunks() -> Iterator[None]:
    """Chunks of a few documents, so that a small corpus has several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atlas.activations.corpus.CHUNK_CHARACTERS", 900)
        yield


def corpus_of(path: Path, texts: list[str]) -> Corpus:
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    return load_corpus(str(path))


def dictionary_for(model: LanguageModel, corpus: Corpus, folder: Path, metadata: dict[str, Any] | None = None) -> Checkpoint:
    """A random dictionary, shifted and scaled to the model's rows so that every expert fires on some and not on others."""
    windows = chunk_windows(corpus.read(), model.tokenizer, CONFIG.stream)
    x = torch.cat([block.x[: len(block.tokens.document)] for block in blocks(windows, model, CONFIG.stream)])
    wide = tiny.dictionary(threshold=1.0)
    W_enc = wide.weights.W_enc / x.std()
    b_enc = wide.weights.b_enc - x.mean(dim=0) @ W_enc
    save(Smixae(wide.config, wide.weights._replace(W_enc=W_enc, b_enc=b_enc), wide.threshold), folder, metadata or {})
    return Checkpoint.load(folder)


@pytest.fixture(scope="module")
def checkpoint(bert: LanguageModel, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A dictionary for the tiny BERT, trained on no corpus in particular."""
    return dictionary_for(bert, corpus, tmp_path_factory.mktemp("checkpoint"))


Tables = dict[str, dict[str, Column]]


@pytest.fixture(scope="module")
def whole(checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """The tables of one uninterrupted run."""
    work = tmp_path_factory.mktemp("whole")
    assert harvest(checkpoint, bert, corpus, work, CONFIG)
    return finished(work, "harvest").tables


def raw(column: Column) -> object:
    """A column as something that is equal only to the same bits."""
    if isinstance(column, Ragged):
        return raw(column.values), raw(column.offsets)
    if isinstance(column, np.ndarray):
        return column.dtype.str, column.shape, column.tobytes()
    return column


def assert_same(found: Tables, expected: Tables) -> None:
    assert {table: set(columns) for table, columns in found.items()} == {t: set(columns) for t, columns in expected.items()}
    differ = [
        f"{table}.{name}"
        for table, columns in expected.items()
        for name, column in columns.items()
        if raw(found[table][name]) != raw(column)
    ]
    assert differ == []


# However it is cut


def test_corpus_has_several_chunks_and_kept_firings_are_few(whole: Tables, corpus: Corpus, bert: LanguageModel) -> None:
    """What the tests below need: something to cut, and something to choose."""
    assert survey(corpus, bert.tokenizer).chunks >= 7
    firings = whole["expert_stats"]["firings"]
    assert np.count_nonzero(firings > CONFIG.sample) >= 10
    assert len(whole["top_firings"]["rank"]) >= 60


@pytest.mark.parametrize("count", [2, 5, 20])
def test_shards_in_any_order_give_the_tables_of_one_run(
    count: int, checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, whole: Tables, tmp_path: Path
) -> None:
    """Twenty shards are more than there are chunks: some have nothing to do."""
    order = list(range(count))
    random.Random(count).shuffle(order)

    done = [harvest(checkpoint, bert, corpus, tmp_path, CONFIG, Shard(index, count)) for index in order]

    assert done == [False] * (count - 1) + [True]
    assert_same(finished(tmp_path, "harvest").tables, whole)


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
            harvest(checkpoint, bert, corpus, tmp_path, CONFIG, progress=stop, save_every_s=0.0)
    assert harvest(checkpoint, bert, corpus, tmp_path, CONFIG, progress=stop, save_every_s=0.0)

    assert reached == list(range(1, n_chunks + 1)), "a chunk was run twice, or left out"
    assert_same(finished(tmp_path, "harvest").tables, whole)


def test_run_stopped_before_its_first_save_starts_anew(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, whole: Tables, tmp_path: Path
) -> None:
    def stop(*, chunks: int, of: int, tokens: int) -> None:
        if chunks == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        harvest(checkpoint, bert, corpus, tmp_path, CONFIG, progress=stop, save_every_s=NEVER)
    harvest(checkpoint, bert, corpus, tmp_path, CONFIG)

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
        harvest(checkpoint, bert, long, tmp_path, CONFIG, progress=stop, save_every_s=NEVER)
    harvest(checkpoint, bert, corpus, tmp_path, CONFIG)

    assert_same(finished(tmp_path, "harvest").tables, whole)


def test_progress_counts_chunks_and_tokens(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, whole: Tables, tmp_path: Path
) -> None:
    told: list[tuple[int, int, int]] = []

    harvest(checkpoint, bert, corpus, tmp_path, CONFIG, progress=lambda *, chunks, of, tokens: told.append((chunks, of, tokens)))

    n_chunks = survey(corpus, bert.tokenizer).chunks
    assert [(chunks, of) for chunks, of, _ in told] == [(number, n_chunks) for number in range(1, n_chunks + 1)]
    tokens = [count for _, _, count in told]
    assert sorted(set(tokens)) == tokens
    assert tokens[-1] == whole["tasks"]["tokens"][0]


# A work folder that is in use


def test_finished_stage_is_not_run_again(checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    harvest(checkpoint, bert, corpus, tmp_path, CONFIG)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in (tmp_path / "harvest").iterdir()}

    def never(*, chunks: int, of: int, tokens: int) -> None:
        raise AssertionError("a chunk was run again")

    assert harvest(checkpoint, bert, corpus, tmp_path, CONFIG, progress=never)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in (tmp_path / "harvest").iterdir()} == before


OTHER_SETTINGS = HarvestConfig(sample=40, top=8, seed=1, stream=CONFIG.stream)


@pytest.mark.parametrize("stopped", [True, False], ids=["parts", "finished"])
def test_other_settings_are_refused_by_name(
    stopped: bool, checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    harvest(checkpoint, bert, corpus, tmp_path, CONFIG, Shard(0, 2) if stopped else Shard())

    with pytest.raises(WorkOccupied, match=r"another settings \(seed: 0, now 1\)\. Name another work folder with --work"):
        harvest(checkpoint, bert, corpus, tmp_path, OTHER_SETTINGS, Shard(0, 2) if stopped else Shard())


def test_parts_of_other_settings_are_not_merged(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    harvest(checkpoint, bert, corpus, tmp_path, CONFIG, Shard(0, 2))

    with pytest.raises(WorkOccupied, match="was made from another settings"):
        harvest(checkpoint, bert, corpus, tmp_path, OTHER_SETTINGS, Shard(1, 2))


def test_other_text_and_another_dictionary_are_named_together(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    harvest(checkpoint, bert, corpus, tmp_path, CONFIG)
    other_text = corpus_of(tmp_path / "other.jsonl", tiny.documents(20))
    other_dictionary = Checkpoint.load(tiny.checkpoint(tmp_path / "checkpoint", {}, seed=5))

    with pytest.raises(WorkOccupied, match=r"made from another checkpoint, corpus \('small.jsonl', now 'other.jsonl'\)\."):
        harvest(other_dictionary, bert, other_text, tmp_path, CONFIG)


# What it refuses


def test_model_of_another_width_is_refused(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    narrow = Checkpoint.load(tiny.checkpoint(tmp_path / "checkpoint", {}, d_in=8))

    with pytest.raises(
        ModelError, match=r"has 16 numbers per token at 'encoder\.layer\.1', the checkpoint reads 8; name the model"
    ):
        harvest(narrow, bert, corpus, tmp_path, CONFIG)


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

    with pytest.raises(ModelError, match=rf"returned values that are not finite in document {bad}\.$"):
        harvest(checkpoint, broken, corpus, tmp_path, CONFIG)


def test_reading_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="tokens is 0; a harvest reads at least 1"):
        HarvestConfig(tokens=0)


@pytest.mark.parametrize("setting", ["sample", "top"])
def test_keeping_nothing_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=f"{setting} is 0; a harvest keeps at least 1 firing"):
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

    harvest(Checkpoint.load(folder), bert, corpus, tmp_path, CONFIG)

    held_out_tokens(finished(tmp_path, "harvest").tables, bert, [d for d in documents if not is_trained_on(d)])


def test_everything_is_held_out_from_a_dictionary_that_does_not_say(whole: Tables, bert: LanguageModel, corpus: Corpus) -> None:
    held_out_tokens(whole, bert, list(corpus.read()))


def test_harvest_does_not_go_on_where_the_training_text_has_changed(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    harvest(dictionary_for(bert, corpus, folder), bert, corpus, tmp_path, CONFIG)
    known = {"counts": np.zeros(3, dtype=np.int64), "documents": np.zeros(0, dtype=np.uint64)}
    write_arrays(folder / TRAINED_ON_FILE, known)

    with pytest.raises(WorkOccupied, match="was made from another trained_on"):
        harvest(Checkpoint.load(folder), bert, corpus, tmp_path, CONFIG)


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

    harvest(checkpoint, bert, corpus, tmp_path / "limited", LIMITED)
    harvest(checkpoint, bert, short, tmp_path / "short", CONFIG)

    assert_same(finished(tmp_path / "limited", "harvest").tables, finished(tmp_path / "short", "harvest").tables)


def test_tokenised_corpus_is_harvested_as_its_text(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A token counts for four characters, so that only a single chunk is the same one.
    monkeypatch.setattr("atlas.activations.corpus.CHUNK_CHARACTERS", 10**6)
    rows = [{"input_ids": bert.tokenizer(document.text)["input_ids"]} for document in corpus.read()]
    (tmp_path / corpus.name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    tokenised = load_corpus(str(tmp_path / corpus.name))

    harvest(checkpoint, bert, corpus, tmp_path / "text", CONFIG)
    harvest(checkpoint, bert, tokenised, tmp_path / "ids", CONFIG)

    assert_same(finished(tmp_path / "ids", "harvest").tables, finished(tmp_path / "text", "harvest").tables)
    plans = [survey(each, bert.tokenizer) for each in (corpus, tokenised)]
    assert plans[0].tokens == plans[1].tokens and plans[0].sha256 != plans[1].sha256


def test_shards_agree_where_the_corpus_ends(checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    harvest(checkpoint, bert, corpus, tmp_path / "one", LIMITED)

    done = [harvest(checkpoint, bert, corpus, tmp_path / "two", LIMITED, Shard(index, 2)) for index in (1, 0)]

    assert done == [False, True]
    assert_same(finished(tmp_path / "two", "harvest").tables, finished(tmp_path / "one", "harvest").tables)
    assert finished(tmp_path / "one", "harvest").provenance["corpus"]["whole"] is False


def test_provenance_names_a_dictionary_of_the_hub_and_no_folder_of_the_machine(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus
) -> None:
    plan = survey(corpus, bert.tokenizer)
    inputs = harvest_inputs(checkpoint, bert, corpus, plan, CONFIG)
    fetched = replace(checkpoint, source="someone/dictionaries/a@v1", revision="0123abc")

    local, hub = (provenance(inputs, one, plan, corpus)["dictionary"] for one in (checkpoint, fetched))

    assert str(checkpoint.path) not in str(local)
    assert hub == {**local, "source": "someone/dictionaries/a@v1", "revision": "0123abc"}


def test_other_limit_is_another_harvest(checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    harvest(checkpoint, bert, corpus, tmp_path, LIMITED)

    with pytest.raises(WorkOccupied, match=r"another corpus \(sha256\), settings \(tokens: 500, now 900\)\."):
        harvest(checkpoint, bert, corpus, tmp_path, replace(CONFIG, tokens=900))


# Nothing fires


def test_dictionary_that_never_fires_is_refused_with_its_norms(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    silent = Checkpoint.load(tiny.checkpoint(tmp_path / "checkpoint", {}, threshold=1e6))
    norms, n_tokens = all_norms(bert, silent.smixae, corpus)

    with pytest.raises(DictionarySilent) as refused:
        harvest(silent, bert, corpus, tmp_path / "work", CONFIG)

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
        harvest(silent, bert, corpus, tmp_path / "work", CONFIG, save_every_s=0.0)

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

    harvest(Checkpoint.load(tmp_path / "checkpoint"), bert, late, tmp_path, CONFIG, progress=progress)

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


def test_damaged_part_says_which_folder_to_delete(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    harvest(checkpoint, bert, corpus, tmp_path, CONFIG, Shard(0, 2))
    part = tmp_path / "harvest" / "part-0-of-2.safetensors"
    part.write_bytes(part.read_bytes()[:100])

    message = rf"'{part}' is damaged \(.*\)\. Delete the folder '{part.parent}' to run the stage again\."
    for index in (0, 1):
        with pytest.raises(StageDamaged, match=message):
            harvest(checkpoint, bert, corpus, tmp_path, CONFIG, Shard(index, 2))


def test_missing_windows_say_which_folder_to_delete(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    harvest(checkpoint, bert, corpus, tmp_path, CONFIG, Shard(0, 2))
    (tmp_path / "harvest" / "windows-000002.safetensors").unlink()

    with pytest.raises(StageDamaged, match=r"windows-000002\.safetensors' is damaged \(it is missing\)\. Delete the folder"):
        harvest(checkpoint, bert, corpus, tmp_path, CONFIG, Shard(1, 2))


def test_shard_sweeps_its_own_leftovers_only(checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    folder = tmp_path / "harvest"
    folder.mkdir()
    own = [".part-1-of-2.safetensors.99.part", ".windows-000003.safetensors.99.part"]
    others = [".part-0-of-2.safetensors.99.part", ".windows-000002.safetensors.99.part", ".done.json.99.part"]
    for name in own + others:
        (folder / name).write_bytes(b"half")

    harvest(checkpoint, bert, corpus, tmp_path, CONFIG, Shard(1, 2))

    assert [name for name in own + others if (folder / name).exists()] == others


def test_shards_of_other_inputs_do_not_share_a_folder(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    """However many parts each is cut into: their windows would be written over."""
    harvest(checkpoint, bert, corpus, tmp_path, CONFIG, Shard(0, 2))

    with pytest.raises(WorkOccupied, match=r"another settings \(seed: 0, now 1\)"):
        harvest(checkpoint, bert, corpus, tmp_path, OTHER_SETTINGS, Shard(1, 3))


# How long it takes


def test_timing_runs_some_of_the_text_and_keeps_nothing(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    speed = timed(checkpoint, bert, corpus, CONFIG)

    first = chunk_windows(next(corpus.chunks()), bert.tokenizer, CONFIG.stream)
    assert 0 < speed.windows <= len(first)
    assert 0 < speed.tokens <= sum(len(window.token_ids) for window in first)
    assert speed.seconds > 0
    assert speed.seconds_for(3 * speed.tokens) == pytest.approx(3 * speed.seconds)


@pytest.mark.parametrize("finished_chunks", [0, 3])
def test_standing_counts_the_chunks_that_are_left(
    finished_chunks: int, checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    plan = survey(corpus, bert.tokenizer)
    inputs = harvest_inputs(checkpoint, bert, corpus, plan, CONFIG)

    def stop(*, chunks: int, of: int, tokens: int) -> None:
        if chunks == finished_chunks:
            raise Interrupted

    if finished_chunks:
        with pytest.raises(Interrupted):
            harvest(checkpoint, bert, corpus, tmp_path, CONFIG, progress=stop, save_every_s=0.0)

    assert standing(tmp_path, inputs, Shard(), plan) == (False, finished_chunks, plan.chunks - finished_chunks)
    assert standing(tmp_path, inputs, Shard(1, 2), plan).left == plan.chunks // 2
    harvest(checkpoint, bert, corpus, tmp_path, CONFIG)
    assert standing(tmp_path, inputs, Shard(), plan) == (True, plan.chunks, 0)


# Against a dense run


Place = tuple[int, int, int]


def dense_run(model: LanguageModel, smixae: Smixae, texts: list[str]) -> tuple[dict[Place, int], dict[Place, torch.Tensor]]:
    """Token and norms before the gate at every (document, window, position), one unpadded window at a time."""
    ungated = Smixae(smixae.config, smixae.weights, threshold=-1.0)
    full = AutoModel.from_pretrained(model.name)
    tokenizer = model.tokenizer
    before = {"bert": [tokenizer.cls_token_id], "llama": [tokenizer.bos_token_id], "gpt2": []}[full.config.model_type]
    after = [tokenizer.sep_token_id] if full.config.model_type == "bert" else []
    special = {*before, *after, tokenizer.eos_token_id, tokenizer.mask_token_id}
    width = CONFIG.stream.window_tokens - len(before) - len(after)
    token_at: dict[Place, int] = {}
    norms: dict[Place, torch.Tensor] = {}
    for document, text in enumerate(texts):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        for window, start in enumerate(range(0, len(ids), width)):
            part = ids[start : start + width]
            with torch.no_grad():
                states = full(input_ids=torch.tensor([before + part + after]), output_hidden_states=True).hidden_states
            # hidden_states[0] are the embeddings: the second block's output is the third of them.
            rows = states[2][0, len(before) : len(before) + len(part)]
            for position, (token, norm) in enumerate(zip(part, ungated.encode(rows).norm(dim=2), strict=True)):
                if token not in special:
                    token_at[document, window, position] = token
                    norms[document, window, position] = norm
    return token_at, norms


def test_tables_equal_those_of_a_dense_run(tiny_model: LanguageModel, tmp_path: Path) -> None:
    special = tiny_model.tokenizer.mask_token or tiny_model.tokenizer.eos_token
    texts = [*tiny.documents(24), tiny.documents()[3], f"every expert {special} holds 42 tokens", " ".join(tiny.documents(5))]
    corpus = corpus_of(tmp_path / "texts.jsonl", texts)
    checkpoint = dictionary_for(tiny_model, corpus, tmp_path / "checkpoint")

    harvest(checkpoint, tiny_model, corpus, tmp_path, CONFIG)

    tables: dict[str, dict[str, Any]] = finished(tmp_path, "harvest").tables
    token_at, norms = dense_run(tiny_model, checkpoint.smixae, texts)
    assert tables["tasks"]["tokens"] == [len(token_at)]
    counted = {t: n for t, n in zip(tables["vocabulary"]["token"], tables["vocabulary"]["count"], strict=True) if n}
    assert counted == Counter(token_at.values())

    norm = torch.stack(list(norms.values()))
    fires = norm > checkpoint.smixae.threshold
    # Padding and batching move a norm by a few units in the last place: one that close to the threshold may go either way.
    near = (norm - checkpoint.smixae.threshold).abs() < 1e-5
    assert fires.sum() > 1000
    assert (fires.sum(dim=0) > 0).all()
    assert (np.abs(tables["expert_stats"]["firings"] - fires.sum(dim=0).numpy()) <= near.sum(dim=0).numpy()).all()
    np.testing.assert_allclose(tables["expert_stats"]["max_norm"], norm.max(dim=0).values, rtol=1e-4)

    windows = tables["windows"]
    tokens = windows["tokens"].rows()
    for table in ("points", "top_firings"):
        shown = tables[table]
        for expert, window, position, strength in zip(
            *(shown[name] for name in ("expert", "window", "position", "norm")), strict=True
        ):
            place = int(windows["document"][window]), int(windows["ordinal"][window]), int(position)
            assert tokens[window][position] == token_at[place]
            assert strength == pytest.approx(float(norms[place][expert]), rel=1e-4)

    top = tables["top_firings"]
    strongest = top["norm"][top["rank"] == 0]
    assert top["expert"][top["rank"] == 0].tolist() == list(range(checkpoint.smixae.n_experts))
    np.testing.assert_allclose(strongest, norm.max(dim=0).values, rtol=1e-4)


def test_corpus_of_special_tokens_only_is_refused(bert: LanguageModel, checkpoint: Checkpoint, tmp_path: Path) -> None:
    silent = corpus_of(tmp_path / "special.jsonl", ["[SEP] [PAD] [MASK]", "[SEP]"])

    with pytest.raises(CorpusError, match="'special.jsonl' holds no token but special ones"):
        harvest(checkpoint, bert, silent, tmp_path / "work", CONFIG)

    assert not (tmp_path / "work").exists()
