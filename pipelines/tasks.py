"""`atlas tasks`: what labelled tasks there are, what one of them holds, and a first description of a user's own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlas.errors import TaskError
from pipelines.printing import aligned, printable
from pipelines.progress import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atlas.probe.tasks import Sentence, Task

ELSEWHERE = (
    ("newline_80", "Place in a line of 80 characters", "80", "made of the model's tokens", "linear, cyc_80", "newline"),
    ("newline_150", "Place in a line of 150 characters", "150", "made of the model's tokens", "linear, cyc_150", "newline"),
    ("emotions", "Emotions", "28", "GoEmotions, which you bring", "sentiment, valence_arousal", ""),
)
"""Tasks whose sentences do not come with Atlas, in the columns of the list."""

EXAMPLES = 3
AROUND = 60
"""Characters of an example on either side of what is probed."""


@click.group("tasks")
def command() -> None:
    """List labelled tasks, show one, begin one of your own.

    \b
    Example:
        atlas tasks show months
    """


@command.command("list")
def list_tasks() -> None:
    """Print a line for each task.

    It has the numbers of labels and sentences, the hypotheses, and what the task needs of a model.

    \b
    Example:
        atlas tasks list
    """
    from atlas.probe.tasks import builtin_tasks

    rows = [("name", "title", "labels", "sentences", "hypotheses", "needs")]
    for task in builtin_tasks():
        names = ", ".join(hypothesis.name for hypothesis in task.hypotheses)
        counts = f"{len(task.labels):,}", f"{len(task.sentences):,}"
        rows.append((task.name, task.title, *counts, names, ", ".join(task.needs)))
    click.echo(aligned([*rows, *ELSEWHERE]))


@command.command("show")
@click.argument("source", metavar="NAME|FILE")
def show(source: str) -> None:
    """Print what a task holds.

    That is its labels with their rows, groups, hypotheses, what was left out and why, and three examples. NAME is of a task that
    comes with Atlas. FILE is a table of yours, a .toml that describes one, or a data set's hub id.

    \b
    Example:
        atlas tasks show months
        atlas tasks show cells.csv
    """
    from atlas.probe.tasks import BUILTIN_TASKS, chosen_tasks, user_task

    absent = {name: (text, needs) for name, _, _, text, _, needs in ELSEWHERE}
    if source in BUILTIN_TASKS:
        ((task,), _) = chosen_tasks([source], [])
    elif source in absent:
        raise TaskError(f"The text of '{source}' does not come with Atlas: it is {absent[source][0]}. docs/tasks.md says more.")
    elif "/" not in source and "." not in source:
        raise TaskError(
            f"No task {source!r} comes with Atlas; `atlas tasks list` prints those that do. Name your own table with its ending."
        )
    else:
        task = user_task(source)
    click.echo("\n".join(map(printable, _lines(task))))


@command.command("new")
@click.argument("source", metavar="FILE")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE.toml",
    help="File to write; it must not be there.  [default: FILE's name with .toml, beside it]",
)
def new(source: str, out: Path | None) -> None:
    """Write a TOML file that makes FILE a task.

    FILE is a table, or a data set's hub id. The columns of text and labels are guessed, columns named target_* become hypotheses,
    and others are proposed in comments. Prints the path of what was written.

    \b
    Example:
        atlas tasks new cells.csv
    """
    from atlas.probe.tasks import draft, toml_beside

    path = out or toml_beside(source)
    if path.suffix.lower() != ".toml":
        raise TaskError(f"'{path}' does not end in .toml, by which a task's description is known; name it '{path.stem}.toml'.")
    if path.exists():
        raise TaskError(f"'{path}' is there already; name another file with --out, or move it away.")
    text = draft(source, path.parent)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise TaskError(f"'{path}' cannot be written: {error.strerror or error}. Name another file with --out.") from error
    say("Change it as you like; `atlas tasks show` prints what it gives.")
    click.echo(path)


def _lines(task: Task) -> list[str]:
    """Return all that is printed of a task."""
    lines = [f"{task.name}: {task.title}", task.description]
    if task.needs:
        lines.append(f"It needs: {', '.join(task.needs)}.")
    circle = " in a circle" * task.cyclic
    lines += ["", f"{len(task.sentences):,} rows, {len(task.labels):,} labels{circle}, {len(task.groups):,} templates"]
    rows = Counter(sentence.label for sentence in task.sentences)
    lines += _indented(
        [
            ("label", "value", "rows"),
            *((name, f"{task.values[index]:g}", f"{rows[index]:,}") for index, name in enumerate(task.labels)),
        ]
    )
    of_group = Counter(task.groups[sentence.template] for sentence in task.sentences)
    report = {group for group, is_report in zip(task.groups, task.report(), strict=True) if is_report}
    lines += ["", f"{len(of_group)} groups"]
    lines += _indented(
        [
            ("group", "rows", ""),
            *((name, f"{of_group[name]:,}", "report set" * (name in report)) for name in task.group_names()),
        ]
    )
    hypotheses = [(one.name, one.title, one.shape, one.probe, one.description) for one in task.hypotheses]
    lines += ["", f"{len(hypotheses)} hypotheses" if len(hypotheses) != 1 else "1 hypothesis"]
    lines += _indented([("name", "title", "shape", "probe", "targets"), *hypotheses] if hypotheses else [])
    if too_few := _too_few_for_an_order(task):
        lines.append(f"  {too_few}")
    for heading, said in (("left out", task.remarks), ("assumed", task.assumptions)):
        if said:
            lines += ["", heading, *(f"  {one}" for one in said)]
    if task.matrix is not None:
        return [*lines, "", f"rows of {task.matrix.shape[1]:,} numbers, without text"]
    return [*lines, "", "examples, with what is probed in [ ]", *(f"  {_marked(one)}" for one in _examples(task))]


def _too_few_for_an_order(task: Task) -> str | None:
    """Return in a sentence why no expert's order of the labels can be tested, or supported, on so few; None where it can."""
    from atlas.probe.scores import MIN_COVERED, MIN_LABEL_ROWS, MIN_LABELS

    report = task.report()
    ranking_rows = Counter(sentence.label for sentence in task.sentences if not report[sentence.template])
    if sum(n >= MIN_LABEL_ROWS for n in ranking_rows.values()) < MIN_LABELS:
        return (
            f"No order of the labels can be tested: that takes {MIN_LABELS} labels with {MIN_LABEL_ROWS} rows or more outside "
            f"the report set, and {MIN_COVERED} labels to be supported."
        )
    if len(task.labels) < MIN_COVERED:
        return f"No order of the labels can be supported: that takes {MIN_COVERED} labels that an expert covers."
    return None


def _examples(task: Task) -> Sequence[Sentence]:
    """Return sentences from the beginning, the middle and the end."""
    last = len(task.sentences) - 1
    return [task.sentences[last * part // (EXAMPLES - 1)] for part in range(EXAMPLES)]


def _marked(sentence: Sentence) -> str:
    text, _, _, start, end = sentence
    before, after = text[max(0, start - AROUND) : start], text[end : end + AROUND]
    return f"{'…' * (start > AROUND)}{before}[{text[start:end]}]{after}{'…' * (len(text) > end + AROUND)}"


def _indented(rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [f"  {line}" for line in aligned(rows).splitlines()] if rows else []
