"""What is spoiled, and how Atlas is made to read it: a subject has sound originals, a way to spoil them, and a reading."""

from __future__ import annotations

import gzip
import io
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from click.testing import CliRunner
from mutations import (
    spoil_database,
    spoiled_bytes,
    spoiled_json,
    spoiled_lines,
    spoiled_row,
    spoiled_safetensors,
    spoiled_text,
    spoiled_toml,
)

import tiny
from atlas.activations.corpus import load_corpus
from atlas.activations.model import load_tokenizer
from atlas.bake.about import about_html
from atlas.bake.baking import bake
from atlas.dictionary import Checkpoint
from atlas.dictionary.checkpoint import save_unfolded
from atlas.dictionary.diagnosis import stated_k
from atlas.dictionary.normalisation import Normalisation
from atlas.dictionary.training_log import read_log
from atlas.errors import AtlasError
from atlas.publish.headers import Headers, config_path
from atlas.sealed import write_arrays
from pipelines.cli import main
from synthetic import Size, write_synthetic

ATLAS_SIZE = Size(experts=20, windows=6, window_tokens=16, points=30, logged_steps=5)
LONGEST_REFUSAL = 3_000
"""Characters, with what a command puts around them."""


class Fault(Exception):
    """A spoiled input that is neither right nor refused by name."""


class Refused(Exception):
    """An input that was refused as it should be, with the line that says so."""


def require_refusal(line: str) -> None:
    """Raise Fault unless a refusal is one line that says something."""
    if not line.strip() or len(line) > LONGEST_REFUSAL or len(line.splitlines()) != 1:
        raise Fault(f"a refusal of {len(line):,} characters: {line[:300]!r}")


def command(*arguments: str | Path) -> str:
    """Run a command in this process and return what it prints.

    Raises:
        Refused: it ends with one line and the exit code 1.
        Fault: it ends in any other way but well.
    """
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code == 0:
        return result.stdout
    said = [line for line in result.stderr.split("\n") if line.startswith("Error:")]
    if result.exit_code != 1 or len(said) != 1 or not result.stderr.endswith(said[0] + "\n"):
        raise Fault(f"exit code {result.exit_code}, on stderr: {result.stderr[-300:]!r}")
    require_refusal(said[0])
    if strange := [character for character in said[0] if not character.isprintable()]:
        raise Fault(f"a refusal that shows a terminal {strange[0]!r}: {said[0][:300]!r}")
    raise Refused(said[0])


@contextmanager
def refusals() -> Iterator[None]:
    """Turn an AtlasError of the library into Refused."""
    try:
        yield
    except AtlasError as error:
        require_refusal(str(error))
        raise Refused(str(error)) from error


class Subject(ABC):
    """One kind of input. `folder` of a case holds all that a reading needs, so that a case can be read again."""

    name: str

    def __init__(self, originals: Path) -> None:
        self.originals = originals / self.name
        if not self.originals.is_dir():
            made = self.originals.with_name(f"{self.name}.part")
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir(parents=True)
            self.make(made)
            made.rename(self.originals)

    @abstractmethod
    def make(self, folder: Path) -> None:
        """Write the sound originals."""

    @abstractmethod
    def spoil(self, random: Random, folder: Path) -> None:
        """Write a spoiled copy into the folder of a case."""

    @abstractmethod
    def read(self, folder: Path) -> None:
        """Have Atlas read a case. It returns if the input was taken, raises Refused, or anything else, which is a fault."""

    def copied(self, folder: Path) -> None:
        """Copy the originals into the folder of a case."""
        shutil.copytree(self.originals, folder, dirs_exist_ok=True)


