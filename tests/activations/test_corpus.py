"""Text is read in a fixed order, cut into the same chunks for everyone, and refused with a reason."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

import pytest

import tiny
from atlas.activations import corpus as corpus_module
from atlas.activations.corpus import CHUNK_CHARACTERS, Corpus, Document, TextHash, load_corpus, python_docs
from atlas.activations.model import load_tokenizer
from atlas.activations.records import TokenIds
from atlas.errors import CorpusError

TEXTS = ["One small document.", "A second one,\n\nwith a blank line; ünïcode, too.", "Third."]

STORED = {
    ".txt": "\n\n\n".join(TEXTS),
    ".jsonl": "\n".join(json.dumps({"id": i, "text": text}) for i, text in enumerate(TEXTS)) + "\n\n",
    ".json": json.dumps([{"text": TEXTS[0]}, TEXTS[1], {"text": TEXTS[2], "more": None}]),
}


def of(*texts: str) -> Corpus:
    return Corpus("made", "Made", "Made for a test.", lambda: iter(texts))


def written(folder: Path, name: str, content: str | bytes) -> Corpus:
    """A corpus file; nothing is read of it yet."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return load_corpus(str(path))


def texts(corpus: Corpus) -> list[str]:
    return [document.text for document in corpus.read()]


def hashed(corpus: Corpus) -> str:
    text = TextHash()
    for document in corpus.read():
        text.add(document)
    return text.sha256()


# Python's own documentation


def test_python_docs_hold_a_million_characters() -> None:
    documents = texts(load_corpus("python-docs"))

    assert len(documents) > 300
    assert sum(map(len, documents)) > 1_000_000
    assert all(document.strip() for document in documents)


def test_python_docs_hold_no_document_twice() -> None:
    counts = Counter(texts(python_docs()))

    assert [text for text, n in counts.items() if n > 1] == []


def test_python_docs_are_the_same_in_another_process() -> None:
    command = (
        "from atlas.activations.corpus import TextHash, python_docs\n"
        "text = TextHash()\n"
        "for document in python_docs().read(): text.add(document)\n"
        "print(text.sha256())"
    )
    root = Path(corpus_module.__file__).parents[2]

    other = subprocess.run(
        [sys.executable, "-c", command],
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": "5"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert other.stdout.strip() == hashed(python_docs())


def test_docstrings_are_joined_by_module_and_never_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, own = "A docstring that stands in two modules of one library.", "A docstring that only this module has, long enough."
    for name, source in {
        "a.py": f'"""{shared}"""\ndef f():\n    """{own}"""\nclass C:\n    """Short."""\n',
        "b.py": f'def f():\n    """{shared}"""\n',
        "c.py": f'async def f():\n    """{own[::-1]}"""\n    def g():\n        """{own[::-1]}"""\n',
        "test/d.py": '"""A docstring of the test suite, which nobody reads as English."""\n',
        "template.py": "this is {not} Python\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))

    documents = corpus_module._python_documents.__wrapped__()

    assert [document for document in documents if "docstring" in document or own[::-1] in document][-2:] == [
        f"{shared}\n\n{own}",
        own[::-1],
    ]
    assert len(documents) <= len(topics) + 2


# Held-out documents and chunks


def test_about_a_fifth_of_the_documents_is_held_out() -> None:
    documents = list(of(*(f"Document number {i}." for i in range(2000))).read())

    assert 0.17 < sum(document.held_out for document in documents) / 2000 < 0.23
    assert 0.1 < sum(document.held_out for document in python_docs().read()) / len(texts(python_docs())) < 0.3


def test_holding_out_depends_on_the_text_alone() -> None:
    forwards = {document.text: document.held_out for document in of(*map(str, range(50))).read()}
    backwards = {document.text: document.held_out for document in of(*map(str, range(49, -1, -1))).read()}

    assert forwards == backwards
    assert len(set(forwards.values())) == 2


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        pytest.param([3, 4], [[3, 4]], id="one short chunk"),
        pytest.param([131_072, 5], [[131_072], [5]], id="a document of exactly a chunk"),
        pytest.param([131_071, 1, 5], [[131_071, 1], [5]], id="the last character closes"),
        pytest.param([131_071, 0, 9], [[131_071, 0, 9]], id="one character less does not"),
        pytest.param([400_000, 400_000], [[400_000], [400_000]], id="a document is never parted"),
        pytest.param([60_000] * 7, [[60_000] * 3, [60_000] * 3, [60_000]], id="the document that reaches it belongs to it"),
    ],
)
def test_chunks_are_closed_by_the_document_that_fills_them(sizes: list[int], expected: list[list[int]]) -> None:
    chunks = list(of(*("x" * size for size in sizes)).chunks())

    assert [[len(document.text) for document in chunk] for chunk in chunks] == expected
    assert [document.ordinal for chunk in chunks for document in chunk] == list(range(len(sizes)))


