"""What a process has imported and set before it runs a command of the harness: forked from it, a run costs no import.

Chunks, tasks and draws are as small as they can be, so that a whole path takes seconds and is saved at many places.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial

import duckdb  # noqa: F401
import gudhi  # noqa: F401
import plotly.graph_objects  # noqa: F401
import pytest
import scipy.optimize  # noqa: F401
import sklearn.cluster  # noqa: F401
import sklearn.decomposition  # noqa: F401
import sklearn.manifold  # noqa: F401
import torch
import transformers.models.bert.modeling_bert
import transformers.models.bert.tokenization_bert  # noqa: F401

import atlas.activations.corpus
import atlas.assemble
import atlas.bake
import atlas.evaluation
import atlas.geometry.stage
import atlas.harvest.harvest
import atlas.train  # noqa: F401
from atlas.probe.tasks import Task, builtin_tasks
from pipelines import build, cli, train  # noqa: F401
from templated import only

LABELS = 7
CHUNK_CHARACTERS = 500


def few_rows(task: Task) -> Task:
    """A task with one template of every group, and a week of labels."""
    kept = [i for i, group in enumerate(task.groups) if group not in task.groups[:i]]
    return replace(
        task,
        labels=task.labels[:LABELS],
        values=task.values[:LABELS],
        sentences=tuple(
            one._replace(template=kept.index(one.template))
            for one in task.sentences
            if one.label < LABELS and one.template in kept
        ),
        groups=tuple(task.groups[i] for i in kept),
        hypotheses=tuple(replace(one, of_label=one.of_label[:LABELS]) for one in task.hypotheses[:1] if one.of_label is not None),
    )


torch.set_num_threads(1)
_patch = pytest.MonkeyPatch()
only(_patch, *(few_rows(task) for task in builtin_tasks()[:2]))
_patch.setattr(atlas.activations.corpus, "CHUNK_CHARACTERS", CHUNK_CHARACTERS)
# A harvest is saved after each chunk.
_patch.setattr(atlas.harvest.harvest, "SAVING_SHARE", float("inf"))
_patch.setattr(atlas.harvest.harvest, "harvest", partial(atlas.harvest.harvest.harvest, save_every_s=0.0))
_patch.setattr(atlas.geometry.stage, "cores", lambda: 1)
# What a killed process wrote is not lost; only a power cut would be another matter.
_patch.setattr(os, "fsync", lambda _: None)
