"""Files that are there whole or not at all, and a lock that ends with its process, whatever stops that."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import re
import shutil
import socket
import sys
import time
import unicodedata
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd
from filelock import AcquireReturnProxy, FileLock, SoftFileLock, Timeout

from radsupport.errors import BusyError, FetchError, InputError, Problem, StorageError

MIRROR = "RADSUPPORT_DATA"
#: Names that Windows keeps for devices, whatever follows the first dot.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_PLAIN = re.compile(r"[\w+]([\w+ .-]*[\w+])?")
_MARKED = re.compile(r"-[0-9a-f]{16}$")
_LONGEST_STEM = 120
#: What systems say where a folder can not be locked.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_KEPT = "what was finished is kept, and the same command goes on from there."
#: Why a file can not be written whatever is in it, and what to do.
_UNWRITABLE = {
    **dict.fromkeys((errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)), f"Make room: {_KEPT}"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), f"Give the right to write there: {_KEPT}"),
    **dict.fromkeys(
        (getattr(errno, "ESTALE", errno.EIO), errno.EIO), f"The disk or network folder does not answer: {_KEPT}"
    ),
}
#: With less free space than this a library's failure to write is taken for a full disk.
_FULL_BYTES = 2**18
_PARTIAL = re.compile(r"\.partial_(?P<pid>\d+)_(?P<host>[0-9a-f]{4})[0-9a-f]{8}_")


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

    Raises
    ------
    StorageError
        The disk is full or a quota is used up, or the folder can not be written.
    """
    path = Path(path)
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial_{os.getpid()}_{_host()}{uuid.uuid4().hex[:8]}_{path.name}")
    try:
        with _told(path):
            yield partial
        with _told(path), partial.open("rb+") as stream:  # Windows flushes only what may be written
            os.fsync(stream.fileno())
        _rename(partial, path)
    finally:
        with suppress(OSError):  # gone by its new name, or on a disk that may only be read
            partial.unlink()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say of a file that can not be written why, and what to do about it."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # ITK raises the latter, whatever the system said
        number = error.errno if isinstance(error, OSError) and error.errno else 0
        if isinstance(error, RuntimeError) and shutil.disk_usage(_nearest(path)).free < _FULL_BYTES:
            number = errno.ENOSPC
        if number not in _UNWRITABLE or isinstance(error, StorageError):
            raise
        raise StorageError(
            number, f"{path} can not be written: {os.strerror(number)}. {_UNWRITABLE[number]}"
        ) from error


def _nearest(path: Path) -> Path:
    return next(folder for folder in path.absolute().parents if folder.is_dir())


def _rename(partial: Path, path: Path, patience_s: float = 5.0) -> None:
    """Give a file its name; Windows and some network folders refuse that while another program reads the old one."""
    until = time.monotonic() + patience_s
    while True:
        try:
            partial.replace(path)
        except PermissionError:
            if time.monotonic() > until or not os.access(path.parent, os.W_OK):
                raise
            time.sleep(0.05)
        else:
            return


@functools.lru_cache(maxsize=1)
def _host() -> str:
    """Return four letters that tell this machine from others that share a folder."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:4]


def is_running(pid: int) -> bool:
    """Tell whether a process of this machine is there (not one that ended and was not waited for)."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
        except (OSError, IndexError):
            return False
    if sys.platform == "win32":  # os.kill would end it there
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, pid)
        return bool(handle and ctypes.windll.kernel32.CloseHandle(handle))
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def sweep(folder: Path, others_after_s: float = 86400.0) -> int:
    """Remove what `written_whole` left half in a folder and below where a process was killed; return how many.

    Files of processes that are running stay, and those of another machine for a day after their last change.
    """
    removed = 0
    for place, _, names in os.walk(folder):
        for name in names:
            found = _PARTIAL.match(name)
            path = Path(place, name)
            try:
                old = found and time.time() - path.stat().st_mtime > others_after_s
                if found and (old if found["host"] != _host() else not is_running(int(found["pid"]))):
                    path.unlink()
                    removed += 1
            except OSError:  # just renamed, or not ours to remove
                continue
    return removed


