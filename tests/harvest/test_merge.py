"""Shards of a harvest, from one folder or from many, are put together to what one run gives, and nothing else is."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny
from atlas.activations.corpus import Corpus
from atlas.activations.model import LanguageModel
from atlas.activations.stream import blocks, chunk_windows
from atlas.dictionary import Checkpoint, Smixae, save
from atlas.errors import (
    AtlasError,
    CorpusError,
    DictionarySilent,
    PartsMissing,
    StageDamaged,
    StageMissing,
    StorageError,
    WorkOccupied,
)
from atlas.harvest.config import HarvestConfig
from atlas.harvest.harvest import harvest
from atlas.harvest.merge import merge
from atlas.harvest.parts import Shard
from atlas.harvest.survey import survey
from atlas.stages import finished
from harvests import CHUNK_CHARACTERS, CONFIG, WORDS, Tables, assert_same, corpus_of, dictionary_for


class Interrupted(Exception):
    """Stands for a run that is stopped from outside."""


@pytest.fixture(scope="module", autouse=True)
def small_chunks() -> Iterator[None]:
    """Chunks of a few documents, so that a small corpus has several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atlas.activations.corpus.CHUNK_CHARACTERS", CHUNK_CHARACTERS)
        patch.setattr("atlas.harvest.harvest.SAVING_SHARE", 1e9)
        yield


