"""Files that are there whole or not at all, whatever stops the program that writes them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes the name `path` once the block ends without an error.

    A kill leaves the old file or the new one, never half of it; an error leaves the old one. Several processes
    may write the same file at once: the last one to end wins.

    Parameters
    ----------
    path : Path
        The file wanted; its folder is made where there is none.

    Yields
    ------
    Path
        What to write to. It ends as `path` does, for libraries that tell a format by its name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial_{os.getpid()}_{uuid.uuid4().hex[:12]}_{path.name}")
    try:
        yield partial
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table without its index, whole or not at all."""
    with written_whole(path) as partial:
        table.to_csv(partial, index=False)