def write_changed(path: Path, text: str) -> None:
    """Write a text, as `written_whole` does, but where the file holds it already: that stays, with its time."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with written_whole(path) as partial:
            partial.write_text(text, encoding="utf-8")


def file_stem(subject: str, phase: str, folder: Path | None = None) -> str:
    """Return what the names of a case's files begin with: another one for every case, whatever its names hold.

    Parameters
    ----------
    subject, phase : str
        As the manifest names them.
    folder : Path, optional
        Where the files will lie: a file in it whose name differs by case only counts as another case's.

    Returns
    -------
    str
        ``<subject>_<phase>`` where that is a safe name on every system and can be taken apart in one way only;
        else its letters and digits and a checksum of both. Never a path: without separators, leading dots or hyphens,
        names of devices, and short enough for a suffix.

    Notes
    -----
    ``P1`` in phase ``late_venous`` and ``P1_late`` in phase ``venous`` would share ``P1_late_venous``: a phase with an
    underscore gets the checksum. Cases of one table that differ by case only are told apart by `file_stems`.
    """
    stem = f"{subject}_{phase}"
    is_plain = all(_PLAIN.fullmatch(part) and ".." not in part for part in (subject, phase))
    is_plain &= "_" not in phase and not _DEVICES.fullmatch(stem) and not _MARKED.search(stem)
    is_plain &= unicodedata.is_normalized("NFKC", stem) and len(stem.encode()) <= _LONGEST_STEM
    there = [path.name for path in folder.glob("*_*")] if folder is not None else []
    begin = f"{stem}_"
    is_plain &= all(n.startswith(begin) or not n.casefold().startswith(begin.casefold()) for n in there)
    return stem if is_plain else _marked(subject, phase)


def file_stems(cases: Sequence[tuple[str, str]]) -> list[str]:
    """Return `file_stem` of cases that share a folder; two that differ by case only get a checksum each.

    Systems that do not tell ``p1`` from ``P1`` would give one patient the other's scan.
    """
    stems = [file_stem(*case) for case in cases]
    same = Counter(stem.casefold() for stem in set(stems))
    return [_marked(*case) if same[stem.casefold()] > 1 else stem for case, stem in zip(cases, stems, strict=True)]


def _marked(subject: str, phase: str) -> str:
    """Return letters and digits of both names and a checksum of what they were."""
    letters = unicodedata.normalize("NFKD", f"{subject}_{phase}").encode("ascii", "ignore").decode()
    kept = re.sub(r"[^A-Za-z0-9_]+", "-", letters)[:60].strip("-_")
    return f"{kept or 'case'}-{hashlib.sha256(json.dumps([subject, phase]).encode()).hexdigest()[:16]}"


def slug(text: str) -> str:
    """Return a text as part of a file name: small letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def plain_name(name: str, what: str) -> str:
    """Return a name that can be part of a file name; `what` calls it in the error."""
    if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
        problem = Problem("not usable in a file name", "letters, digits, . _ -", "rename it", column=what, value=name)
        raise InputError("The case can not be named.", [problem])
    return name


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table without its index, whole or not at all."""
    with written_whole(path) as partial:
        table.to_csv(partial, index=False)


_SOMETHING_ELSE = {
    b"version https://git-lfs": ("a git-LFS pointer, not the file itself", "fetch it by `git lfs pull`"),
    b"<": ("a web page, not the file itself", "download the file, not its page"),
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "unpack it, or name a workbook .xlsx"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook (.xls)", "save it as .xlsx"),
    b"%PDF": ("a PDF", "export the table or image itself"),
}


def something_else(raw: bytes) -> tuple[str, str] | None:
    """Return what a file is that should be a table or an image, and the remedy; None where nothing speaks against it.

    Parameters
    ----------
    raw : bytes
        The file, or its beginning.
    """
    start = raw[:64].lstrip()
    if not start:
        return "the file is empty", "export or copy it again"
    return next((found for begin, found in _SOMETHING_ELSE.items() if start.startswith(begin)), None)


def sha256(path: Path) -> str:
    """Return the checksum of a file's content."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hold_alone(path: Path, wait_s: float = 0.0) -> AcquireReturnProxy:
    """Take the lock of a file; it is held while what is returned lives, and freed however the process ends.

    Parameters
    ----------
    path : Path
        The number of the process that holds it lies beside, in ``<name>.pid``, with the name of its machine.
    wait_s : float
        How long to wait for a process that is about to end.

    Returns
    -------
    filelock.AcquireReturnProxy
        As a context manager it frees the lock at the end of the block.

    Raises
    ------
    BusyError
        Another process holds it; its number and machine are given.

    Notes
    -----
    The lock is the operating system's. A network folder that has none gets a file that is there while the lock is
    held; one that a killed process of this machine left is taken over.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    number = path.with_suffix(".pid")
    try:
        held = _lock(path, wait_s)
    except Timeout:
        pid, _, host = (
            number.read_text(encoding="utf-8").strip().partition(" ") if number.is_file() else ("unknown",) * 3
        )
        what = f"Process {pid} on {host or 'this machine'} is at work in this folder: wait until it ends, or stop it."
        raise BusyError(what) from None
    with written_whole(number) as partial:
        partial.write_text(f"{os.getpid()} {socket.gethostname()}\n", encoding="utf-8")
    return held


def _lock(path: Path, wait_s: float) -> AcquireReturnProxy:
    try:
        return FileLock(path).acquire(timeout=wait_s)
    except OSError as error:
        if isinstance(error, Timeout) or error.errno not in _NO_LOCKS:
            raise
        return SoftFileLock(path.with_suffix(".held")).acquire(timeout=wait_s)
