"""One file per case under the hash of everything that decides its features; a killed run resumes from these."""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

from radsupport.files import written_whole

EXTRACTION_VERSION = 1
"""Raise this by one when a change of this package changes any feature value."""

_LIBRARIES = ("pyradiomics", "SimpleITK", "numpy", "scipy", "PyWavelets")
_CHUNK = 1 << 22


def case_key(image: str | Path, mask: str | Path, settings_digest: str, extra: str = "") -> str:
    """Return the hash of image bytes, mask bytes, settings and library versions.

    Parameters
    ----------
    image, mask : path
    settings_digest : str
        `RadiomicsSettings.digest`.
    extra : str
        Whatever else decides about values (a perturbation).
    """
    digest = hashlib.sha256()
    versions = [f"{name} {metadata.version(name)}" for name in _LIBRARIES]
    for part in (str(EXTRACTION_VERSION), settings_digest, extra, *versions):
        digest.update(part.encode() + b"\0")
    for path in (image, mask):
        digest.update(_file_hash(Path(path)))
    return digest.hexdigest()


def _file_hash(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_CHUNK):
            digest.update(block)
    return digest.digest()


def load(cache: Path, key: str) -> dict[str, Any] | None:
    """Return what is kept under a key; None where there is nothing, or nothing readable."""
    path = _path(cache, key)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None


def store(cache: Path, key: str, content: dict[str, Any]) -> None:
    """Keep a result, whole or not at all."""
    with written_whole(_path(cache, key)) as partial:
        partial.write_text(json.dumps(content), encoding="utf-8")


def _path(cache: Path, key: str) -> Path:
    return Path(cache) / key[:2] / f"{key}.json"
