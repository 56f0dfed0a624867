"""A file is whole or not there, whatever happens while it is written."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

import filelock
import pandas as pd
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from radsupport import files
from radsupport.errors import BusyError, StorageError
from radsupport.files import (
    file_stem,
    file_stems,
    hold_alone,
    is_running,
    slug,
    something_else,
    sweep,
    write_csv,
    written_whole,
)
from radsupport.imaging.reading import write_image


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
    assert is_running(writer.pid or 0)
    assert sweep(tmp_path) == 0  # it is being written
    os.kill(writer.pid or 0, signal.SIGKILL)
    while is_running(writer.pid or 0):  # not waited for, it is there as a zombie
        time.sleep(0.01)
    assert sweep(tmp_path.parent) == 1
    writer.join()
    assert not is_running(writer.pid or 0)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_another_machine_left_half_written_stays_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with written_whole(tmp_path / "t.csv") as partial:
        partial.write_text("half")
        monkeypatch.setattr(files, "_host", lambda: "none")
        monkeypatch.setattr(files, "is_running", lambda pid: False)
        assert sweep(tmp_path) == 0
        before = time.time() - 90_000
        os.utime(partial, (before, before))
        assert sweep(tmp_path) == 1
        partial.write_text("whole")
    assert (tmp_path / "t.csv").read_text() == "whole"
    (tmp_path / ".partial_of_mine.csv").touch()
    assert sweep(tmp_path) == 0


def test_a_name_that_is_in_use_for_a_moment_is_given_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, refused = Path.replace, iter([True, True])

    def as_windows(self: Path, target: Path) -> Path:
        if next(refused, False):
            raise PermissionError(13, "in use by another process")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", as_windows)
    with written_whole(tmp_path / "t.csv") as partial:
        partial.write_text("x")
    assert (tmp_path / "t.csv").read_text() == "x"
    assert next(refused, None) is None


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
    with pytest.raises(BusyError, match=f"Process {holder.pid} on {socket.gethostname()} is at work"):
        hold_alone(path)
    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join()
    with hold_alone(path):
        assert number.read_text() == f"{os.getpid()} {socket.gethostname()}\n"


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_folder_without_locks_gets_a_file_that_ends_with_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def refused(*_: object) -> None:
        raise OSError(error, "no locks here")

    monkeypatch.setattr(filelock.FileLock, "_acquire", refused)
    path = tmp_path / "Müller's scans" / "book.lock"
    with hold_alone(path):
        held = path.with_suffix(".held")
        assert str(os.getpid()) in held.read_text()
        with pytest.raises(BusyError, match=f"Process {os.getpid()} on {socket.gethostname()} is at work"):
            hold_alone(path)
    assert not held.exists()
    gone = multiprocessing.get_context("spawn").Process(target=print)
    gone.start()
    gone.join()
    held.write_text(f"{gone.pid}\n{socket.gethostname()}\n")  # as a killed process leaves it
    with hold_alone(path, wait_s=5):
        assert str(os.getpid()) in held.read_text()


def test_a_lock_that_can_not_be_taken_for_another_reason_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(filelock.FileLock, "_acquire", full)
    with pytest.raises(OSError, match="No space left"):
        hold_alone(tmp_path / "book.lock")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB, where this user may mount one."""
    disk = tmp_path / "kleine Platte"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_and_a_read_only_disk_say_so_and_keep_what_is_there(small_disk: Path) -> None:
    path = small_disk / "t.csv"
    path.write_text("old")
    says = r"t\.csv can not be written: No space left on device\. Make room"
    with pytest.raises(StorageError, match=says) as full, written_whole(path) as partial:
        partial.write_bytes(b"x" * 100_000)
    assert full.value.errno == errno.ENOSPC
    assert [one.name for one in small_disk.iterdir()] == ["t.csv"]
    (small_disk / "filler").write_bytes(b"x" * 50_000)
    image = sitk.Image(60, 60, 30, sitk.sitkInt16)
    with pytest.raises(StorageError, match="No space left"):
        write_image(sitk.AdditiveGaussianNoise(image, 100.0), small_disk / "scan.nii.gz")
    assert path.read_text() == "old"
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StorageError, match=r"Read-only file system\. Give the right to write there"):
        write_csv(pd.DataFrame({"a": [1]}), path)
    with pytest.raises(StorageError, match="Read-only"):
        write_csv(pd.DataFrame({"a": [1]}), small_disk / "cache" / "t.csv")
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)


