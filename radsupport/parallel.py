"""Work on many cases at once, one process per case, here or on a Dask cluster; peak memory of a process."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

import SimpleITK as sitk
from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError
from threadpoolctl import ThreadpoolController
from tqdm import tqdm

from radsupport.errors import InputError, RadsupportError, StorageError, one_line

#: Variable of the environment with the path of a file that is told how many cases are done.
PROGRESS = "RADSUPPORT_PROGRESS"
#: Variable of the environment with the address of a Dask scheduler, where the work per case is to be done.
SCHEDULER = "RADSUPPORT_SCHEDULER"
_PATIENCE_S = 300.0
Item = TypeVar("Item")
Result = TypeVar("Result")


class LostWorkerError(RadsupportError):
    """The process that worked on a case died (killed, out of memory, crash in a library)."""


@dataclass(frozen=True)
class _Failed:
    """What came of an item in the place of a result."""

    reason: str


def map_cases(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    n_jobs: int = 1,
    scheduler: str | None = None,
    progress: bool = True,
    *,
    description: str = "cases",
    on_failure: Callable[[Item, str], Result] | None = None,
) -> list[Result]:
    """Apply a function to every item, in processes, and return the results in the order of the items.

    Parameters
    ----------
    function : callable
        Defined at module level (it is pickled); gets one item.
    items : sequence
        Usually one per case, small: paths rather than voxels.
    n_jobs : int
        Processes on this machine; 1 works in this process, -1 takes every core. A process holds one case.
    scheduler : str, optional
        Address of a Dask scheduler (``tcp://host:8786``), by default that of the variable ``RADSUPPORT_SCHEDULER``:
        the items run there, `n_jobs` is ignored. The workers have to see the same folder and the same package, and have
        one thread each (``dask worker --nthreads 1``). A scheduler that is gone is waited for, five minutes after the
        last result at most; only what is unfinished is run again.
    progress : bool
        Show a progress bar.
    description : str
        Text of the progress bar.
    on_failure : callable, optional
        Gets ``(item, reason)`` where the function raised anything at all, or the process that worked on the item
        died, and returns the item's result; the reason is one line without folders. Without it either is an error.
        Results that other items have already given are never lost.

    Returns
    -------
    list
        One result per item.

    Raises
    ------
    InputError
        `n_jobs` is 0, or the scheduler does not answer.
    LostWorkerError
        A process died and no `on_failure` was given, or the scheduler did not come back.
    StorageError
        A worker could not write (a full disk): this stops the run also with `on_failure`.

    Notes
    -----
    Without `on_failure` an exception of the function stops the run and is raised here. ITK, BLAS and OpenMP get one
    thread in every worker, otherwise `n_jobs` processes would start `n_jobs` times as many threads as there are cores.
    """
    if n_jobs == 0:
        raise InputError("`n_jobs` is 0; give a number of processes, or -1 for every core.")
    items, scheduler = list(items), scheduler or os.environ.get(SCHEDULER) or None
    work: Any = function if on_failure is None else partial(_guarded, function)
    with _Counter(len(items), description, progress) as bar:
        if scheduler is not None:
            found = _on_dask(work, items, scheduler, bar, on_failure)
        elif n_jobs == 1 or len(items) < 2:
            found = [_step(work, item, bar) for item in items]
        else:
            found = _in_processes(work, items, n_jobs, bar, on_failure)
    if on_failure is None:
        return found
    pairs = zip(items, found, strict=True)
    return [on_failure(item, one.reason) if isinstance(one, _Failed) else one for item, one in pairs]


class _Counter:
    """A progress bar that also tells a file how many cases are done, where `PROGRESS` names one."""

    def __init__(self, total: int, description: str, progress: bool) -> None:
        self.bar = tqdm(total=total, desc=description, disable=not progress or not total, leave=False)
        self.told: dict[str, Any] = {"what": description, "done": 0, "total": total, "begun": time.time()}
        self.path = Path(os.environ[PROGRESS]) if os.environ.get(PROGRESS) else None
        self.next = 0.0

    def __enter__(self) -> _Counter:
        self._tell()
        return self

    def update(self) -> None:
        """Count one more case."""
        self.bar.update()
        self.told["done"] += 1
        self.told.pop("note", None)
        self._tell()

    def note(self, words: str) -> None:
        """Say what the work waits for, until the next case is done."""
        self.told["note"], self.next = words, 0.0
        self._tell()

    def _tell(self) -> None:
        """Write the file, at most once a second; a full disk or a folder that is gone stops no work."""
        if self.path is not None and (now := time.monotonic()) >= self.next:
            self.next = now + 1
            with contextlib.suppress(OSError):
                self.path.write_text(json.dumps(self.told), encoding="utf-8")

    def __exit__(self, *_: object) -> None:
        self.bar.close()
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)


def _guarded(function: Callable[[Item], Result], item: Item) -> Result | _Failed:
    """Run one item; whatever it raises becomes its reason."""
    try:
        return function(item)
    except StorageError:  # a full disk is no property of a case: it stops the run
        raise
    except Exception as error:  # noqa: BLE001 - ITK, pyradiomics, numpy and memory fail in any way; a case is a row
        return _Failed(one_line(error))


def _call(function: Callable[[Item], Result], index: int, item: Item) -> tuple[int, Result]:
    """Run one item in a worker with one thread."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    with one_thread():
        return index, function(item)


def one_thread() -> AbstractContextManager[Any]:
    """Return a context in which BLAS and OpenMP have one thread: more only wait for each other on small matrices."""
    return _thread_pools(len(sys.modules)).limit(limits=1)


@lru_cache(maxsize=1)
def _thread_pools(modules: int) -> ThreadpoolController:
    """Return the libraries with threads; looking for them takes longer than a small fit, so only after imports."""
    return ThreadpoolController()


def _step(function: Callable[[Item], Result], item: Item, bar: Any) -> Result:
    result = function(item)
    bar.update()
    return result


def _in_processes(
    function: Callable[[Item], Result], items: list[Item], n_jobs: int, bar: Any, on_failure: Any
) -> list[Result]:
    """Run on joblib; what is unfinished when a worker dies is run again, one item per process."""
    results: dict[int, Result] = {}
    try:
        for index, result in _unordered(function, list(enumerate(items)), n_jobs):
            results[index] = result
            bar.update()
    except TerminatedWorkerError:
        for index in sorted(set(range(len(items))) - set(results)):
            results[index] = _alone(function, index, items[index], on_failure)
            bar.update()
    return [results[index] for index in range(len(items))]


def _unordered(
    function: Callable[[Item], Result], numbered: list[tuple[int, Item]], n_jobs: int
) -> Iterator[tuple[int, Result]]:
    workers = min(n_jobs if n_jobs > 0 else (os.cpu_count() or 1), len(numbered))
    run = Parallel(n_jobs=workers, return_as="generator_unordered", pre_dispatch="2*n_jobs", batch_size=1)
    yield from run(delayed(_call)(function, index, item) for index, item in numbered)


def _alone(function: Callable[[Item], Result], index: int, item: Item, on_failure: Any) -> Any:
    """Run one item in a process of its own, so that it can only take itself down."""
    run = Parallel(n_jobs=2, batch_size=1)  # loky wants two or more workers to use a process at all
    try:
        return run([delayed(_call)(function, index, item)])[0][1]
    except TerminatedWorkerError as error:
        reason = "the process that worked on this case died (killed or out of memory)"
        if on_failure is None:
            raise LostWorkerError(f"Item {index}: {reason}.") from error
        return _Failed(reason)


def spread(function: Callable[..., Result], calls: Iterable[tuple[Any, ...]], n_jobs: int = 1) -> list[Result]:
    """Call a function with each tuple of arguments, in processes or where ``RADSUPPORT_SCHEDULER`` says.

    Returns
    -------
    list
        One result per tuple, in their order.
    """
    if os.environ.get(SCHEDULER):
        return map_cases(partial(_starred, function), list(calls), progress=False, description="fits")
    return list(Parallel(n_jobs=n_jobs)(delayed(function)(*arguments) for arguments in calls))


def _starred(function: Callable[..., Result], arguments: tuple[Any, ...]) -> Result:
    return function(*arguments)


def _call_there(folder: str, function: Callable[[Item], Result], index: int, item: Item) -> tuple[int, Result]:
    """Run one item in a Dask worker, in the folder that relative paths are meant from."""
    try:
        os.chdir(folder)
    except OSError as error:
        words = f"The Dask worker on {socket.gethostname()} does not see {folder}: start it where this folder is."
        raise InputError(words) from error
    return _call(function, index, item)


class _GoneError(Exception):
    """The connection to the scheduler was lost."""


class _UnreachedError(Exception):
    """There is no scheduler at the address."""


def _on_dask(
    function: Callable[[Item], Result], items: list[Item], scheduler: str, bar: _Counter, on_failure: Any
) -> list[Result]:
    """Run on a Dask cluster; results come back as they finish, and outlive the scheduler."""
    results: dict[int, Any] = {}
    last, known = time.monotonic(), False
    while len(results) < len(items):
        before = len(results)
        try:
            _gather(function, items, scheduler, results, bar, on_failure)
        except _UnreachedError as error:
            if not known:
                raise InputError(f"The Dask scheduler {scheduler!r} does not answer: {error}") from error
        except _GoneError:
            known = True
        if len(results) < len(items):
            last = time.monotonic() if len(results) > before else last
            if time.monotonic() - last > _PATIENCE_S:
                done = f"{len(results)} of {len(items)} cases were finished"
                raise LostWorkerError(f"The Dask scheduler {scheduler!r} is gone; {done}. Start it again.")
            bar.note(f"the Dask scheduler {scheduler} is gone, waited for")
            time.sleep(1)
    return [results[index] for index in range(len(items))]


def _gather(
    function: Callable[[Item], Result], items: list[Item], scheduler: str, results: dict[int, Any], bar: _Counter,
    on_failure: Any,
) -> None:  # fmt: skip
    """Put what is unfinished to a scheduler and keep what comes back."""
    from distributed import CancelledError, Client, as_completed
    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker

    try:
        client = Client(scheduler, timeout="20s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise _UnreachedError(str(error)) from error
    try:
        left = [index for index in range(len(items)) if index not in results]
        folder = str(Path.cwd())
        futures = [client.submit(_call_there, folder, function, i, items[i], pure=False) for i in left]
        numbers = {future.key: i for i, future in zip(left, futures, strict=True)}
        for future in as_completed(futures, loop=client.loop):
            index = numbers[future.key]
            if future.status in ("cancelled", "lost"):
                raise _GoneError
            try:
                results[index] = future.result()[1]
            except (CancelledError, CommClosedError) as error:  # lost just now
                raise _GoneError from error
            except KilledWorker as error:
                reason = "the Dask workers that worked on this case died (killed or out of memory)"
                if on_failure is None:
                    raise LostWorkerError(f"Item {index}: {reason}.") from error
                results[index] = _Failed(reason)
            bar.update()
    finally:
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            client.close()


_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def reset_peak() -> None:
    """Start a new measurement of the peak where the system can (Linux); elsewhere the peak is that of the process."""
    try:
        _RESET.write_text("5")
    except OSError:
        return


def peak_mb() -> float:
    """Return the largest resident memory of this process in MB since `reset_peak`."""
    if _STATUS.is_file():
        line = next(row for row in _STATUS.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)
