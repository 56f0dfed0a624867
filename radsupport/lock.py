"""One build at a time: a lock that ends with its process, whatever stops that."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TextIO

from radsupport.errors import BusyError


def hold_alone(path: Path) -> TextIO:
    """Take the lock of a file; it is held while the stream returned is open, and freed however the process ends.

    Raises
    ------
    BusyError
        Another process holds it; its number is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.seek(0)
        holder = stream.read().strip()
        stream.close()
        raise BusyError(f"Process {holder} builds the book in this folder: wait until it ends, or stop it.") from None
    stream.truncate(0)
    stream.write(f"{os.getpid()}\n")
    stream.flush()
    return stream
