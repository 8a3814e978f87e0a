"""Tables of trained networks: their description, their space, and what they know."""

from gcnas.tabular.description import Description
from gcnas.tabular.space import TableSpace, make_space
from gcnas.tabular.table import Entry, Table, load_table

__all__ = ["Description", "Entry", "Table", "TableSpace", "load_table", "make_space"]
