"""Where a build stands: while it runs, after it ended, and after a crash."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from radsupport.book import progress
from radsupport.errors import BusyError
from radsupport.parallel import PROGRESS, map_cases

CHAPTERS = ("01_cohort", "02_preprocessing", "03_radiomics")


def chapters_of(_: str) -> Sequence[str]:
    return CHAPTERS


def inputs_of(study: str, chapter: str) -> list[str]:
    return [f"results/{study}/inputs/{chapter}.txt", f"results/{study}/none.json"]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which the first chapter ran."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(progress.OF_BUILD, "")
    for path in ("notebooks/01_cohort.ipynb", "01_cohort.json", "inputs/02_preprocessing.txt", "logs/01_cohort.log"):
        (tmp_path / "results/mine" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "results/mine" / path).write_text("{}", encoding="utf-8")
    (tmp_path / "results/mine/logs/01_cohort.seconds").write_text("130.0\n", encoding="utf-8")
    return tmp_path


def states(study: str = "mine") -> list[tuple[str, str, str]]:
    return [(row.name, row.state, row.detail) for row in progress.rows([study], chapters_of, inputs_of)]


def test_what_ran_is_done_until_what_it_stands_on_changes(project: Path) -> None:
    assert states() == [("01_cohort", "done", "in 2 min"), *((name, "waiting", "") for name in CHAPTERS[1:])]
    given = project / "results/mine/inputs/01_cohort.txt"
    given.write_text("new", encoding="utf-8")
    later = time.time_ns() + 10**9
    os.utime(given, ns=(later, later))
    assert states()[0][1:] == ("again", "what it stands on changed since it ran")


def at_third(item: int) -> list[str]:
    """Return what is said of the step while the third of four cases is worked on; the first three took 30 s."""
    if item == 2:
        path = Path(os.environ[PROGRESS])
        told = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(told | {"done": 1500, "total": 2000, "begun": time.time() - 900}), encoding="utf-8")
        return [detail for _, state, detail in states() if state == "running"]
    return []


def test_a_running_step_names_its_cell_its_case_and_the_minutes_left() -> None:
    with progress.Step("mine", "02_preprocessing") as step:
        assert states()[1][1:] == ("running", "just begun")
        step.tell(cell=3, cells=35)
        assert states()[1][2] == "cell 3 of 35"
        found = map_cases(at_third, range(4), progress=False, description="preprocessing")
        assert found[2] == ["cell 3 of 35, preprocessing: case 1 500 of 2 000, 5 min left"]
        Path("results/mine/logs/02_preprocessing.seconds").write_text("600\n", encoding="utf-8")
        assert re.fullmatch(r"cell 3 of 35, 10 min left, by its last run", states()[1][2])
    assert states()[1] == ("02_preprocessing", "waiting", "")
    assert PROGRESS not in os.environ
    assert [path.name for path in Path("results/mine/logs").glob("*.json")] == []


def test_a_failed_step_keeps_its_reason_until_it_runs_again() -> None:
    with pytest.raises(ValueError, match="not whole"), progress.Step("mine", "data"):
        raise ValueError("The data of study mine\nare not whole.")
    with progress.Step("mine", "02_preprocessing") as step:
        step.reason = "Chapter 02_preprocessing of study mine failed in cell 4 (MemoryError): 12 GiB"
    words, well = progress.report(chapters_of, inputs_of)
    assert not well
    assert (
        "data               failed   The data of study mine are not whole. (log: results/mine/logs/data.log)" in words
    )
    assert "failed   Chapter 02_preprocessing of study mine failed in cell 4 (MemoryError): 12 GiB (log: " in words
    with progress.Step("mine", "02_preprocessing"):
        assert states()[2][1] == "running"
    assert states()[2][1] == "waiting"


KILLED = """
import os, signal
from radsupport.book import progress
progress.begin(["mine"], "demo")
step = progress.Step("mine", "03_radiomics").__enter__()
step.tell(cell=5, cells=28)
with open(os.environ["RADSUPPORT_PROGRESS"], "w") as stream:
    stream.write('{"what": "radiomics", "done": 312, "total": 2000, "begun": 1}')
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_a_crash_it_says_where_the_build_was(root: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(root)}
    killed = subprocess.run([sys.executable, "-c", KILLED], check=False, env=environment)
    assert killed.returncode < 0
    words, well = progress.report(chapters_of, inputs_of)
    assert not well
    assert re.match(r"The build of 20\S+ \S+ \(process \d+ on \S+, profile demo\) was stopped before it ended", words)
    assert "3 steps: 1 done, 1 waiting, 1 stopped." in words
    assert re.search(r"stopped  process \d+ is gone; it was at cell 5 of 28, radiomics: case 312 of 2 000$", words)
    with progress.Step("mine", "03_radiomics"):  # nothing holds it
        assert states()[2][1:] == ("running", "just begun")


