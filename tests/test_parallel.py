"""Work on many cases: order, errors, lost processes, Dask."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import SimpleITK as sitk
from cloudpickle import register_pickle_by_value
from distributed import LocalCluster
from threadpoolctl import ThreadpoolController

from radsupport.errors import GeometryError, InputError, Problem
from radsupport.parallel import PROGRESS, LostWorkerError, map_cases, one_thread

register_pickle_by_value(sys.modules[__name__])  # workers can not import a test module


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
