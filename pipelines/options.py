"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click

from atlas.errors import ConfigError

if TYPE_CHECKING:
    from atlas.bake.link import Link

DEFAULT_TOKENS = 2_000_000
PREVIEW_TOKENS = 100_000

Command = Callable[..., Any]
Option = Callable[[Command], Command]


def _together(argument: str, kind: type[Any], options: tuple[Option, ...]) -> Option:
    """Return a decorator that gives a command several options as one argument, a `kind` with a field for each of them."""

    def decorated(command: Command) -> Command:
        @wraps(command)
        def with_options(**given: Any) -> Any:
            given[argument] = kind(**{name: given.pop(name) for name in kind._fields})
            return command(**given)

        wrapped: Command = with_options
        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped

    return decorated


def not_empty(_: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Refuse an option that is there and says nothing."""
    if value is not None and not value.strip():
        rest = "name one" if option.required else "name one, or leave it out"
        raise ConfigError(f"{option.opts[0]} is empty; {rest}.")
    return value


def _none_empty(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse an option that is given, once or repeatedly, and says nothing."""
    for value in values:
        not_empty(context, option, value)
    return values


checkpoint_option = click.option(
    "--checkpoint",
    required=True,
    callback=not_empty,
    help="Dictionary: folder with cfg.json and sae_weights.safetensors, or owner/repo[/subfolder][@revision] on the hub.",
)
_CORPUS = (
    "Text: python-docs, a .txt, .json, .jsonl (also .gz, .zst) or .parquet file, a folder of them, or a data set's hub id "
    "(owner/name[/config][:split])."
)
corpus_option = click.option("--corpus", default="python-docs", show_default=True, callback=not_empty, help=_CORPUS)
corpora_option = click.option(
    "--corpus",
    multiple=True,
    default=("python-docs",),
    show_default=True,
    callback=_none_empty,
    help=f"{_CORPUS} Repeated, each is a task of its own; the first one is what the first page is about.",
)
work_option = click.option(
    "--work",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("work"),
    show_default=True,
    help="Folder that the stages keep their parts in.",
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute; auto takes a GPU where there is one.",
)
dtype_option = click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
    help="What the language model computes in; the dictionary always reads float32.",
)
device_map_option = click.option(
    "--device-map",
    type=click.Choice(["none", "auto", "balanced", "sequential"]),
    default="none",
    show_default=True,
    help="How to spread a language model that is too large for one GPU: auto and balanced fill all alike, sequential one after "
    "another. The dictionary stays on --device.",
)
trust_option = click.option(
    "--trust-remote-code",
    is_flag=True,
    help="Run the Python code that the model of --model brings along, with all your rights: read it first.",
)
model_option = click.option(
    "--model",
    callback=not_empty,
    help="Language model: hub id or local folder.  [default: what the checkpoint names]",
)
hook_option = click.option(
    "--hook",
    callback=not_empty,
    help="Dotted path of the submodule whose output is read.  [default: what the checkpoint names]",
)
trained_model_option = click.option("--model", required=True, callback=not_empty, help="Language model: hub id or local folder.")
trained_hook_option = click.option(
    "--hook", required=True, callback=not_empty, help="Dotted path of the submodule whose output is read."
)


SEED = click.IntRange(0, 2**63 - 1)


def seed_option(of: str) -> Option:
    """Return `--seed`, for what it seeds."""
    return click.option("--seed", type=SEED, default=0, show_default=True, help=f"Of {of}.")


class SubjectOptions(NamedTuple):
    """A dictionary, the model that it reads, and where and how the model runs."""

    checkpoint: str
    model: str | None
    hook: str | None
    device: str
    dtype: str
    device_map: str = "none"
    trust_remote_code: bool = False


subject_options = _together(
    "subject",
    SubjectOptions,
    (
        checkpoint_option,
        model_option,
        hook_option,
        device_option,
        dtype_option,
        device_map_option,
        trust_option,
    ),
)


class TextOptions(NamedTuple):
    """Corpora, and how much of each is read."""

    corpus: tuple[str, ...]
    tokens: int | None
    preview: bool

    @property
    def limit(self) -> int:
        """About how many tokens are read.

        Raises:
            ConfigError: it is given twice.
        """
        if self.preview and self.tokens is not None:
            raise ConfigError(f"--preview reads {PREVIEW_TOKENS:,} tokens, --tokens {self.tokens:,}; give one of them.")
        return PREVIEW_TOKENS if self.preview else self.tokens or DEFAULT_TOKENS


