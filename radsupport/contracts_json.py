"""The numbers of a chapter that other pages quote, with what they were computed from."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from radsupport.errors import ContractError, Problem
from radsupport.files import written_whole

VERSIONS_OF = (
    "radsupport", "numpy", "pandas", "scipy", "scikit-learn", "lifelines", "scikit-survival", "statsmodels",
    "pyradiomics", "SimpleITK", "torch",
)  # fmt: skip


def write_chapter_json(
    folder: Path, chapter: str, numbers: Mapping[str, Any], seed: int | None = None, inputs: Iterable[Path] = ()
) -> Path:
    """Write the numbers of a chapter that other pages quote to ``<folder>/<chapter>.json``.

    Parameters
    ----------
    folder : Path
        ``results/<study>``.
    chapter : str
        File stem such as ``06_validation``.
    numbers : mapping
        JSON-like; an estimate is a mapping with value, n, ci_low and ci_high.
    seed : int, optional
        The seed behind the numbers.
    inputs : iterable of Path
        Files the numbers were computed from; their sha256 is kept.

    Returns
    -------
    Path

    Raises
    ------
    ContractError
        A value is no JSON value, or an input file does not exist.
    """
    path = Path(folder) / f"{chapter}.json"
    files = sorted(Path(item) for item in inputs)
    absent = [Problem("no such input file", file=str(item)) for item in files if not item.is_file()]
    bad = list(_not_json(numbers, ""))
    if absent or bad:
        raise ContractError(f"{path} can not be written.", [*absent, *bad])
    content = {
        "chapter": chapter,
        "seed": seed,
        "numbers": _plain(numbers),
        "inputs": {item.name: hashlib.sha256(item.read_bytes()).hexdigest() for item in files},
        "versions": _versions(),
    }
    with written_whole(path) as partial:
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return path


def read_chapter_json(folder: Path, chapter: str) -> dict[str, Any]:
    """Read what `write_chapter_json` wrote: chapter, seed, numbers, inputs, versions.

    Raises
    ------
    ContractError
        The file is missing or was not written by `write_chapter_json`.
    """
    path = Path(folder) / f"{chapter}.json"
    message = f"The numbers of chapter `{chapter}` can not be read."
    if not path.is_file():
        raise ContractError(message, [Problem("this file is missing", remedy="run the chapter", file=str(path))])
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ContractError(message, [Problem(f"no valid JSON: {error}", file=str(path))]) from error
    expected = {"chapter", "seed", "numbers", "inputs", "versions"}
    if not isinstance(content, dict) or not expected <= set(content):
        problem = Problem("keys are missing", ", ".join(sorted(expected)), "run the chapter again", str(path))
        raise ContractError(message, [problem])
    return content


def _versions() -> dict[str, str]:
    found = {}
    for package in VERSIONS_OF:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _plain(value: Any) -> Any:
    """Return `value` in JSON's own types; NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(inner) for inner in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def _not_json(value: Any, place: str) -> Iterable[Problem]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _not_json(inner, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list | tuple | np.ndarray):
        for i, inner in enumerate(value):
            yield from _not_json(inner, f"{place}[{i}]")
    elif not (value is None or isinstance(value, str | bool | int | float | np.bool_ | np.integer | np.floating)):
        text = f"a value of type {type(value).__name__}"
        yield Problem(
            text, "number, text, true/false, list or mapping", "convert it", column=place, value=str(value)[:60]
        )
