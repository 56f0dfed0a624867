"""The same networks on a second reader's outlines of the test cohort (Cui 2022, Supplementary Figure S1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from radsupport.features.agreement import bland_altman, icc
from radsupport.features.cnn3d_crossval import ensemble_predictions
from radsupport.features.deep_cnn3d import Scheme, case_patches
from radsupport.features.deep_inputs import twice_read
from radsupport.study_schema import Study
from radsupport.validation.delong import auc, delong_test

READERS = ("reader 1", "reader 2")


def rescored(study: Study, cohort: pd.DataFrame, cases: pd.DataFrame, schemes: Sequence[Scheme]) -> pd.DataFrame:
    """Score the patients outside training by the outlines of both readers, with the mean of the folds' networks.

    Returns
    -------
    DataFrame
        subject, scheme, reader 1, reader 2 (risks), label; no rows where nobody outlined these patients again.
    """
    tables = []
    for scheme in schemes:
        twice = [s for name in ("internal", "external") for s in twice_read(cases, [scheme.phase], len(cases), name)]
        again, _ = case_patches(study, cases, scheme.phase, scheme.sampling, twice, "mask_reader2")
        both = [subject for subject in twice if subject in again and subject in scheme.patches]
        if len(both) < 2:
            continue
        by_reader = (scheme.images(both), np.stack([again[subject].image for subject in both])[:, None])
        risks = [ensemble_predictions(scheme.trained.models, images, both)["risk"].to_numpy() for images in by_reader]
        row = dict(zip(READERS, risks, strict=True))
        labels = cohort.set_index("subject").loc[both, "label"].to_numpy()
        tables.append(pd.DataFrame({"subject": both, "scheme": scheme.name, **row, "label": labels}))
    columns = ["subject", "scheme", *READERS, "label"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def score_agreement(scores: pd.DataFrame, kind: str = "ICC(2,1)") -> pd.DataFrame:
    """Say how far the risks by both readers agree, per scheme.

    Returns
    -------
    DataFrame
        scheme, n, icc, icc_low, icc_high, bias (reader 1 minus reader 2), bias_low, bias_high, limit_low, limit_high
        (95% limits of agreement).
    """
    rows = []
    for name, part in scores.groupby("scheme", sort=False):
        found = icc(part[list(READERS)].to_numpy()).set_index("kind").loc[kind]
        limits = bland_altman(part["reader 1"].to_numpy(), part["reader 2"].to_numpy()).iloc[0]
        row = {"scheme": name, "n": len(part), "icc": found["icc"]}
        row |= {"icc_low": found["ci_low"], "icc_high": found["ci_high"]}
        rows.append(row | {key: limits[key] for key in ("bias", "bias_low", "bias_high", "limit_low", "limit_high")})
    return pd.DataFrame(rows)


def discrimination_by_reader(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the AUC by each reader's outlines, and DeLong's paired test of the two.

    Returns
    -------
    DataFrame
        scheme, n, events, auc_1, auc_1_low, auc_1_high, auc_2, auc_2_low, auc_2_high, difference, p; schemes whose
        patients are all of one outcome are left out.
    """
    rows = []
    for name, part in scores.dropna(subset=["label"]).groupby("scheme", sort=False):
        y = part["label"].astype(int).to_numpy()
        if len(np.unique(y)) < 2:
            continue
        row: dict[str, object] = {"scheme": name, "n": len(y), "events": int(y.sum())}
        for i, reader in enumerate(READERS, start=1):
            area = auc(y, part[reader].to_numpy())
            row |= {f"auc_{i}": area.auc, f"auc_{i}_low": area.ci_low, f"auc_{i}_high": area.ci_high}
        test = delong_test(y, part["reader 1"].to_numpy(), part["reader 2"].to_numpy())
        rows.append(row | {"difference": test.difference, "p": test.p})
    return pd.DataFrame(rows)


def difference_table(scores: pd.DataFrame, scheme: str) -> pd.DataFrame:
    """Return mean and difference of the two risks of each patient, for `figures.bland_altman`."""
    part = scores[scores["scheme"] == scheme]
    first, second = part["reader 1"], part["reader 2"]
    return pd.DataFrame({"mean": (first + second) / 2, "difference": first - second})


AGREEMENT_HEADERS = {
    "n": "Patients", "icc": "ICC(2,1)", "icc_low": "ICC, 95% CI lower", "icc_high": "ICC, 95% CI upper",
    "bias": "Reader 1 minus 2 (bias)", "bias_low": "Bias, 95% CI lower", "bias_high": "Bias, 95% CI upper",
    "limit_low": "Lower limit of agreement", "limit_high": "Upper limit of agreement",
}  # fmt: skip
AUC_HEADERS = {
    "n": "Patients", "auc_1": "AUC, reader 1", "auc_1_low": "95% CI, lower", "auc_1_high": "95% CI, upper",
    "auc_2": "AUC, reader 2", "auc_2_low": "95% CI, lower", "auc_2_high": "95% CI, upper",
    "difference": "AUC 1 minus AUC 2",
}  # fmt: skip
