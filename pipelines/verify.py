"""`atlas verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from atlas.errors import ConfigError
from pipelines.options import SEED, SubjectOptions, device_option, hook_option, model_option, not_empty, trust_option
from pipelines.printing import aligned, printable, write_json
from pipelines.progress import say, stoppable

if TYPE_CHECKING:
    from atlas.activations.model import LanguageModel
    from atlas.dictionary import Checkpoint
    from atlas.store import Store
    from atlas.verify.report import Report

HEADINGS = ["checked", "things", "faults", ""]


@click.command("verify")
@click.argument("path", type=click.Path(path_type=Path), default=Path("site"))
@click.option(
    "--db",
    "database",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Of a site: the atlas it was baked from, to compare its payloads with.  [default: the one in its download folder]",
)
@click.option(
    "--checkpoint",
    callback=not_empty,
    help="Dictionary to compare with what the atlas says of it, and to find a sample of its firings again.  [default: none]",
)
@model_option
@hook_option
@device_option
@trust_option
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    help="With --checkpoint: about how many firings to find again; 0 loads no model.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of which firings and which experts' pages are looked at.")
@click.option("--most", type=click.IntRange(min=1), default=20, show_default=True, help="Most faults of a kind that are printed.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print what was checked.",
)
def command(
    path: Path,
    database: Path | None,
    checkpoint: str | None,
    model: str | None,
    hook: str | None,
    device: str,
    trust_remote_code: bool,
    sample: int,
    seed: int,
    most: int,
    form: Literal["table", "json"],
) -> None:
    """Check that PATH, a site, an atlas.duckdb or a work folder, is what was written and what was found; print every fault.

    Of a site: files, payloads, links, and payloads against the database. Of a database: hashes of its tables, and what their rows
    say of each other. With --checkpoint a sample of firings is found again by running the model. Fails if anything is wrong.

    \b
    Example:
        atlas verify site --db work/atlas.duckdb
        atlas verify work/atlas.duckdb --checkpoint work/train/checkpoint
    """
    from atlas.verify.verifying import Holding, Sampled, verify

    if checkpoint is None and (model or hook or trust_remote_code):
        raise ConfigError("--model, --hook and --trust-remote-code are of what a checkpoint reads; name it with --checkpoint.")
    holding = Holding.of(path, database)
    with stoppable("Nothing was written."):
        dictionary, language_model = _subject(holding.database, checkpoint, model, hook, device, trust_remote_code, sample)
        report = verify(holding, dictionary, language_model, Sampled(firings=sample, seed=seed), say)
    if report.checks:
        _print(report, most, form)
    if report.stopped:
        raise report.stopped
    if report.n_faults:
        raise SystemExit(1)


def _subject(
    database: Path | None,
    checkpoint: str | None,
    model: str | None,
    hook: str | None,
    device: str,
    trusts_code: bool,
    sample: int,
) -> tuple[Checkpoint | None, LanguageModel | None]:
    """Return the checkpoint and its model, in what the atlas says that it computed in; none where none is asked for."""
    if checkpoint is None:
        return None, None
    if database is None:
        raise ConfigError("There is no database to compare the checkpoint with; name one with --db.")
    from atlas.store import Store
    from pipelines.loading import load_subject, named_subject

    if sample == 0:
        from atlas.dictionary import Checkpoint

        return Checkpoint.load(checkpoint), None
    with Store(database) as store:
        dtype = _dtype(store)
    subject = load_subject(named_subject(SubjectOptions(checkpoint, model, hook, device, dtype, trust_remote_code=trusts_code)))
    return subject.checkpoint, subject.model


def _dtype(store: Store) -> str:
    """Return what the model of an atlas computed in."""
    from atlas.activations.model import DTYPES

    dtype = str(store.provenance()["devices"]["harvest"]["dtype"])
    if dtype not in DTYPES:
        raise ConfigError(f"The atlas says that its model computed in {dtype!r}, which is none of {', '.join(DTYPES)}.")
    return dtype


def _print(report: Report, most: int, form: Literal["table", "json"]) -> None:
    told, left = report.told(most)
    if form == "json":
        checks = [{"check": one.name, "things": one.things, "faults": one.n_faults, "said": one.said} for one in report.checks]
        stopped = None if report.stopped is None else str(report.stopped)
        faults = [fault._asdict() for fault in told]
        write_json({"checks": checks, "n_faults": report.n_faults, "faults": faults, "left_out": left, "stopped": stopped})
        return
    rows = [[one.name, f"{one.things:,}", f"{one.n_faults:,}", one.said] for one in report.checks]
    click.echo(aligned([HEADINGS, *rows]))
    if told:
        click.echo()
    for fault in told:
        click.echo(printable(str(fault)))
    for kind, number in left.items():
        click.echo(f"{kind}: {number:,} more")
    if not (report.n_faults or report.stopped):
        click.echo("\nNothing wrong.")
