"""What an atlas' provenance gives a reader to type: the commands that make it again, and the files that they need.

It reads provenance alone. Local files are called by their names: whoever rebuilds an atlas has them in the working folder.
"""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

CHECKPOINT = "checkpoint"
"""What the folder of a dictionary that was not trained by Atlas is called: its own name says nothing."""
TRAINED = "work/train/checkpoint"
ATLAS = "work/atlas.duckdb"
SITE = "site"

EVALUATED_SHARE = 0.2
"""Of what a build harvests, on how much held-out text it measures fidelity at most."""
MOST_EVALUATED = 250_000
"""Tokens."""
MOST_PREDICTED = 50_000
"""Of these, tokens that a build measures cross-entropy on at most."""

PYTHON_DOCS = "python-docs"

COMMIT_DIGITS = 40

BLANKS = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and signs without ink."""

TRAIN_OPTIONS = {
    "--experts": "n_experts",
    "--width": "d_expert",
    "--bottleneck": "d_code",
    "--k": "k",
    "--steps": "steps",
    "--batch": "batch",
    "--learning-rate": "learning_rate",
    "--warmup-steps": "warmup_steps",
    "--auxiliary": "auxiliary",
    "--seed": "seed",
}
"""Options of `atlas train`, by the setting that each changes."""

STAGE_OPTIONS = {
    "harvest": {"--tokens": "settings.harvest.tokens", "--seed": "settings.harvest.seed"},
    "probe": {"--seed": "settings.probe.seed", "--protocol": "settings.probe.protocol"},
    "geometry": {"--seed": "geometry.settings.shape.seed"},
    "evaluate": {"--tokens": "settings.evaluate.tokens", "--ce-tokens": "settings.evaluate.ce_tokens"},
}
"""Options of the other stages, by the place in provenance of what each sets."""
BUILD_OPTIONS = ("--tokens", "--seed", "--protocol", "--device", "--dtype")
"""Those that `atlas build` passes on to every stage that has them."""
UNSAID = {"--protocol": "atlas", "--dtype": "float32"}
"""Values that go without saying."""

Words = tuple[object, ...]
Options = dict[str, object]
"""Option ► value."""


class Needed(NamedTuple):
    """A file that has to be at hand."""

    of: str
    """'checkpoint', 'model', 'corpus', 'task', 'words', 'template'."""
    path: str
    """From the working folder."""
    sha256: str


class Baked(NamedTuple):
    """What a site was baked with."""

    title: str | None = None
    about: str | None = None
    """The file's name."""
    templates: str | None = None
    """The folder's name."""
    with_data: bool = False
    files: tuple[Needed, ...] = ()
    """The author's own."""

    def options(self) -> Words:
        """Return what `atlas bake` and `atlas build` are told."""
        named = {"--title": self.title, "--about": self.about, "--templates": self.templates}
        given = [(option, value) for option, value in named.items() if value is not None]
        return (*(part for pair in given for part in pair), *(("--with-data",) if self.with_data else ()))


NOTHING_SAID = Baked()


class Rebuild(NamedTuple):
    """How an atlas is made again."""

    lines: tuple[str, ...]
    """To paste, one after the other; none where the atlas does not say enough."""
    check: str
    """To paste when they are done."""
    files: tuple[Needed, ...]
    hub: tuple[str, ...]
    """What has to come from the hub, with the commit: `gpt2@607a30d…`."""


def rebuild(provenance: Mapping[str, Any], baked: Baked = NOTHING_SAID) -> Rebuild:
    """Return how the atlas of a provenance, and a site of it, are made again."""
    if not {"asked", "devices"} <= provenance.keys() or provenance["settings"]["harvest"]["tokens"] is None:
        return Rebuild((), _check(provenance), (), ())
    steps = [*_train(provenance), *_mapping(provenance, baked)]
    lines = tuple(" ".join((f"OMP_NUM_THREADS={threads}", "atlas", *map(quoted, words))) for threads, words in steps)
    return Rebuild(lines, _check(provenance), (*_files(provenance), *baked.files), tuple(_on_hub(provenance)))


