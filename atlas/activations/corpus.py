"""Text: documents in a fixed order, and the chunks that work on them is cut into.

A chunk is whole documents in corpus order, closed by the document that brings it to `CHUNK_CHARACTERS`. It is counted in
characters so that one shard need not tokenise what belongs to another, and it never depends on who asks.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import inspect
import json
import sys
import sysconfig
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

from atlas.errors import CorpusError

CHUNK_CHARACTERS = 131_072
"""Characters that close a chunk: about 256 windows."""

HELD_OUT_SHARE = 0.2
"""Share of a corpus' documents, chosen by a hash of their text, that no dictionary is trained on."""

PYTHON_DOCS = "python-docs"


class Document(NamedTuple):
    """A text with its place in the corpus."""

    ordinal: int
    """From 0, in corpus order."""
    text: str
    held_out: bool
    """It belongs to the fifth of the corpus that a dictionary trained here never sees."""

    @property
    def identity(self) -> int:
        """A 64-bit hash of the text: documents of equal text are one document."""
        return _identity(self.text)


class TextHash:
    """A hash of documents in order."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, document: Document) -> None:
        """Go on with the next document."""
        text = document.text.encode()
        self._digest.update(b"%d " % len(text))
        self._digest.update(text)

    def sha256(self) -> str:
        """Return the hash of all documents so far."""
        return self._digest.hexdigest()


@dataclass(frozen=True)
class Corpus:
    """Documents in a fixed order, read anew each time they are asked for."""

    name: str
    title: str
    description: str
    texts: Callable[[], Iterator[str]]

    def read(self) -> Iterator[Document]:
        """Yield the documents in order."""
        for ordinal, raw in enumerate(self.texts()):
            # JSON can spell half of a surrogate pair, which no tokenizer takes.
            text = raw.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            yield Document(ordinal, text, _identity(text) / 2**64 < HELD_OUT_SHARE)

    def chunks(self) -> Iterator[list[Document]]:
        """Yield the corpus as chunks; the last one may be short.

        Raises:
            CorpusError: there is no text in it.
        """
        chunk: list[Document] = []
        characters = 0
        empty = True
        for document in self.read():
            chunk.append(document)
            characters += len(document.text)
            empty = empty and not document.text.strip()
            if characters >= CHUNK_CHARACTERS:
                yield chunk
                chunk, characters = [], 0
        if chunk:
            yield chunk
        if empty:
            self._refuse_silence()

    def require_text(self) -> None:
        """Read up to the first document that holds text.

        Raises:
            CorpusError: there is none, or what comes before it cannot be read.
        """
        if not any(document.text.strip() for document in self.read()):
            self._refuse_silence()

    def _refuse_silence(self) -> NoReturn:
        raise CorpusError(f"The corpus '{self.name}' holds no text. Name another one with --corpus.")


def _identity(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def load_corpus(source: str) -> Corpus:
    """Return the corpus that `source` names: `python-docs`, a .txt, .jsonl or .json file (either may be gzipped), or a data
    set's hub id with an optional split (`owner/name:train`).

    Raises:
        CorpusError: nothing of that name can be read.
    """
    if source == PYTHON_DOCS:
        return python_docs()
    path = Path(source)
    if path.is_file():
        return _file(path)
    if path.exists():
        raise CorpusError(f"'{source}' is a folder; a corpus is a file, a data set's id, or '{PYTHON_DOCS}'.")
    if "/" in source and not path.suffix:
        return _hub(source)
    raise CorpusError(f"No corpus at '{source}'. Give a .txt, .jsonl or .json file, a data set's id, or '{PYTHON_DOCS}'.")


def python_docs() -> Corpus:
    """Return the English that every Python carries: the language reference's topics and the standard library's docstrings.

    One document is a topic, or a module's docstrings joined; docstrings that repeat an earlier one are left out.
    """
    version = ".".join(map(str, sys.version_info[:3]))
    return Corpus(
        name=PYTHON_DOCS,
        title=f"Python {version} documentation",
        description="The topics of Python's language reference and the docstrings of its standard library.",
        texts=lambda: iter(_python_documents()),
    )


@cache
def _python_documents() -> list[str]:
    """Return each topic, then each module of the standard library, parsed and never imported."""
    from pydoc_data.topics import topics

    documents = list(dict.fromkeys(topics[name].strip() for name in sorted(topics)))
    seen = set(documents)
    library = Path(sysconfig.get_path("stdlib"))
    skipped = {"test", "tests", "idlelib", "lib2to3", "site-packages", "pydoc_data", "turtledemo", "__pycache__"}
    for path in sorted(library.rglob("*.py"), key=lambda path: path.relative_to(library).parts):
        parts = path.relative_to(library).parts
        if skipped.intersection(parts) or parts[0].startswith(("config-", "lib-")):
            continue
        fresh = list(dict.fromkeys(text for text in _docstrings(path) if text not in seen))
        seen.update(fresh)
        if fresh:
            documents.append("\n\n".join(fresh))
    return documents


def _docstrings(path: Path) -> list[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:  # a distribution may carry templates that are not Python
        return []
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, owners))
    return [text for raw in found if raw and len(text := inspect.cleandoc(raw)) > 40]


def _file(path: Path) -> Corpus:
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    readers = {".txt": _blocks, ".jsonl": _lines, ".json": _listed}
    if kind not in readers:
        raise CorpusError(f"'{path}' is a {kind or 'file without an ending'}; a corpus file is .txt, .jsonl or .json.")
    return Corpus(
        name=path.name, title=path.name, description=f"The documents of {path.name}.", texts=lambda: readers[kind](path)
    )


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Give a file's bytes, unpacked.

    Raises:
        CorpusError: it cannot be read, or is not gzipped as its name says.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            yield file  # type: ignore[misc]
    except gzip.BadGzipFile as error:
        raise CorpusError(f"'{path}' is not gzipped ({error}). Name it without .gz, or compress it.") from error
    except (EOFError, zlib.error) as error:
        raise CorpusError(f"'{path}' is a broken gzip file ({error}). Fetch or compress it again.") from error
    except OSError as error:
        raise CorpusError(f"'{path}' cannot be read: {error.strerror or error}.") from error


def _read(path: Path) -> str:
    """Return a whole file's text."""
    with _opened(path) as file:
        return _decoded(file.read(), f"'{path}'", "utf-8-sig")


