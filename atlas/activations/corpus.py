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
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

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
            place = hashlib.sha256(text.encode()).digest()[:8]
            yield Document(ordinal, text, int.from_bytes(place, "big") / 2**64 < HELD_OUT_SHARE)

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
            raise CorpusError(f"The corpus '{self.name}' holds no text.")

    def sha256(self) -> str:
        """Return a hash of every document in order."""
        digest = hashlib.sha256()
        for document in self.read():
            text = document.text.encode()
            digest.update(b"%d " % len(text))
            digest.update(text)
        return digest.hexdigest()


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
    if kind not in (".txt", ".jsonl", ".json"):
        raise CorpusError(f"'{path}' is a {kind or 'file without an ending'}; a corpus file is .txt, .jsonl or .json.")

    def raw() -> str:
        try:
            stored = path.read_bytes()
            return (gzip.decompress(stored) if path.suffix == ".gz" else stored).decode("utf-8-sig")
        except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
            raise CorpusError(f"'{path}' cannot be read as UTF-8 text: {error}.") from error

    return Corpus(
        name=path.name, title=path.name, description=f"The documents of {path.name}.", texts=lambda: _texts(raw(), kind, path)
    )


def _texts(raw: str, kind: str, path: Path) -> Iterator[str]:
    """Yield documents: blocks of a .txt set apart by two blank lines, `text` of each record of a .jsonl or .json."""
    if kind == ".txt":
        yield from (block for block in raw.split("\n\n\n") if block.strip())
        return
    try:
        records = [json.loads(line) for line in raw.split("\n") if line.strip()] if kind == ".jsonl" else json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"'{path}' is not {kind[1:]}: {error}.") from error
    if not isinstance(records, list):
        raise CorpusError(f"'{path}' holds a {type(records).__name__}; a .json corpus is a list of records with a text column.")
    for index, record in enumerate(records):
        text = record if isinstance(record, str) else record.get("text") if isinstance(record, dict) else None
        if not isinstance(text, str):
            columns = ", ".join(record) if isinstance(record, dict) else type(record).__name__
            raise CorpusError(f"Record {index} of '{path}' has no text column; it has {columns}.")
        yield text


def _hub(source: str) -> Corpus:
    name, _, split = source.partition(":")

    def texts() -> Iterator[str]:
        from datasets import load_dataset

        try:
            records = load_dataset(name, split=split or "train", streaming=True)
        except Exception as error:  # datasets raises a dozen unrelated classes for "not found" and "no network"
            raise CorpusError(f"The data set '{source}' cannot be loaded: {type(error).__name__}: {error}.") from error
        for record in records:
            if "text" not in record:
                raise CorpusError(f"The data set '{source}' has no text column; it has {', '.join(record)}.")
            yield record["text"]

    return Corpus(name=source, title=name, description=f"The data set {source}.", texts=texts)
