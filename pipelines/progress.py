"""What long work tells the user, on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from tqdm import tqdm


def say(text: str) -> None:
    """Print a line on stderr."""
    click.echo(text, err=True)


@contextmanager
def bar(description: str, unit: str, total: int | None = None) -> Iterator[Any]:
    """Give a progress bar with rate and time left; it stays on the screen when done."""
    with tqdm(total=total, desc=description, unit=f" {unit}", unit_scale=True, dynamic_ncols=True) as shown:
        yield shown
