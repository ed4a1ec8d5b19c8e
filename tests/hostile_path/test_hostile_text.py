"""Hostile texts, labels, names and vocabularies through the whole path: kept faithfully, or refused in one line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from printed import run
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

import tiny
from atlas.activations.corpus import load_corpus
from atlas.activations.vocabulary import _BYTE_OF
from atlas.errors import CorpusError
from atlas.probe.tasks import builtin_tasks
from atlas.publish.site import payload
from atlas.store import Store
from hostile import HOSTILE, encodable, everything, is_encodable
from templated import only

LABELS = tuple(
    dict.fromkeys(text.strip() for group in HOSTILE.values() for text in group[:2] if text.strip() and len(text) < 300)
)
"""As a table's cell is read: without white space around it."""
TITLE = "</script><img src=x onerror=alert(1)> {{ 7*7 }} =1+1 \\input{a} __proto__"


@dataclass(frozen=True)
class Mapped:
    """A model whose vocabulary is hostile, mapped on hostile texts."""

    model: Path
    checkpoint: Path
    work: Path
    site: Path

    @property
    def atlas(self) -> Path:
        return self.work / "atlas.duckdb"


def whole(text: str) -> str:
    """Return what stands for a text: half a surrogate pair, which no UTF-8 holds, is replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def hostile_model(folder: Path) -> Path:
    """Save a tiny GPT-2 that has every hostile string as a token, and a text of its own for none of them."""
    vocabulary, merges = tiny._trained("bytes", "<|endoftext|>")
    words = [*vocabulary, *(text for text in encodable() if text and text not in vocabulary)]
    tokenizer = GPT2Tokenizer(vocab={word: number for number, word in enumerate(words)}, merges=merges)
    sizes = {"n_embd": tiny.D_MODEL, "n_layer": tiny.N_LAYERS, "n_head": 2, "n_positions": 64}
    config = GPT2Config(vocab_size=len(words), bos_token_id=0, eos_token_id=0, **sizes)
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "words.json").write_text(json.dumps(words))
    return folder


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapped]:
    """Every command from text to a page, in a folder and of files whose names are hostile, too."""
    root = tmp_path_factory.mktemp("hostile") / "a b'\u202e;$(id)%3Cscript%3E#\u00e9\n\x1b[2J"
    root.mkdir()
    model = hostile_model(root / "{{7*7}}")
    texts = root / "=HYPERLINK(1)<script>\u202e.jsonl"
    texts.write_text("\n".join(json.dumps({"text": text}) for text in everything() if len(text) <= 1_000))
    n_words = len(json.loads((model / "words.json").read_text()))
    ids = root / "-ids \x1b]0;x\x07.jsonl"
    ids.write_text("\n".join(json.dumps({"input_ids": list(range(1 + part, n_words, 7))}) for part in range(7)))
    task = root / "ta'sk.jsonl"
    labels = list(enumerate((*LABELS, "\ud800")))
    rows = [{"text": f"In case {n} it is {label} here", "label": label, "rank": rank} for n in range(6) for rank, label in labels]
    task.write_text("\n".join(map(json.dumps, rows)))
    hypothesis = f"[[hypotheses]]\nname = 'rank'\ntitle = '{TITLE}'\nkind = 'linear'\ncolumns = ['rank']\n"
    stated = f"name = 'hostile'\ntitle = '{TITLE}'\ndescription = '{TITLE}'\nposition = 'end'\n{hypothesis}"
    (root / "ta'sk.toml").write_text(stated)
    metadata = {
        "model_name": str(model),
        "hook_name": tiny.HOOKS["gpt2"],
        "context_size": 32,
        "atlas_training": {"</script>": TITLE},
    }
    checkpoint = tiny.checkpoint(root / "-rf {0}", metadata, threshold=0.5)
    found = Mapped(model, checkpoint, root / "work", root / "site")
    arguments = ["--checkpoint", checkpoint, "--corpus", texts, "--corpus", ids, "--tasks", "none", "--task", task]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        only(patch, builtin_tasks()[1])
        done = run("build", *arguments, "--work", found.work, "--out", found.site, "--title", TITLE, "--with-data")
        assert done.exit_code == 0, done.stderr
        yield found


def test_every_token_keeps_its_text(mapped: Mapped) -> None:
    words = json.loads((mapped.model / "words.json").read_text())
    with Store(mapped.atlas) as store:
        known = dict(store.table("vocabulary").select("token", "text").iter_rows())

    hostile = {number: word for number, word in enumerate(words) if word in encodable() and number in known}
    assert len(hostile) > 500
    for number, word in hostile.items():
        if not set(word) <= set(_BYTE_OF) or word.isascii():
            assert known[number] == word


def test_tasks_and_labels_keep_their_names(mapped: Mapped) -> None:
    with Store(mapped.atlas) as store:
        texts, ids, task = store.tasks()

    assert (texts.name, ids.name) == ("=HYPERLINK(1)<script>\u202e.jsonl", "-ids \x1b]0;x\x07.jsonl")
    assert (task.title, task.description) == (TITLE, TITLE)
    assert {label.name for label in task.labels} == {*map(whole, LABELS), "\ufffd"}


def test_the_data_beside_a_site_holds_the_same_texts(mapped: Mapped) -> None:
    with Store(mapped.atlas) as store:
        for table in ("vocabulary", "labels", "tasks", "titles", "provenance"):
            (file,) = mapped.site.rglob(f"{table}.parquet")
            assert pl.read_parquet(file, glob=False).equals(store.table(table))


def test_a_site_is_utf8_and_has_no_script_but_its_own(mapped: Mapped) -> None:
    page = (mapped.site / "index.html").read_text(encoding="utf-8")

    assert page.count("<script") == page.count("<script src=") + page.count("<script defer src=")
    assert "<img src=x" not in page and "49 =1" not in page
    for file in mapped.site.rglob("*.js"):
        assert is_encodable(file.read_text(encoding="utf-8"))
        if file.is_relative_to(mapped.site / "data"):
            # In a file of its own, "</script" ends nothing; one call with JSON in it runs nothing else.
            name, _ = payload(file.read_bytes())
            assert file.relative_to(mapped.site / "data").as_posix().startswith(f"{name}.")


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_prompts_are_traced_as_they_are(mapped: Mapped, form: str, tmp_path: Path) -> None:
    # One prompt is left out of which the tokenizer makes nothing.
    prompts = [text for text in everything() if text and len(text) <= 200]
    source = tmp_path / "prompts.jsonl"
    source.write_text("\n".join(json.dumps({"text": text}) for text in prompts))
    arguments = ["--file", source, "--checkpoint", mapped.checkpoint, "--format", form]

    done = run("trace", *arguments, *(["--db", mapped.atlas] if form == "json" else []))

    assert done.exit_code == 0, done.stderr
    if form == "json":
        assert [one["text"] for one in json.loads(done.stdout)] == list(map(whole, prompts))
        with Store(mapped.atlas) as store:
            assert set(store.table("prompts")["text"]) == set(map(whole, prompts))
        assert run("bake", mapped.atlas, "--out", mapped.site).exit_code == 0


@pytest.mark.parametrize("form", ["table", "csv", "json", "latex"])
def test_what_was_found_is_printed(mapped: Mapped, form: str) -> None:
    assert run("scores", "--work", mapped.work, "--format", form).exit_code == 0
    if form != "latex":
        assert run("shapes", "--class", "unclear", "--work", mapped.work, "--format", form).exit_code == 0
        assert run("neighbours", 1, "--work", mapped.work, "--format", form).exit_code == 0


def test_everything_is_inspected(mapped: Mapped) -> None:
    for path in (mapped.checkpoint, mapped.work, mapped.atlas, mapped.site):
        assert run("inspect", path).exit_code == 0
        assert json.loads(run("inspect", path, "--json").stdout)["path"] == str(path)


def test_hostile_documents_are_read_in_every_kind_of_file(tmp_path: Path) -> None:
    texts = [text for text in everything() if text.strip()]
    wanted = list(map(whole, texts))
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, texts)))
    (tmp_path / "a.json").write_text(json.dumps(texts))
    assert [document.text for document in load_corpus(str(tmp_path / "a.jsonl")).read()] == wanted
    assert [document.text for document in load_corpus(str(tmp_path / "a.json")).read()] == wanted
    held = [text for text in encodable() if text.strip()]
    pl.DataFrame({"text": held}).write_parquet(tmp_path / "a.parquet")
    assert [document.text for document in load_corpus(str(tmp_path / "a.parquet")).read()] == held


def test_a_text_file_with_what_no_text_has_is_refused_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "\x1b[2J.txt"
    for content, said in ((b"a\n\x00b", "Line 2 of '.*' is not text: it holds a NUL"), (b"\xed\xa0\x80", "is not text in UTF-8")):
        path.write_bytes(content)
        with pytest.raises(CorpusError, match=said):
            list(load_corpus(str(path)).read())


def test_files_may_have_any_name_that_a_file_system_takes(tmp_path: Path) -> None:
    for number, name in enumerate(encodable(100)):
        if "/" in name:
            continue
        path = tmp_path / str(number) / f"{name}.jsonl"
        try:
            path.parent.mkdir()
            path.write_text('{"text": "a b"}')
        except (OSError, ValueError):
            continue  # with NUL, or too long
        done = run("tasks", "show", path)
        assert done.exit_code == 1 and str(number) in done.stderr


def test_a_name_that_is_no_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / os.fsdecode(b"a\xffb")
    folder.mkdir()
    (folder / "a.jsonl").write_text('"some text"')
    (tmp_path / os.fsdecode(b"\xff.jsonl")).write_text('"some text"')
    monkeypatch.chdir(folder)

    for source in (".", str(tmp_path), str(tmp_path / os.fsdecode(b"\xff.jsonl"))):
        with pytest.raises(CorpusError, match=r"\\udcff.*' is not text in UTF-8"):
            load_corpus(source)


def test_a_checkpoint_that_names_half_a_character_is_refused(tmp_path: Path, models: dict[str, Path]) -> None:
    named = {"model_name": str(models["bert"]), "hook_name": tiny.HOOKS["bert"]}
    for metadata in (
        {**named, "atlas_training": {"a": "\ud800"}},
        {**named, "hook_name": "\udc00"},
        {**named, "model_name": "\ud800"},
    ):
        folder = tiny.checkpoint(tmp_path / "checkpoint", metadata)
        done = run("trace", "some text", "--checkpoint", folder)
        assert done.exit_code == 1 and "half a character" in done.stderr


def test_a_work_folder_that_no_database_fits_in_is_refused_before_the_work(tmp_path: Path, models: dict[str, Path]) -> None:
    checkpoint = tiny.checkpoint(tmp_path / "checkpoint", {"model_name": str(models["bert"]), "hook_name": tiny.HOOKS["bert"]})
    (tmp_path / "a.jsonl").write_text('"some text"')

    done = run("harvest", "--checkpoint", checkpoint, "--corpus", tmp_path / "a.jsonl", "--work", tmp_path / "why?")

    assert done.exit_code == 1 and "holds a '?'" in done.stderr and not (tmp_path / "why?").exists()
