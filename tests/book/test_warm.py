"""Chapters that run in copies of one process: their results, their errors, and what is left where one is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from radsupport.book import warm

BEGIN = "import os, time\nfrom radsupport.book.chapter import begin\nchapter = begin('05_modelling', globals())"


@pytest.fixture(scope="module")
def project(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with one warm server, as the Snakefile starts it where chapters are to run."""
    folder = tmp_path_factory.mktemp("warm")
    for name in ("studies", "data_manifest.csv", "radsupport"):
        (folder / name).symlink_to(root / name)
    (folder / "notebooks").mkdir()
    before = Path.cwd()
    os.chdir(folder)
    server = warm.start(now=True)
    os.chdir(before)
    yield folder
    server.stdin.close()
    assert server.wait(20) == 0


def job(project: Path, *code: str, chapter: str = "05_modelling", study: str = "song2021") -> subprocess.Popen[str]:
    cells = [new_markdown_cell("# T"), new_code_cell('study = "x"\nprofile = ""', metadata={"tags": ["parameters"]})]
    notebook = new_notebook(cells=[*cells, *map(new_code_cell, (BEGIN.replace("05_modelling", chapter), *code))])
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "P"}, "language_info": {"name": "python"}}
    nbformat.write(notebook, project / "notebooks" / f"{chapter}.ipynb")
    command = [sys.executable, "-I", warm.__file__, chapter, study]
    return subprocess.Popen(command, cwd=project, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_chapter_runs_in_a_kernel_that_is_a_copy_and_says_what_it_used(project: Path) -> None:
    code = "import gc, sys, radsupport.networks\nprint(sys.argv[0], __name__, os.getcwd())\n"
    # its workers are copies as well: none imports what it was not asked for
    code += "from joblib import Parallel, delayed\nloaded = lambda name: (name in sys.modules, os.getpid())\n"
    code += "print(min(Parallel(n_jobs=2)(delayed(gc.get_freeze_count)() for _ in range(2))) - gc.get_freeze_count())\n"
    code += "print(Parallel(n_jobs=2)(delayed(loaded)('radsupport.nomogram') for _ in range(2)), os.getpid())\n"
    code += "print(3, file=sys.stderr)"
    done = job(project, code, "chapter.publish('x', 1 / 3)\nchapter.finish()")
    said, errors = done.communicate(timeout=200)
    assert done.returncode == 0, errors
    assert said.startswith("song2021 05_modelling: ")
    results = project / "results/song2021"
    assert json.loads((results / "05_modelling.json").read_text())["numbers"]["x"]["value"] == 1 / 3
    executed = nbformat.read(results / "notebooks/05_modelling.ipynb", as_version=4)
    outputs = {"stdout": "", "stderr": ""}
    for out in executed.cells[-2].outputs:
        outputs[out.name] += out.text
    assert outputs["stdout"].startswith("ipykernel_launcher __main__ ")
    assert int(outputs["stdout"].splitlines()[1]) > 1000  # what a worker took over is not looked through for garbage
    workers = re.findall(r"\((True|False), (\d+)\)", outputs["stdout"])
    assert [loaded for loaded, _ in workers] == ["True", "True"]
    assert outputs["stdout"].split()[-1] not in [number for _, number in workers]
    assert outputs["stderr"] == "3\n"
    assert (results / "logs/05_modelling.log").read_text().endswith("3\n")
    used = json.loads((results / "logs/05_modelling.usage.json").read_text())
    assert 0.1 < used["cpu"] < 60
    assert 20 < used["peak_mb"] < 20_000


def test_an_unused_chapter_needs_no_kernel(project: Path) -> None:
    done = job(project, "raise ValueError('must not run')", chapter="07_survival", study="hosny2018")
    assert done.communicate(timeout=200)[1] == ""
    assert done.returncode == 0
    executed = nbformat.read(project / "results/hosny2018/notebooks/07_survival.ipynb", as_version=4)
    assert "This study does not use this chapter" in executed.cells[-1].outputs[-1]["data"]["text/html"]
    assert executed.cells[2].source == '# Parameters\nstudy = "hosny2018"\nprofile = "demo"\n'
    assert executed.metadata["papermill"]["parameters"] == {"study": "hosny2018", "profile": "demo"}
    assert (project / "results/hosny2018/07_survival.json").is_file()


def test_a_kernel_that_dies_and_one_that_fails_name_the_chapter(project: Path) -> None:
    done = job(project, "os.kill(os.getpid(), 9)")
    assert "Chapter 05_modelling of study song2021 failed:\nKernel died" in done.communicate(timeout=200)[1]
    assert done.returncode == 1
    done = job(project, "raise ValueError('no such luck')")
    errors = done.communicate(timeout=200)[1]
    assert "failed in cell 4 (ValueError):\nno such luck\nLog: results/song2021/logs/05_modelling.log" in errors
    assert done.returncode == 1
    assert (project / "results/song2021/logs/05_modelling.failed.ipynb").is_file()


def parents(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("killed", ["job", "copy"])
def test_nothing_is_left_of_a_chapter_of_which_a_process_is_killed(project: Path, killed: str) -> None:
    told = project / "pid"
    told.unlink(missing_ok=True)
    done = job(project, f"open({str(told)!r}, 'w').write(str(os.getpid()))\ntime.sleep(300)")
    wait_for(lambda: told.is_file() and bool(told.read_text()))
    kernel = int(told.read_text())
    copy = parents(kernel)
    os.kill(done.pid if killed == "job" else copy, signal.SIGKILL)
    errors = done.communicate(timeout=100)[1]
    assert done.returncode == (-signal.SIGKILL if killed == "job" else 1)
    assert killed == "job" or "Chapter 05_modelling of study song2021: the process that ran it is gone" in errors
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in (kernel, copy)))


def wait_for(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 100
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_without_a_server_the_job_runs_the_chapter_itself(tmp_path: Path, root: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-I", warm.__file__, "05_modelling"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert "required: study" in done.stderr
