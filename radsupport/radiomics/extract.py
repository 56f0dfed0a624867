"""Chapter 03, step by step: radiomics of both readers, their agreement, and what failed.

Chapter 03: radiomics features of a cohort, one row per subject, and a log that loses no case.

One file per case under the hash of everything that decides its features; a killed run resumes from these.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import InputError, Problem, RadsupportError
from radsupport.files import written_whole
from radsupport.parallel import map_cases, peak_mb, reset_peak
from radsupport.radiomics.case import CaseFeatures, extract_case, feature_names
from radsupport.radiomics.names import CLASS_NAMES, describe_features, surviving_features
from radsupport.radiomics.perturbation import Perturbation, standard_perturbations
from radsupport.radiomics.settings import RadiomicsSettings, load_settings
from radsupport.settings.study import Study
from radsupport.stats.agreement import icc_features


def extract_perturbed(
    cases: pd.DataFrame,
    settings: str | Path | Mapping[str, Any] | RadiomicsSettings,
    perturbations: Sequence[Perturbation] | None = None,
    **options: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Extract features of every case once per perturbation.

    Parameters
    ----------
    cases, settings
        As `radsupport.radiomics.extract.extract`.
    perturbations : sequence of Perturbation, optional
        `standard_perturbations` where left out.
    **options
        ``n_jobs``, ``cache``, ``scheduler``, ``progress``, ``mask_column``, ``image_column`` of `extract`.

    Returns
    -------
    features : DataFrame
        ``subject``, ``perturbation``, then the columns of `extract`: each perturbation is one "reader" of an
        intraclass correlation.
    log : DataFrame
        Log of `extract` with the column ``perturbation``.

    Raises
    ------
    InputError
        Two perturbations of one name, or as `extract`.
    """
    pass

    chosen = list(perturbations) if perturbations is not None else standard_perturbations()
    names = [one.name for one in chosen]
    if len(set(names)) < len(names) or not names:
        raise InputError(f"Perturbations need names of their own; these are {names}.")
    features, logs = [], []
    for one in chosen:
        table, log = extract(cases, settings, perturbation=one, **options)
        table.insert(1, "perturbation", one.name)
        log.insert(2, "perturbation", one.name)
        features.append(table)
        logs.append(log)
    return pd.concat(features, ignore_index=True), pd.concat(logs, ignore_index=True)


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


CASE_ERRORS = (RadsupportError, ValueError, RuntimeError, OSError, MemoryError, ArithmeticError, AssertionError)
"""What a bad case can raise in this package, pyradiomics, ITK and numpy; anything else is a mistake in the code."""

LOG_COLUMNS = ["subject", "phase", "status", "reason", "seconds", "voxels", "peak_memory_mb", "cached"]


@dataclass(frozen=True)
class Job:
    """One case to extract; small enough to be sent to any worker."""

    subject: str
    phase: str
    image: str
    mask: str
    settings: RadiomicsSettings
    cache: Path | None = None
    perturbation: Perturbation | None = None


@dataclass(frozen=True)
class Outcome:
    """One line of the log, and the features where there are any."""

    subject: str
    phase: str
    status: str
    reason: str
    seconds: float
    voxels: float
    peak_memory_mb: float
    cached: bool
    values: dict[str, float] | None = None