text_options = _together(
    "text",
    TextOptions,
    (
        corpora_option,
        click.option(
            "--tokens",
            type=click.IntRange(min=1),
            help="About how many tokens of each corpus to read, in whole chunks of 131,072 characters."
            f"  [default: {DEFAULT_TOKENS:,}]",
        ),
        click.option("--preview", is_flag=True, help=f"Read {PREVIEW_TOKENS:,} tokens only, for a first look."),
    ),
)


class TaskOptions(NamedTuple):
    """Which labelled tasks experts are probed with, and by whose protocol."""

    tasks: str | None
    task: tuple[str, ...]
    protocol: Literal["atlas", "reference"]

    @property
    def names(self) -> list[str] | None:
        """Which of the tasks that come with Atlas; None for all."""
        if self.tasks is None:
            return None
        return [] if self.tasks == "none" else [name.strip() for name in self.tasks.split(",")]


task_options = _together(
    "labelled",
    TaskOptions,
    (
        click.option(
            "--tasks",
            callback=not_empty,
            metavar="NAME,NAME",
            help="Which tasks that come with Atlas to probe with (`atlas tasks list`), or none.  [default: all]",
        ),
        click.option(
            "--task",
            multiple=True,
            callback=_none_empty,
            metavar="FILE",
            help="A task of your own: a .csv, .tsv, .parquet or .jsonl file or a data set's hub id with text and labels, or a "
            ".toml that describes one (`atlas tasks new`); may be repeated.  [default: none]",
        ),
        click.option(
            "--protocol",
            type=click.Choice(["atlas", "reference"]),
            default="atlas",
            show_default=True,
            help="reference: the reference implementation's scores too, beside ours; never what experts are sorted by.",
        ),
    ),
)


class SiteOptions(NamedTuple):
    """Where a site goes, and what its author says about it."""

    out: Path
    overwrite: bool
    title: str | None
    about: Path | None
    templates: Path | None
    with_data: bool


site_options = _together(
    "site",
    SiteOptions,
    (
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            default=Path("site"),
            show_default=True,
            help="Folder that the site is written to. An earlier bake in it is replaced; files that no bake wrote stay.",
        ),
        click.option(
            "--overwrite",
            is_flag=True,
            help="Bake into a folder that holds other files and no earlier bake; the site joins them.",
        ),
        click.option("--title", metavar="TEXT", help="Title of the page.  [default: Atlas of <model> · <hook>]"),
        click.option(
            "--about",
            type=click.Path(path_type=Path),
            metavar="FILE.md",
            help="Your own words for the first page: Markdown without images, at most 100 kB.  [default: none]",
        ),
        click.option(
            "--templates",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Folder whose index.html.jinja and static/ files take the place of ours.  [default: none]",
        ),
        click.option(
            "--with-data",
            is_flag=True,
            help="Put the atlas itself beside the site, linked from it: the database, and every table as Parquet.",
        ),
    ),
)


class AtlasOptions(NamedTuple):
    """Which atlas is read."""

    atlas: Path | None
    work: Path

    @property
    def path(self) -> Path:
        """Where it is.

        Raises:
            ConfigError: it is given twice.
        """
        if self.atlas is None:
            return self.work / "atlas.duckdb"
        if click.get_current_context().get_parameter_source("work") is click.core.ParameterSource.COMMANDLINE:
            raise ConfigError(f"--atlas names '{self.atlas}', --work the atlas in '{self.work}'; give one of them.")
        return self.atlas


atlas_options = _together(
    "source",
    AtlasOptions,
    (
        click.option(
            "--atlas",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="The atlas to read.  [default: atlas.duckdb in the work folder]",
        ),
        work_option,
    ),
)


def linked_expert(expert: int | None, link: Link | None) -> int:
    """Return the expert that is named, by its number or by the address of its page.

    Raises:
        ConfigError: none is, or two are.
    """
    if link is None:
        if expert is None:
            raise ConfigError("No expert is named; give its number, or --link with the address of its page.")
        return expert
    if expert not in (None, link.expert):
        raise ConfigError(f"--link leads to expert {link.expert}, not to {expert}; leave the number out, or give another link.")
    return link.expert
