"""Labelled data sets: those that come with Atlas, and a user's own."""

from atlas.probe.tasks.choice import Refused, chosen_tasks
from atlas.probe.tasks.draft import draft
from atlas.probe.tasks.names import NEWLINE_TASKS
from atlas.probe.tasks.needs import ModelFacts, model_facts, needed, unmet
from atlas.probe.tasks.sentences import BUILTIN, BUILTIN_TASKS, builtin_tasks, load_task
from atlas.probe.tasks.source import source_files, toml_beside, without_folder
from atlas.probe.tasks.stated import one_line
from atlas.probe.tasks.task import Hypothesis, Need, Probe, Sentence, Shape, Task
from atlas.probe.tasks.user import user_task

__all__ = [
    "BUILTIN",
    "BUILTIN_TASKS",
    "NEWLINE_TASKS",
    "Hypothesis",
    "ModelFacts",
    "Need",
    "Probe",
    "Refused",
    "Sentence",
    "Shape",
    "Task",
    "builtin_tasks",
    "chosen_tasks",
    "draft",
    "load_task",
    "model_facts",
    "needed",
    "one_line",
    "source_files",
    "toml_beside",
    "unmet",
    "user_task",
    "without_folder",
]
