"""What is asked of pyradiomics, and what its features are called.

A parameter file is checked and its defaults are filled in; a feature's name says phase, filter, class, and by the
class and feature the IBSI code of its definition.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
import radiomics
import yaml
from pykwalify.errors import PyKwalifyException
from radiomics.featureextractor import RadiomicsFeatureExtractor

from radsupport.errors import InputError, Problem

CLASS_NAMES = {
    "shape": "shape", "shape2D": "shape (2-D)", "firstorder": "first order", "glcm": "GLCM", "glrlm": "GLRLM",
    "glszm": "GLSZM", "gldm": "GLDM", "ngtdm": "NGTDM",
}  # fmt: skip
FILTER_NAMES = {
    "original": "original", "log": "LoG", "wavelet": "wavelet", "square": "square", "squareroot": "square root",
    "logarithm": "logarithm", "exponential": "exponential", "gradient": "gradient", "lbp": "LBP",
}  # fmt: skip
SECTIONS = ("setting", "imageType", "featureClass")
UNSUPPORTED = ("voxelSetting",)
#: The one key of this package under `setting`.
ROUND_HU = "roundHU"
#: What pyradiomics logs as a warning for every case, by the settings alone.
ROUTINE_MESSAGES = ("GLCM is symmetrical", "Fixed bin Count enabled", "Calculating Local Binary Pattern in 2D")


@dataclass(frozen=True)
class RadiomicsSettings:
    """A checked pyradiomics parameter file.

    Attributes
    ----------
    setting : dict
        pyradiomics' settings, its defaults filled in, without `label`.
    image_types : dict
        Filter -> its own settings, in the order of the file.
    feature_classes : dict
        Class -> names of its features, in the order of the file; pyradiomics' order where none are listed.
    cut : int or None
        Voxels left around the region before filtering where the file asks for pyradiomics' own cut
        (`padDistance` beside `resampledPixelSpacing`, or `preCrop: true`); None where filters see the whole image.
    label : int or None
        Label to measure; None where the file names none (masks then hold one label, whatever its value).
    round_hu : bool
        Whether resampled HU are rounded to whole numbers, so that a scan gives the same features whether it is stored
        as integers or as floating point (`roundHU`, true by default; false is plain pyradiomics' way).
    name : str
        File the settings come from.
    """

    setting: dict[str, Any]
    image_types: dict[str, dict[str, Any]]
    feature_classes: dict[str, list[str]]
    cut: int | None = None
    label: int | None = None
    round_hu: bool = True
    name: str = field(default="", compare=False)

    @property
    def resampled_spacing(self) -> list[float] | None:
        """Voxel size (x, y, z) in mm that is asked for, None for the image's own."""
        spacing = self.setting.get("resampledPixelSpacing")
        return None if spacing is None or self.setting.get("interpolator") is None else list(spacing)

    def digest(self) -> str:
        """Return a hash of everything that decides about values."""
        parts = [self.setting, self.image_types, self.feature_classes, self.cut, self.label, self.round_hu]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


#: A pyradiomics parameter file, the same as a mapping, or what `load_settings` made of either.
Settings = str | Path | Mapping[str, Any] | RadiomicsSettings


def load_settings(settings: Settings) -> RadiomicsSettings:
    """Check a pyradiomics parameter file (or the same as a mapping) and fill in the defaults.

    Parameters
    ----------
    settings : path, mapping or RadiomicsSettings
        Keys ``setting``, ``imageType``, ``featureClass`` as pyradiomics documents them, and ``roundHU`` (true or
        false) of this package under ``setting``; see `RadiomicsSettings`.

    Returns
    -------
    RadiomicsSettings

    Raises
    ------
    InputError
        No such file, not YAML, unknown or ill-typed keys (all of them), an unknown wavelet or interpolator,
        LoG without sigma, or voxel-based settings, which this package does not use.
    """
    if isinstance(settings, RadiomicsSettings):
        return settings
    name = "given as a mapping" if isinstance(settings, Mapping) else str(settings)
    raw = dict(settings) if isinstance(settings, Mapping) else _read(Path(settings))
    problems = list(_problems(raw, name))
    if problems:
        raise InputError(f"The radiomics settings {name} can not be used.", problems)
    given = dict(raw.get("setting") or {})
    # normalised values are no HU: whole numbers would be all that is left of them
    round_hu = given.pop(ROUND_HU, True) and not given.get("normalize", False)
    raw = {**raw, "setting": given} if "setting" in raw else raw
    with quiet_pyradiomics():
        try:
            checked = RadiomicsFeatureExtractor(copy.deepcopy(raw))
        except (PyKwalifyException, ValueError, TypeError) as error:
            lines = [line.strip(" -.") for line in str(getattr(error, "msg", error)).split("\n")]
            why = [Problem(line, file=name) for line in lines if "Path:" in line] or [Problem(str(error), file=name)]
            raise InputError(f"pyradiomics refuses the radiomics settings {name}.", why) from error
    setting = {key: value for key, value in checked.settings.items() if key not in ("additionalInfo", "label")}
    return RadiomicsSettings(
        setting=setting,
        image_types={key: dict(value or {}) for key, value in checked.enabledImagetypes.items()},
        feature_classes=_features(checked.enabledFeatures, "shape2D" in (raw.get("featureClass") or {})),
        cut=_cut(given),
        label=given.get("label"),
        round_hu=bool(round_hu),
        name=name,
    )


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"There is no file {path} of radiomics settings.")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path} holds no mapping; expected are the keys {', '.join(SECTIONS)}.")
    return raw


