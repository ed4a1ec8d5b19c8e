"""`atlas check`."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.progress import say


@click.command("check")
@click.argument("site", type=click.Path(path_type=Path), default=Path("site"))
@click.option(
    "--experts",
    type=click.IntRange(min=1),
    default=12,
    show_default=True,
    help="Experts whose pages are opened, evenly over the list.",
)
def command(site: Path, experts: int) -> None:
    """Open a baked SITE in headless Chromium, from disk and over HTTP; print what is wrong with it, one fault a line.

    Fails on a changed or missing file, a script error, a request that leaves the folder, a breach of its
    Content-Security-Policy, a link to nothing, or a scene that drew nothing.

    \b
    Example:
        atlas check site --experts 12
    """
    from atlas.errors import SiteFaulty
    from atlas.publish.checking import check
    from atlas.publish.chromium import started
    from atlas.publish.site import Site

    Site.open(site)
    with started() as browser:
        report = check(site, browser, experts=experts, progress=say)
    for fault in report.faults:
        click.echo(str(fault))
    if report.faults:
        number = f"{len(report.faults)} faults" if len(report.faults) > 1 else "1 fault"
        raise SiteFaulty(f"{number} in {str(site)!r}; the first: {report.faults[0]}. Bake it again, or mend what you changed.")
    click.echo(f"Checked {report.files:,} files and {report.opened} of {report.experts:,} experts: nothing wrong.")
