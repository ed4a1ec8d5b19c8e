"""Problems that the reader can mend. Anything else that is raised is a bug and keeps its traceback.

AtlasError
├── AtlasMissing        no database at the path
├── SchemaMismatch      a database of another schema version
├── OutputOccupied      the output folder holds something that no bake wrote
├── CheckpointError     a checkpoint that cannot be read or is not a SMIXAE
├── ModelError          a language model, hook or tokenizer that cannot be used
├── CorpusError         text that cannot be read, or none
├── TaskError           a labelled task that is not well formed
├── ConfigError         settings that make no sense
├── StageMissing        an earlier stage has not run
├── WorkOccupied        a work folder of other inputs, or one that another run is using
└── SumOverflow         a fixed-point sum that left its 64 bits
"""

from __future__ import annotations


class AtlasError(Exception):
    """A problem that the reader can mend: one line that says what was wrong, with the value, and what to do next."""


class AtlasMissing(AtlasError):
    """There is no database at the path."""


class SchemaMismatch(AtlasError):
    """The database was written under another schema version."""


class OutputOccupied(AtlasError):
    """The output folder holds something that no earlier bake wrote."""


class CheckpointError(AtlasError):
    """The checkpoint cannot be read, or it is not a SMIXAE."""


class ModelError(AtlasError):
    """The language model, its hook point or its tokenizer cannot be used."""


class CorpusError(AtlasError):
    """The text cannot be read, or there is none."""


class TaskError(AtlasError):
    """A labelled task is not well formed."""


class ConfigError(AtlasError):
    """Settings that make no sense, alone or together."""


class StageMissing(AtlasError):
    """A stage was asked for before one that it reads from."""


class WorkOccupied(AtlasError):
    """The work folder belongs to other inputs, or another run is using it."""


class SumOverflow(AtlasError):
    """A fixed-point sum would have left its 64 bits."""