def test_chunks_of_the_python_docs_are_the_corpus_in_order() -> None:
    chunks = list(python_docs().chunks())

    assert [document for chunk in chunks for document in chunk] == list(python_docs().read())
    for chunk in chunks[:-1]:
        characters = [len(document.text) for document in chunk]
        assert sum(characters[:-1]) < CHUNK_CHARACTERS <= sum(characters)


def test_two_readers_at_once_get_the_same_chunks() -> None:
    corpus = of(*(f"{i}" * 40_000 for i in range(9)))
    first, second = corpus.chunks(), corpus.chunks()
    next(first)

    interleaved = list(zip(second, first, strict=False))
    whole = list(corpus.chunks())

    assert interleaved == list(zip(whole, whole[1:], strict=False))


def test_hash_knows_where_documents_end() -> None:
    assert len({hashed(of(*documents)) for documents in (("ab", "c"), ("a", "bc"), ("abc",), ("c", "ab"))}) == 4
    assert hashed(of("ab", "c")) == hashed(of("ab", "c")) == hashlib.sha256(b"2 ab1 c").hexdigest()


def test_identity_is_of_the_text_and_64_bits_wide() -> None:
    documents = list(of("one", "two", "one").read())

    assert documents[0].identity == documents[2].identity == int(hashlib.sha256(b"one").hexdigest()[:16], 16)
    assert documents[1].identity != documents[0].identity


def test_text_is_required_up_to_the_first_document_that_holds_any() -> None:
    def until_the_third() -> Iterator[str]:
        yield from ("", " \n", "text")
        raise AssertionError("more was read than needed")

    Corpus("made", "Made", "Made for a test.", until_the_third).require_text()
    with pytest.raises(CorpusError, match="^The corpus 'made' holds no text. Name another one with --corpus.$"):
        of("", " \n").require_text()


def test_documents_of_the_python_docs_are_what_they_were() -> None:
    """Chunks, hashes and the choice of what is held out, spelled out: a finished harvest is found again by them."""
    whole = hashlib.sha256()
    expected, chunk, characters = [], [], 0
    for ordinal, text in enumerate(corpus_module._python_documents()):
        identity = int(hashlib.sha256(text.encode()).hexdigest()[:16], 16)
        chunk.append((ordinal, text, identity, identity < 0.2 * 2**64))
        characters += len(text)
        whole.update(f"{len(text.encode())} ".encode() + text.encode())
        if characters >= 131_072:
            expected.append(chunk)
            chunk, characters = [], 0

    chunks = [[(d.ordinal, d.text, d.identity, d.held_out) for d in chunk] for chunk in python_docs().chunks()]

    assert chunks == [*expected, chunk] and len(chunks) > 10
    assert hashed(python_docs()) == whole.hexdigest()


# Documents that were tokenised before


def tokenised(*ids: tuple[int, ...]) -> Corpus:
    return Corpus("made", "Made", "Made for a test.", lambda: iter(TokenIds(each, f"Record {i}") for i, each in enumerate(ids)))


