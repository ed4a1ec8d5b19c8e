"""Text: documents in a fixed order, and the chunks that work on them is cut into.

A chunk is whole documents in corpus order, closed by the document that brings it to `CHUNK_CHARACTERS` or
`CHUNK_DOCUMENTS`. It is counted in
characters so that one shard need not tokenise what belongs to another, and it never depends on who asks.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from atlas.activations import hub
from atlas.activations.model import Specials
from atlas.activations.records import READERS, TokenIds, file_kind, file_records, record
from atlas.errors import CorpusError
from atlas.origins import hashed

CHUNK_CHARACTERS = 131_072
"""Characters that close a chunk: about 256 windows."""

CHUNK_DOCUMENTS = 4_096
"""Documents that close one, however short they are: what is known of each document is held for as long as its chunk."""

TOKEN_CHARACTERS = 4
"""Characters that a token of a pre-tokenised document counts for."""

HELD_OUT_SHARE = 0.2
"""Share of a corpus' documents, chosen by a hash of their text, that no dictionary is trained on."""

PYTHON_DOCS = "python-docs"


class Document(NamedTuple):
    """A text with its place in the corpus."""

    ordinal: int
    """From 0, in corpus order."""
    text: str
    """Empty where the document came as token ids."""
    held_out: bool
    """It belongs to the fifth of the corpus that a dictionary trained here never sees."""
    token_ids: tuple[int, ...] | None = None
    """Of a document that was tokenised before, as they are stored, special tokens included."""
    where: str = ""
    """Number and file of such a record, as errors name it."""
    file: int = 0
    """Which of the corpus' files it is in, from 0."""

    @property
    def identity(self) -> int:
        """A 64-bit hash of the text or token ids: documents of equal text are one document."""
        # No text in UTF-8 holds the byte 255, so that no text has the hash of token ids.
        content = self.text.encode() if self.token_ids is None else b"\xff" + _bytes(self.token_ids)
        return int.from_bytes(hashlib.sha256(content).digest()[:8], "big")

    @property
    def characters(self) -> int:
        """How long it is, in characters; a token id counts for four."""
        return len(self.text) if self.token_ids is None else TOKEN_CHARACTERS * len(self.token_ids)

    @property
    def is_blank(self) -> bool:
        """Whether nothing is in it."""
        return not (self.text.strip() or self.token_ids)

    def tokens(self, tokenizer: Any) -> list[int]:
        """Return the ids of its tokens, without special tokens around them.

        A document that was tokenised before carries them; the special tokens among them are left out, wherever they stand.

        Raises:
            CorpusError: the tokenizer has no such id.
        """
        if self.token_ids is None:
            # verbose: no warning about documents longer than the model's context, which is why there are windows
            found: list[int] = tokenizer.encode(self.text, add_special_tokens=False, verbose=False)
            return found
        known = len(tokenizer)
        if unknown := [token for token in self.token_ids if not 0 <= token < known]:
            where = self.where or f"Document {self.ordinal}"
            raise CorpusError(
                f"{where} holds the token id {unknown[0]}; the model's go from 0 to {known - 1}. Give text, or a corpus that was "
                "tokenised for this model."
            )
        specials = Specials(tokenizer).ids
        return [token for token in self.token_ids if token not in specials]


class TextHash:
    """A hash of documents in order."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, document: Document) -> None:
        """Go on with the next document."""
        if document.token_ids is None:
            content = document.text.encode()
            self._digest.update(b"%d " % len(content))
        else:
            content = _bytes(document.token_ids)
            self._digest.update(b"ids %d " % len(content))
        self._digest.update(content)

    def sha256(self) -> str:
        """Return the hash of all documents so far."""
        return self._digest.hexdigest()


@dataclass(frozen=True)
class Corpus:
    """Documents in a fixed order, read anew each time they are asked for."""

    name: str
    title: str
    description: str
    records: Callable[[], Iterator[str | TokenIds]] | None = None
    """One a document; None where they are in files."""
    files: tuple[Path, ...] = ()
    """In the order in which they are read."""
    revision: str | None = None
    """The hub's commit of a data set, at which it is read."""

    def read(self) -> Iterator[Document]:
        """Yield the documents in order."""
        for ordinal, (file, found) in enumerate(self._records()):
            if isinstance(found, TokenIds):
                document = Document(ordinal, "", False, found.ids, found.where, file)
            else:
                # JSON can spell half of a surrogate pair, which no tokenizer takes.
                text = found.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
                document = Document(ordinal, text, False, file=file)
            yield document._replace(held_out=document.identity / 2**64 < HELD_OUT_SHARE)

    def _records(self) -> Iterator[tuple[int, str | TokenIds]]:
        """Yield the records, each with the number of its file."""
        if self.records is not None:
            yield from ((0, found) for found in self.records())
        for number, path in enumerate(self.files):
            yield from ((number, found) for found in file_records(path))

    def origin(self, files: int | None = None) -> dict[str, Any]:
        """Return what brings the text back: the sha256 of its first `files` files (all for None) by name, or the hub's commit.

        Raises:
            OriginMissing: a file cannot be read any more.
        """
        if not self.files:
            return {"revision": self.revision} if self.revision else {}
        return {"files": hashed(self.files[:files])}

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
            characters += document.characters
            empty = empty and document.is_blank
            if characters >= CHUNK_CHARACTERS or len(chunk) >= CHUNK_DOCUMENTS:
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
        if all(document.is_blank for document in self.read()):
            self._refuse_silence()

    def _refuse_silence(self) -> NoReturn:
        raise CorpusError(f"The corpus '{self.name}' holds no text. Name another one with --corpus.")


