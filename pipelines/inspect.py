"""`atlas inspect`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command("inspect")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def command(path: Path, as_json: bool) -> None:
    """Print what PATH is (checkpoint, work folder, atlas or site), what it was made from, and how long that took.

    \b
    Example:
        atlas inspect work/atlas.duckdb
    """
    from atlas.inspection import inspect

    found = inspect(path)
    if as_json:
        value = {"kind": found.kind, "path": found.path, **found.groups}
        click.echo(json.dumps(value, ensure_ascii=False, indent=2))
        return
    click.echo(f"{found.path}: {found.kind}")
    width = max((len(name) for facts in found.groups.values() for name in facts), default=0)
    for title, facts in found.groups.items():
        click.echo(f"\n{title}")
        for name, value in facts.items():
            click.echo(f"  {name:<{width}}  {_text(value)}".rstrip())


def _text(value: Any) -> str:
    """Return a value in one line that moves no cursor."""
    line = " ".join(value.split()) if isinstance(value, str) else None
    return line if line and line.isprintable() else json.dumps(value, ensure_ascii=False)
