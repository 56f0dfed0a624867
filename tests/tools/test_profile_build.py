"""The table of where a build's time went adds up."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from helpers.scripts import load_script
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, writes


def test_every_second_of_a_chapter_is_in_one_part(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = load_script(root / "tools" / "profile_build.py")
    sources = {"chapter = book.begin('x', globals())": 2.0, "x = 1": 3.0, "y = 2\nbook.show_figure(y)": 4.0}
    cells = [new_code_cell(source, metadata={"papermill": {"duration": s}}) for source, s in sources.items()]
    notebook = new_notebook(cells=[new_markdown_cell("# T", metadata={"papermill": {"duration": 9.0}}), *cells])
    for folder in ("notebooks", "logs"):
        (tmp_path / "mine" / folder).mkdir(parents=True)
    (tmp_path / "mine/notebooks/05_modelling.ipynb").write_text(writes(notebook), encoding="utf-8")
    usage = {"wall": 10.5, "cpu": 12.0, "peak_mb": 300}
    (tmp_path / "mine/logs/05_modelling.usage.json").write_text(json.dumps(usage), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["profile_build.py", str(tmp_path), "--cells", "1"])
    assert tool.main() == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][2:] == ["wall", "cpu", "peak_mb", "kernel", "import", "figures", "compute"]
    assert lines[1] == ["mine", "05_modelling", "10.5", "12.0", "300.0", "1.5", "2.0", "4.0", "3.0"]
    assert lines[3][:3] == ["all", "studies", "all"]
    assert lines[4][:4] == ["4.0", "s", "mine", "05_modelling"]
