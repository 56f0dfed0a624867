"""Files that are there whole or not at all, and a lock that ends with its process, whatever stops that."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from filelock import AcquireReturnProxy, FileLock, Timeout

from radsupport.errors import BusyError, FetchError, Problem

MIRROR = "RADSUPPORT_DATA"


def mirror_folder(mirror: Path | None = None) -> Path | None:
    """Return the folder to take files from: the argument, else ``RADSUPPORT_DATA``, else none.

    Raises
    ------
    FetchError
        It is no folder.
    """
    text = str(mirror) if mirror is not None else os.environ.get(MIRROR, "")
    if not text:
        return None
    folder = Path(text).expanduser()
    if not folder.is_dir():
        remedy = f"correct --mirror or {MIRROR}"
        raise FetchError("The local folder can not be used.", [Problem("no such folder", remedy=remedy, file=text)])
    return folder


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


def sha256(path: Path) -> str:
    """Return the checksum of a file's content."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hold_alone(path: Path) -> AcquireReturnProxy:
    """Take the lock of a file; it is held while what is returned lives, and freed however the process ends.

    Parameters
    ----------
    path : Path
        The number of the process that holds it lies beside, in ``<name>.pid``.

    Returns
    -------
    filelock.AcquireReturnProxy
        As a context manager it frees the lock at the end of the block.

    Raises
    ------
    BusyError
        Another process holds it; its number is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    number = path.with_suffix(".pid")
    try:
        held = FileLock(path).acquire(timeout=0)
    except Timeout:
        holder = number.read_text(encoding="utf-8").strip() if number.is_file() else "unknown"
        raise BusyError(f"Process {holder} builds the book in this folder: wait until it ends, or stop it.") from None
    with written_whole(number) as partial:
        partial.write_text(f"{os.getpid()}\n", encoding="utf-8")
    return held
