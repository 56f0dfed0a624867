"""A whole build of a small study: the same to the bit wherever it is made, and no path of it is absolute."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from helpers.scripts import load_script

from radsupport.tables import read_table

#: Logs and what only the build with chapters 07 and 08 has or writes anew.
LEFT_OUT = ("logs/", "notebooks/", "cache/", "07_", "08_", "figures/0", "model/card.md", "model/nomogram.json")
#: What the clock and the memory say, which no two runs share.
MEASURED = ["seconds", "peak_memory_mb", "cached"]


def build(folder: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("snakemake")), "--cores", "2", "--nolock", "--rerun-incomplete"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    more = {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "PATH": path}
    options = ["--keep-going", "--quiet", "rules", "progress", "--config", "study=small"]
    environment = {key: value for key, value in os.environ.items() if key != "MAKELEVEL"} | more
    return subprocess.run(
        [*command, *targets, *options], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def two(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same study, built in a plain folder without the site, and wholly in one that the shell would take apart."""
    script, place = load_script(root / "tools" / "small_study.py"), tmp_path_factory.mktemp("two")
    folders = [place / "plain", place / "Häuser & Höfe {x}" / "Jörg's CT"]
    for folder, targets in zip(folders, (["results/small/09_robustness.json"], []), strict=True):
        done = build(script.make(folder), *targets)
        assert done.returncode == 0, done.stdout + done.stderr
    return folders


def contents(folder: Path) -> dict[str, bytes]:
    """Return every table, number and picture that both builds made, without what is measured."""
    found = {}
    for path in sorted((folder / "results/small").rglob("*")):
        name = path.relative_to(folder / "results/small").as_posix()
        if path.is_file() and not name.startswith(LEFT_OUT):
            found[name] = path.read_bytes()
    log = pd.read_csv(folder / "results/small/features_radiomics_log.csv").drop(columns=MEASURED)
    return found | {"features_radiomics_log.csv": log.to_csv(index=False).encode()}


def test_two_builds_in_two_folders_are_equal_to_the_bit(two: list[Path]) -> None:
    one, other = map(contents, two)
    assert {"cases.parquet", "predictions.parquet", "features_radiomics.parquet", "06_validation.json"} <= set(one)
    assert [name for name in one if other[name] != one[name]] == []
    assert sum(name.endswith(".nii.gz") for name in one) > 100


def test_the_results_can_be_moved(two: list[Path]) -> None:
    for folder in two:
        kept = pd.read_parquet(folder / "results/small/cases.parquet")
        assert str(folder.parent) not in kept.to_csv()
        moved = read_table("cases", folder / "results/small", folder)
        assert all(Path(file).is_file() for file in moved["image"])
    everything = [path for path in (two[1] / "results/small").rglob("*") if path.is_file()]
    named = str(two[1]).encode()
    assert [path for path in everything if named in path.read_bytes()] == []


def test_a_folder_with_blanks_and_umlauts_has_its_site_and_says_that_all_is_done(two: list[Path]) -> None:
    page = two[1] / "book/_build/html/index.html"
    assert "A small synthetic study" in page.read_text(encoding="utf-8")
    command = [sys.executable, "-m", "radsupport.cli", "--root", str(two[1]), "status"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert " ended well after " in done.stdout
    assert "9 steps: 9 done." in done.stdout


def test_the_terminal_has_no_word_of_the_engine(two: list[Path]) -> None:
    again = build(two[1])  # nothing is to be done
    assert again.returncode == 0
    assert "small 01_cohort" not in again.stdout
    assert again.stderr == ""
    assert again.stdout == ""
    build_note = json.loads((two[1] / "results/logs/build.json").read_text(encoding="utf-8"))
    assert build_note["studies"] == ["small"]
    assert "ended" in build_note