def test_hash_of_token_ids_is_no_texts_and_knows_where_documents_end() -> None:
    corpora = [tokenised((1, 2)), tokenised((1,), (2,)), tokenised((2, 1)), tokenised((258,)), of("\1\0\0\0\2\0\0\0"), of("1 2")]

    assert len({hashed(corpus) for corpus in corpora}) == len(corpora)
    identities = [next(corpus.read()).identity for corpus in corpora]
    assert len(set(identities)) == len(corpora)
    assert all(0 <= identity < 2**64 for identity in identities)
    assert hashed(tokenised((1, 2))) == hashed(tokenised((1, 2)))


def test_about_a_fifth_of_the_tokenised_documents_is_held_out() -> None:
    documents = list(tokenised(*((i, i + 1) for i in range(2000))).read())

    assert 0.17 < sum(document.held_out for document in documents) / 2000 < 0.23
    assert all(document.held_out == (document.identity / 2**64 < 0.2) for document in documents)


def test_token_of_a_tokenised_document_counts_for_four_characters() -> None:
    sizes = [16_384, 16_383, 1, 1, 32_768, 5]

    chunks = list(tokenised(*((7,) * size for size in sizes)).chunks())

    assert [[len(document.token_ids or ()) for document in chunk] for chunk in chunks] == [[16_384, 16_383, 1], [1, 32_768], [5]]


def test_tokenised_corpus_without_a_token_holds_no_text() -> None:
    with pytest.raises(CorpusError, match="^The corpus 'made' holds no text"):
        list(tokenised((), ()).chunks())
    with pytest.raises(CorpusError, match="^The corpus 'made' holds no text"):
        tokenised(()).require_text()
    tokenised((), (0,)).require_text()


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_tokens_of_a_document_are_its_texts_or_its_own_without_special_ones(kind: str, models: dict[str, Path]) -> None:
    tokenizer = load_tokenizer(str(models[kind]))
    text = tiny.documents(3)[2]
    plain = tokenizer(text, add_special_tokens=False)["input_ids"]
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    around = [end, *tokenizer(text)["input_ids"], end, *plain, end]

    assert Document(0, text, False).tokens(tokenizer) == plain
    assert Document(0, "", False, tuple(around)).tokens(tokenizer) == plain * 2


def test_token_ids_of_another_model_are_refused_with_record_and_value(models: dict[str, Path], tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(models["bert"]))
    known = len(tokenizer)
    rows = [{"input_ids": [known - 1]}, {"input_ids": [5, known, known + 7]}]
    corpus = written(tmp_path, "ids.json", json.dumps(rows))
    good, bad = corpus.read()

    assert good.tokens(tokenizer) == [known - 1]
    message = rf"^Record 2 of '.*ids\.json' holds the token id {known}; the model's go from 0 to {known - 1}\. Give text, or a"
    with pytest.raises(CorpusError, match=message):
        bad.tokens(tokenizer)
    with pytest.raises(CorpusError, match="^Document 3 holds the token id -1; "):
        Document(3, "", False, (-1,)).tokens(tokenizer)


# Files


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzipped"])
@pytest.mark.parametrize("ending", STORED)
def test_file_is_read_in_order(ending: str, zipped: bool, tmp_path: Path) -> None:
    content = STORED[ending].encode("utf-8")

    corpus = written(tmp_path, f"some.text{ending}{'.gz' if zipped else ''}", gzip.compress(content) if zipped else content)

    assert [(document.ordinal, document.text) for document in corpus.read()] == list(enumerate(TEXTS))
    assert texts(corpus) == TEXTS, "a corpus can be read twice"


@pytest.mark.parametrize("character", ["\u2028", "\u0085", "\x1c"], ids=["line separator", "next line", "file separator"])
def test_record_of_jsonl_ends_at_a_newline_only(character: str, tmp_path: Path) -> None:
    text = f"one{character}two"
    # U+001C must be escaped in JSON; the others may stand as they are.
    record = json.dumps({"text": text}, ensure_ascii=character < " ")

    assert texts(written(tmp_path, "a.jsonl", record + "\n" + record)) == [text, text]


def test_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    assert texts(written(tmp_path, "a.jsonl", '{"text": "one"}\r\n{"text": "two"}\r\n')) == ["one", "two"]


