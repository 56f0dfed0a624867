"""One file per case under the hash of everything that decides its features; a killed run resumes from these."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

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
    """Keep a result: written under another name, flushed, then renamed, so that no half file can be found."""
    path = _path(cache, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{key}.{os.getpid()}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            json.dump(content, stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _path(cache: Path, key: str) -> Path:
    return Path(cache) / key[:2] / f"{key}.json"
