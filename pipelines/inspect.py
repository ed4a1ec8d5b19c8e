"""`atlas inspect`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from atlas.errors import ConfigError
from pipelines.options import (
    SubjectOptions,
    device_map_option,
    device_option,
    dtype_option,
    hook_option,
    model_option,
    trust_option,
)
from pipelines.printing import printable, write_json
from pipelines.progress import bar, say, stoppable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

    from atlas.dictionary import Checkpoint
    from atlas.dictionary.diagnosis import Diagnosis, Reading

SOURCES = {
    "given": "as given",
    "stored": "from activation_scaler.json",
    "measured": "measured on these rows: √d_in / mean norm",
}
"""Where a scale comes from, in words."""


class Measured(NamedTuple):
    """A checkpoint, and what it does to rows of its model."""

    checkpoint: Checkpoint
    diagnosis: Diagnosis


@click.command("inspect")
@click.argument("path")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@click.option(
    "--corpus",
    help="Text to run a checkpoint's model on, to see whether its scale is folded right, named as for atlas harvest."
    "  [default: none, and nothing is run]",
)
@click.option(
    "--tokens",
    type=click.IntRange(min=2),
    default=20_000,
    show_default=True,
    help="About how many tokens of the corpus to read, in whole windows; their rows are held in memory.",
)
@click.option(
    "--scale",
    type=click.FloatRange(min=0, min_open=True),
    help="What rows were multiplied by in training.  [default: what activation_scaler.json says, else √d_in / mean norm of rows]",
)
@click.option(
    "--repair",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Empty or new folder for a corrected copy, where the fold looks wrong and a mend helps.  [default: none is written]",
)
@model_option
@hook_option
@device_option
@dtype_option
@device_map_option
@trust_option
def command(
    path: str,
    as_json: bool,
    corpus: str | None,
    tokens: int,
    scale: float | None,
    repair: Path | None,
    model: str | None,
    hook: str | None,
    device: str,
    dtype: str,
    device_map: str,
    trust_remote_code: bool,
) -> None:
    """Print what PATH is (checkpoint, work folder, atlas or site), what it was made from, and how long that took.

    A checkpoint may be on the hub: owner/repo[/subfolder][@revision]. With --corpus it is run on text too, and what it does says
    whether its activation scale was folded into it rightly.

    \b
    Example:
        atlas inspect work/atlas.duckdb
        atlas inspect checkpoint --corpus text.jsonl --repair mended
    """
    from atlas.inspection import inspect

    _require_corpus(corpus)
    measured = None
    if corpus is not None:
        # What cannot be measured is refused before anything is printed.
        with stoppable("Nothing was written."):
            subject = SubjectOptions(path, model, hook, device, dtype, device_map, trust_remote_code)
            measured = _measure(subject, corpus, tokens, scale, repair)
    found = inspect(path)
    fold = _facts(measured.diagnosis) if measured else None
    if as_json:
        value = {"kind": found.kind, "path": found.path, **found.groups, **({"fold": fold} if fold else {})}
        write_json(value)
    else:
        click.echo(f"{found.path}: {found.kind}")
        width = max((len(name) for facts in found.groups.values() for name in facts), default=0)
        for title, facts in found.groups.items():
            click.echo(f"\n{title}")
            for name, value in facts.items():
                click.echo(f"  {name:<{width}}  {_text(value)}".rstrip())
        if measured:
            click.echo(f"\nfold\n{_said(measured.diagnosis)}")
    if measured and repair is not None:
        _repair(measured, repair)


def _require_corpus(corpus: str | None) -> None:
    """Refuse options that do nothing without a corpus, and a corpus that is named by nothing."""
    if corpus is not None:
        if not corpus.strip():
            raise ConfigError("--corpus is empty; name one, or leave it out.")
        return
    context = click.get_current_context()
    names = ("tokens", "scale", "repair", "model", "hook", "device", "dtype", "device_map", "trust_remote_code")
    given = [
        f"--{name.replace('_', '-')}"
        for name in names
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        raise ConfigError(
            f"{' and '.join(given)} {'says' if len(given) == 1 else 'say'} nothing without text to measure on; add --corpus."
        )


def _measure(given: SubjectOptions, source: str, tokens: int, scale: float | None, out: Path | None) -> Measured:
    """Run the model of a checkpoint on text and read the checkpoint in every way, with progress on stderr."""
    from atlas.dictionary.diagnosis import diagnose, require_free, residual_rows
    from pipelines.loading import load_subject, named_subject, readable_corpus, said_model

    corpus = readable_corpus(source)
    named = named_subject(given)
    if out is not None:
        require_free(named.checkpoint, out)
    checkpoint, model, stream = load_subject(named)
    say(said_model(model))
    with bar("Measuring", "tokens", tokens) as shown:
        rows = _counted(residual_rows(corpus, model, stream, tokens), shown)
        return Measured(checkpoint, diagnose(checkpoint, rows, scale))


def _counted(rows: Iterable[Tensor], shown: Any) -> Iterator[Tensor]:
    for block in rows:
        yield block
        shown.update(len(block))
    shown.total = shown.n


def _facts(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return a diagnosis as JSON has it."""

    def read(reading: Reading) -> dict[str, Any]:
        numbers = reading._asdict()
        mend = numbers.pop("mend")
        finite = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        return {"mend": mend.name, "assumes": mend.assumes, **finite}

    return {
        "verdict": diagnosis.verdict,
        "sentence": diagnosis.sentence,
        "mend": diagnosis.mend.name if diagnosis.mend else None,
        "rows": diagnosis.rows,
        "mean_norm": diagnosis.mean_norm,
        "scale": diagnosis.scale,
        "scale_source": diagnosis.scale_source,
        "readings": [read(reading) for reading in diagnosis.readings],
    }


def _said(diagnosis: Diagnosis) -> str:
    """Return a diagnosis in lines: what was measured, a row per reading, the verdict."""
    assumed = [f"{reading.mend.name}: {reading.mend.assumes}" for reading in diagnosis.readings]
    width = max(map(len, assumed))
    lines = [
        f"  {diagnosis.rows:,} rows of mean norm {diagnosis.mean_norm:.4g}; scale {diagnosis.scale:.4g}, "
        f"{SOURCES[diagnosis.scale_source]}",
        "",
        f"  {'read as':<{width}}  norm ratio     FVU    gain  firings per token",
    ]
    for said, reading in zip(assumed, diagnosis.readings, strict=True):
        ratio, fvu, gain, firings = reading[1:]
        lines.append(f"  {said:<{width}}  {ratio:>10.3g}  {fvu:>6.3g}  {gain:>6.3g}  {firings:>17.1f}")
    mends = " `--repair OUT` writes a copy with that mended." if diagnosis.mend else ""
    return "\n".join([*lines, "", f"  {diagnosis.sentence}{mends}"])


def _repair(measured: Measured, out: Path) -> None:
    from atlas.dictionary.diagnosis import repair

    repair(measured.checkpoint, measured.diagnosis, out)
    say(f"Wrote '{out}', mended by {measured.diagnosis.scale:.4g} ({SOURCES[measured.diagnosis.scale_source]}).")


def _text(value: Any) -> str:
    """Return a value in one line."""
    return printable(value if isinstance(value, str) and value.strip() else json.dumps(value, ensure_ascii=False))
