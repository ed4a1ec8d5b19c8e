"""Spoils inputs by the thousand and has Atlas read them: prints how many were right, refused by name, or neither.

.venv/bin/python tools/fuzz.py --cases 10000 --seed 1
.venv/bin/python tools/fuzz.py --replay /tmp/atlas-fuzz/cases/task-1-17
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fuzz"))

from fuzzing import SHARES, cases, fuzzed, read_again, table, tallied  # noqa: E402


@click.command()
@click.option(
    "--cases", "n", type=click.IntRange(min=1), default=10_000, show_default=True, help="How many, of all kinds together."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of what is spoiled, and how.")
@click.option("--kind", type=click.Choice(list(SHARES)), multiple=True, help="Only of this kind.  [default: all]")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("/tmp/atlas-fuzz"),
    show_default=True,
    help="For originals and faulty cases.",
)
@click.option("--replay", type=click.Path(path_type=Path, exists=True), help="Folder of a case that was kept: reads it again.")
def main(n: int, seed: int, kind: tuple[str, ...], folder: Path, replay: Path | None) -> None:
    """Spoil inputs, and print a table of what became of them. The exit code is 1 if there is a fault."""
    folder.mkdir(parents=True, exist_ok=True)
    if replay is not None:
        outcome, why = read_again(replay, folder)
        click.echo(f"{outcome}: {why}")
        sys.exit(outcome == "fault")
    chosen = {name: share for name, share in SHARES.items() if not kind or name in kind}
    asked = list(cases({name: share / sum(chosen.values()) for name, share in chosen.items()}, n, seed))
    found = tallied(_shown(fuzzed(asked, folder), len(asked)))
    click.echo(table(found))
    sys.exit(any(tally.faults for tally in found.values()))


def _shown(results: Iterator[tuple[str, str, str, Path]], total: int) -> Iterator[tuple[str, str, str, Path]]:
    with tqdm(results, total=total, unit=" cases") as shown:
        for kind, outcome, why, case in shown:
            if outcome == "fault":
                shown.write(f"\n{case}\n{why}", file=sys.stderr)
            yield kind, outcome, why, case


if __name__ == "__main__":
    main()