def extract(
    cases: pd.DataFrame,
    settings: str | Path | Mapping[str, Any] | RadiomicsSettings,
    *,
    n_jobs: int = 1,
    cache: str | Path | None = None,
    scheduler: str | None = None,
    progress: bool = True,
    image_column: str = "image",
    mask_column: str = "mask",
    perturbation: Perturbation | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Extract radiomics features of every case.

    Parameters
    ----------
    cases : DataFrame
        One row per subject and phase: ``subject``, ``phase``, ``image``, ``mask`` (paths; a missing path is a case
        that fails). Other columns are ignored.
    settings : path or mapping
        pyradiomics parameter file; see `load_settings`.
    n_jobs : int
        Processes; each holds one case and uses one thread.
    cache : path, optional
        Folder in which each case's features are kept under the hash of its image, mask, settings and library
        versions. A run that was killed at any moment goes on from there.
    scheduler : str, optional
        Address of a Dask scheduler to work on instead of this machine.
    progress : bool
        Show a progress bar.
    image_column, mask_column : str
        Columns to take the paths from: ``source_image`` and ``source_mask`` for the scans as they came, or
        ``mask_reader2`` for the second reader.
    perturbation : Perturbation, optional
        A small change applied to every case; see `radsupport.radiomics.perturbation`.

    Returns
    -------
    features : DataFrame
        One row per subject in the order of `cases`: ``subject``, then ``<phase>__<feature>`` (float) phase by phase
        in order of appearance, features in the order of the settings. A case that failed is NaN.
    log : DataFrame
        One row per case: ``subject``, ``phase``, ``status`` (ok, warning, failed), ``reason``, ``seconds``,
        ``voxels``, ``peak_memory_mb``, ``cached``.

    Raises
    ------
    InputError
        Missing columns, the same subject and phase twice, no case at all, or unusable settings.

    Notes
    -----
    Values equal plain pyradiomics on the whole image; see `radsupport.radiomics.case.features_of`.
    """
    loaded = load_settings(settings)
    _check_cases(cases, image_column, mask_column)
    folder = None if cache is None else Path(cache).absolute()
    paths = zip(*(cases[name] for name in ("subject", "phase", image_column, mask_column)), strict=True)
    jobs = [
        Job(str(subject), str(phase), _text(image), _text(mask), loaded, folder, perturbation)
        for subject, phase, image, mask in paths
    ]
    outcomes = map_cases(run_job, jobs, n_jobs, scheduler, progress, description="radiomics", on_lost=_lost)
    return _table(outcomes, loaded), _log(outcomes)


def run_job(job: Job) -> Outcome:
    """Extract one case, from the cache where it is there; what goes wrong with the case becomes its reason."""
    reset_peak()
    start = time.perf_counter()
    try:
        _require_paths(job)
        key = "" if job.cache is None else _key(job)
        kept = None if job.cache is None else load(job.cache, key)
        if kept is not None:
            return Outcome(job.subject, job.phase, **{**kept, "cached": True})
        outcome = _outcome(job, extract_case(job.image, job.mask, job.settings, job.perturbation), start)
    except CASE_ERRORS as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        seconds = time.perf_counter() - start
        return Outcome(job.subject, job.phase, "failed", reason, seconds, np.nan, peak_mb(), False)
    if job.cache is not None:
        content = {k: v for k, v in asdict(outcome).items() if k not in ("subject", "phase")}
        store(job.cache, key, content)
    return outcome


def _key(job: Job) -> str:
    change = "" if job.perturbation is None else repr(replace(job.perturbation, name=""))
    return case_key(job.image, job.mask, job.settings.digest(), change)


def _outcome(job: Job, found: CaseFeatures, start: float) -> Outcome:
    """Return a finished case; infinite values become NaN with a message."""
    infinite = [name for name, value in found.values.items() if np.isinf(value)]
    values = {name: (np.nan if np.isinf(value) else value) for name, value in found.values.items()}
    messages = [*found.messages, *(f"{name} is infinite, set to NaN" for name in infinite)]
    status = "warning" if messages else "ok"
    seconds = time.perf_counter() - start
    return Outcome(job.subject, job.phase, status, "; ".join(messages), seconds, found.voxels, peak_mb(), False, values)


def _lost(job: Job, reason: str) -> Outcome:
    return Outcome(job.subject, job.phase, "failed", reason, np.nan, np.nan, np.nan, False)


def _require_paths(job: Job) -> None:
    missing = [key for key in ("image", "mask") if not getattr(job, key)]
    if missing:
        raise InputError(f"The case has no {' and no '.join(missing)}.")
    for path in (job.image, job.mask):
        if not Path(path).is_file():
            raise InputError(f"There is no such file: {path}.")


def _text(path: Any) -> str:
    """Return a path as absolute text (workers may run elsewhere), "" for None, NaN, NA and ""."""
    return str(Path(path).absolute()) if isinstance(path, str | Path) and str(path) else ""


def _check_cases(cases: pd.DataFrame, image_column: str, mask_column: str) -> None:
    """Refuse a table that is no list of cases."""
    missing = [name for name in ("subject", "phase", image_column, mask_column) if name not in cases]
    if missing:
        raise InputError(
            "The table of cases has columns missing.",
            [Problem("missing column", remedy="add it", column=name) for name in missing],
        )
    if cases.empty:
        raise InputError("The table of cases is empty.")
    twice = cases[cases.duplicated(["subject", "phase"], keep=False)]
    if len(twice):
        pairs = sorted({f"{row.subject} {row.phase}" for row in twice.itertuples()})
        raise InputError("The table of cases has a subject twice in one phase.", [Problem(pair) for pair in pairs])


def _table(outcomes: Sequence[Outcome], settings: RadiomicsSettings) -> pd.DataFrame:
    """Return one row per subject, every expected column, NaN where a case failed."""
    names = feature_names(settings)
    subjects = list(dict.fromkeys(outcome.subject for outcome in outcomes))
    phases = list(dict.fromkeys(outcome.phase for outcome in outcomes))
    found = {(outcome.subject, outcome.phase): outcome.values or {} for outcome in outcomes}
    rows = [
        [value for phase in phases for value in map(found.get((subject, phase), {}).get, names)] for subject in subjects
    ]
    columns = [f"{phase}__{name}" for phase in phases for name in names]
    table = pd.DataFrame(np.array(rows, dtype=float), columns=columns)
    table.insert(0, "subject", subjects)
    return table


def _log(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    return pd.DataFrame([{name: getattr(outcome, name) for name in LOG_COLUMNS} for outcome in outcomes])


SETTINGS = Path("studies") / "radiomics"
DEFAULT_THRESHOLD = 0.8
PREDICTED = ("train", "internal", "external")


def settings_path(study: Study, root: Path = Path()) -> Path:
    """Return the pyradiomics parameter file that the study names."""
    return root / SETTINGS / (study.radiomics.settings if study.radiomics else "default.yaml")


def threshold_of(study: Study) -> float:
    """Return the least ICC of a reproducible feature: the study's, else 0.8."""
    return (study.radiomics.icc_threshold if study.radiomics else None) or DEFAULT_THRESHOLD


def model_cases(study: Study, cases: pd.DataFrame, cohorts: tuple[str, ...] = PREDICTED) -> pd.DataFrame:
    """Return the cases whose features enter models: phases of role `model`, patients with an outcome.

    Features are measured on the images as they came (`source_image`), because the settings file says how
    pyradiomics resamples them and filters need more surroundings than the preprocessed box holds. A case
    that chapter 02 excluded stays, without files, so that it fails with a reason and does not disappear.
    """
    phases = [name for name, phase in study.phases.items() if phase.role == "model"]
    kept = cases[cases["phase"].isin(phases) & cases["cohort"].isin(cohorts)].copy()
    usable = kept["exclusion"] == ""
    for role in ("image", "mask", "roi_rough"):
        if f"source_{role}" in kept.columns:
            kept[role] = kept[f"source_{role}"].astype(object).mask(~usable, other=np.nan)
    order = {phase: i for i, phase in enumerate(phases)}
    return kept.sort_values(
        ["subject", "phase"], key=lambda s: s.map(order) if s.name == "phase" else s, ignore_index=True
    )


def second_reader_cases(study: Study, cases: pd.DataFrame) -> pd.DataFrame:
    """Return the cases that a second reader outlined, with that reader's mask as `mask`.

    At most ``radiomics.icc_subjects`` training patients, the first by id, so that the choice is fixed.
    """
    if study.radiomics is None:
        return cases.iloc[:0]
    kept = outlined_twice(study, cases)
    chosen = sorted(kept["subject"].unique())[: study.radiomics.icc_subjects]
    kept = kept[kept["subject"].isin(chosen)]
    return kept.assign(mask=kept["source_mask_reader2"]) if len(kept) else kept


def outlined_twice(study: Study, cases: pd.DataFrame) -> pd.DataFrame:
    """Return all training cases that a second reader outlined; `icc_subjects` of them give the ICC."""
    if "source_mask_reader2" not in cases.columns:
        return cases.iloc[:0]
    twice = cases["source_mask_reader2"].fillna("").ne("") & (cases["exclusion"] == "")
    return model_cases(study, cases[twice], ("train",))


def extract_both_readers(
    study: Study, cases: pd.DataFrame, cache: Path, root: Path = Path(), n_jobs: int = 1, progress: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Extract the features of every model case, and again with the second reader's masks.

    Returns
    -------
    features, log : DataFrame
        As `radsupport.radiomics.extract.extract` returns them.
    again : DataFrame
        Features by the second reader's masks; no rows where nobody read twice.
    """
    settings = settings_path(study, root)
    features, log = extract(model_cases(study, cases), settings, n_jobs=n_jobs, cache=cache, progress=progress)
    second = second_reader_cases(study, cases)
    if second.empty:
        return features, log, features.iloc[:0]
    again, _ = extract(second, settings, n_jobs=n_jobs, cache=cache, progress=progress)
    return features, log, again


def count_features(features: pd.DataFrame) -> pd.DataFrame:
    """Count features by filter (rows) and class (columns), one phase counted once."""
    names = pd.unique(pd.Series([str(column).split("__")[-1] for column in features.columns if column != "subject"]))
    parts = describe_features(names)
    table = pd.crosstab(parts["filter"], parts["class"].map(CLASS_NAMES), margins=True, margins_name="all")
    return table.rename_axis("filter").reset_index().rename_axis(columns=None)


def toolkit_table(study: Study, features: pd.DataFrame) -> pd.DataFrame:
    """Set the families of the paper's own software beside ours.

    Returns
    -------
    DataFrame
        family, published (features of the paper's software), classes (ours), unfiltered (our features of the original
        image), all images; a last row with the sums. No rows where the study names no software.
    """
    toolkit = study.radiomics.toolkit if study.radiomics else []
    names = pd.unique(pd.Series([str(column).split("__")[-1] for column in features.columns if column != "subject"]))
    parts, rows = describe_features(names), []
    for family in toolkit:
        own = parts[parts["class"].isin(family.classes)]
        classes = ", ".join(CLASS_NAMES[name] for name in family.classes)
        row = {"family": family.family, "published": family.published, "classes": classes}
        rows.append(row | {"unfiltered": int((own["filter"] == "original").sum()), "all images": len(own)})
    table = pd.DataFrame(rows, columns=["family", "published", "classes", "unfiltered", "all images"])
    if len(table):
        sums = table[["published", "unfiltered", "all images"]].sum()
        table.loc[len(table)] = {"family": "all", "classes": "", **sums.to_dict()}
    return table


def log_summary(log: pd.DataFrame) -> pd.DataFrame:
    """Summarise the extraction per phase: cases, failed, warnings, seconds and memory per case."""
    grouped = log.groupby("phase", sort=False)
    return grouped.agg(
        cases=("subject", "size"),
        failed=("status", lambda s: int((s == "failed").sum())),
        with_warning=("status", lambda s: int((s == "warning").sum())),
        median_seconds=("seconds", "median"),
        peak_memory_mb=("peak_memory_mb", "max"),
        median_voxels=("voxels", "median"),
    ).reset_index()


def agreement_table(study: Study, features: pd.DataFrame, again: pd.DataFrame) -> pd.DataFrame:
    """Return each feature's ICC between the readers: feature, icc, ci_low, ci_high, n, class, image_type."""
    kind = study.radiomics.icc_kind if study.radiomics else "ICC(2,1)"
    table = icc_features(features.set_index("subject"), again.set_index("subject"), kind)
    parts = describe_features(table["feature"])
    return table.assign(feature_class=parts["class"].to_numpy(), image_type=parts["filter"].to_numpy())


def icc_curves(icc: pd.DataFrame, by: str = "class") -> pd.DataFrame:
    """Return, per class or filter, which share reaches an ICC or more, for `figures.icc_shares`.

    Parameters
    ----------
    by : {"class", "filter"}
    """
    table = surviving_features(icc, np.linspace(0, 1, 101), by)
    names = table[by].map(CLASS_NAMES) if by == "class" else table[by]
    curves = pd.DataFrame({"feature_class": names, "icc": table["threshold"], "share": table["share"], "n": table["n"]})
    return curves.sort_values(["feature_class", "icc"], ignore_index=True)


def icc_summary(icc: pd.DataFrame, threshold: float, by: str = "feature_class") -> pd.DataFrame:
    """Return per class or filter: features, median ICC, how many reach the threshold, and how many have none."""
    names = icc[by].map(CLASS_NAMES) if by == "feature_class" else icc[by]
    grouped = icc.assign(**{by: names}).groupby(by)["icc"]
    table = grouped.agg(features="size", median_icc="median", without_icc=lambda s: int(s.isna().sum()))
    table["reproducible"] = grouped.agg(lambda s: int((s >= threshold).sum()))
    table["share"] = table["reproducible"] / table["features"]
    return table.reset_index()


@dataclass(frozen=True)
class Correlations:
    """|Pearson r| of pairs of features.

    Attributes
    ----------
    pairs : DataFrame
        r (absolute): one row per pair.
    used, usable : int
        Features correlated, and features that vary and miss no value; fewer are used where there are too many.
    n : int
        Patients.
    """

    pairs: pd.DataFrame
    used: int
    usable: int
    n: int


def correlations(features: pd.DataFrame, most: int = 3000, seed: int = 0) -> Correlations:
    """Correlate all features in pairs; of more than `most` features, so many are drawn at random."""
    values = features.drop(columns="subject").dropna(axis=1)
    values = values.loc[:, values.std() > 0]
    usable = values.shape[1]
    if usable > most:
        values = values.sample(most, axis=1, random_state=seed)
    r = np.abs(np.corrcoef(values.to_numpy(), rowvar=False))
    pairs = pd.DataFrame({"r": r[np.triu_indices_from(r, k=1)]})
    return Correlations(pairs, values.shape[1], usable, len(values))