def test_a_step_of_another_machine_is_there_while_it_gives_signs() -> None:
    path = Path("results/mine/logs/03_radiomics.now.json")
    path.write_text(json.dumps({"pid": 1, "host": "node7", "begun": 1, "cell": 2, "cells": 9}), encoding="utf-8")
    assert states()[2][1] == "running"
    before = time.time() - 600
    os.utime(path, (before, before))
    assert states()[2][1:] == ("stopped", "process 1 on node7 is gone (silent for 10 min); it was at cell 2 of 9")
    path.write_text("[]", encoding="utf-8")  # whatever a full disk left of it
    assert states()[2][1] == "waiting"


def test_a_step_is_one_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_WAIT_S", 0.1)
    busy = pytest.raises(BusyError, match=f"Process {os.getpid()} on {socket.gethostname()} is at work")
    with progress.Step("mine", "03_radiomics"), busy:
        progress.Step("mine", "03_radiomics").__enter__()
    with progress.Step("mine", "03_radiomics"):
        pass


def test_a_build_that_ended_says_how() -> None:
    assert progress.report(chapters_of, inputs_of)[0].startswith("No build was begun in this folder.\n3 steps: 1 done")
    progress.begin(["mine"], "paper")
    assert os.environ[progress.OF_BUILD] == f"{os.getpid()}@{socket.gethostname()}"
    assert " runs for 0 s." in progress.report(chapters_of, inputs_of)[0]
    progress.end(well=True)
    words, well = progress.report(chapters_of, inputs_of)
    assert well
    assert " ended well after 0 s." in words


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_for_each_running_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    terminal = Terminal()
    with progress.Step("mine", "02_preprocessing") as one, progress.Step("mine", "03_radiomics"):
        one.tell(cell=3, cells=35)
        progress.follow(chapters_of, ["mine"], terminal)
        while "\r" not in terminal.getvalue():
            time.sleep(0.05)
    progress.end(well=True)
    shown = terminal.getvalue()
    first = "mine           02_preprocessing   running  cell 3 of 35"
    assert shown.startswith(f"\r\033[J{first}\nmine           03_radiomics       running  just begun\r\033[1A")
    progress.said("mine 02_preprocessing: 4 s", terminal)
    assert terminal.getvalue().endswith("\r\033[Jmine 02_preprocessing: 4 s\n")
    plain = io.StringIO()
    progress.said("mine 02_preprocessing: 4 s", plain)
    assert plain.getvalue() == "mine 02_preprocessing: 4 s\n"


def test_snakemake_says_on_a_terminal_what_went_wrong_only(tmp_path: Path) -> None:
    logger, terminal = logging.Logger("snakemake", logging.INFO), io.StringIO()
    logger.addHandler(logging.StreamHandler(terminal))
    logger.addHandler(logging.FileHandler(tmp_path / "log"))
    progress.quieten(logger)
    logger.info("Select jobs to execute...")
    logger.error("Job 3 failed")
    logger.handlers[1].close()
    assert terminal.getvalue() == "Job 3 failed\n"
    assert (tmp_path / "log").read_text() == "Select jobs to execute...\nJob 3 failed\n"
