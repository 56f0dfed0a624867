"""Where a build stands: what each step says of itself while it runs, one line for each, and what a crash left.

A step (a chapter, the data of a study, the site) keeps ``<step>.now.json`` in its logs while it runs, renewed every few
seconds; work per case tells its count in ``<step>.cases.json`` (`radsupport.parallel`), a failure leaves
``<step>.failed.json``. ``results/logs/build.json`` names the build. `report` reads them, on any machine that sees the
folder.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from radsupport.errors import RadsupportError
from radsupport.files import hold_alone, is_running, written_whole
from radsupport.parallel import PROGRESS
from radsupport.wording import counted

#: Number and machine of the build that a step belongs to, in the environment of its steps.
OF_BUILD = "RADSUPPORT_BUILD"
SITE = "site"
_BUILD = Path("results/logs/build.json")
_RENEWED_S, _SILENT_S = 5.0, 60.0
_WAIT_S = 20.0
#: What a terminal does before other words: back to the start of the line, and everything from there on is erased.
_CLEAR = "\r\033[J"


def said(words: str, stream: TextIO | None = None) -> None:
    """Print a line of a step over the lines of `follow`, which come again below it."""
    stream = stream or sys.stdout
    print(f"{_CLEAR}{words}" if stream.isatty() else words, file=stream, flush=True)


def logs_of(study: str) -> Path:
    """Return the folder of a study's logs; that of the site belongs to no study."""
    return Path("results", study, "logs") if study else Path("results/logs")


