"""Prints docs/commands.md: what `--help` says of every command."""

from __future__ import annotations

import importlib

import click

from pipelines.cli import COMMANDS

HEAD = """# Commands

What `atlas COMMAND --help` says. This file is written by `.venv/bin/python tools/commands.py > docs/commands.md`.
"""


def section(name: str) -> str:
    """Return a command's heading and help, as wide as this document."""
    command: click.Command = importlib.import_module(f"pipelines.{name}").command
    context = click.Context(command, info_name=f"atlas {name}", terminal_width=110)
    return f"\n## atlas {name}\n\n```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    print(HEAD + "".join(section(name) for name in COMMANDS), end="")