def test_every_document_can_be_written_as_utf8(tmp_path: Path) -> None:
    # JSON can spell half of a surrogate pair, which no tokenizer takes.
    documents = texts(written(tmp_path, "a.jsonl", r'{"text": "half of a pair: \ud83d."}'))

    assert documents == ["half of a pair: \N{REPLACEMENT CHARACTER}."]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param(
            "a.txt", bytes(range(1, 256)), r"^Line 2 of '.*' is not text in UTF-8: invalid start byte at byte 117\.$", id="binary"
        ),
        pytest.param("a.txt", b"\0" * 50, r"a\.txt' is not text: it holds a NUL at character 0\.", id="NUL"),
        pytest.param("a.txt.gz", b"not gzipped", r"a\.txt\.gz' is not gzipped \(Not a gzipped file \(b'no'\)\)\.", id="not gzip"),
        pytest.param("a.txt.gz", gzip.compress(b"text" * 99)[:-9], r"' is a broken gzip file \(Compressed", id="truncated gzip"),
        pytest.param("a.jsonl.gz", gzip.compress(b'"text"' * 99)[:-9], r"' is a broken gzip file \(Compressed", id="its lines"),
        pytest.param(
            "a.txt.gz",
            gzip.compress(b"text" * 99)[:10] + b"\xff" * 20,
            r"a\.txt\.gz' is a broken gzip file \(Error -3 while decompressing",
            id="broken gzip",
        ),
        pytest.param(
            "a.jsonl",
            '{"text": "good"}\n\n{"text": ',
            r"^Line 3 of '.*a\.jsonl' is not JSON: Expecting value",
            id="bad JSON line",
        ),
        pytest.param("a.jsonl", b'"good"\n"\xff"', r"^Line 2 of '.*' is not text in UTF-8: invalid start byte", id="binary line"),
        pytest.param(
            "a.txt", b"one\nhalf \xed\xa0\x80", r"^Line 2 of '.*' is not text in UTF-8: .* at byte 5\.$", id="half a pair"
        ),
        pytest.param("a.jsonl", b"\0" * 50, r"^Line 1 of '.*' is not text: it holds a NUL at character 0\.", id="line of NUL"),
        pytest.param("a.json", "[1", r"^Record 1 of '.*a\.json' holds a int; a record is", id="record is a number"),
        pytest.param("a.json", "[tru]", r"^Record 1 of '.*a\.json' is not JSON: Expecting value\.$", id="bad JSON"),
        pytest.param("a.json", '["one", "tw', r"^Record 2 of '.*' is not JSON: Unterminated string", id="JSON that breaks off"),
        pytest.param("a.json", '["one"', r"^Record 1 of '.*' is followed by nothing; a comma comes next", id="no end"),
        pytest.param("a.json", '["one" "two"]', r"^Record 1 of '.*' is followed by '\"'; a comma comes next", id="no comma"),
        pytest.param("a.json", '["one",]', r"^Record 2 of '.*' is not JSON: Expecting value\.$", id="nothing behind a comma"),
        pytest.param("a.json", '["one"] ["two"]', r"a\.json' holds more behind its list; a", id="two lists"),
        pytest.param("a.json", "[]]", r"a\.json' holds more behind its list; a", id="more behind an empty list"),
        pytest.param("a.json", b'["\xff"]', r"a\.json', or one behind it, is not text in UTF-8: invalid start", id="binary JSON"),
        pytest.param("a.json", b'["one", "\xc3', r"is not text in UTF-8: unexpected end of data", id="half a character"),
        pytest.param("a.json", "[" * 100_000, r"a\.json' is not JSON: ", id="endless JSON"),
        pytest.param("a.json", "[" + "1" * 5000 + "]", r"^Record 1 of '.*' is not JSON: Exceeds the limit", id="endless number"),
        pytest.param("a.json", '{"text": ["one", "two"]}', r"a\.json' begins with '\{'; a \.json corpus is", id="JSON object"),
        pytest.param("a.json", '"abc"', r"a\.json' begins with '\"'; a", id="JSON string"),
        pytest.param("a.json", "3", r"a\.json' begins with '3'; a", id="JSON number"),
        pytest.param("a.json", "null", r"a\.json' begins with 'n'; a", id="JSON null"),
        pytest.param("a.json", " \n", r"a\.json' is empty; a \.json corpus is a list of records", id="empty JSON"),
        pytest.param(
            "a.jsonl",
            '{"text": "good"}\n{"body": "bad", "id": 1}',
            r"^Line 2 of '.*a\.jsonl' has no column text, input_ids or tokens; it has body, id\.$",
            id="no text column",
        ),
        pytest.param("a.jsonl", "{}", r"^Line 1 of '.*a\.jsonl' has no column text, .*; it has none\.$", id="no column"),
        pytest.param(
            "a.jsonl", '"good"\n{"text": null}', r"^Line 2 of '.*' has a text column that holds null, not text\.$", id="null"
        ),
        pytest.param(
            "a.json", '["good", {"text": 3}]', r"^Record 2 of '.*' has a text column that holds int, not text\.$", id="number"
        ),
        pytest.param("a.jsonl", "[1, 2]", r"^Line 1 of '.*a\.jsonl' holds a list; a record is a text, or", id="record is a list"),
        pytest.param("a.txt", "", r"The corpus 'a\.txt' holds no text", id="empty file"),
        pytest.param("a.json", "[]", r"The corpus 'a\.json' holds no text", id="no records"),
        pytest.param("a.jsonl", '{"text": " "}\n{"text": ""}', r"The corpus 'a\.jsonl' holds no text", id="blank records"),
    ],
)
def test_file_that_cannot_be_read_is_refused(name: str, content: str | bytes, message: str, tmp_path: Path) -> None:
    corpus = written(tmp_path, name, content)

    with pytest.raises(CorpusError, match=message):
        list(corpus.chunks())