class Step:
    """A step while it runs; as a context manager it is one process's alone, and ends with a reason or without."""

    def __init__(self, study: str, name: str) -> None:
        self.path = logs_of(study) / f"{name}.now.json"
        self.told: dict[str, Any] = {"pid": os.getpid(), "host": socket.gethostname(), "begun": time.time()}
        self.reason = ""
        self._ended = threading.Event()

    def __enter__(self) -> Step:
        self._lock = hold_alone(self.path.with_name(f".{self._named('lock').name}"), _WAIT_S)
        os.environ[PROGRESS] = str(self._named("cases.json").absolute())
        for old in ("cases.json", "failed.json"):
            self._named(old).unlink(missing_ok=True)
        self.tell()
        threading.Thread(target=self._renew, daemon=True).start()
        return self

    def __exit__(self, kind: object, error: object, _: object) -> None:
        self._ended.set()
        if self.reason or error is not None:
            reason = self.reason or str(error) or type(error).__name__
            _write(self._named("failed.json"), {"reason": reason, "at": time.time()})
        for old in ("now.json", "cases.json"):
            self._named(old).unlink(missing_ok=True)
        os.environ.pop(PROGRESS, None)
        self._lock.lock.release()

    def _named(self, end: str) -> Path:
        return self.path.with_name(f"{self.path.name.removesuffix('now.json')}{end}")

    def tell(self, **more: Any) -> None:
        """Keep what has come so far, such as ``cell=3, cells=24``."""
        self.told |= more
        _write(self.path, self.told)

    def _renew(self) -> None:
        while not self._ended.wait(_RENEWED_S):
            with contextlib.suppress(OSError):
                os.utime(self.path)


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write a note; a full disk or a folder that may not be written stops no work."""
    with contextlib.suppress(OSError), written_whole(path) as partial:
        partial.write_text(json.dumps(content), encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # gone meanwhile, or just being written
        return {}
    return found if isinstance(found, dict) else {}


def end_with_build() -> None:
    """End this process soon after the build that it belongs to, where that is on this machine."""
    pid, _, host = os.environ.get(OF_BUILD, "").partition("@")
    if not pid or host != socket.gethostname():
        return

    def watch() -> None:
        while is_running(int(pid)):
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def begin(studies: Sequence[str], profile: str) -> None:
    """Note that this process builds these studies."""
    told = {"pid": os.getpid(), "host": socket.gethostname(), "begun": time.time(), "studies": list(studies)}
    _write(_BUILD, told | {"profile": profile})
    os.environ[OF_BUILD] = f"{told['pid']}@{told['host']}"
    atexit.register(_end_unsaid)  # where there was nothing to do, nobody says that it ended


def end(*, well: bool | None) -> None:
    """Note that the build ended, well or with failures, and erase its lines."""
    _Lines.stop.set()
    _write(_BUILD, _read(_BUILD) | {"ended": time.time(), "well": well})


def _end_unsaid() -> None:
    if (told := _read(_BUILD)).get("pid") == os.getpid() and "ended" not in told:
        end(well=None)


@dataclass(frozen=True)
class Row:
    """What is known of one step; `state` is done, running, stopped, failed, again (out of date) or waiting."""

    study: str
    name: str
    state: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.study or 'book':<14} {self.name:<18} {self.state:<8} {self.detail}".rstrip()


def rows(studies: Sequence[str], chapters_of: Callable[[str], Sequence[str]], inputs_of: Any) -> list[Row]:
    """Return where each step of these studies stands.

    Parameters
    ----------
    studies : sequence of str
    chapters_of, inputs_of : callable
        Chapters of a study, and the files that a chapter of it waits for.
    """
    found = []
    for study in studies:
        data = _running(study, "data")
        found += [data] if data else []
        for chapter in chapters_of(study):
            row = _running(study, chapter) or _ended(study, chapter, inputs_of(study, chapter))
            found.append(row)
    site = _running("", SITE)
    return [*found, *([site] if site else [])]


def _running(study: str, name: str) -> Row | None:
    """Return a step that runs, was stopped or failed; None for one that ended well or did not begin."""
    path = logs_of(study) / f"{name}.now.json"
    if told := _read(path):
        lives, sign = _lives(told, path)
        if lives:
            return Row(study, name, "running", _how_far(told, study, name))
        where = "" if told.get("host") == socket.gethostname() else f" on {told.get('host')}"
        far = _how_far(told, study, name, left=False)
        return Row(study, name, "stopped", f"process {told.get('pid')}{where} is gone{sign}; it was at {far}")
    if failed := _read(path.with_name(f"{name}.failed.json")):
        reason = " ".join(str(failed.get("reason", "")).split())
        log = path.with_name(f"{name}.log")
        return Row(study, name, "failed", f"{reason[:300]} (log: {log.as_posix()})")
    return None


def _lives(told: dict[str, Any], path: Path) -> tuple[bool, str]:
    """Return whether the process of a note is there, and how long an absent one of another machine has been silent."""
    if told.get("host") == socket.gethostname():
        return is_running(int(told.get("pid", 0))), ""
    with contextlib.suppress(OSError):
        silent = time.time() - path.stat().st_mtime
        return silent < _SILENT_S, f" (silent for {_minutes(silent)})"
    return False, ""


def _how_far(told: dict[str, Any], study: str, name: str, *, left: bool = True) -> str:
    """Return the cell and the case that a step is at, and the minutes that are left of its work per case."""
    parts = [f"cell {told['cell']} of {told['cells']}"] if "cell" in told else ["just begun"]
    now = time.time()
    cases = _read(logs_of(study) / f"{name}.cases.json")
    if cases.get("total"):
        done, total = int(cases["done"]), int(cases["total"])
        parts.append(f"{cases['what']}: case {done:,} of {total:,}".replace(",", " "))
        if "note" in cases:
            parts.append(str(cases["note"]))
        elif left and done:
            parts.append(f"{_minutes((total - done) * (now - cases['begun']) / done)} left")
        return ", ".join(parts)
    with contextlib.suppress(OSError, ValueError):
        last = float((logs_of(study) / f"{name}.seconds").read_text(encoding="utf-8"))
        parts += [f"{_minutes(max(0.0, last - (now - told['begun'])))} left, by its last run"] if left else []
    return ", ".join(parts)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _ended(study: str, chapter: str, inputs: Sequence[str]) -> Row:
    """Return a chapter that is done, that would be done again, or that waits."""
    out = [Path("results", study, "notebooks", f"{chapter}.ipynb"), Path("results", study, f"{chapter}.json")]
    if not all(path.is_file() for path in out):
        return Row(study, chapter, "waiting")
    made = min(path.stat().st_mtime_ns for path in out)
    given = [Path(path) for path in inputs]
    if any(path.is_file() and path.stat().st_mtime_ns > made for path in given):
        return Row(study, chapter, "again", "what it stands on changed since it ran")
    with contextlib.suppress(OSError, ValueError):
        seconds = float((logs_of(study) / f"{chapter}.seconds").read_text(encoding="utf-8"))
        return Row(study, chapter, "done", f"in {_minutes(seconds)}")
    return Row(study, chapter, "done")


def report(chapters_of: Callable[[str], Sequence[str]], inputs_of: Any) -> tuple[str, bool]:
    """Return what `radsupport status` prints, and whether all is well: nothing failed and nothing was stopped."""
    build = _read(_BUILD)
    studies = build.get("studies") or sorted(path.parents[1].name for path in Path("results").glob("*/logs/*.seconds"))
    found = rows(list(dict.fromkeys(studies)), chapters_of, inputs_of)
    states = [row.state for row in found]
    sums = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
    head = [_of_build(build), f"{counted(len(states), 'step')}: {', '.join(sums)}." if states else "Nothing was built."]
    return "\n".join([*head, *map(str, found)]), not {"failed", "stopped"} & set(states)


def _of_build(build: dict[str, Any]) -> str:
    """Return in a sentence whether a build runs, ended or was killed."""
    if not build:
        return "No build was begun in this folder."
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(build["begun"]))
    what = f"The build of {since} (process {build['pid']} on {build['host']}, profile {build['profile']})"
    if "ended" in build:
        took = _minutes(build["ended"] - build["begun"])
        how = {True: " well", False: " with failures", None: ""}[build.get("well")]
        return f"{what} ended{how} after {took}."
    if build["host"] != socket.gethostname():
        return f"{what} runs, or was stopped, on another machine."
    if is_running(int(build["pid"])):
        return f"{what} runs for {_minutes(time.time() - build['begun'])}."
    return f"{what} was stopped before it ended; the same command resumes it."


class _Lines:
    stop = threading.Event()


def follow(chapters_of: Callable[[str], Sequence[str]], studies: Sequence[str], stream: TextIO | None = None) -> None:
    """Show one line for each running step until `end`: renewed in a terminal, every minute in a file."""
    stream = stream or sys.stderr
    _Lines.stop.clear()
    threading.Thread(target=_show, args=[chapters_of, list(studies), stream], daemon=True).start()


def _show(chapters_of: Callable[[str], Sequence[str]], studies: list[str], stream: TextIO) -> None:
    live = stream.isatty()
    while not _Lines.stop.wait(1.0 if live else 60.0):
        with contextlib.suppress(OSError, RadsupportError):
            running = [row for row in _now(chapters_of, studies) if row.state == "running"]
            stream.write(_drawn(running) if live else "".join(f"{row}\n" for row in running))
            stream.flush()
    if live:
        stream.write(_CLEAR)
        stream.flush()


def _now(chapters_of: Callable[[str], Sequence[str]], studies: Sequence[str]) -> Iterator[Row]:
    for study in studies:
        for name in ("data", *chapters_of(study)):
            if row := _running(study, name):
                yield row
    if row := _running("", SITE):
        yield row


def _drawn(running: Sequence[Row]) -> str:
    """Return lines of the terminal's width, and the way back to where they begin."""
    width = max(20, shutil.get_terminal_size().columns - 1)
    lines = [str(row)[:width] for row in running]
    return f"{_CLEAR}{chr(10).join(lines)}" + "\r" + f"\033[{len(lines) - 1}A" * (len(lines) > 1)


def quieten(logger: logging.Logger) -> None:
    """Leave a terminal the warnings and errors of Snakemake; its log file keeps everything."""
    for handler in logger.handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.addFilter(lambda record: record.levelno >= logging.WARNING)
