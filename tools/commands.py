"""Prints docs/commands.md: what `--help` says of every command."""

from __future__ import annotations

import importlib

import click

from pipelines.cli import COMMANDS

HEAD = """# Commands

What `atlas COMMAND --help` says. This file is written by `.venv/bin/python tools/commands.py > docs/commands.md`.
"""


def section(name: str, command: click.Command) -> str:
    """Return a command's heading and help, as wide as this document, and those of the commands in it."""
    context = click.Context(command, info_name=f"atlas {name}", terminal_width=110)
    inner = command.commands if isinstance(command, click.Group) else {}
    said = f"\n## atlas {name}\n\n```text\n{command.get_help(context)}\n```\n"
    return said + "".join(section(f"{name} {one}", inner[one]) for one in inner)


def loaded(name: str) -> click.Command:
    """Return the command of that name."""
    command: click.Command = importlib.import_module(f"pipelines.{name}").command
    return command


if __name__ == "__main__":
    print(HEAD + "".join(section(name, loaded(name)) for name in COMMANDS), end="")