def test_lines_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    corpus = written(tmp_path, "a.jsonl", '{"text": "good"}\nbad')

    assert next(corpus.read()).text == "good"


def test_windows_line_ends_part_the_blocks_of_a_text_too(tmp_path: Path) -> None:
    assert texts(written(tmp_path, "a.txt", "one\r\ntwo\r\n\r\n\r\nthree")) == ["one\ntwo", "three"]


@pytest.mark.parametrize(
    ("name", "found"),
    [("a.pdf", r"\.pdf"), ("a.tar.gz", r"\.tar"), ("plain", "file without an ending"), ("plain.gz", "file without an ending")],
)
def test_unknown_ending_is_refused(name: str, found: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=rf"' is a {found}; a corpus file is \.txt, \.json, \.jsonl or \.parquet\.$"):
        written(tmp_path, name, "text")


def test_folder_is_its_corpus_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "my texts"
    folder.mkdir()
    written(folder, "c.txt", "three")
    written(folder, "a.jsonl.gz", gzip.compress(b'"one"\n"two"'))
    written(folder, "d.json", '["four"]')
    (folder / "README.md").write_text("Not a text of the corpus.")
    (folder / "._c.txt").write_bytes(b"\0\5\26\7 what one system keeps of a file beside it")
    (folder / "b.txt").mkdir()

    corpus = load_corpus(str(folder))

    assert [(document.ordinal, document.text) for document in corpus.read()] == list(enumerate(["one", "two", "three", "four"]))
    assert (corpus.name, corpus.description) == ("my texts", "The documents of 3 files in my texts.")
    written(folder, "c.txt", b"\xff")
    with pytest.raises(CorpusError, match=r"^Line 1 of '.*my texts.c\.txt' is not text"):
        texts(corpus)


def test_folder_without_a_corpus_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("text")

    with pytest.raises(CorpusError, match=r"' holds no corpus file; give one with \.txt, \.json, \.jsonl or \.parquet files\.$"):
        load_corpus(str(tmp_path))


@pytest.mark.parametrize(
    "source", ["nowhere.txt", "python-doc", "some/where/missing.jsonl", "a/b.parquet", "/some/where", "a/b/c/d"]
)
def test_missing_corpus_is_refused(source: str) -> None:
    with pytest.raises(
        CorpusError, match=rf"No corpus at '{source}'\. Give a \.txt, \.json, \.jsonl or \.parquet file, a folder"
    ):
        load_corpus(source)


