"""The command `atlas`: one group, and the one place where a mendable error becomes a line on stderr."""

from __future__ import annotations

import errno
import importlib
from typing import Any

import click

from atlas.errors import AtlasError
from pipelines.printing import is_text, printable, spelled_out
from pipelines.progress import stoppable

COMMANDS = (
    *("demo", "build", "train", "harvest", "merge", "probe", "geometry", "evaluate", "assemble", "bake"),
    *("serve", "check", "verify", "figure", "embed", "scores", "shapes", "neighbours", "trace", "tasks", "inspect"),
)
"""In the order of `atlas --help`."""
EXTRAS = {
    "torch": "compute",
    "transformers": "compute",
    "datasets": "compute",
    "huggingface_hub": "compute",
    "scikit-learn": "geometry",
    "sklearn": "geometry",
    "scipy": "geometry",
    "gudhi": "geometry",
    "matplotlib": "figure",
    "playwright": "check",
    "wandb": "wandb",
}
"""Packages that a plain install does not bring, and the extra that does."""

SHOWN = 60
"""Characters of a file's name that a refusal has of one that is too long."""


class _Commands(click.Group):
    """Loads a command's file when it is asked for, so that `--help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"pipelines.{cmd_name}").command
        return command

    def main(self, *args: Any, **kwargs: Any) -> Any:
        with spelled_out():
            return super().main(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if broken := [argument for argument in args if not is_text(argument)]:
            # What comes from a command line would end up in tables and pages, which are UTF-8.
            raise click.ClickException(f"The argument '{printable(broken[0])}' is not text in UTF-8. Rename what it names.")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with stoppable():
                return super().invoke(ctx)
        except AtlasError as error:
            raise click.ClickException(printable(str(error))) from error
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            name = printable(str(error.filename)[:SHOWN])
            raise click.ClickException(f"No file can have as long a name as '{name}…'. Give a shorter one.") from error
        except ModuleNotFoundError as error:
            extra = EXTRAS.get(error.name or "")
            if extra is None:
                raise
            raise click.ClickException(
                f"This command needs {error.name}. Install the extra that has it: pip install 'expert-atlas[{extra}]'"
            ) from error


# Otherwise click takes escape sequences out where it prints to no terminal, and nobody sees that they were there.
@click.command(cls=_Commands, context_settings={"color": True})
@click.version_option(package_name="expert-atlas", prog_name="atlas")
def main() -> None:
    """Map what every expert of a SMIXAE does, and bake it into a site that opens from disk."""