class CheckpointFolder(Subject):
    """A dictionary, folded or under training."""

    name = "checkpoint"

    def make(self, folder: Path) -> None:
        metadata = {"model_name": "gpt2", "hook_name": "transformer.h.1", "context_size": 48, "atlas_training": {"steps": 3}}
        tiny.checkpoint(folder / "folded", metadata)
        unfolded = tiny.dictionary()
        scaled = type(unfolded)(unfolded.config, unfolded.weights, 0.6, Normalisation("expected_average_only_in", 0.5))
        save_unfolded(scaled, folder / "unfolded", torch.zeros(unfolded.n_experts, dtype=torch.int64), {}, metadata)
        counts = {"counts": np.arange(40), "documents": np.arange(9, dtype=np.int64)}
        for form in ("folded", "unfolded"):
            write_arrays(folder / form / "trained_on.safetensors", counts)
            _written(folder / form / "runner_cfg.json", json.dumps({"sae": {"k_experts": 4}}))
            log = [{"step": step, "loss": 1 / (step + 1)} for step in range(5)]
            _written(folder / form / "training_log.jsonl", "".join(json.dumps(line) + "\n" for line in log))

    def spoil(self, random: Random, folder: Path) -> None:
        chosen = folder / "checkpoint"
        shutil.copytree(self.originals / random.choice(("folded", "unfolded")), chosen)
        for _ in range(random.choice((1, 1, 2))):
            path = random.choice(sorted(chosen.iterdir()))
            if path.suffix == ".jsonl":
                path.write_bytes(spoiled_lines(random, path.read_text(encoding="utf-8", errors="replace"), spoiled_json))
            elif path.suffix == ".json":
                path.write_bytes(spoiled_json(random, path.read_text(encoding="utf-8", errors="replace")))
            else:
                path.write_bytes(spoiled_safetensors(random, path.read_bytes()))
        if random.random() < 0.03:
            random.choice(sorted(chosen.iterdir())).unlink()

    def read(self, folder: Path) -> None:
        printed = refused = None
        try:
            printed = command("inspect", "--json", folder / "checkpoint")
        except Refused as error:
            refused = error
        if printed is not None:
            json.loads(printed)
        with refusals():
            checkpoint = Checkpoint.load(folder / "checkpoint")
            stated_k(checkpoint)
            read_log(checkpoint.path)
            smixae = checkpoint.smixae
            rows = torch.linspace(-1, 1, 3 * smixae.config.d_in).reshape(3, -1)
            smixae.encode(rows)
        if refused is not None:
            raise refused


MOODS = "text,label,forum,loudness\n" + "".join(
    f'"{words} {number} today, {mood} as ever",{mood},{forum},{loud}\n'
    for number, (words, forum, loud) in enumerate(
        [("we came", "letters", 3), ("it rained", "chat", 8), ("they left", "notes", 4), ("she sang", "calls", 1)] * 3
    )
    for mood in ("angry", "sad", "happy")
)
MOODS_TOML = """title = "Tone of voice"
description = "What was heard."
family = "tone"
cyclic = false
text = "text"
label = "label"
group = "forum"
labels = ["angry", "sad", "happy"]
values = [1.0, 2.0, 4.5]
colours = ["#cc0000", "#1a6fcc", "#e6c800"]
position = "label"
needs = ["case"]
natural_mentions = true

[[hypotheses]]
name = "pleasant"
title = "Pleasant or not"
kind = "classes"
classes = { unpleasant = ["angry", "sad"], pleasant = ["happy"] }

[[hypotheses]]
name = "loudness"
kind = "linear"
columns = ["loudness"]

[[hypotheses]]
name = "circle"
kind = "ring"
period = 3
"""
TEMPLATES_TOML = """name = "sizes"
title = "Sizes"
family = "size"
description = "Three sizes."
cyclic = false
labels = ["small", "middle", "large"]

[[hypotheses]]
name = "linear"
title = "Linear"
kind = "linear"

[[templates]]
group = "a"
text = "It is {label}."

[[templates]]
group = "b"
text = "They have a {label} one."

[[templates]]
group = "c"
text = "The {label} door."
"""


