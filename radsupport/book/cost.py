"""What a build of a study will take on this machine: a unit of each long step is timed, the rest is counted.

Nothing of the build is started or kept: a few cases are preprocessed and measured in a temporary folder, one batch of
each network is passed, and each signature is fitted once, on noise in the place of features that are not there yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from radsupport import radiomics
from radsupport.checks import cohorts_in_order
from radsupport.data.datasets import availability
from radsupport.data.manifest import study_files
from radsupport.data.new_patients import measure_patients
from radsupport.data.open import open_cohort
from radsupport.data.scans import case_files, model_cases, outlined_twice
from radsupport.errors import RadsupportError, StudyError
from radsupport.evaluate.controls import CONTROL
from radsupport.evaluate.discrimination import discrimination
from radsupport.evaluate.reruns import with_learners
from radsupport.imaging.preprocessing import preprocess
from radsupport.learning.assembly import Assembly
from radsupport.learning.learners import GIVEN
from radsupport.learning.locked import read_model
from radsupport.networks.cost import Cost, costs, fastest
from radsupport.networks.inputs import Given
from radsupport.networks.sources import case_slices
from radsupport.radiomics.agreement import standard_perturbations
from radsupport.settings.features import Cnn3d, Radiomics, Resnet, Unet
from radsupport.settings.learning import Signature
from radsupport.settings.study import Study
from radsupport.study import STUDIES, StudyPaths
from radsupport.tables import compared_signatures
from radsupport.wording import counted

#: Cases that are timed, evenly spread over the patients who are predicted.
TIMED = 3
COLUMNS = ["step", "unit", "seconds", "from", "to", "hours_from", "hours_to"]
UNTIMED = (
    "Not timed: chapter 01, the figures and tables of all chapters, what chapter 06 resamples beside the AUC or "
    "C-index, chapters 07 and 08, and the site. Early stopping decides between from and to. Hours are those of a "
    "machine with nothing else to do."
)


def predict(study: Study, root: Path = Path(), jobs: int = 1) -> pd.DataFrame:
    """Return what the chapters of a study will take.

    Parameters
    ----------
    study : Study
        In the profile that is asked about.
    root : Path
        Project root.
    jobs : int
        Cores of the build.

    Returns
    -------
    DataFrame
        step, unit, seconds (of one unit; missing where it could not be timed), from and to (how many units),
        hours_from, hours_to; ``attrs["notes"]`` says what is not in it.

    Raises
    ------
    StudyError
        The study's data are not here.
    """
    cohort, tables = _opened(study, root)
    rows: list[Cost] = []
    with TemporaryDirectory(prefix="radsupport-cost-") as folder:
        if study.model:
            rows += _of_model(study, cohort, tables, root, Path(folder), jobs)
        elif study.data.entry != "features":
            rows += _of_images(study, cohort, tables, root, Path(folder), jobs)
    rows += [] if study.model else _modelling(study, cohort, tables, jobs)
    rows.append(_resamples(study, cohort))
    table = pd.DataFrame([(one.step, one.unit, one.seconds, one.least, one.most) for one in rows], columns=COLUMNS[:5])
    for end in ("from", "to"):
        table[f"hours_{end}"] = table["seconds"] * table[end] / [one.at_once for one in rows] / 3600
    failed = [f"{one.step} ({one.unit})" for one in rows if np.isnan(one.seconds)]
    notes = [f"Could not be timed: {'; '.join(failed)}."] * bool(failed) + [UNTIMED]
    none = f"Study {study.id} starts from feature tables: no image is read, and there is no network."
    locked = f"Study {study.id} validates a locked model: nothing is fitted and no network is trained."
    table.attrs["notes"] = [none] * (study.data.entry == "features") + [locked] * bool(study.model) + notes
    return table


def report(table: pd.DataFrame, study: Study, jobs: int) -> str:
    """Return the table of `predict` as text, with its total."""
    shown = table.assign(
        seconds=table["seconds"].map(lambda s: "?" if np.isnan(s) else f"{s:.3g} s"),
        **{key: table[key].map(lambda n: f"{n:,.0f}") for key in ("from", "to")},
        **{key: table[key].map(lambda h: "?" if np.isnan(h) else f"{h:.2f}") for key in ("hours_from", "hours_to")},
    )
    words = ["step", "unit", "one takes", "from", "to", "hours from", "hours to"]
    rows = [words, *shown[COLUMNS].astype(str).to_numpy().tolist()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(words))]
    lines = ["  ".join(f"{x:<{w}}" if i < 2 else f"{x:>{w}}" for i, (x, w) in enumerate(zip(r, widths))) for r in rows]  # noqa: B905
    hours = [table[f"hours_{end}"].sum() for end in ("from", "to")]
    scale, word = (1, "hours") if hours[1] >= 1 else (60, "minutes") if hours[1] >= 1 / 60 else (3600, "seconds")
    low, high = (f"{scale * one:.1f}" for one in hours)
    total = f"Together {low} to {high} {word}: study {study.id}, profile {study.profile}, {counted(jobs, 'core')}."
    return "\n".join([*lines, "", total, *table.attrs["notes"]])


def _opened(study: Study, root: Path) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Return the cohort and the feature tables that are there, or say how the data get here."""
    here, reason = availability(study, root)
    if study.is_synthetic and not (StudyPaths(study.id, root).data / "manifest.csv").is_file():
        here, reason = False, f"run `radsupport prepare {study.id}`, which draws its patients"
    elif here and not study.is_synthetic:
        named = study_files(study, root)
        here, reason = bool(named["file"].map(Path.is_file).all()), f"run `radsupport prepare {study.id}`"
    if not here:
        raise StudyError(f"The data of study {study.id} are not here, so nothing can be timed: {reason}.")
    opened = open_cohort(study, root)
    return opened.cohort, dict(opened.features)