_NAME = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30) | st.text(
    "_-.aAÄ/\\: 1", max_size=5
)


@given(st.lists(st.tuples(_NAME, _NAME), min_size=2, max_size=8, unique=True))
def test_every_case_gets_its_own_safe_file_name(cases: list[tuple[str, str]]) -> None:
    single, together = [file_stem(*case) for case in cases], file_stems(cases)
    assert len(set(single)) == len({stem.casefold() for stem in together}) == len(cases)
    for stem in [*single, *together]:
        assert re.fullmatch(r"[\w+][\w+ .-]*", stem)
        assert len(f".partial_4194304_0123456789ab_{stem}_mask_reader2.nii.gz".encode()) < 255
        assert (Path("/out") / f"{stem}_image.nii.gz").resolve().parent == Path("/out")
        assert ".." not in stem
        assert stem[-1] not in ". "
        assert not PureWindowsPath(f"{stem}.json").is_reserved()


@pytest.mark.parametrize(
    "subject",
    [
        "2019/0123", "../../x", "..\\x", "C:x", "x" * 300, "-rf", ".hidden", "P1.", "P1 ", " P1", "", "a\nb", "a\0b",
        "Mu\N{COMBINING DIAERESIS}ller", "COM\N{SUPERSCRIPT ONE}.1", "\N{ZERO WIDTH SPACE}P1",
        "P1*?", "日本" * 40, "a..b",
        "nul.x",
    ],
)  # fmt: skip
def test_names_that_no_file_can_have_get_a_checksum(subject: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][\w-]*-[0-9a-f]{16}", file_stem(subject, "ct"))


def test_usual_names_stay_and_shared_ones_part(tmp_path: Path) -> None:
    for subject in ("STS_002", "hospital_1_001", "Müller 1", "1.2.840.113", "P-1"):
        assert file_stem(subject, "arterial") == f"{subject}_arterial"
    assert file_stem("P1_late", "venous") == "P1_late_venous"
    assert re.fullmatch("P1_late_venous-[0-9a-f]{16}", file_stem("P1", "late_venous"))
    taken = file_stem("P1", "late_venous")
    assert file_stem(taken.split("_")[0], taken.split("_", 1)[1]) != taken
    assert file_stems([("a", "ct"), ("b", "ct"), ("B", "ct")])[0] == "a_ct"
    (tmp_path / "p1_ct_image.nii.gz").touch()
    assert file_stem("p1", "ct", tmp_path) == "p1_ct"
    assert re.fullmatch("P1_ct-[0-9a-f]{16}", file_stem("P1", "ct", tmp_path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("rough box", "rough_box"), ("A&V", "a_v"), ("  Shifted, 3 mm ", "shifted_3_mm"), ("+1", "1"), ("ROI", "roi")],
)
def test_slug_is_safe_in_a_file_name(text: str, expected: str) -> None:
    assert slug(text) == expected
    assert slug(expected) == expected


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"\n<html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "a git-LFS pointer"),
        (b"PK\x03\x04rest", "a zip archive"),
        (b"%PDF-1.7", "a PDF"),
    ],
)
def test_a_file_that_is_something_else_is_called_what_it_is(raw: bytes, what: str) -> None:
    found = something_else(raw)
    assert found is not None
    assert what in found[0]


@pytest.mark.parametrize("raw", [b"\x1f\x8b\x08", b"subject,age\n", b"NRRD0004\n", b"ObjectType = Image"])
def test_tables_and_images_are_what_they_are(raw: bytes) -> None:
    assert something_else(raw) is None
