"""`atlas demo`."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines import build, train
from pipelines.options import device_option, out_option, work_option
from pipelines.progress import say

HOOK = "encoder.layer.2"
"""After the third of six layers."""

CARRIER_SHARE = 0.05
"""Python's documentation hardly names a month or a weekday."""


@click.command("demo")
@device_option
@work_option
@out_option
def command(device: str, work: Path, out: Path) -> None:
    """Train a small dictionary on the packaged all-MiniLM-L6-v2 and map it: train, then build.

    \b
    Example:
        atlas demo
    """
    from atlas.activations.corpus import PYTHON_DOCS
    from atlas.activations.model import PACKAGED_MODEL
    from atlas.train import TrainConfig

    checkpoint = train.run(PACKAGED_MODEL, HOOK, PYTHON_DOCS, TrainConfig(carrier_share=CARRIER_SHARE), device, work)
    page = build.run(checkpoint, None, None, PYTHON_DOCS, 0, device, work, out)
    say(f"Open {page} in a browser: double-click it, no server is needed.")
    click.echo(page)