def _of_images(
    study: Study, cohort: pd.DataFrame, tables: dict[str, pd.DataFrame], root: Path, folder: Path, jobs: int
) -> Iterator[Cost]:
    """Yield the costs of chapters 02 to 04, and put noise in the shape of their features into `tables`."""
    files, grid = case_files(study, cohort, root), study.preprocessing
    cost, cases = _preprocessing(study, files, folder, jobs)
    yield cost
    if study.radiomics is not None:
        yield from _radiomics(study, study.radiomics, cases, _as_preprocessed(files), tables, root, jobs)
    if study.deep is not None:
        given = Given(
            cohort, files, {name: phase.window for name, phase in study.phases.items()},
            [name for name, phase in study.phases.items() if phase.role == "model"], grid.spacing_mm, folder,
            study.modelling.folds, study.seed, jobs, jobs if study.profile == "paper" else 1,
            grid.margin_mm,
        )  # fmt: skip
        slices = _slices(study.deep, given, cases) if isinstance(study.deep, Unet) else 0
        yield from (replace(one, step=f"04 {one.step}") for one in costs(study.deep, given, slices))
        tables["deep"] = _noise(study, cohort, _names(study.deep, given.phases))


def _preprocessing(study: Study, files: pd.DataFrame, folder: Path, jobs: int) -> tuple[Cost, pd.DataFrame]:
    """Return the cost of chapter 02, and the cases that it was timed on."""
    grid, usable = study.preprocessing, files[files["exclusion"] == ""]
    some = _some(usable[(usable["cohort"] != "segmentation") & (usable["mask"] != "")])
    options: dict[str, Any] = {
        "spacing_mm": grid.spacing_mm,
        "interpolation": grid.interpolation,
        "margin_mm": grid.margin_mm,
    }
    made: list[pd.DataFrame] = []
    seconds = fastest(lambda: made.append(preprocess(some, folder / str(len(made)), progress=False, **options)))
    return Cost("02 preprocessing", "case", seconds / len(some), len(usable), len(usable), jobs), made[0]