def _decoded(stored: bytes, where: str, encoding: str) -> str:
    """Return bytes as text.

    Raises:
        CorpusError: they are not UTF-8, or hold NUL, which no text does.
    """
    try:
        text = stored.decode(encoding)
    except UnicodeDecodeError as error:
        raise CorpusError(f"{where} is not text in UTF-8: {error.reason} at byte {error.start}.") from error
    if "\0" in text:
        raise CorpusError(f"{where} is not text: it holds a NUL at character {text.index(chr(0))}.")
    return text


def _blocks(path: Path) -> Iterator[str]:
    """Yield the blocks of a .txt that two blank lines set apart."""
    yield from (block for block in _read(path).replace("\r\n", "\n").split("\n\n\n") if block.strip())


def _lines(path: Path) -> Iterator[str]:
    """Yield the text of each line of a .jsonl, read as it is asked for: such a file may be huge."""
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            where = f"Line {number} of '{path}'"
            stored = _decoded(line, where, "utf-8-sig" if number == 1 else "utf-8")
            if stored.strip():
                yield _text(_json(stored, where), where)


def _listed(path: Path) -> Iterator[str]:
    """Yield the text of each record of the list that a .json is."""
    records = _json(_read(path), f"'{path}'")
    if not isinstance(records, list):
        raise CorpusError(f"'{path}' holds a {type(records).__name__}; a .json corpus is a list of records with a text column.")
    for number, record in enumerate(records, start=1):
        yield _text(record, f"Record {number} of '{path}'")


def _json(stored: str, where: str) -> Any:
    try:
        return json.loads(stored)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{where} is not JSON: {error}.") from error


def _text(record: Any, where: str) -> str:
    """Return a record's text: itself, or its text column.

    Raises:
        CorpusError: it has none.
    """
    if isinstance(record, str):
        return record
    if not isinstance(record, dict):
        raise CorpusError(f"{where} holds a {type(record).__name__}; a record is a text, or an object with a text column.")
    if "text" not in record:
        raise CorpusError(f"{where} has no text column; it has {', '.join(record) or 'no column'}.")
    text = record["text"]
    if not isinstance(text, str):
        raise CorpusError(f"{where} has a text column that holds {'null' if text is None else type(text).__name__}, not text.")
    return text


def _hub(source: str) -> Corpus:
    name, _, split = source.partition(":")

    def records() -> Iterator[Any]:
        from datasets import load_dataset

        try:
            yield from load_dataset(name, split=split or "train", streaming=True)
        except Exception as error:  # datasets raises a dozen unrelated classes for "not found" and "no network"
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CorpusError(f"The data set '{source}' cannot be loaded: {type(error).__name__}: {reason}") from error

    def texts() -> Iterator[str]:
        for number, record in enumerate(records(), start=1):
            yield _text(record, f"Record {number} of the data set '{source}'")

    return Corpus(name=source, title=name, description=f"The data set {source}.", texts=texts)
