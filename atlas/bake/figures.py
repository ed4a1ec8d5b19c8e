"""The figure skeleton: Plotly layout and traces without coordinates and colours, one per scheme; and what a task's marks are."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from atlas.bake.arrays import STEPS
from atlas.bake.colours import GROUND, LINE, MUTED, SCHEMES, TEXT, Scheme, given_colours, is_ordered
from atlas.store import Task

FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
DIRECT_LABELS = 20
"""A task with at most this many labels has each of them written at its class mean; a larger one, ten."""
ZOOM = 1.6
"""Brings the cube of the frame near the edges of the scene, for every way that it can be turned."""
MARGIN = 1.04
"""The axes reach a little past the outermost point."""


def skeletons() -> dict[Scheme, dict[str, Any]]:
    """Return the figure that every cloud is drawn in, by scheme. Coordinates are whole steps of an expert's frame.

    The traces are points, class means, the line through class means, and the three axes; sizes of marks are px. The page
    adds names, camera and whatever moves.
    """
    return {scheme: _skeleton(scheme) for scheme in SCHEMES}


def labels_per_mean(task: Task) -> int:
    """Return how many neighbouring labels share one mark: a hundred class means are a tangle, ten means of ten a path.

    Labels without an order have no neighbours.
    """
    return 1 if len(task.labels) <= DIRECT_LABELS or not _has_path(task) else -(-len(task.labels) // 10)


def _skeleton(scheme: Scheme) -> dict[str, Any]:
    points = go.Scatter3d(mode="markers", hoverinfo="skip", marker={"size": 3, "opacity": 0.75})
    means = go.Scatter3d(
        mode="markers",
        hoverinfo="skip",
        marker={
            "size": 9,
            "line": {"color": GROUND[scheme], "width": 2},
        },
    )
    joined = go.Scatter3d(mode="lines", hoverinfo="skip", line={"color": MUTED[scheme], "width": 2})
    axes = go.Scatter3d(mode="lines", hoverinfo="skip", line={"color": LINE[scheme], "width": 1})
    axis = {"visible": False, "showspikes": False, "range": [-MARGIN * STEPS, MARGIN * STEPS], "autorange": False}
    layout = go.Layout(
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 12, "color": TEXT[scheme]},
        showlegend=False,
        hovermode=False,
        scene={
            "xaxis": axis,
            "yaxis": axis,
            "zaxis": axis,
            "aspectmode": "manual",
            "aspectratio": {"x": ZOOM, "y": ZOOM, "z": ZOOM},
            "bgcolor": "rgba(0,0,0,0)",
            "dragmode": False,
            "hovermode": False,
            "camera": {"projection": {"type": "orthographic"}},
        },
    )
    built = go.Figure(data=[points, means, joined, axes], layout=layout)
    built.layout.template = None  # Plotly's own is 7 kB of defaults that nothing here uses
    figure = built.to_plotly_json()
    return {"data": figure["data"], "layout": figure["layout"]}


def _has_path(task: Task) -> bool:
    return task.cyclic or is_ordered(task)


def is_on_an_axis(task: Task) -> bool:
    """Return whether there are too many ordered labels to be named: they are read off a colour axis.

    A place that is no more than the label's number says nothing on an axis, unless it is also its name.
    """
    if task.cyclic or len(task.labels) <= DIRECT_LABELS or not is_ordered(task) or given_colours(task):
        return False
    counted = [label.value for label in task.labels] == list(range(len(task.labels)))
    return not counted or all(str(number) in label.name for number, label in enumerate(task.labels))
