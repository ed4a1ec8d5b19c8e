"""The DuckDB file between the two halves: the only package that opens DuckDB."""

from atlas.store.contents import Content, identity
from atlas.store.reading import Hypothesis, Label, Store, Task
from atlas.store.schema import SCHEMA_VERSION
from atlas.store.writing import rewrite_tables, write_atlas

__all__ = ["SCHEMA_VERSION", "Content", "Hypothesis", "Label", "Store", "Task", "identity", "rewrite_tables", "write_atlas"]
