"""Fixtures shared by all tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

# a busy machine is no failure: properties are checked without a time limit per example
settings.register_profile("radsupport", deadline=None)
settings.load_profile("radsupport")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def numpy_warns() -> Iterator[None]:
    """Let numpy warn in every test: lifelines, a reference of some, turns it off for the whole process."""
    with np.errstate(divide="warn", over="warn", invalid="warn"):
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """Project root."""
    return ROOT


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of reference values computed elsewhere."""
    return ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder beside the project that holds real scans and further references; skips where it is absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the folder ../shared is not here")
    return folder


@pytest.fixture(scope="session")
def r_values(golden: Path) -> Callable[[str], dict[str, Any]]:
    """Read one file of R's values by its stem, `<topic>__<case>`."""
    return lambda stem: json.loads((golden / "statistics" / f"{stem}.json").read_text())


@pytest.fixture(scope="session")
def r_table(golden: Path) -> Callable[[str], pd.DataFrame]:
    """Read one of the CSV tables that R's values were computed from; the level 'None' is a value there."""
    folder = golden / "statistics"
    return lambda path: pd.read_csv(folder / path, keep_default_na=False, na_values=[""])
