"""`atlas trace`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from atlas.errors import ConfigError
from pipelines.options import SubjectOptions, not_empty, subject_options
from pipelines.printing import Format, aligned, format_option, printable, write_csv, write_json
from pipelines.progress import bar, say, stoppable

if TYPE_CHECKING:
    from atlas.activations.corpus import Document
    from atlas.activations.stream import StreamConfig
    from atlas.trace import Prompt

MOST = 1_000
"""Prompts of one run."""


class Traced(NamedTuple):
    """Prompts with what a reader of their norms needs to know."""

    prompts: Sequence[Prompt]
    threshold: float
    titles: dict[int, str]
    """Of experts, by number; none where no atlas is given."""


@click.command("trace")
@click.argument("text", required=False)
@click.option(
    "--file",
    "source",
    callback=not_empty,
    help="Prompts, a record each, named as for atlas harvest.  [default: none]",
)
@subject_options
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Most experts of each token.")
@format_option
@click.option(
    "--db",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="An atlas of the same dictionary, hook and model: it gives titles, and takes the prompts up.  [default: none]",
)
@click.option("--forget", is_flag=True, help="Take the prompts that the atlas holds out of it before these are added.")
def command(
    text: str | None,
    source: str | None,
    subject: SubjectOptions,
    top: int,
    form: Format,
    db: Path | None,
    forget: bool,
) -> None:
    """Print the experts that fire on each token of TEXT, or of the prompts of a file, the strongest first.

    With --db they are added to an atlas too, whose site then has a page for each: there also stands why an expert is silent.

    \b
    Example:
        atlas trace "We meet in September." --checkpoint work/train/checkpoint
        atlas trace --file prompts.txt --checkpoint owner/repo --db work/atlas.duckdb
    """
    if (text is None) == (source is None):
        raise ConfigError("Give one text, or --file with prompts." if text is None else "Give a text or --file, not both.")
    if text is not None and not text.strip():
        raise ConfigError("The text is empty; give one, or --file with prompts.")
    if forget and db is None:
        raise ConfigError("--forget takes prompts out of an atlas; name it with --db.")
    with stoppable("Nothing was added." if db else "Nothing was written."):
        traced, added = run(_documents(text, source), subject, db, forget)
    FORMS[form](traced, top)
    if added:
        say(added)


def run(documents: Sequence[Document], given: SubjectOptions, db: Path | None, forget: bool) -> tuple[Traced, str | None]:
    """Trace prompts with progress on stderr, and add them to an atlas if one is given; return what is to be said of that."""
    from atlas.harvest.inputs import describe_model
    from atlas.prompts import add_prompts, titles
    from atlas.trace import prompt_tokens, trace
    from pipelines.loading import load_subject, named_subject, stream_config, tokenizer_of

    named = named_subject(given)
    about = {"dictionary": {"sha256": named.checkpoint.sha256}, "model": {"hook": named.model.hook}}
    # What another dictionary's atlas is refused for is known before a model is loaded.
    known = titles(db, about) if db else {}
    tokenizer = tokenizer_of(named.model)
    lengths = [len(prompt_tokens(document, tokenizer)) for document in documents]
    _say_windows(lengths, tokenizer, stream_config(named.checkpoint))
    checkpoint, model, stream = load_subject(named)
    about["model"] = describe_model(model)
    if db:
        titles(db, about)
    prompts = []
    with bar("Tracing", "prompts", len(documents), is_shown=len(documents) > 1) as shown:
        for document in documents:
            prompts.append(trace(document, checkpoint.smixae, model, stream))
            shown.update()
    traced = Traced(prompts, checkpoint.smixae.threshold, known)
    if db is None:
        return traced, None
    done = add_prompts(db, prompts, about, forget=forget)
    parts = [
        f"{done.forgotten} taken out" if forget else "",
        f"{_counted(done.added)} added",
        f"{done.known} known already" if done.known else "",
    ]
    return traced, f"{db}: {', '.join(filter(None, parts))}. `atlas bake {db}` gives each a page."


def _counted(prompts: int) -> str:
    return f"{prompts} prompt{'s' if prompts != 1 else ''}"


def _documents(text: str | None, source: str | None) -> list[Document]:
    """Return the prompts that are named, as a corpus has them."""
    from atlas.activations.corpus import Corpus, load_corpus

    if source is None:
        return list(Corpus("", "", "", lambda: iter([text or ""])).read())
    found: list[Document] = []
    for document in load_corpus(source).read():
        if len(found) == MOST:
            raise ConfigError(f"'{source}' has more than {MOST:,} prompts. Give fewer, or harvest it as a corpus.")
        found.append(document)
    if not found:
        raise ConfigError(f"'{source}' holds no prompt. Write one, or give another file.")
    return found


def _say_windows(lengths: Sequence[int], tokenizer: Any, config: StreamConfig) -> None:
    """Say that prompts are cut into windows, if any is."""
    from atlas.activations.stream import window_width

    width = window_width(tokenizer, config)
    cut = sum(length > width for length in lengths)
    if cut:
        which = "The prompt is" if len(lengths) == 1 else f"Of {len(lengths)} prompts {cut} {'is' if cut == 1 else 'are'}"
        say(f"{which} cut into windows of {width} tokens, as a corpus is: the model sees nothing of one window in another")


def _firing(prompt: Prompt, position: int, threshold: float) -> list[tuple[int, float]]:
    """Return number and norm of the experts that fire on a token, the strongest first."""
    norms = prompt.norms[:, position].tolist()
    fired = [(expert, norm) for expert, norm in zip(prompt.expert.tolist(), norms, strict=True) if norm > threshold]
    return sorted(fired, key=lambda one: (-one[1], one[0]))


def _table(traced: Traced, top: int) -> None:
    heads = ["position", "token", "fire", "expert", "norm", *(["title"] if traced.titles else [])]
    for prompt in traced.prompts:
        click.echo(printable(prompt.text))
        click.echo(aligned([heads, *_lines(prompt, traced, top)]))
        click.echo()
    click.echo(f"An expert fires where its norm is above {traced.threshold:.3g}.")


def _lines(prompt: Prompt, traced: Traced, top: int) -> Iterator[list[str]]:
    """Yield the cells of each line: a token's experts below one another."""
    for position, text in enumerate(prompt.texts):
        fired = _firing(prompt, position, traced.threshold)
        of_token = [str(position), text, "special" if prompt.special[position] else str(len(fired))]
        shown = [[str(expert), f"{norm:.3g}", traced.titles.get(expert, "")] for expert, norm in fired[:top]] or [["", "", ""]]
        for expert in shown:
            yield [*of_token, *(expert if traced.titles else expert[:2])]
            of_token = ["", "", ""]


