"""A file is whole or not there, whatever happens while it is written."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pandas as pd
import pytest

from radsupport.errors import BusyError
from radsupport.files import hold_alone, write_csv, written_whole


def test_the_file_appears_with_its_folder_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scan.nii.gz"
    with written_whole(path) as partial:
        assert partial.name.endswith("scan.nii.gz")
        partial.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


def _write_half(path: Path, error: type[BaseException]) -> None:
    path.write_bytes(b"ne")
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "state.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), written_whole(path) as partial:
        _write_half(partial, error)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), written_whole(tmp_path / "t.csv"):
        pass


def _write_slowly(path: Path) -> None:
    with written_whole(path) as partial, partial.open("w") as stream:
        while True:
            stream.write("half")
            stream.flush()
            time.sleep(0.01)


def test_a_kill_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("old")
    writer = multiprocessing.get_context("spawn").Process(target=_write_slowly, args=(path,))
    writer.start()
    while not list(tmp_path.glob(".partial_*")):
        time.sleep(0.01)
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join()
    assert path.read_text() == "old"


def test_two_writers_at_once_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with written_whole(path) as first, written_whole(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the outer block ends last


def test_a_table_round_trips_without_its_index(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": [1, 2]}, index=[7, 8])
    write_csv(table, tmp_path / "t.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "t.csv"), table.reset_index(drop=True))


def _hold(path: Path) -> None:
    with hold_alone(path):
        time.sleep(60)


def test_a_lock_is_held_by_one_process_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "book.lock"
    holder = multiprocessing.get_context("spawn").Process(target=_hold, args=(path,))
    holder.start()
    number = tmp_path / "book.pid"
    while not number.is_file():
        time.sleep(0.01)
    with pytest.raises(BusyError, match=f"Process {holder.pid} builds"):
        hold_alone(path)
    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join()
    with hold_alone(path):
        assert number.read_text() == f"{os.getpid()}\n"