def _bytes(token_ids: tuple[int, ...]) -> bytes:
    return np.array(token_ids, dtype="<i4").tobytes()


HUB_ID = re.compile(r"(?P<name>\w[\w.-]*/\w[\w.-]*)(/(?P<config>\w[\w.-]*))?(:(?P<split>[^@]+))?(@(?P<revision>[^@]+))?")
"""Of a data set: `owner/name`, `owner/name/config`, and either with `:split` and with `@revision`."""


def load_corpus(source: str) -> Corpus:
    """Return the corpus that `source` names: `python-docs`, a file, a folder of files, or a data set's hub id with an optional
    configuration, split and revision (`owner/name/config:train@main`).

    A file is .txt, .json or .jsonl, each also as .gz or .zst, or .parquet. A record is a text, or has a column `text`, or one of
    token ids, `input_ids` or `tokens`: then it is one document, and its windows are cut anew.

    A data set is read at the commit that its revision is of now, however often and for how long it is read.

    Raises:
        CorpusError: nothing of that name can be read.
    """
    if source == PYTHON_DOCS:
        return python_docs()
    path = Path(source)
    if path.is_file():
        return _file(path)
    if path.is_dir():
        return _folder(path)
    named = HUB_ID.fullmatch(source)
    if named and file_kind(path) not in READERS:
        return _hub(source, named["name"], named["config"], named["split"] or "train", named["revision"])
    raise CorpusError(
        f"No corpus at '{source}'. Give a {_endings()} file, a folder of them, a data set's id, or '{PYTHON_DOCS}'."
    )


def _endings() -> str:
    *first, last = READERS
    return f"{', '.join(first)} or {last}"


def python_docs() -> Corpus:
    """Return the English that every Python carries: the language reference's topics and the standard library's docstrings.

    One document is a topic, or a module's docstrings joined; docstrings that repeat an earlier one are left out.
    """
    version = ".".join(map(str, sys.version_info[:3]))
    return Corpus(
        name=PYTHON_DOCS,
        title=f"Python {version} documentation",
        description="The topics of Python's language reference and the docstrings of its standard library.",
        records=lambda: iter(_python_documents()),
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
    kind = file_kind(path)
    if kind not in READERS:
        raise CorpusError(f"'{path}' is a {kind or 'file without an ending'}; a corpus file is {_endings()}.")
    _require_text(path.name)
    return Corpus(path.name, path.name, f"The documents of {path.name}.", files=(path,))


def _folder(folder: Path) -> Corpus:
    """Return the documents of a folder's files in the order of their names; hidden and other files are passed over."""
    try:
        found = (path for path in folder.iterdir() if file_kind(path) in READERS and not path.name.startswith("."))
        paths = sorted(path for path in found if path.is_file())
    except OSError as error:
        raise CorpusError(f"'{folder}' cannot be read: {error.strerror}.") from error
    if not paths:
        raise CorpusError(f"The folder '{folder}' holds no corpus file; give one with {_endings()} files.")
    name = folder.resolve().name
    _require_text(name, *(path.name for path in paths))
    files = f"{len(paths)} file{'s' if len(paths) != 1 else ''}"
    return Corpus(name, name, f"The documents of {files} in {name}.", files=tuple(paths))


def _require_text(*names: str) -> None:
    """Raise CorpusError unless all names, which tables and pages have, are text: a file system takes any bytes."""
    for name in names:
        if re.search("[\ud800-\udfff]", name):
            raise CorpusError(f"The name '{name.encode('unicode_escape').decode()}' is not text in UTF-8. Rename it.")


def _hub(source: str, name: str, config: str | None, split: str, revision: str | None) -> Corpus:
    @contextmanager
    def loading() -> Iterator[None]:
        try:
            yield
        except Exception as error:  # datasets raises a dozen unrelated classes for "not found" and "no network"
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CorpusError(f"The data set '{source}' cannot be loaded: {type(error).__name__}: {reason}") from error

    def rows() -> Iterator[Any]:
        with loading():
            yield from hub.streamed(name, config, split, commit)

    def records() -> Iterator[str | TokenIds]:
        for number, row in enumerate(rows(), start=1):
            yield record(row, f"Record {number} of the data set '{source}'")

    with loading():
        commit = hub.commit(name, config, revision)
    # The same data set under whatever name its revision goes by; which it was, provenance says.
    whole = source.partition("@")[0]
    return Corpus(whole, name, f"The data set {whole}.", records, revision=commit)