class TaskFile(Subject):
    """A user's task: a table in one of its forms, with or without a TOML file, a matrix, or templates."""

    name = "task"

    def make(self, folder: Path) -> None:
        lines = [dict(zip(MOODS.split("\n")[0].split(","), row, strict=True)) for row in _rows(MOODS)]
        jsonl = "".join(json.dumps(row) + "\n" for row in lines)
        numbers = "cell,donor\n" + "".join(f"{'tb'[at % 2]} cell,d{at % 5}\n" for at in range(30))
        for form, text in {"csv": MOODS, "tsv": _tsv(MOODS), "jsonl": jsonl, "json": json.dumps(lines)}.items():
            _written(folder / form / f"moods.{form}", text)
            _written(folder / f"{form}_described" / f"moods.{form}", text)
            _written(folder / f"{form}_described" / "moods.toml", f'data = "moods.{form}"\n{MOODS_TOML}')
        _written(folder / "templates" / "sizes.toml", TEMPLATES_TOML)
        packed = folder / "packed" / "moods.csv.gz"
        packed.parent.mkdir()
        packed.write_bytes(gzip.compress(MOODS.encode(), mtime=0))
        matrix = folder / "matrix" / "rows.npy"
        _written(folder / "matrix" / "cells.csv", numbers)
        _written(
            folder / "matrix" / "cells.toml", 'matrix = "rows.npy"\nmetadata = "cells.csv"\nlabel = "cell"\ngroup = "donor"\n'
        )
        np.save(matrix, np.linspace(-1, 1, 30 * 16, dtype=np.float32).reshape(30, 16))

    def spoil(self, random: Random, folder: Path) -> None:
        chosen = random.choice(sorted(self.originals.iterdir()))
        shutil.copytree(chosen, folder / "task")
        path = random.choice(sorted((folder / "task").iterdir()))
        if path.suffix in (".gz", ".npy"):
            path.write_bytes(spoiled_bytes(random, path.read_bytes()))
            return
        text = path.read_text(encoding="utf-8")
        spoilt = {
            ".csv": lambda: spoiled_lines(random, text, spoiled_row),
            ".tsv": lambda: spoiled_lines(random, text, lambda random, line: spoiled_row(random, line, "\t")),
            ".json": lambda: spoiled_json(random, text),
            ".jsonl": lambda: spoiled_lines(random, text, spoiled_json),
            ".toml": lambda: spoiled_toml(random, text),
        }
        path.write_bytes(spoilt[path.suffix]())

    def read(self, folder: Path) -> None:
        files = sorted((folder / "task").iterdir())
        described = [path for path in files if path.suffix == ".toml"]
        source = next(iter(described or files))
        drafted = folder / "drafted.toml"
        drafted.unlink(missing_ok=True)
        if not described:
            try:
                command("tasks", "new", source, "--out", drafted)
                command("tasks", "show", drafted)
            except Refused:
                pass
        command("tasks", "show", source)


def _rows(text: str) -> list[list[str]]:
    import csv

    return list(csv.reader(io.StringIO(text)))[1:]


def _tsv(text: str) -> str:
    return "".join("\t".join(row) + "\n" for row in [text.split("\n")[0].split(","), *_rows(text)])


def _written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


class CorpusFile(Subject):
    """Text in each of the forms that a corpus or a file of prompts may have."""

    name = "corpus"

    def make(self, folder: Path) -> None:
        import polars as pl
        import pyarrow as pa

        texts = tiny.documents(12)
        jsonl = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        _written(folder / "text.txt", "\n\n".join(texts))
        _written(folder / "text.jsonl", jsonl)
        _written(folder / "ids.jsonl", "".join(json.dumps({"input_ids": [1, 2, 3 + at]}) + "\n" for at in range(12)))
        _written(folder / "text.json", json.dumps([{"text": text} for text in texts]))
        (folder / "text.jsonl.gz").write_bytes(gzip.compress(jsonl.encode(), mtime=0))
        (folder / "text.jsonl.zst").write_bytes(pa.compress(jsonl.encode(), codec="zstd", asbytes=True))
        pl.DataFrame({"text": texts}).write_parquet(folder / "text.parquet")
        tiny.language_model("gpt2", folder / "model")

    def spoil(self, random: Random, folder: Path) -> None:
        original = random.choice(sorted(path for path in self.originals.iterdir() if path.is_file()))
        if original.suffix == ".txt":
            spoilt = spoiled_text(random, original.read_text())
        elif original.suffix == ".json":
            spoilt = spoiled_json(random, original.read_text())
        elif original.suffix == ".jsonl":
            spoilt = spoiled_lines(random, original.read_text(), spoiled_json)
        else:
            spoilt = spoiled_bytes(random, original.read_bytes())
        (folder / original.name).write_bytes(spoilt)

    @cached_property
    def tokenizer(self) -> Any:
        return load_tokenizer(str(self.originals / "model"))

    def read(self, folder: Path) -> None:
        path = _only(folder)
        with refusals():
            for chunk in load_corpus(str(path)).chunks():
                for document in chunk:
                    document.tokens(self.tokenizer)