def quoted(value: object) -> str:
    """Return a value as a shell takes it, with what moves a cursor or hides text spelled out: a pasted line does what it says."""
    text = str(value)
    if all(map(_is_seen, text)):
        return shlex.quote(text)
    return "$'" + "".join(map(_spelled, text)) + "'"


def _is_seen(character: str) -> bool:
    return character.isprintable() and character not in BLANKS and not unicodedata.category(character).startswith("M")


def _spelled(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if _is_seen(character):
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file's name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def evaluated_tokens(limit: int) -> int:
    """Return on how many held-out tokens a build measures fidelity at most, of so many that it harvests."""
    return min(MOST_EVALUATED, max(1, round(limit * EVALUATED_SHARE)))


def _inputs_of_training(provenance: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the dictionary was trained from, if Atlas trained it and it is not on the hub."""
    inputs: dict[str, Any] | None = (provenance.get("training") or {}).get("inputs")
    return None if "revision" in provenance["dictionary"] else inputs


def _checkpoint(provenance: Mapping[str, Any]) -> str:
    dictionary = provenance["dictionary"]
    if "revision" in dictionary:
        return f"{dictionary['source'].partition('@')[0]}@{dictionary['revision']}"
    return TRAINED if _inputs_of_training(provenance) else CHECKPOINT


def _train(provenance: Mapping[str, Any]) -> Iterator[tuple[int, Words]]:
    inputs = _inputs_of_training(provenance)
    if inputs is None:
        return
    settings, training = inputs["settings"], inputs["settings"]["training"]
    recipe = ("--recipe", "reference") if training["start"] == "reference" else ()
    sized = (part for option, name in TRAIN_OPTIONS.items() for part in (option, training[name]))
    corpus = _corpus({"name": inputs["corpus"]["name"], **provenance["training"]})
    yield (
        inputs["device"]["threads"],
        (
            *("train", *_model(inputs["model"]), "--corpus", corpus, *recipe, *sized),
            *("--window-tokens", settings["stream"]["window_tokens"], "--buffer-rows", settings["buffer_rows"]),
            *("--carrier-share", settings["carrier_share"], "--log-every", provenance["training"]["log_every"]),
            *_device(inputs["device"]),
        ),
    )


def _mapping(provenance: Mapping[str, Any], baked: Baked) -> Iterator[tuple[int, Words]]:
    """Yield one build, where it gives every stage what it had, or else the stages one by one."""
    threads = {stage: device["threads"] for stage, device in provenance["devices"].items()}
    at, wanted = threads["harvest"], _wanted(provenance)
    given = {option: value for option, value in (wanted["harvest"] | wanted["probe"]).items() if option in BUILD_OPTIONS}
    if set(threads.values()) == {at} and _is_one_build(wanted, given, _corpus(provenance["corpora"][0])):
        text = (*_subject(provenance), *_corpora(provenance), *_tasks(provenance))
        yield at, ("build", *text, *_said(given), *baked.options())
        return
    words: dict[str, Words] = {
        "harvest": (*_subject(provenance), *_corpora(provenance)),
        "probe": (*_subject(provenance), *_tasks(provenance)),
        "geometry": ("--checkpoint", _checkpoint(provenance)),
        "evaluate": _subject(provenance),
    }
    for stage, options in wanted.items():
        yield threads.get(stage, at), (stage, *words[stage], *_said(options))
    yield at, ("assemble",)
    yield at, ("bake", *baked.options())


def _wanted(provenance: Mapping[str, Any]) -> dict[str, Options]:
    """Return what each stage has to be told of how it goes."""
    wanted: dict[str, Options] = {
        stage: {option: _at(provenance, place) for option, place in options.items()} for stage, options in STAGE_OPTIONS.items()
    }
    wanted["evaluate"]["--corpus"] = _corpus({**provenance["corpora"][0], **provenance.get("evaluation", {})})
    for stage, device in provenance["devices"].items():
        wanted[stage] |= {"--device": device["type"], "--dtype": device["dtype"]}
    return wanted


def _is_one_build(wanted: Mapping[str, Options], given: Options, corpus: str) -> bool:
    """Return whether a build that is given these options tells every stage all that it has to be told."""
    limit = given["--tokens"]
    assert isinstance(limit, int)
    fixed = {"--corpus": corpus, "--tokens": evaluated_tokens(limit), "--ce-tokens": MOST_PREDICTED}
    passed = dict.fromkeys(wanted, given) | {"evaluate": given | fixed}
    return all(
        option in passed[stage] and passed[stage][option] == value
        for stage, options in wanted.items()
        for option, value in options.items()
    )


def _at(provenance: Mapping[str, Any], place: str) -> object:
    found: Any = provenance
    for key in place.split("."):
        found = found[key]
    return found


def _said(options: Options) -> Words:
    return tuple(part for option, value in options.items() if UNSAID.get(option) != value for part in (option, value))


def _subject(provenance: Mapping[str, Any]) -> Words:
    return ("--checkpoint", _checkpoint(provenance), *_model(provenance["model"]))


def _model(model: Mapping[str, Any]) -> Words:
    trusted = ("--trust-remote-code",) if "own_code_sha256" in model else ()
    return ("--model", model["id"], "--hook", model["hook"], *trusted)


def _corpora(provenance: Mapping[str, Any]) -> Words:
    return tuple(part for corpus in provenance["corpora"] for part in ("--corpus", _corpus(corpus)))


def _corpus(corpus: Mapping[str, Any]) -> str:
    """Return what names a corpus: a file or folder in the working folder, the text that comes with Python, or a data set."""
    name: str = corpus["name"]
    if "files" in corpus:
        return f"./{name}" if name == PYTHON_DOCS else name
    return f"{name}@{corpus['revision']}" if "revision" in corpus else name


def _tasks(provenance: Mapping[str, Any]) -> Words:
    asked = provenance["asked"]
    named = () if asked["tasks"] is None else ("--tasks", ",".join(asked["tasks"]) or "none")
    own = (part for source in asked["own"] for part in ("--task", source))
    return (*named, *own)


def _device(device: Mapping[str, Any]) -> Words:
    return _said({"--device": device["type"], "--dtype": device["dtype"]})


def _check(provenance: Mapping[str, Any]) -> str:
    model = provenance["model"]
    words = (SITE, "--db", ATLAS, "--checkpoint", _checkpoint(provenance), "--model", model["id"], "--hook", model["hook"])
    return " ".join(("atlas verify", *map(quoted, words)))


def _files(provenance: Mapping[str, Any]) -> Iterator[Needed]:
    training = provenance.get("training") or {}
    trained = _inputs_of_training(provenance)
    folder = _checkpoint(provenance)
    if trained is None and "revision" not in provenance["dictionary"]:
        yield from (
            Needed("checkpoint", f"{folder}/{name}", digest) for name, digest in provenance["dictionary"]["files"].items()
        )
    model = provenance["model"]
    if "/" not in model["id"] and not _is_commit(model["revision_or_sha256"]):
        yield from (Needed("model", f"{model['id']}/{name}", digest) for name, digest in model["files"].items())
    corpora = [*provenance["corpora"], {"name": provenance["corpora"][0]["name"], **provenance.get("evaluation", {})}]
    if trained:
        corpora.append({"name": trained["corpus"]["name"], **training})
    found = {}
    for corpus in corpora:
        for name, digest in corpus.get("files", {}).items():
            found[name if name == corpus["name"] else f"{corpus['name']}/{name}"] = digest
    yield from (Needed("corpus", path, digest) for path, digest in sorted(found.items()))
    # Of tasks that were asked for and could not be used, too: that they could not is a row.
    own = dict(provenance["asked"]["files"])
    for task in provenance["tasks"].values():
        own |= task["files"] if task["own"] else {}
    yield from (Needed("task", name, digest) for name, digest in own.items())


def _is_commit(revision: str) -> bool:
    return len(revision) == COMMIT_DIGITS


def _on_hub(provenance: Mapping[str, Any]) -> Iterator[str]:
    if "revision" in provenance["dictionary"]:
        yield _checkpoint(provenance)
    model = provenance["model"]
    if _is_commit(model["revision_or_sha256"]):
        yield f"{model['id']}@{model['revision_or_sha256']}"
    yield from (f"{corpus['name']}@{corpus['revision']}" for corpus in provenance["corpora"] if "revision" in corpus)