def _csv(traced: Traced, top: int) -> None:
    fields = ["prompt", "position", "token", "fire", "rank", "expert", "norm", "title"]
    write_csv(
        fields,
        (
            {**token, **one, "prompt": number}
            for number, prompt in enumerate(_described(traced, top))
            for token in prompt["tokens"]
            for one in (token["experts"] or [{}])
        ),
    )


def _described(traced: Traced, top: int) -> list[dict[str, Any]]:
    """Return the prompts as JSON has them."""
    return [
        {
            "text": prompt.text,
            "threshold": traced.threshold,
            "tokens": [_token(prompt, position, traced, top) for position in range(len(prompt.texts))],
        }
        for prompt in traced.prompts
    ]


def _token(prompt: Prompt, position: int, traced: Traced, top: int) -> dict[str, Any]:
    """Return a token of a prompt with the experts that fire on it as JSON has them."""
    fired = _firing(prompt, position, traced.threshold)
    return {
        "position": position,
        "token": prompt.texts[position],
        "window": prompt.window[position],
        "special": prompt.special[position],
        "fire": len(fired),
        "experts": [
            {"rank": rank, "expert": expert, "norm": norm, "title": traced.titles.get(expert)}
            for rank, (expert, norm) in enumerate(fired[:top])
        ],
    }


def _json(traced: Traced, top: int) -> None:
    write_json(_described(traced, top))


FORMS = {"table": _table, "csv": _csv, "json": _json}
