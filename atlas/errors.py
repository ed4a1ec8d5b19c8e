"""Problems that the reader can mend. Anything else that is raised is a bug and keeps its traceback.

AtlasError
├── AtlasMissing        no database at the path
├── AtlasDamaged        a database that lacks a part, or whose parts cannot be read
├── AtlasBusy           a database that another program holds open
├── QueryError          SQL that the database refuses
├── SchemaMismatch      a database of another schema version
├── OutputOccupied      the output folder holds something that no bake wrote, or cannot be written
├── TemplateError       a template of the author's that cannot be used
├── AboutError          words of the author's that cannot be used
├── NotInAtlas          an expert, source or class that an atlas does not have
├── NothingToInspect    a path that holds nothing of ours
├── TrainingDiverged    a training whose loss is no number any more
├── StorageError        a file that cannot be written
├── DictionarySilent    a dictionary that fires on nothing it is given
├── CheckpointError     a checkpoint that cannot be read or is not a SMIXAE
├── ModelError          a language model, hook or tokenizer that cannot be used
├── CorpusError         text that cannot be read, or none
├── TaskError           a labelled task that is not well formed
├── ConfigError         settings that make no sense
├── OriginMissing       a file that an atlas is made from and that is gone
├── StageMissing        an earlier stage has not run
├── StageDamaged        a file that a stage wrote cannot be read
├── WorkOccupied        a work folder of other inputs, or one that another run is using
├── SiteMissing         no baked site in the folder
├── SiteFaulty          a site that does not work as baked
├── PortTaken           a port that another program listens on
├── BrowserMissing      no Chromium that starts
└── SumOverflow         a fixed-point sum that left its 64 bits
"""

from __future__ import annotations

LONGEST = 2_000
"""Characters of a line that a reader still finds the cause in."""


class AtlasError(Exception):
    """A problem that the reader can mend: one line that says what was wrong, with the value, and what to do next.

    Values are those of other people's files, so what would break the line is left out, and the middle of one that is too long.
    """

    def __str__(self) -> str:
        line = " ".join(super().__str__().splitlines())
        return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"


class AtlasMissing(AtlasError):
    """There is no database at the path."""


class SchemaMismatch(AtlasError):
    """The database was written under another schema version."""


class AtlasDamaged(AtlasError):
    """The database lacks a part of its schema, or a part of it cannot be read."""


class AtlasBusy(AtlasError):
    """Another program holds the database open for writing."""


class QueryError(AtlasError):
    """The database refuses a reader's SQL."""


class OutputOccupied(AtlasError):
    """The output folder holds something that no earlier bake wrote, or it cannot be written."""


class TemplateError(AtlasError):
    """A template of the author's cannot be used."""


class AboutError(AtlasError):
    """The author's own words cannot be used."""


class NotInAtlas(AtlasError):
    """The atlas has no such expert, source or class."""


class NothingToInspect(AtlasError):
    """The path holds no checkpoint, work folder, atlas or site."""


class CheckpointError(AtlasError):
    """The checkpoint cannot be read, or it is not a SMIXAE."""


class TrainingDiverged(AtlasError):
    """The loss of a training, or its gradient, is no number any more."""


class StorageError(AtlasError):
    """A file cannot be written: the disk is full, or the folder is not ours to write in."""


class DictionarySilent(AtlasError):
    """No expert of the dictionary fires on any token that it was given."""


class ModelError(AtlasError):
    """The language model, its hook point or its tokenizer cannot be used."""


class CorpusError(AtlasError):
    """The text cannot be read, or there is none."""


class TaskError(AtlasError):
    """A labelled task is not well formed."""


class ConfigError(AtlasError):
    """Settings that make no sense, alone or together."""


class OriginMissing(AtlasError):
    """A file that an atlas is made from is not there any more."""


class StageMissing(AtlasError):
    """A stage was asked for before one that it reads from."""


class PartsMissing(AtlasError):
    """The parts of a stage are not one finished part of each shard."""


class StageDamaged(AtlasError):
    """A file that a stage wrote cannot be read."""


class WorkOccupied(AtlasError):
    """The work folder belongs to other inputs, or another run is using it."""


class WorkerKilled(AtlasError):
    """A process that did part of the work was ended from outside."""


class SumOverflow(AtlasError):
    """A fixed-point sum would have left its 64 bits."""


class SiteMissing(AtlasError):
    """The folder is not a baked site."""


class SiteFaulty(AtlasError):
    """A baked site does not work as it should."""


class PortTaken(AtlasError):
    """Another program listens on the port, or it may not be used."""


class BrowserMissing(AtlasError):
    """There is no Chromium, or it does not start."""