def _some(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that are timed."""
    return rows.iloc[np.unique(np.linspace(0, len(rows) - 1, TIMED).round().astype(int))]


def _of_model(
    study: Study, cohort: pd.DataFrame, tables: dict[str, pd.DataFrame], root: Path, folder: Path, jobs: int
) -> Iterator[Cost]:
    """Yield the costs of chapters 02 and 05 of a study that validates a locked model: a few patients are scored."""
    path = root / study.model
    model, n = read_model(path), len(cohort)
    people = cohort.set_index("subject")
    people = people.astype(dict.fromkeys(people.select_dtypes("category"), object))
    needed = sorted({column for one in model.signatures.values() for column in one.needed})
    if study.data.entry == "images" and model.sources:
        files = case_files(study, cohort, root)
        yield _preprocessing(study, files, folder, jobs)[0]
        usable = files[(files["exclusion"] == "") & (files["mask"] != "")]
        who = list(_some(usable.drop_duplicates("subject"))["subject"])
        own, where = files[files["subject"].isin(who)], path if path.is_dir() else path.parent
        runs = iter(range(10**6))

        def score() -> None:
            found, reasons = measure_patients(model, where, own, folder / f"scored{next(runs)}")
            table = found.join(people.drop(columns="center"))
            model.predict(table.reindex(columns=[*table, *(one for one in needed if one not in table)]), reasons)

        seconds, n = fastest(score) / len(who), usable["subject"].nunique()
        unit = "patient from scan to score"
    else:
        for part in tables.values():
            people = people.join(part.set_index("subject"))
        people = people.reindex(columns=[*people, *(one for one in needed if one not in people)])
        seconds, unit = fastest(lambda: model.predict(people)) / n, "patient scored"
    yield Cost("05 modelling", unit, seconds, n, n, jobs if "scan" in unit else 1)


def _as_preprocessed(files: pd.DataFrame) -> pd.DataFrame:
    """Return the files of all cases as chapter 02 names them."""
    roles = ("image", "mask", "mask_reader2", "roi_rough")
    return files.assign(**{f"source_{role}": files[role] for role in roles if role in files})


def _radiomics(
    study: Study, spec: Radiomics, cases: pd.DataFrame, files: pd.DataFrame, tables: dict[str, pd.DataFrame],
    root: Path, jobs: int,
) -> Iterator[Cost]:  # fmt: skip
    chosen = model_cases(study, cases)
    features, log = radiomics.extract(chosen, root / STUDIES / "radiomics" / spec.settings, progress=False)
    own, twice = model_cases(study, files), outlined_twice(study, files)
    first = sorted(twice["subject"].unique())[: spec.icc_subjects]
    signatures = compared_signatures(study.signatures, "radiomics", spec.compare_on)
    phases = {phase for name in signatures for phase in study.signature(name).phases or study.phases}
    people, n_phases = own.loc[own["cohort"] == "train", "subject"].nunique(), own["phase"].nunique()
    n = len(own) + int(twice["subject"].isin(first).sum()) + int(own["phase"].isin(phases).sum()) * len(spec.compare)
    n += min(spec.perturb, people) * n_phases * len(standard_perturbations())
    n += int(own["phase"].isin(phases).sum()) * len(spec.controls)  # at most: only original images are measured
    yield Cost("03 radiomics", "case", float(log.loc[log["status"] != "failed", "seconds"].mean()), n, n, jobs)
    tables["radiomics"] = _noise(study, files, [name for name in features.columns if name != "subject"])


def _slices(spec: Unet, given: Given, cases: pd.DataFrame) -> float:
    """Return the slices that a patient has on average, in the cases that were preprocessed."""
    phase, who = cases["phase"].iloc[0], cases["subject"].unique().tolist()
    stack, _ = case_slices(spec, replace(given, cases=cases.assign(phase=phase)), phase, who)
    return len(stack.table) / stack.table["subject"].nunique()


def _names(spec: Unet | Resnet | Cnn3d, phases: Sequence[str]) -> list[str]:
    """Return the columns that a network will give."""
    if isinstance(spec, Cnn3d):
        own = [f"risk_{sampling}" for sampling in spec.sampling]
    else:
        n = 16 * spec.base_channels if isinstance(spec, Unet) else 512 if spec.depth < 50 else 2048
        own = [f"deep_{i:04d}" for i in range(n)]
    return [f"{phase}__{name}" for phase in phases for name in own]


def _noise(study: Study, people: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return noise in the shape of a table of features."""
    subjects = pd.unique(people.loc[people["cohort"] != "segmentation", "subject"])
    drawn = np.random.default_rng(study.seed).standard_normal((len(subjects), len(names)))
    return pd.concat([pd.DataFrame({"subject": subjects}), pd.DataFrame(drawn, columns=list(names))], axis=1)


def _modelling(study: Study, cohort: pd.DataFrame, tables: dict[str, pd.DataFrame], jobs: int) -> Iterator[Cost]:
    """Yield the fits of chapter 05 by signature."""
    settings = study.modelling
    other = with_learners(study.signatures, settings.compare_sources, settings.compare_learners)
    outcome = ("label",) if study.endpoint.primary == "label" else ("time", "event")
    icc = {name: pd.Series(1.0, index=table.columns.drop("subject")) for name, table in tables.items()}
    options: dict[str, Any] = {
        "outcome": outcome,
        "grid": settings.grid,
        "icc": icc,
        "unseen_center": settings.unseen_center,
    }
    assembly = Assembly([*study.signatures, *other], tables, cohort, study.columns, **options)
    once: dict[str, float] = {}
    for one in [*study.signatures, *other]:
        if one.learner in GIVEN:
            continue
        once[one.name] = _fit(assembly, one, settings.inner_folds, study.seed, once)
        fits = _fits(study, one, once)
        yield Cost("05 modelling", f"fit of {one.name}", once[one.name], fits, fits, jobs)


def _resamples(study: Study, cohort: pd.DataFrame) -> Cost:
    """Return the cost of the resamples of chapter 06."""
    outcome = ("label",) if study.endpoint.primary == "label" else ("time", "event")
    judged = cohort[(cohort["cohort"] == "train") | bool(study.model)].dropna(subset=list(outcome))
    risk = judged.assign(risk=np.random.default_rng(0).standard_normal(len(judged)))
    seconds = fastest(lambda: discrimination(risk, outcome, 100)) / 100
    times = study.validation.bootstrap * len(study.signatures) * len(cohorts_in_order(cohort["cohort"]))
    return Cost("06 validation", f"resample of {'an AUC' if len(outcome) == 1 else 'a C-index'}", seconds, times, times)


def _fit(assembly: Assembly, one: Signature, inner: int, seed: int, known: dict[str, float]) -> float:
    """Return the seconds of a fit on all training patients; a combination also fits its parts in the inner folds."""
    parts = sum(known.get(part, 0.0) for part in one.combines)
    if one.combines:
        return (inner + 1) * parts
    try:
        table, outcome, _ = assembly.training(one.name)
        model = assembly.estimator(one.name, inner, seed)
        return fastest(lambda: model.fit(table, outcome))
    except RadsupportError:  # noise may leave a selection without any feature
        return float("nan")


def _fits(study: Study, one: Signature, known: dict[str, float]) -> int:
    """Return how often a signature is fitted, the few inner folds of the controls counted as that share of a fit."""
    settings, deep = study.modelling, study.deep
    per_fold = isinstance(deep, Cnn3d) or getattr(deep, "fine_tune", "") == "out_of_fold"
    fits = settings.folds * (1 if per_fold else settings.repeats) + 1
    curve = settings.learning_curve
    if curve is not None and one.name in curve.signatures:
        fits += settings.folds * curve.draws * sum(share < 1 for share in curve.shares)
    for source, spec in (("radiomics", study.radiomics), ("deep", deep)):
        if spec is not None and one.name in compared_signatures(study.signatures, source, spec.compare_on):
            fits += len(spec.compare) * (settings.folds + 1)
    if one.name in (settings.controls or [next(iter(known))]):
        runs = settings.permutations + settings.null_draws * study.is_synthetic
        fits += round(runs * (CONTROL["folds"] + 1) * CONTROL["inner_folds"] / settings.inner_folds)
    return fits
