"""`atlas demo`."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines import bake, build, geometry, probe, train
from pipelines.options import SiteOptions, SubjectOptions, TaskOptions, TextOptions, device_option, site_options, work_option
from pipelines.progress import say

HOOK = "encoder.layer.2"
"""After the third of six layers."""

DTYPE = "float32"

CARRIER_SHARE = 0.05
"""Python's documentation hardly names a month or a weekday."""


@click.command("demo")
@device_option
@work_option
@site_options
def command(device: str, work: Path, site: SiteOptions) -> None:
    """Train a small dictionary on the packaged all-MiniLM-L6-v2 and map it: train, then build.

    \b
    Example:
        atlas demo
    """
    from atlas.activations.corpus import PYTHON_DOCS
    from atlas.activations.pretrained import PACKAGED_MODEL
    from atlas.train import TrainConfig

    bake.require_bakeable(site, work)
    geometry.require_installed()
    config = TrainConfig(carrier_share=CARRIER_SHARE)
    checkpoint = train.run(PACKAGED_MODEL, HOOK, PYTHON_DOCS, config, device, DTYPE, work)
    subject, text = SubjectOptions(str(checkpoint), None, None, device, DTYPE), TextOptions((PYTHON_DOCS,), None, False)
    labelled = TaskOptions(None, (), "atlas")
    page, _ = build.run(subject, text, labelled, probe.choose(labelled), 0, work, site)
    say(f"Open {page} in a browser: double-click it, no server is needed.")
    click.echo(page)