def _only(folder: Path) -> Path:
    (path,) = (path for path in folder.iterdir() if path.name != "case.json")
    return path


class PromptFile(CorpusFile):
    """A file of prompts, traced by the command."""

    name = "prompts"

    def make(self, folder: Path) -> None:
        texts = tiny.documents(3)
        _written(folder / "prompts.txt", "\n\n".join(texts))
        _written(folder / "prompts.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in texts))
        _written(folder / "prompts.json", json.dumps(texts))
        model = tiny.language_model("gpt2", folder / "model")
        metadata = {
            "model_name": str(folder.with_name(self.name) / model.name),
            "hook_name": tiny.HOOKS["gpt2"],
            "context_size": 48,
        }
        tiny.checkpoint(folder / "checkpoint", metadata)

    def read(self, folder: Path) -> None:
        command("trace", "--file", _only(folder), "--checkpoint", self.originals / "checkpoint", "--format", "csv")


class AtlasFile(Subject):
    """An atlas, baked and printed from."""

    name = "atlas"
    PRINTED = ("scores",), ("shapes",), ("neighbours", "0")

    def make(self, folder: Path) -> None:
        write_synthetic(folder / "atlas.duckdb", size=ATLAS_SIZE)

    def spoil(self, random: Random, folder: Path) -> None:
        self.copied(folder)
        spoil_database(random, folder / "atlas.duckdb")

    def read(self, folder: Path) -> None:
        path, site = folder / "atlas.duckdb", folder / "site"
        refused = None
        for printed in [("inspect", path), *((*words, "--work", folder) for words in self.PRINTED)]:
            try:
                command(*printed)
            except Refused as error:
                refused = error
        try:
            command("bake", path, "--out", site)
        except Refused:
            if site.exists():
                raise Fault(f"a bake that was refused left {sorted(found.name for found in site.iterdir())}") from None
            raise
        finally:
            shutil.rmtree(site, ignore_errors=True)
        if refused is not None:
            raise refused


class HeadersFile(Subject):
    """netlify.toml."""

    name = "netlify.toml"

    def make(self, folder: Path) -> None:
        shutil.copy(config_path(), folder / "netlify.toml")

    def spoil(self, random: Random, folder: Path) -> None:
        text = (self.originals / "netlify.toml").read_text()
        (folder / "netlify.toml").write_bytes(spoiled_toml(random, text))

    def read(self, folder: Path) -> None:
        with refusals():
            headers = Headers.read(folder / "netlify.toml")
            for path in ("/", "/index.html", "/data/atlas.0123456789ab.js", "/assets/0123456789ab/atlas.css"):
                for name, value in headers.sent_with(path).items():
                    # What a server is given must stay one line of what HTTP can say.
                    if not f"{name}{value}".isprintable() or not name.isascii() or not value.isascii():
                        raise Fault(f"a header {name!r}: {value[:200]!r}")


ABOUT = """# What this is

An *atlas* of **experts**, with `code`, [a link](https://example.org "title") and <https://example.org/a?b=c>.

| head | other |
|---|---|
| a \\| b | 2 |

1. one
   - two

> quoted

```js
alert(1)
```

[ref]: https://example.org/ref
See [ref], &amp; and a line\\
end.
"""


class _Tags(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style", "img", "iframe", "object", "embed", "svg", "form", "input", "link", "meta", "base"):
            self.wrong.append(f"<{tag}>")
        for name, value in attrs:
            scheme = (value or "").strip().partition(":")[0].lower()
            if name.startswith("on") or (name in ("href", "src") and scheme in ("javascript", "vbscript", "data", "file")):
                self.wrong.append(f"{name}={value}")


class AboutFile(Subject):
    """The author's Markdown."""

    name = "about"
    MARKS = (
        "[x](javascript:alert(1))",
        "<img src=x onerror=alert(1)>",
        "![x](y)",
        "> " * 200,
        "[" * 2_000,
        "*" * 2_000,
        "[a]: data:text/html,x",
        "\t" * 50,
    )

    def make(self, folder: Path) -> None:
        _written(folder / "about.md", ABOUT)

    def spoil(self, random: Random, folder: Path) -> None:
        spoilt = spoiled_text(random, (self.originals / "about.md").read_text())
        if random.random() < 0.4:
            at = random.randrange(len(spoilt) + 1)
            spoilt = spoilt[:at] + random.choice(self.MARKS).encode() + spoilt[at:]
        (folder / "about.md").write_bytes(spoilt)

    def read(self, folder: Path) -> None:
        with refusals():
            html = about_html(folder / "about.md")
        tags = _Tags()
        tags.feed(html)
        if tags.wrong:
            raise Fault(f"the page would act on {tags.wrong[:3]}")


class InPage(Subject):
    """What a reader's browser is given: read by the page of a baked atlas, opened from disk without a network."""

    def make(self, folder: Path) -> None:
        bake(write_synthetic(folder / "atlas.duckdb", size=ATLAS_SIZE), folder / "site")

    @cached_property
    def page(self) -> Any:
        context = _browser().new_context(offline=True)
        page = context.new_page()
        page.set_default_timeout(0)  # the deadline of a case is enough
        page.on("pageerror", lambda error: self.complaints.append(f"{error}"))
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        page.goto((self.originals / "site" / "index.html").as_uri())
        page.locator("[role=list] a").first.wait_for()
        return page

    @cached_property
    def complaints(self) -> list[str]:
        return []

    def require_quiet(self) -> None:
        """Raise Fault if the page has complained since."""
        said, self.complaints[:] = list(self.complaints), []
        if said:
            raise Fault(" | ".join(said)[:1000])


@cache
def _browser() -> Any:
    from playwright.sync_api import sync_playwright

    from atlas.publish.chromium import ARGUMENTS, installed

    chromium = sync_playwright().start().chromium
    return chromium.launch(executable_path=installed(chromium), args=list(ARGUMENTS))


ADDRESSES = (
    "#/",
    "#/?q=the&sort=-rate&view=table",
    "#/?label=months:May&label=months:June&mode=all&fires=0.25",
    "#/?task=months&hypothesis=months:ring&order=1&score=0.1..0.5&coverage=..0.9",
    "#/?area=0,0_100,0_100,100&place=10,20,3&tab=map&map=shape",
    "#/?shape=ring&cluster=1&activity=dense&marked=1&rate=0.001..",
    "#/expert/0?colour=months&camera=front&pin=3&only=2&without=1&flat=1",
    "#/expert/1?corpus=synthetic&reach=window&seen=gate&camera=1_2_3_0_0_0_0_1_0_2&join=1",
    "#/beside/0/1?pin=left3",
    "#/token/the",
    "#/task/months",
    "#/cluster/0",
    "#/prompt/0?pin=2&only=4",
    "#/about",
    "#/fidelity",
    "#/?marks=0123456789ab.1.2*.3**YWJj",
)
IN_ADDRESSES = (
    "%",
    "%00",
    "%E2%80%AE",
    "%ED%A0%80",
    "&",
    "#",
    "?",
    "/",
    "..",
    "=",
    "_",
    ",",
    "99999999999",
    "-1",
    "NaN",
    "1e999",
    "__proto__",
    "constructor",
    "toString",
    "%3Cscript%3E",
    "\u202e",
    "é",
)


class Address(InPage):
    """What stands in the address after the #."""

    name = "address"
    SETTLED = """async (hash) => {
        location.hash = hash;
        const frame = () => new Promise((done) => setTimeout(done, 0));
        for (let at = 0; at < 4; at += 1) await frame();
        const state = atlas.route.state;
        const again = atlas.route.link({});
        return [JSON.stringify(state).length, again.length, document.body.innerText.length, state.strange !== null];
    }"""

    def spoil(self, random: Random, folder: Path) -> None:
        address = random.choice(ADDRESSES)
        for _ in range(random.choice((1, 1, 2, 4))):
            at = random.randrange(1, len(address) + 1)
            match random.randrange(5):
                case 0:
                    address = address[:at] + random.choice(IN_ADDRESSES) + address[at:]
                case 1:
                    address = address[:at] + address[at + random.randrange(1, 8) :]
                case 2:
                    address += ("&" if "?" in address else "?") + random.choice(ADDRESSES).partition("?")[2]
                case 3:
                    address = "#" + "".join(random.sample(address[1:], len(address) - 1))
                case _:
                    key, equals, value = address.rpartition("=")
                    address = (
                        f"{key}{equals}{random.choice(IN_ADDRESSES) * random.choice((1, 1, 3000))}"
                        if equals
                        else address + "?q=" + value
                    )
        (folder / "address.txt").write_text(address, encoding="utf-8")

    def read(self, folder: Path) -> None:
        address = (folder / "address.txt").read_text(encoding="utf-8")
        *_, strange = self.page.evaluate(self.SETTLED, address)
        self.require_quiet()
        if strange:
            raise Refused("the page says that there is nothing at the address")


class Bookmarks(InPage):
    """A file of bookmarks and notes to import, and the same in a link."""

    name = "bookmarks"
    READ = """([form, text]) => {
        try {
            const found = form === "file" ? atlas.marks.read(text) : atlas.marks.linked(text);
            atlas.marks.merge(found);
            const kept = atlas.marks.all();
            const types = ({ expert, starred, note }) => `${Number.isInteger(expert)} ${typeof starred} ${typeof note}`;
            const isSound = (mark) => types(mark) === "true boolean string";
            const bad = kept.find((mark) => !isSound(mark));
            for (const { expert } of kept) atlas.marks.put(expert, null);
            return bad ? ["fault", `kept ${JSON.stringify(bad)}`] : ["right", ""];
        } catch (error) {
            return error.constructor === Error ? ["refused", error.message] : ["fault", String(error.stack)];
        }
    }"""

    def spoil(self, random: Random, folder: Path) -> None:
        expert = [
            {"expert": n, "title": "a", "starred": n % 2 == 0, "note": "words " * n, "changed": "2026-01-01T00:00:00.000Z"}
            for n in range(4)
        ]
        if random.random() < 0.7:
            text = json.dumps({"atlas": self.identity, "title": "Atlas", "marks": expert}, indent=1)
            (folder / "file.json").write_bytes(spoiled_json(random, text))
        else:
            link = f"{self.identity}.0.1*.2**YWJj.3*w6nDqA"
            at = random.randrange(len(self.identity) // 2, len(link))
            (folder / "link.txt").write_text(
                link[:at] + random.choice(("", "*", ".", "-", "99", "A" * 20_000, "=", "\u202e")) + link[at + 1 :],
                encoding="utf-8",
            )

    @cached_property
    def identity(self) -> str:
        return str(self.page.evaluate("atlas.marks.json().atlas"))

    def read(self, folder: Path) -> None:
        path = _only(folder)
        text = path.read_bytes().decode("utf-8", "replace")
        outcome, why = self.page.evaluate(self.READ, [path.stem, text])
        self.require_quiet()
        if outcome == "fault":
            raise Fault(why)
        if outcome == "refused":
            require_refusal(why)
            raise Refused(why)


SUBJECTS: dict[str, type[Subject]] = {
    subject.name: subject
    for subject in (CheckpointFolder, TaskFile, CorpusFile, PromptFile, AtlasFile, HeadersFile, AboutFile, Address, Bookmarks)
}
