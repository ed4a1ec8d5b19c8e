"""`atlas serve`."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.progress import say


@click.command("serve")
@click.argument("site", type=click.Path(path_type=Path), default=Path("site"))
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on, on 127.0.0.1; 0 takes any free one.",
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.  [default: no]")
def command(site: Path, port: int, open_page: bool) -> None:
    """Preview a baked SITE on this machine, with the headers it is published with; print its address.

    \b
    Example:
        atlas serve site --port 8000 --open
    """
    from atlas.publish.headers import Headers, config_path
    from atlas.publish.serving import open_server
    from atlas.publish.site import Site

    with open_server(Site.open(site).folder, Headers.read(config_path()), port) as server:
        click.echo(server.url)
        say(f"Serving {site} to this machine only. Stop with Ctrl-C.")
        if open_page:
            click.launch(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("Stopped.")
