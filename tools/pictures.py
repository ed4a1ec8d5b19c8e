"""Takes the README's pictures of a baked demo: what fires on September, light and dark, into docs/pictures/."""

from __future__ import annotations

import sys
from pathlib import Path

from atlas.publish.chromium import started

VIEW = "#/?label=months:September"
SIZE = {"width": 1200, "height": 760}
FOLDER = Path(__file__).parents[1] / "docs" / "pictures"


def main(site: Path) -> None:
    """Write one picture for each scheme."""
    with started() as browser:
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport=SIZE, color_scheme=scheme)
            page.goto((site / "index.html").absolute().as_uri() + VIEW)
            page.get_by_role("list", name="Experts").get_by_role("listitem").first.wait_for()
            page.wait_for_timeout(1_000)  # the clouds are drawn as they come into view
            page.screenshot(path=FOLDER / f"months-{scheme}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "site"))
