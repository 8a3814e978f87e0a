"""Which tables a bench runs on: descriptions that come with the package or from a user, and their files."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

from gcnas.errors import ConfigurationError
from gcnas.tabular import Description, Table, load_table

SUFFIXES = (".yaml", ".yml")
SUBFOLDERS = (".", "tabular")
"""Where in the data folder a table may lie."""


@dataclass(frozen=True)
class TableReference:
    """All that a process needs to load a table.

    Attributes:
        name: Name of the space.
        description: JSON of the description.
        file: The table.
        checksum: Whether the file must be the one that was checked.
    """

    name: str
    description: str
    file: Path
    checksum: bool = True

    def load(self) -> Table:
        """Read the table; kept for the next call.

        Raises:
            DataError: If the file cannot be used.
            ConfigurationError: If the description does not fit together.
        """
        return _load(self)

    def identity(self) -> dict[str, str]:
        """What tells this table from others of its name: checksums of the file and of the description."""
        description = hashlib.sha256(self.description.encode()).hexdigest()
        return {"file": self.load().sha256, "description": description}


@lru_cache(maxsize=16)
def _load(reference: TableReference) -> Table:
    description = Description.model_validate_json(reference.description)
    return load_table(reference.file, description, checksum=reference.checksum)


def built_in() -> dict[str, str]:
    """Text of the descriptions that come with the package, by name."""
    files = resources.files("gcnas.bench.tables").iterdir()
    found = {file.name.removesuffix(".yaml"): file for file in files if file.name.endswith(".yaml")}
    return {name: found[name].read_text(encoding="utf-8") for name in sorted(found)}


def find_tables(
    spaces: Sequence[str], tables: Sequence[Path] = (), data: Path | None = None, *, checksum: bool = True
) -> list[TableReference]:
    """The tables that a user names.

    Args:
        spaces: Names of built-in descriptions, or paths of YAML files.
        tables: Files for the spaces that are YAML files, in their order; or one for each space.
        data: Folder of the other files.
        checksum: Whether files must be those that were checked.

    Raises:
        ConfigurationError: If a name, a file or a folder does not exist, or numbers do not fit.
    """
    if not spaces:
        raise ConfigurationError(f"Name a space: {', '.join(built_in())}, or the YAML file of a description.")
    own = [space for space in spaces if space.endswith(SUFFIXES)]
    with_file = spaces if len(tables) == len(spaces) else own
    if tables and len(tables) != len(with_file):
        raise ConfigurationError(
            f"Each --table belongs to a --space that is a description of yours, in the same order, but there are "
            f"{len(tables)} tables and {len(own)} descriptions."
        )
    given = dict(zip(with_file, tables, strict=True)) if tables else {}
    references = []
    for space in spaces:
        description = _description(space)
        file = given.get(space) or _find(description, space, data)
        if not file.is_file():
            raise ConfigurationError(f"The table of {description.name} does not exist: {file}.")
        references.append(TableReference(description.name, description.model_dump_json(), file, checksum))
    names = [reference.name for reference in references]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise ConfigurationError(f"Spaces need distinct names, but {repeated!r} comes twice.")
    return references


def find_available(spaces: Sequence[str], data: Path) -> list[str]:
    """Those built-in tables whose files are in a folder.

    Raises:
        ConfigurationError: If there is no such folder.
    """
    if not data.is_dir():
        raise ConfigurationError(f"The data folder does not exist: {data}.")
    files = {space: _description(space).file for space in spaces}
    return [
        space
        for space, file in files.items()
        if file is not None and any((data / folder / file).is_file() for folder in SUBFOLDERS)
    ]


def _description(space: str) -> Description:
    if space.endswith(SUFFIXES):
        return Description.read(Path(space))
    texts = built_in()
    if space not in texts:
        raise ConfigurationError(
            f"A space is one of {', '.join(texts)} or the YAML file of a description (docs/bench.md), but got "
            f"{space!r}."
        )
    return Description.parse(texts[space], space)


def _find(description: Description, space: str, data: Path | None) -> Path:
    """The file of a table by its usual name, in the data folder or beside the description."""
    if description.file is None or Path(description.file).name != description.file:
        raise ConfigurationError(
            f"The description {space} names no file of its own; give one with --table FILE."
        )
    folders = [data / folder for folder in SUBFOLDERS] if data is not None else []
    folders += [Path(space).parent] if space.endswith(SUFFIXES) else []
    if data is not None and not data.is_dir():
        raise ConfigurationError(f"The data folder does not exist: {data}.")
    if not folders:
        raise ConfigurationError(
            f"{description.name} needs your copy of {description.file}: give its folder with --data DIR."
        )
    for folder in folders:
        if (folder / description.file).is_file():
            return folder / description.file
    raise ConfigurationError(
        f"{description.name} needs the file {description.file}, but there is none in "
        f"{', '.join(map(str, folders))}. Give the folder of your copy with --data DIR, or the file with --table FILE."
    )
