"""`atlas scores`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.options import not_empty, work_option
from pipelines.printing import aligned, printable, write_csv, write_json

if TYPE_CHECKING:
    from atlas.probe.leaders import Leaders

REFERENCES = {
    "chance": "tight clusters at random places",
    "random_projection": "best of as many random projections",
    "top_components": "top principal components",
    "word_embedding": "word embedding",
}

HEADINGS = {
    "rank": "rank",
    "expert": "expert",
    "title": "title",
    "all_rows": "all rows",
    "where_it_fires": "where it fires (n)",
    "covered": "covered",
    "p_order_adjusted": "p_order adj.",
    "left_out_label": "left-out label",
    "order_supported": "supported",
    "mean": "mean over folds",
    "deviation": "deviation",
    "fisher": "Fisher",
    "adjusted_fisher": "adjusted",
    "continuity": "continuity",
    "rows": "rows",
    "periodic_gain": "periodic gain",
    "encode_linear_r2": "linear R²",
    "encode_periodic_r2": "periodic R²",
    "decode_r2": "decode R²",
    "held_out_gain": "gain held out",
    "held_out_decode_r2": "decode held out",
    "rate": "rate",
}

SET_AS = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "²": "$^2$"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}"},
}
"""What LaTeX sets for a character that it would act on, or draw as another."""


@click.command("scores")
@click.option("--task", callback=not_empty, help="Name of a task, as `atlas tasks list` has it.  [default: all]")
@click.option("--hypothesis", callback=not_empty, help="Name of a hypothesis.  [default: all of the task]")
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="Experts of each hypothesis.")
@click.option(
    "--on",
    "kind",
    type=click.Choice(["sentences", "mentions", "reference"]),
    default="sentences",
    show_default=True,
    help="sentences: our own protocol on the task's sentences; mentions: the same on words of held-out text; reference: the "
    "reference's protocol, where `atlas probe --protocol reference` was run.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "latex"]),
    default="table",
    show_default=True,
    help="How to print them.",
)
@work_option
def command(task: str | None, hypothesis: str | None, top: int, kind: Any, form: str, work: Path) -> None:
    """Print the best experts of each hypothesis of a finished probe, with what they are to be read against.

    \b
    Example:
        atlas scores --task months --hypothesis cyc_12m --top 10
    """
    from atlas.probe.leaders import leaders
    from atlas.probe.stage import STAGE
    from atlas.stages import finished

    FORMS[form](leaders(finished(work, STAGE).tables, task, hypothesis, top, kind))


def _table(found: Sequence[Leaders]) -> None:
    for one in found:
        click.echo(
            printable(f"{one.task} · {one.title} ({one.hypothesis}): {one.measure}, {one.labels} labels, {_testable(one)}")
        )
        heads, rows = _cells(one)
        click.echo(aligned([heads, *rows]))
        for name, metrics in one.references.items():
            click.echo(f"  without an expert: {REFERENCES[name]} {_reference(metrics)}")
        click.echo()


def _latex(found: Sequence[Leaders]) -> None:
    click.echo("% needs \\usepackage{booktabs}")
    for one in found:
        heads, rows = _cells(one)
        click.echo(printable(f"% {one.task}, {one.hypothesis}: {one.measure}, {one.labels} labels, {_testable(one)}"))
        for name, metrics in one.references.items():
            click.echo(f"% without an expert: {REFERENCES[name]} {_reference(metrics)}")
        click.echo(f"\\begin{{tabular}}{{{'l' * len(heads)}}}\n\\toprule")
        click.echo(" & ".join(map(_escaped, heads)) + " \\\\\n\\midrule")
        for row in rows:
            click.echo(" & ".join(map(_escaped, row)) + " \\\\")
        click.echo("\\bottomrule\n\\end{tabular}\n")


def _csv(found: Sequence[Leaders]) -> None:
    fields = list(dict.fromkeys(name for one in found for row in one.experts for name in row))
    write_csv(
        ["task", "hypothesis", "measure", *fields],
        ({"task": one.task, "hypothesis": one.hypothesis, "measure": one.measure, **row} for one in found for row in one.experts),
    )


def _json(found: Sequence[Leaders]) -> None:
    write_json([one._asdict() for one in found])


FORMS: dict[str, Callable[[Sequence[Leaders]], None]] = {"table": _table, "csv": _csv, "json": _json, "latex": _latex}


def _testable(one: Leaders) -> str:
    return f"{one.testable:,} expert{'s' if one.testable != 1 else ''} testable"


def _cells(one: Leaders) -> tuple[list[str], list[list[str]]]:
    """Return headings, and a line for each expert, as text."""
    shown = [name for name in HEADINGS if one.experts and name in one.experts[0]]
    return [HEADINGS[name] for name in shown], [[_cell(name, row, one.labels) for name in shown] for row in one.experts]


def _cell(name: str, row: dict[str, Any], labels: int) -> str:
    value = row[name]
    if name in ("rank", "expert", "title"):
        return str(value)
    if value is None:
        return "–"
    match name:
        case "all_rows":
            return f"{value:.2f} ({row['all_rows_low']:.2f}–{row['all_rows_high']:.2f})"
        case "where_it_fires":
            return f"{value:.2f} ({row['n_where_it_fires']:,})"
        case "covered":
            return f"{value} of {labels}"
        case "p_order_adjusted":
            return f"{value:.4f}"
        case "rows":
            return f"{value:,}"
        case "rate":
            return f"{value:.4f}"
        case "order_supported":
            return "yes" if value else "no"
        case _:
            return f"{value:.2f}"


def _reference(metrics: dict[str, float | None]) -> str:
    said = {"": metrics["all_rows"], ", left-out label ": metrics.get("left_out_label")}
    return "".join(f"{words}{value:.2f}" for words, value in said.items() if value is not None)


def _escaped(text: str) -> str:
    """Return text that LaTeX sets as it is: nothing in it is a command, a comment, or part of a ligature."""
    letters = "".join(SET_AS.get(letter, letter) for letter in printable(text))
    return re.sub("-(?=-)|(?<= ) |^ ", lambda found: "-{}" if found[0] == "-" else r"\ ", letters).replace("–", "--")
