"""All benchmarks are run whatever becomes of one, and what they print is kept with the machine it was measured on."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from helpers.scripts import load_script


def test_every_benchmark_is_run_and_a_failed_one_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = load_script(root / "benchmarks" / "run.py")
    (tmp_path / "run.py").write_text("raise SystemExit('not itself')")
    (tmp_path / "radiomics.py").write_text("import sys; print('ratio 60', sys.argv[1:], len(sys.path[0]) > 0)")
    (tmp_path / "slow.py").write_text("print('half'); raise SystemExit(3)")
    monkeypatch.setattr(run, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["run.py", "--", "--quick"])
    assert run.main() == 1
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "## radiomics" in page
    assert "ratio 60 ['--quick']" in page
    assert "half" in page
    assert "failed with status 3" in page
    assert "not itself" not in page
    assert "pyradiomics 3" in page
    monkeypatch.setattr(sys, "argv", ["run.py", "radiomics"])
    assert run.main() == 0
    assert "slow" not in (tmp_path / "results.md").read_text(encoding="utf-8")


def test_the_readme_quotes_the_last_run_of_the_benchmarks(root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    part = text.split("### How fast it is")[1].split("###")[0]
    rows = [line for line in part.splitlines() if line.startswith(("| 20 mm", "| 60 mm"))]
    quoted = [
        number for row in rows for cell in row.split("|")[2:] for number in re.findall(r"[\d.]+(?:e\+\d+)?", cell)
    ]
    quoted += re.findall(r"\d\.\d+", part.split("Two workers")[1])
    known = set((root / "benchmarks" / "results.md").read_text(encoding="utf-8").split())
    assert len(quoted) > 15
    assert [number for number in quoted if number not in known] == []