@pytest.fixture(scope="module")
def checkpoint(bert: LanguageModel, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A dictionary for the tiny BERT."""
    return dictionary_for(bert, corpus, tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Another text, of fewer chunks."""
    return corpus_of(tmp_path_factory.mktemp("second") / "second.jsonl", tiny.documents(23)[::-1])


@pytest.fixture(scope="module")
def whole(checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """The tables of one uninterrupted run."""
    work = tmp_path_factory.mktemp("whole")
    assert harvest(checkpoint, bert, [corpus], work, CONFIG, words=WORDS)
    return finished(work, "harvest").tables


Run = Callable[..., None]


@pytest.fixture
def run(checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus) -> Run:
    """Runs one shard of the harvest into a work folder."""

    def runs(work: Path, shard: str, config: HarvestConfig = CONFIG, **others: object) -> None:
        subject = {"checkpoint": checkpoint, "corpora": [corpus], "words": WORDS, **others}
        assert not harvest(model=bert, work=work, config=config, shard=Shard.parse(shard), **subject)  # type: ignore[arg-type]

    return runs


def contents(folder: Path) -> dict[str, bytes]:
    """The files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(error: type[AtlasError], message: str, folders: Sequence[Path], work: Path, root: Path) -> None:
    """Hold that a merge is refused in one line that matches, and that no file below the root changes."""
    before = contents(root)
    with pytest.raises(error, match=message) as raised:
        merge(folders, work)
    assert "\n" not in str(raised.value)
    assert contents(root) == before
    assert not (work / "harvest" / "done.json").exists()


def in_order(count: int) -> list[int]:
    """The shards, shuffled."""
    order = list(range(count))
    random.Random(count).shuffle(order)
    return order


# Together they are one run


def test_corpus_has_fewer_chunks_than_the_most_shards_and_more_than_the_others(corpus: Corpus, bert: LanguageModel) -> None:
    assert 7 <= survey(corpus, bert.tokenizer).chunks < 20


@pytest.mark.parametrize("count", [2, 5, 20])
def test_shards_in_one_folder_give_the_tables_of_one_run(count: int, run: Run, whole: Tables, tmp_path: Path) -> None:
    """Of twenty shards some have nothing to do."""
    for index in in_order(count):
        run(tmp_path, f"{index}/{count}")
        assert not (tmp_path / "harvest" / "done.json").exists()

    merge([tmp_path], tmp_path)

    assert_same(finished(tmp_path, "harvest").tables, whole)


@pytest.mark.parametrize("count", [2, 5, 20])
def test_shards_of_many_machines_give_the_tables_of_one_run(count: int, run: Run, whole: Tables, tmp_path: Path) -> None:
    """Each in a folder of its own, which is moved afterwards, merged in any order into a new one."""
    for index in range(count):
        run(tmp_path / "there" / str(index), f"{index}/{count}")
    (tmp_path / "there").rename(tmp_path / "here")
    before = contents(tmp_path / "here")

    merge([tmp_path / "here" / str(index) for index in in_order(count)], tmp_path / "work")

    assert_same(finished(tmp_path / "work", "harvest").tables, whole)
    assert contents(tmp_path / "here") == before


def test_one_machine_may_merge_the_others_parts_with_its_own(run: Run, whole: Tables, tmp_path: Path) -> None:
    run(tmp_path / "a", "0/3")
    run(tmp_path / "a", "2/3")
    run(tmp_path / "b", "1/3")

    merge([tmp_path / "b", tmp_path / "a"], tmp_path / "a")

    assert_same(finished(tmp_path / "a", "harvest").tables, whole)


def test_shards_that_were_stopped_at_every_chunk_give_the_tables_of_one_run(
    run: Run, whole: Tables, corpus: Corpus, bert: LanguageModel, tmp_path: Path
) -> None:
    reached: list[int] = []

    def stop(*, chunks: int, of: int, tokens: int) -> None:
        reached.append(chunks)
        raise Interrupted

    n_chunks = survey(corpus, bert.tokenizer).chunks
    for shard in [f"{chunk % 3}/3" for chunk in range(n_chunks)]:
        with pytest.raises(Interrupted):
            run(tmp_path, shard, progress=stop, save_every_s=0.0)
    for index in range(3):
        run(tmp_path, f"{index}/3", progress=stop)

    merge([tmp_path], tmp_path)

    assert reached == list(range(1, n_chunks + 1))
    assert_same(finished(tmp_path, "harvest").tables, whole)


@pytest.mark.parametrize("count", [1, 3, 9])
def test_shards_of_two_corpora_give_the_tables_of_one_run(
    count: int, run: Run, checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, second: Corpus, tmp_path: Path
) -> None:
    """The second has fewer chunks than there are shards, at nine."""
    harvest(checkpoint, bert, [corpus, second], tmp_path / "one", CONFIG, words=WORDS)
    if count == 1:
        assert harvest(checkpoint, bert, [corpus, second], tmp_path / "work", CONFIG, Shard(0, 1), WORDS)
    else:
        assert survey(second, bert.tokenizer).chunks > 3
        for index in in_order(count):
            run(tmp_path / str(index), f"{index}/{count}", corpora=[corpus, second])
        merge([tmp_path / str(index) for index in range(count)], tmp_path / "work")

    one, many = (finished(tmp_path / name, "harvest") for name in ("one", "work"))
    assert_same(many.tables, one.tables)
    assert many.provenance == one.provenance and many.inputs == one.inputs


def test_shards_agree_where_a_limited_corpus_ends(
    run: Run, checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    limited = replace(CONFIG, tokens=500)
    harvest(checkpoint, bert, [corpus], tmp_path / "one", limited, words=WORDS)

    for index in (1, 0):
        run(tmp_path / "two", f"{index}/2", limited)
    merge([tmp_path / "two"], tmp_path / "two")

    assert_same(finished(tmp_path / "two", "harvest").tables, finished(tmp_path / "one", "harvest").tables)
    assert finished(tmp_path / "two", "harvest").provenance["corpus"]["whole"] is False


def test_shard_on_which_nothing_fires_is_a_part_like_any_other(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    """The threshold lies above every norm of one chunk, and below some of another's."""
    usual = tiny.dictionary(threshold=1.0)
    ungated = Smixae(usual.config, usual.weights, threshold=-1.0)
    largest = []
    for chunk in corpus.chunks():
        windows = chunk_windows(chunk, bert.tokenizer, CONFIG.stream)
        x = torch.cat([block.x[: len(block.tokens.document)] for block in blocks(windows, bert, CONFIG.stream)])
        largest.append(float(ungated.encode(x).norm(dim=2).max()))
    save(Smixae(usual.config, usual.weights, min(largest) * 1.0001), tmp_path / "checkpoint", {})
    rarely = Checkpoint.load(tmp_path / "checkpoint")
    harvest(rarely, bert, [corpus], tmp_path / "one", CONFIG)
    assert max(largest) > min(largest) * 1.01

    for index in range(len(largest)):
        harvest(rarely, bert, [corpus], tmp_path / "many", CONFIG, Shard(index, len(largest)))
    merge([tmp_path / "many"], tmp_path / "many")

    assert_same(finished(tmp_path / "many", "harvest").tables, finished(tmp_path / "one", "harvest").tables)


# Once is enough


def test_merging_again_does_nothing(run: Run, tmp_path: Path) -> None:
    for index in range(2):
        run(tmp_path / "shards", f"{index}/2")
    said: list[str] = []
    merge([tmp_path / "shards"], tmp_path / "work", said.append)
    merge([tmp_path / "shards"], tmp_path / "shards", said.append)
    before = contents(tmp_path)

    merge([tmp_path / "shards"], tmp_path / "work", said.append)
    merge([tmp_path / "shards"], tmp_path / "shards", said.append)

    assert contents(tmp_path) == before
    assert said == ["Merging 2 parts"] * 2


def test_finished_harvest_of_one_run_needs_no_merge(
    checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    harvest(checkpoint, bert, [corpus], tmp_path, CONFIG)
    before = contents(tmp_path)

    merge([tmp_path], tmp_path)

    assert contents(tmp_path) == before


# What is no whole


def test_missing_shards_are_named(run: Run, tmp_path: Path) -> None:
    run(tmp_path / "a", "2/9")

    missing = r"8 of 9 shards are missing: 0/9, 1/9, 3/9, 4/9, 5/9 and 3 more\. Run them, or name the work folders they are in\."
    refused(PartsMissing, missing, [tmp_path / "a"], tmp_path / "work", tmp_path)


def test_shard_that_misses_one_of_two_corpora_is_missing(run: Run, corpus: Corpus, second: Corpus, tmp_path: Path) -> None:
    for index in range(2):
        run(tmp_path, f"{index}/2", corpora=[corpus, second])
    (tmp_path / "harvest" / "corpus-1" / "part-1-of-2.safetensors").unlink()

    refused(PartsMissing, r"^1 of 2 shards are missing: 1/2\.", [tmp_path], tmp_path, tmp_path)


def test_shard_given_twice_is_refused_with_both_places(run: Run, tmp_path: Path) -> None:
    run(tmp_path / "a", "0/2")
    run(tmp_path / "a", "1/2")
    run(tmp_path / "b", "1/2")

    where = r"'.*/a/harvest/corpus-0/part-1-of-2\.safetensors' and '.*/b/harvest/corpus-0/part-1-of-2\.safetensors'"
    message = rf"^Shard 1/2 is there twice, in {where}\. Give each shard once\.$"
    refused(PartsMissing, message, [tmp_path / "a", tmp_path / "b"], tmp_path / "work", tmp_path)


def test_unfinished_shard_is_refused_with_what_to_run(run: Run, corpus: Corpus, bert: LanguageModel, tmp_path: Path) -> None:
    def stop(*, chunks: int, of: int, tokens: int) -> None:
        if chunks > 3:
            raise Interrupted

    run(tmp_path, "0/2")
    with pytest.raises(Interrupted):
        run(tmp_path, "1/2", progress=stop, save_every_s=0.0)

    n_chunks = survey(corpus, bert.tokenizer).chunks
    message = (
        rf"^Shard 1/2 is not finished: '.*part-1-of-2\.safetensors' has 4 of {n_chunks} chunks\. "
        r"Run `atlas harvest --shard 1/2` again, it goes on\.$"
    )
    refused(PartsMissing, message, [tmp_path], tmp_path, tmp_path)
    run(tmp_path, "1/2")
    merge([tmp_path], tmp_path)


def test_parts_of_two_cuts_are_refused(run: Run, tmp_path: Path) -> None:
    run(tmp_path / "a", "0/2")
    run(tmp_path / "b", "1/4")

    message = r"^There are parts of 2 shards and parts of 4\. Merge those of one cut, without the others\.$"
    refused(PartsMissing, message, [tmp_path / "a", tmp_path / "b"], tmp_path / "work", tmp_path)


@pytest.mark.parametrize("kind", ["no folder", "empty", "another's"])
def test_folder_without_parts_is_refused(kind: str, run: Run, tmp_path: Path) -> None:
    run(tmp_path / "a", "0/2")
    nothing = tmp_path / "nothing"
    if kind != "no folder":
        nothing.mkdir()
    if kind == "another's":
        (nothing / "harvest").mkdir()
        (nothing / "harvest" / "part-0-of-2.safetensors").write_bytes(b"of no corpus")

    message = rf"^'{nothing}' holds no part of a harvest\. Name the work folders of `atlas harvest --shard`\.$"
    refused(StageMissing, message, [tmp_path / "a", nothing], tmp_path / "work", tmp_path)


# What is of several wholes


def test_parts_of_another_checkpoint_are_refused(run: Run, bert: LanguageModel, second: Corpus, tmp_path: Path) -> None:
    run(tmp_path / "a", "0/2")
    run(tmp_path / "b", "1/2", checkpoint=dictionary_for(bert, second, tmp_path / "checkpoint"))

    refused(WorkOccupied, "b/harvest' was made from another checkpoint\\.", [tmp_path / "a", tmp_path / "b"], tmp_path, tmp_path)


def test_parts_of_other_settings_and_text_are_refused_with_both_values(run: Run, second: Corpus, tmp_path: Path) -> None:
    run(tmp_path / "a", "0/2")
    run(tmp_path / "b", "1/2", replace(CONFIG, top=9), corpora=[second])

    message = r"b/harvest' was made from another corpora \('second.jsonl', now 'small.jsonl'\), settings \(top: 9, now 8\)\."
    refused(WorkOccupied, message, [tmp_path / "a", tmp_path / "b"], tmp_path / "work", tmp_path)


def test_parts_of_other_labels_are_refused(run: Run, tmp_path: Path) -> None:
    run(tmp_path / "a", "0/2")
    run(tmp_path / "b", "1/2", words={"months": ("May",)})

    refused(
        WorkOccupied,
        r"was made from another set of labels, whose mentions it kept\. Leave natural_mentions out",
        [tmp_path / "a", tmp_path / "b"],
        tmp_path / "work",
        tmp_path,
    )


@pytest.mark.parametrize("theirs", ["finished", "parts"])
def test_folder_with_another_harvest_is_not_merged_into(
    theirs: str, run: Run, checkpoint: Checkpoint, bert: LanguageModel, second: Corpus, tmp_path: Path
) -> None:
    for index in range(2):
        run(tmp_path / "shards", f"{index}/2")
    shard = Shard(0, 1 if theirs == "finished" else 2)
    harvest(checkpoint, bert, [second], tmp_path / "work", CONFIG, shard, WORDS)
    before = contents(tmp_path)

    with pytest.raises(
        WorkOccupied, match=r"work/harvest' was made from another corpora \('second.jsonl', now 'small.jsonl'\)\."
    ):
        merge([tmp_path / "shards"], tmp_path / "work")

    assert contents(tmp_path) == before


# What is damaged, or says nothing


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content)


def take_another(path: Path) -> None:
    path.write_bytes(path.with_name("windows-000003.safetensors").read_bytes())


@pytest.mark.parametrize(
    ("damage", "file", "reason"),
    [
        (cut_short, "corpus-0/part-1-of-2.safetensors", "incomplete"),
        (lambda path: path.write_bytes(b""), "corpus-0/part-0-of-2.safetensors", "header"),
        (flip_a_bit, "corpus-0/part-0-of-2.safetensors", "its content is not what was written"),
        (flip_a_bit, "corpus-0/windows-000001.safetensors", "its content is not what was written"),
        (take_another, "corpus-0/windows-000001.safetensors", "its content is not what was written"),
        (Path.unlink, "corpus-0/windows-000003.safetensors", "it is missing"),
        (cut_short, "corpus-0/windows-000002.safetensors", "incomplete"),
        (Path.unlink, "subject.json", "it is missing"),
        (lambda path: path.write_text("{"), "subject.json", "Expecting property name"),
        (cut_short, "subject.safetensors", "incomplete"),
    ],
    ids=[
        "part cut short",
        "empty part",
        "flipped part",
        "flipped windows",
        "others",
        "no windows",
        "windows cut short",
        "no subject",
        "half a subject",
        "its arrays",
    ],
)
def test_damaged_file_is_named(damage: Callable[[Path], object], file: str, reason: str, run: Run, tmp_path: Path) -> None:
    for index in range(2):
        run(tmp_path, f"{index}/2")
    path = tmp_path / "harvest" / file
    damage(path)

    if path.parent.name == "corpus-0":
        shard = int(path.name[5]) if path.name.startswith("part") else int(path.name[8:14]) % 2
        part = path.parent / f"part-{shard}-of-2.safetensors"
        mend = rf"Delete '{part}', then run `atlas harvest --shard {shard}/2` again\."
    else:
        mend = rf"Delete '{path.parent / 'subject.json'}', then run any shard of this harvest again: it writes it anew\."
    message = rf"^'{path}' is damaged \(.*{reason}.*\)\. {mend}$"
    refused(StageDamaged, message, [tmp_path], tmp_path, tmp_path)


def test_shards_without_any_firing_are_refused(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    silent = Checkpoint.load(tiny.checkpoint(tmp_path / "checkpoint", {}, threshold=1e6))
    for index in range(2):
        harvest(silent, bert, [corpus], tmp_path / "work", CONFIG, Shard(index, 2))

    message = r"^No expert fired on any shard\. It is probably the wrong layer or model: check --model and --hook\.$"
    refused(DictionarySilent, message, [tmp_path / "work"], tmp_path / "work", tmp_path)


def test_shards_of_special_tokens_only_are_refused(bert: LanguageModel, checkpoint: Checkpoint, tmp_path: Path) -> None:
    blank = corpus_of(tmp_path / "special.jsonl", ["[SEP] [PAD] [MASK]", "[SEP]"])
    for index in range(2):
        harvest(checkpoint, bert, [blank], tmp_path / "work", CONFIG, Shard(index, 2))

    message = r"^The corpus 'special\.jsonl' holds no token but special ones\.$"
    refused(CorpusError, message, [tmp_path / "work"], tmp_path / "work", tmp_path)


@pytest.mark.parametrize("name", ["tables.safetensors", "tables.json", "done.json"])
def test_full_disk_keeps_the_parts_and_the_merge_is_made_later(
    name: str, run: Run, whole: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(2):
        run(tmp_path / "shards", f"{index}/2")
    before = contents(tmp_path / "shards")

    def full(part: Path, path: Path) -> None:
        if path.name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part.rename(path)

    with monkeypatch.context() as patch:
        patch.setattr("atlas.files.os.replace", full)
        with pytest.raises(StorageError, match=rf"{name}' cannot be written: No space left on device\."):
            merge([tmp_path / "shards"], tmp_path / "work")

    assert contents(tmp_path / "shards") == before
    assert not (tmp_path / "work" / "harvest" / "done.json").exists() and list(tmp_path.rglob("*.part")) == []
    merge([tmp_path / "shards"], tmp_path / "work")
    assert_same(finished(tmp_path / "work", "harvest").tables, whole)


# What a merge needs


def test_merge_reads_nothing_but_parts(
    run: Run, bert: LanguageModel, corpus: Corpus, whole: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text, dictionary and model are gone by then."""
    text = corpus_of(tmp_path / corpus.name, tiny.documents())
    copied = dictionary_for(bert, corpus, tmp_path / "checkpoint")
    for index in range(2):
        run(tmp_path / "work", f"{index}/2", checkpoint=copied, corpora=[text])
    (tmp_path / corpus.name).unlink()
    shutil.rmtree(tmp_path / "checkpoint")

    def gone(*_: object, **__: object) -> None:
        raise AssertionError("it was asked for")

    for name in ("activations.model.LanguageModel.load", "dictionary.Checkpoint.load", "activations.corpus.load_corpus"):
        monkeypatch.setattr(f"atlas.{name}", gone)

    merge([tmp_path / "work"], tmp_path / "work")

    assert_same(finished(tmp_path / "work", "harvest").tables, whole)
    said = json.dumps(finished(tmp_path / "work", "harvest").provenance)
    assert str(tmp_path) not in said.replace(bert.name, "")
