"""The site: records ► figure skeletons, payloads, pages. Needs no torch."""

from atlas.bake.baking import BakeReport, bake, templates_root

__all__ = ["BakeReport", "bake", "templates_root"]
