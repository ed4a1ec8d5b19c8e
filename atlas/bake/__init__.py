"""The site: records ► figure skeletons, payloads, pages. Needs no torch."""

from atlas.bake.baking import BakeConfig, BakeReport, bake, require_bakeable
from atlas.bake.templates import templates_root

__all__ = ["BakeConfig", "BakeReport", "bake", "require_bakeable", "templates_root"]