def _problems(raw: Mapping[str, Any], name: str) -> Iterator[Problem]:
    """Yield what pyradiomics would accept and then leave out in silence."""
    for key in raw:
        if key not in SECTIONS:
            what = "voxel-based extraction is not offered" if key in UNSUPPORTED else "unknown section"
            yield Problem(what, ", ".join(SECTIONS), "remove it", name, column=str(key))
    setting, types = raw.get("setting") or {}, raw.get("imageType") or {}
    if not isinstance(setting.get(ROUND_HU, True), bool):
        what, where = "not a truth value", f"setting.{ROUND_HU}"
        yield Problem(what, "true or false", "correct it", name, column=where, value=str(setting[ROUND_HU]))
    if "LoG" in types and not (types["LoG"] or {}).get("sigma"):
        yield Problem("LoG without sigma gives no image", "sigma: [mm, …]", "add it", name, column="imageType.LoG")


def _cut(given: Mapping[str, Any]) -> int | None:
    """Return the voxels that pyradiomics itself would leave around the region, if the file asks for that."""
    resampled = given.get("resampledPixelSpacing") is not None
    if (resampled and "padDistance" in given) or given.get("preCrop"):
        return int(given.get("padDistance", 5))
    return None


def _features(enabled: Mapping[str, Any], shape2d: bool) -> dict[str, list[str]]:
    """Return the features of every class, named one by one; shape2D (single-slice masks only) on request only."""
    classes = radiomics.getFeatureClasses()
    names: dict[str, list[str]] = {}
    for key, listed in enabled.items():
        if key == "shape2D" and not shape2d:
            continue
        known = classes[key].getFeatureNames()
        names[key] = list(listed) if listed else [name for name, deprecated in known.items() if not deprecated]
    return names


class _Messages(logging.Handler):
    """Keeps the text of what pyradiomics logs."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage().strip().splitlines()[-1]
        if not text.startswith(ROUTINE_MESSAGES):
            self.texts.append(text)


_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def quiet_pyradiomics() -> Iterator[list[str]]:
    """Collect what pyradiomics logs as warning or error instead of printing it, one thread at a time.

    Yields
    ------
    list of str
        Filled while the block runs; also silences numpy's RuntimeWarning (0/0 in a feature that is not defined
        for a region, which becomes NaN), but only where pyradiomics raises it. Loggers and warning filters belong to
        the process, so threads (of a Dask worker, say) wait for each other.
    """
    loggers = [logging.getLogger("radiomics"), logging.getLogger("pykwalify.core")]
    messages = _Messages(logging.WARNING)
    with _ONE_AT_A_TIME:
        before = [(logger, logger.handlers, logger.propagate) for logger in loggers]
        for logger in loggers:
            logger.handlers, logger.propagate = [messages], False
        try:
            with warnings.catch_warnings():
                _ignore_known_warnings()
                yield messages.texts
        finally:
            for logger, handlers, propagate in before:
                logger.handlers, logger.propagate = handlers, propagate


def _ignore_known_warnings() -> None:
    # pyradiomics divides by zero on purpose where a feature has no value; the value becomes NaN or inf
    warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"radiomics\.")
    # pykwalify, which pyradiomics checks its settings with, loads its schema's functions in an old way
    warnings.filterwarnings("ignore", r"the load_module\(\) method is deprecated", DeprecationWarning)


def feature_codes() -> pd.DataFrame:
    """Return pyradiomics' features with the IBSI definition each one follows.

    Returns
    -------
    DataFrame
        ``class``, ``feature`` (pyradiomics), ``ibsi_name``, ``ibsi_code`` (four characters) and ``tag`` (of the
        reference values); the last three are "" where IBSI defines no such feature.

    Notes
    -----
    Zwanenburg et al., Radiology 2020;295:328, and the IBSI reference manual (arXiv:1612.07003). pyradiomics' GLDM is
    IBSI's NGLDM, its "small/large area" is IBSI's "small/large zone", its SumSquares is IBSI's joint variance.
    """
    source = resources.files("radsupport.radiomics") / "data" / "ibsi" / "features.csv"
    with source.open(encoding="utf-8") as stream:
        return pd.read_csv(stream, keep_default_na=False)


def describe_features(names: Iterable[str]) -> pd.DataFrame:
    """Split feature names into their parts and look up the IBSI code.

    Parameters
    ----------
    names : iterable of str
        ``<phase>__<image>_<class>_<feature>``, or the same without phase.

    Returns
    -------
    DataFrame
        ``name``, ``phase`` ("" where there is none), ``image`` (log-sigma-1-0-mm-3D …), ``filter`` (LoG …),
        ``class``, ``feature``, ``ibsi_code``.

    Raises
    ------
    InputError
        Names that are none of pyradiomics'.
    """
    rows, bad = [], []
    for name in names:
        phase, _, rest = name.rpartition("__")
        parts = rest.split("_")
        filter_name = FILTER_NAMES.get(parts[0].split("-")[0].rstrip("23456789"))
        if len(parts) != 3 or parts[1] not in CLASS_NAMES or filter_name is None:
            bad.append(name)
            continue
        rows.append((name, phase, parts[0], filter_name, parts[1], parts[2]))
    if bad:
        raise InputError(
            "These are no names of pyradiomics features.",
            [Problem("unknown name", "<phase>__<image>_<class>_<feature>", value=name) for name in bad],
        )
    table = pd.DataFrame(rows, columns=["name", "phase", "image", "filter", "class", "feature"])
    codes = feature_codes()[["class", "feature", "ibsi_code"]]
    return table.merge(codes, on=["class", "feature"], how="left").fillna({"ibsi_code": ""})
