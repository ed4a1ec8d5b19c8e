"""`atlas bake`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.options import SiteOptions, site_options
from pipelines.progress import say, stoppable

if TYPE_CHECKING:
    from atlas.bake import BakeConfig


@click.command("bake")
@click.argument("atlas", type=click.Path(path_type=Path), default=Path("work/atlas.duckdb"))
@site_options
def command(atlas: Path, site: SiteOptions) -> None:
    """Bake the site of an ATLAS database; print the page to open.

    \b
    Example:
        atlas bake work/atlas.duckdb --out site
    """
    with stoppable("The same command begins the bake again."):
        page = run(atlas, site)
    click.echo(page)


def run(atlas: Path, site: SiteOptions) -> Path:
    """Bake, say how large the site is, and return its page."""
    from atlas.bake import bake

    report = bake(atlas, site.out, _config(site))
    size = f"{report.payloads:,} payloads, {report.payload_bytes / 1e6:.1f} MB"
    data = f"; the data behind it, {report.data_bytes / 1e6:.1f} MB" if site.with_data else ""
    say(f"Baked {report.experts:,} experts into {site.out}: {size}{data}")
    return site.out / "index.html"


def require_bakeable(site: SiteOptions, work: Path) -> None:
    """Raise now what would stop the bake after the long work before it."""
    from atlas.bake import require_bakeable
    from atlas.bake.folder import require_beside

    require_bakeable(site.out, _config(site))
    require_beside(site.out, work, site.overwrite)


def _config(site: SiteOptions) -> BakeConfig:
    from atlas.bake import BakeConfig

    return BakeConfig(site.title, site.about, site.templates, site.overwrite, site.with_data)