def test_unreachable_data_set_is_refused_before_it_is_read() -> None:
    with pytest.raises(CorpusError, match="The data set 'nobody/nothing:train' cannot be loaded: "):
        load_corpus("nobody/nothing:train")


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def asked_for_commit(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None, str | None]]:
    """The name, configuration and revision of each data set whose commit was asked for."""
    asked: list[tuple[str, str | None, str | None]] = []

    def commit(*given: str | None) -> str:
        asked.append(given)  # type: ignore[arg-type]
        return COMMIT

    monkeypatch.setattr("atlas.activations.hub.commit", commit)
    return asked


def test_data_set_is_read_at_the_commit_that_its_provenance_names(
    asked_for_commit: list[tuple[str, str | None, str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str | None] = []

    def streamed(name: str, config: str | None, split: str, revision: str | None) -> Iterator[dict[str, str]]:
        read.append(revision)
        yield {"text": "One."}

    monkeypatch.setattr("atlas.activations.hub.streamed", streamed)

    corpus = load_corpus("owner/name/config:test@main")
    corpus.require_text()
    list(corpus.read())

    assert corpus.origin() == {"revision": COMMIT} and read == [COMMIT, COMMIT]
    assert asked_for_commit == [("owner/name", "config", "main")]


@pytest.mark.usefixtures("asked_for_commit")
def test_data_set_is_read_as_far_as_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None, str, str | None]] = []

    def streamed(name: str, config: str | None, split: str, revision: str | None) -> Iterator[dict[str, str | None]]:
        asked.append((name, config, split, revision))
        yield {"text": "One."}
        yield {"text": None}

    monkeypatch.setattr("atlas.activations.hub.streamed", streamed)
    documents = load_corpus("owner/name:test").read()

    assert next(documents).text == "One."
    message = r"^Record 2 of the data set 'owner/name:test' has a text column that holds null, not text\.$"
    with pytest.raises(CorpusError, match=message):
        next(documents)
    assert asked == [("owner/name", None, "test", COMMIT)]


@pytest.mark.usefixtures("asked_for_commit")
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("owner/name", ("owner/name", None, "train")),
        ("owner/name-1.0/20231101.en", ("owner/name-1.0", "20231101.en", "train")),
        ("owner/na.me/config:validation", ("owner/na.me", "config", "validation")),
    ],
)
def test_data_set_is_named_with_its_configuration_and_split(
    source: str, expected: tuple[str, str | None, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None, str]] = []

    def streamed(name: str, config: str | None, split: str, revision: str | None) -> Iterator[dict[str, list[int]]]:
        asked.append((name, config, split))
        yield {"tokens": [3, 4]}

    monkeypatch.setattr("atlas.activations.hub.streamed", streamed)
    corpus = load_corpus(source)

    assert [document.token_ids for document in corpus.read()] == [(3, 4)]
    assert (asked, corpus.name) == ([expected], source)


@pytest.mark.usefixtures("asked_for_commit")
def test_data_set_without_a_column_of_text_says_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def streamed(*_: object, **__: object) -> Iterator[dict[str, str]]:
        yield {"content": "One.", "url": "somewhere"}

    monkeypatch.setattr("atlas.activations.hub.streamed", streamed)

    message = r"^Record 1 of the data set 'owner/name' has no column text, input_ids or tokens; it has content, url\.$"
    with pytest.raises(CorpusError, match=message):
        load_corpus("owner/name").require_text()


@pytest.mark.usefixtures("asked_for_commit")
def test_data_set_that_breaks_off_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def streamed(*_: object, **__: object) -> Iterator[dict[str, str]]:
        yield {"text": "One."}
        raise RuntimeError("The connection is lost.\nHere is more about it.")

    monkeypatch.setattr("atlas.activations.hub.streamed", streamed)

    message = "^The data set 'owner/name' cannot be loaded: RuntimeError: The connection is lost.$"
    with pytest.raises(CorpusError, match=message):
        list(load_corpus("owner/name").read())
