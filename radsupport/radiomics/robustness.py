"""Chapter 03 beyond two readers: rough outlines compared, and small changes where nobody read twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from radsupport.errors import InputError
from radsupport.imaging.regions import with_regions
from radsupport.radiomics.extract import extract, extract_perturbed, model_cases, settings_path
from radsupport.radiomics.names import describe_features
from radsupport.radiomics.perturbation import standard_perturbations
from radsupport.settings.study import Study
from radsupport.stats.agreement import known_kind, stacked_icc
from radsupport.tables import Variant, compared_signatures, slug

UNCHANGED = "unchanged"
#: Form of the ICC over changes, each taken as a reader.
KIND = "ICC(2,1)"


def region_variants(
    study: Study, cases: pd.DataFrame, cache: Path, root: Path = Path(), n_jobs: int = 1
) -> tuple[list[Variant], pd.DataFrame]:
    """Extract the features again in each region that the study compares, in the phases of the signatures compared.

    Returns
    -------
    list of Variant
    DataFrame
        group, variant, cases, failed.
    """
    spec = study.radiomics
    if spec is None or not spec.compare:
        return [], pd.DataFrame(columns=["group", "variant", "cases", "failed"])
    signatures = compared_signatures(study.signatures, "radiomics", spec.compare_on)
    phases = {phase for name in signatures for phase in study.signature(name).phases or study.phases}
    chosen = model_cases(study, cases)
    chosen = chosen[chosen["phase"].isin(phases)].reset_index(drop=True)
    variants, counts = [], []
    for one in spec.compare:
        changed = spec.chosen(one)
        drawn = with_regions(changed, chosen, cache / "regions" / slug(one.name))
        settings = settings_path(study.model_copy(update={"radiomics": changed}), root)
        features, log = extract(drawn, settings, n_jobs=n_jobs, cache=cache, progress=False)
        variants.append(Variant(one.name, one.group, one.description, "radiomics", signatures, features))
        failed = int((log["status"] == "failed").sum())
        counts.append({"group": one.group, "variant": one.name, "cases": len(log), "failed": failed})
    return variants, pd.DataFrame(counts)


def perturbed(study: Study, cases: pd.DataFrame, cache: Path, root: Path = Path(), n_jobs: int = 1) -> pd.DataFrame:
    """Extract the features of some training patients, drawn at random, once per small change of scan or outline.

    Returns
    -------
    DataFrame
        subject, perturbation, features; no rows where the study asks for none.
    """
    most = study.radiomics.perturb if study.radiomics else 0
    usable = _usable(study, cases)
    if not most or not usable:
        return pd.DataFrame(columns=["subject", "perturbation"])
    # a stream of its own, so that the draw does not depend on what else the seed serves
    drawn = np.random.default_rng([study.seed, 3]).choice(usable, min(most, len(usable)), replace=False)
    changes = standard_perturbations(study.seed)
    chosen = model_cases(study, cases, ("train",))
    kept = chosen[chosen["subject"].isin(drawn)].reset_index(drop=True)
    features, _ = extract_perturbed(
        kept, settings_path(study, root), changes, n_jobs=n_jobs, cache=cache, progress=False
    )
    return features


def _usable(study: Study, cases: pd.DataFrame) -> list[str]:
    """Return the training patients with an outline, sorted."""
    chosen = model_cases(study, cases, ("train",))
    return sorted(chosen.loc[chosen["mask"].notna(), "subject"].unique())


def perturbed_agreement(features: pd.DataFrame, kind: str = KIND) -> pd.DataFrame:
    """Return each feature's ICC over all perturbations, each taken as a reader.

    Returns
    -------
    DataFrame
        feature, icc, ci_low, ci_high, n, feature_class, image_type.
    """
    names = [name for name in features.columns if name not in ("subject", "perturbation")]
    readers = features["perturbation"].unique()
    ratings = np.stack([_readings(features, reader, names) for reader in readers], axis=1)
    table = stacked_icc(ratings, known_kind(kind), 0.95)
    parts = describe_features(names)
    table.insert(0, "feature", names)
    return table.assign(feature_class=parts["class"].to_numpy(), image_type=parts["filter"].to_numpy())


def by_perturbation(features: pd.DataFrame, threshold: float, kind: str = KIND) -> pd.DataFrame:
    """Return how many features survive each single change, compared with the unchanged case.

    Returns
    -------
    DataFrame
        perturbation, patients (measured in both), features, reproducible (ICC of `threshold` or more; a feature
        without an ICC is not), share, median_icc.

    Raises
    ------
    InputError
        There are no features of the unchanged cases.
    """
    if not (features["perturbation"] == UNCHANGED).any():
        raise InputError("There are no features of the unchanged cases, with which changed ones are compared.")
    names = [name for name in features.columns if name not in ("subject", "perturbation")]
    base, rows = _readings(features, UNCHANGED, names), []
    for change in [name for name in features["perturbation"].unique() if name != UNCHANGED]:
        ratings = np.stack([base, _readings(features, change, names)], axis=1)
        icc = stacked_icc(ratings, known_kind(kind), 0.95)["icc"]
        kept, patients = int((icc >= threshold).sum()), int(np.isfinite(ratings).all(axis=1).any(axis=1).sum())
        row = {"perturbation": change, "patients": patients, "features": len(names), "reproducible": kept}
        rows.append(row | {"share": kept / len(names), "median_icc": float(icc.median())})
    return pd.DataFrame(rows)


def _readings(features: pd.DataFrame, reader: str, names: list[str]) -> np.ndarray:
    """Return one perturbation's values, shape (subjects, features), subjects sorted."""
    own = features[features["perturbation"] == reader].sort_values("subject")
    return own[names].to_numpy(dtype=float)
