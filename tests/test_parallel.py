"""Work on many cases: order, errors, lost processes, Dask."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Thread, Timer

import pytest
import SimpleITK as sitk
from cloudpickle import register_pickle_by_value
from distributed import LocalCluster
from threadpoolctl import ThreadpoolController

from radsupport.errors import GeometryError, InputError, Problem, StorageError
from radsupport.parallel import PROGRESS, SCHEDULER, LostWorkerError, map_cases, one_thread, spread

register_pickle_by_value(sys.modules[__name__])  # workers can not import a test module
ROOT = Path(__file__).resolve().parents[1]


def square_slowly(item: int) -> int:
    time.sleep(0.05 * (item % 3))
    return item * item


def itk_threads(_: int) -> tuple[int, int]:
    return os.getpid(), sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()


def die_on_three(item: int) -> int:
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def fail_on_two(item: int) -> int:
    if item == 2:
        raise ValueError("two is wrong")
    return item


def fail_as(error: BaseException) -> int:
    if isinstance(error, KeyError):
        return 1
    raise error


ANYTHING: list[Exception] = [
    IndexError("Calculation of GLCM Failed."), MemoryError(), RuntimeError("itk::ERROR:\n /mnt/a/scan.nii.gz is bad"),
    RecursionError("deep"), AssertionError(), UnicodeDecodeError("utf8", b"x", 0, 1, "no"), OSError(28, "No space"),
    GeometryError("Apart.", [Problem("corners", file="/mnt/my name/scans/a.nii")]), zlib.error("bad"), StopIteration(),
]  # fmt: skip


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_whatever_one_item_raises_is_its_reason_in_one_line_and_stops_no_other(n_jobs: int) -> None:
    items = [KeyError("fine"), *ANYTHING, KeyError("fine")]
    found = map_cases(fail_as, items, n_jobs, progress=False, on_failure=lambda _, reason: reason)  # type: ignore[arg-type]
    assert found[0] == found[-1] == 1
    reasons = [str(reason) for reason in found[1:-1]]
    assert not [reason for reason in reasons if "\n" in reason or "/" in reason or "Traceback" in reason]
    assert reasons[:3] == [
        "IndexError: Calculation of GLCM Failed.", "MemoryError", "RuntimeError: itk::ERROR: scan.nii.gz is bad"
    ]  # fmt: skip
    assert reasons[7] == "Apart. [file a.nii] corners"


def reason_of(item: int, reason: str) -> str:
    return f"{item}: {reason}"


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_results_come_in_the_order_of_the_items(n_jobs: int) -> None:
    assert map_cases(square_slowly, range(7), n_jobs, progress=False) == [i * i for i in range(7)]


def test_no_items_give_no_results() -> None:
    assert map_cases(square_slowly, [], 2, progress=False) == []


def test_every_process_gets_one_itk_thread() -> None:
    found = map_cases(itk_threads, range(6), 2, progress=False)
    assert {threads for _, threads in found} == {1}
    assert os.getpid() not in {pid for pid, _ in found}


def test_libraries_have_one_thread_inside_and_as_many_as_before_behind() -> None:
    threads = lambda: [one["num_threads"] for one in ThreadpoolController().info()]  # noqa: E731
    with ThreadpoolController().limit(limits=2):
        before = threads()
        for _ in range(2):  # the second time from what the first one found
            with one_thread():
                assert set(threads()) == {1}
            assert threads() == before


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_of_the_function_is_raised(n_jobs: int) -> None:
    with pytest.raises(ValueError, match="two is wrong"):
        map_cases(fail_on_two, range(5), n_jobs, progress=False)


def test_a_process_that_dies_takes_no_other_case_with_it() -> None:
    found = map_cases(die_on_three, range(6), 2, progress=False, on_failure=reason_of)
    assert found[:3] + found[4:] == [0, 1, 2, 4, 5]
    assert "died" in str(found[3])


def test_a_process_that_dies_is_an_error_where_nothing_else_was_asked_for() -> None:
    with pytest.raises(LostWorkerError, match="Item 3"):
        map_cases(die_on_three, range(4), 2, progress=False)


def test_no_jobs_and_an_absent_scheduler_are_refused() -> None:
    with pytest.raises(InputError, match="`n_jobs` is 0"):
        map_cases(square_slowly, [1], 0)
    with pytest.raises(InputError, match="does not answer"):
        map_cases(square_slowly, [1], scheduler="nonsense://here:1", progress=False)


def test_a_dask_scheduler_gives_the_same_results(scheduler: str) -> None:
    assert map_cases(square_slowly, range(7), scheduler=scheduler, progress=False) == [i * i for i in range(7)]
    with pytest.raises(ValueError, match="two is wrong"):
        map_cases(fail_on_two, range(5), scheduler=scheduler, progress=False)


def test_progress_is_shown_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    map_cases(square_slowly, range(3), progress=True, description="squares")
    assert "squares" in capsys.readouterr().err
    map_cases(square_slowly, range(3), progress=False)
    assert capsys.readouterr().err == ""


def count_told(item: int) -> tuple[int, str]:
    """Return what the file of the progress says while this item is worked on."""
    return item, Path(os.environ[PROGRESS]).read_text(encoding="utf-8")


def test_a_file_is_told_how_many_cases_are_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ü b" / "03.cases.json"
    monkeypatch.setenv(PROGRESS, str(path))
    assert map_cases(square_slowly, range(3), progress=False) == [0, 1, 4]  # there is no such folder: nothing is told
    path.parent.mkdir()
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr("radsupport.parallel.time.monotonic", lambda: float(next(clock)))
    found = map_cases(count_told, range(3), progress=False, description="radiomics")
    told = [json.loads(text) for _, text in found]
    assert [(one["what"], one["done"], one["total"]) for one in told] == [("radiomics", i, 3) for i in range(3)]
    assert not path.exists()


def slow_square(item: int) -> int:
    time.sleep(0.3)
    return item * item


def slow_and_noted(done: Path, item: int) -> int:
    time.sleep(0.2)
    with done.open("a") as stream:
        stream.write(f"{item}\n")
    return item


def wait_for(done: Path, items: int) -> None:
    while not done.is_file() or len(done.read_text().splitlines()) < items:
        time.sleep(0.1)


class Cluster:
    """A scheduler and workers, each a process of its own, as they run on the machines of a hospital."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.folder, self.running = folder, []  # type: ignore[var-annotated]

    def start(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *options, "--no-dashboard"]
        with (self.folder / f"{what}.log").open("ab") as log:
            # what is sent to a worker names this file as pytest does, from the root of the project
            near = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
            self.running.append(subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, env=near))
        return self.running[-1]

    def scheduler(self) -> subprocess.Popen[bytes]:
        return self.start("scheduler", "--host", self.address)

    def worker(self) -> subprocess.Popen[bytes]:
        options = ["--nthreads", "1", "--no-nanny", "--local-directory", str(self.folder), "--death-timeout", "60"]
        return self.start("worker", self.address, *options)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    monkeypatch.setenv(SCHEDULER, made.address)
    yield made
    for process in made.running:
        process.kill()
        process.wait()


