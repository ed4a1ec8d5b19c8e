"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

checkpoint_option = click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the dictionary: cfg.json and sae_weights.safetensors.",
)
model_option = click.option("--model", help="Language model: hub id or local folder.  [default: what the checkpoint names]")
hook_option = click.option(
    "--hook", help="Dotted path of the submodule whose output is read.  [default: what the checkpoint names]"
)
corpus_option = click.option(
    "--corpus",
    default="python-docs",
    show_default=True,
    help="Text: python-docs, a .txt, .json or .jsonl file (may be gzipped), or a data set's hub id.",
)
work_option = click.option(
    "--work",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("work"),
    show_default=True,
    help="Folder that the stages keep their parts in.",
)
out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("site"),
    show_default=True,
    help="Folder that the site is written to.",
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute; auto takes a GPU where there is one.",
)
