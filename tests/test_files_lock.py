"""The lock of a build."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from radsupport.errors import BusyError
from radsupport.files import hold_alone


def _hold(path: Path) -> None:
    with hold_alone(path):
        time.sleep(60)


def test_a_lock_is_held_by_one_process_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "book.lock"
    holder = multiprocessing.get_context("spawn").Process(target=_hold, args=(path,))
    holder.start()
    while not (path.is_file() and path.read_text()):
        time.sleep(0.01)
    with pytest.raises(BusyError, match=f"Process {holder.pid} builds"):
        hold_alone(path)
    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join()
    with hold_alone(path):
        assert path.read_text() == f"{os.getpid()}\n"