def test_the_environment_names_a_scheduler_whose_workers_may_die(cluster: Cluster) -> None:
    cluster.scheduler()
    workers = [cluster.worker(), cluster.worker()]
    Timer(8.0, workers[0].kill).start()
    items = list(range(40))
    assert map_cases(slow_square, items, progress=False) == [i * i for i in items]
    assert spread(pow, [(2, 3), (3, 2)]) == [8, 9]
    here = map_cases(lambda _: str(Path.cwd()), [1], progress=False)
    assert here == [str(Path.cwd())]


def test_a_scheduler_that_is_started_again_gets_what_is_unfinished(cluster: Cluster, tmp_path: Path) -> None:
    scheduler = cluster.scheduler()
    cluster.worker()
    done, kept = tmp_path / "done", partial(slow_and_noted, tmp_path / "done")

    def restart() -> None:
        wait_for(done, 5)
        scheduler.kill()
        scheduler.wait()
        cluster.scheduler()
        cluster.worker()

    thread = Thread(target=restart)
    thread.start()
    assert map_cases(kept, list(range(30)), progress=False) == list(range(30))
    thread.join()
    ran = done.read_text().split()
    assert set(ran) == {str(i) for i in range(30)}
    assert len(ran) <= 33  # what was finished is not run again; what was on its way may be


def test_a_scheduler_that_does_not_come_back_is_an_error_that_says_how_far_it_was(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radsupport.parallel._PATIENCE_S", 1.0)
    scheduler = cluster.scheduler()
    cluster.worker()

    def stop() -> None:
        wait_for(tmp_path / "done", 3)
        scheduler.kill()

    thread = Thread(target=stop)
    thread.start()
    with pytest.raises(LostWorkerError, match=r"is gone; \d+ of 400 cases were finished"):
        map_cases(partial(slow_and_noted, tmp_path / "done"), list(range(400)), progress=False)
    thread.join()


def test_a_full_disk_stops_the_run_and_is_no_reason_of_a_case() -> None:
    def full(item: int) -> int:
        raise StorageError(28, f"images/{item}.nii.gz can not be written: No space left on device.")

    for n_jobs in (1, 2):
        with pytest.raises(StorageError, match=r"can not be written: No space left"):
            map_cases(full, [1, 2], n_jobs, progress=False, on_failure=reason_of)
