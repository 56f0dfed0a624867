"""Tables of which every number is known, for what a page shows in answer to its reader."""

from __future__ import annotations

import numpy as np
import pandas as pd

from radsupport.stats.roc import roc_curve


def curves(points: int = 40) -> pd.DataFrame:
    """ROC curves of two signatures in two cohorts."""
    rng, found = np.random.default_rng(3), []
    for cohort in ("train", "external"):
        for signature in ("A", "<B>"):
            label = np.arange(points) % 2
            curve = roc_curve(label, label + rng.normal(size=points))
            known = {"auc": 0.7, "auc_low": 0.6, "auc_high": 0.8, "n": points}
            found.append(curve.assign(cohort=cohort, signature=signature, **known))
    return pd.concat(found, ignore_index=True)


def months() -> pd.DataFrame:
    """Survival of two groups by month; the external cohort is followed for two months only."""
    rows = [
        (cohort, group, month, 1 - 0.1 * month * (1 + (group == "high risk")), 20 - month)
        for cohort, last in (("train", 4), ("external", 2))
        for group in ("low risk", "high risk")
        for month in range(last + 1)
    ]
    table = pd.DataFrame(rows, columns=["cohort", "group", "time", "survival", "n_risk"])
    return table.assign(survival_low=table["survival"] - 0.1, survival_high=1.0)
