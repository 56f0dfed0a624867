"""The dependency list stands in three places; they have to be equal."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml


def plain(requirement: str) -> str:
    return re.split(r"[\[<>=;! ]", requirement.strip())[0].lower().replace("_", "-")


def test_environment_and_constraints_hold_what_pyproject_names(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    named = {plain(r) for r in [*project["dependencies"], *project["optional-dependencies"]["dev"]]}
    environment = yaml.safe_load((root / "environment.yml").read_text())["dependencies"]
    through_pip = next(entry["pip"] for entry in environment if isinstance(entry, dict))
    assert {plain(entry) for entry in through_pip if not entry.startswith("-")} == named
    pinned = {plain(line) for line in (root / "constraints.txt").read_text().splitlines() if line and line[0] != "#"}
    assert named - pinned <= {"xgboost"}, "xgboost stands in for xgboost-cpu where that has no wheel"


def test_every_constraint_is_a_pin(root: Path) -> None:
    for line in (root / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9_.-]+==[^=;]+(;.*)?", line), line
