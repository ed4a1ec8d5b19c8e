"""What of a site is the work of others, and on which terms."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atlas.bake.templates import templates_root

MODELS = {"sentence-transformers/all-MiniLM-L6-v2": "Apache-2.0"}
"""The packaged model's, as its publisher states it; of others the page says nothing."""
CORPORA = {"python-docs": "PSF-2.0"}
"""The text that comes with every Python."""


@dataclass(frozen=True)
class Licence:
    """A part of the site, and the terms that it is under."""

    part: str
    licence: str
    """As SPDX abbreviates it."""
    address: str | None = None
    """Of its text, below the site's assets."""


def licences(provenance: Mapping[str, Any]) -> tuple[Licence, ...]:
    """Return the licences of what the page runs, then of the packaged model and text where the atlas is made from them."""
    vendored = tomllib.loads((templates_root() / "static" / "vendor" / "VENDORED.toml").read_text(encoding="utf-8"))
    model = provenance["model"]["id"]
    corpora = {corpus["name"]: corpus["title"] for corpus in provenance.get("corpora", [])}
    return (
        *(
            Licence(f"{one['name']} {one['version']}", one["licence"], f"vendor/{one['name']}/LICENSE")
            for one in vendored["package"]
        ),
        *([Licence(f"Model {model}", MODELS[model])] if model in MODELS else []),
        *(Licence(f"Text: {title}", CORPORA[name]) for name, title in corpora.items() if name in CORPORA),
    )
