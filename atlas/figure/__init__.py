"""Figures for papers: one expert's cloud as SVG, PDF or PNG. Needs the extra `figure`."""

from atlas.figure.config import FigureConfig
from atlas.figure.drawing import FigureReport, figure

__all__ = ["FigureConfig", "FigureReport", "figure"]
