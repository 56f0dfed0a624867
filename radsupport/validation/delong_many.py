"""DeLong's tests among several signatures: all pairs, and all AUCs equal."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray, as_binary, as_finite
from radsupport.errors import InputError
from radsupport.validation.delong import Placements, auc_of, paired_test, placements

_PAIR_COLUMNS = ["signature_a", "signature_b", "auc_a", "auc_b", "difference", "ci_low", "ci_high", "z", "p"]


@dataclass(frozen=True, eq=False)
class DeLongMatrix:
    """All pairs of signatures compared on the same subjects.

    Attributes
    ----------
    auc : DataFrame
        One row per signature: `signature, auc, ci_low, ci_high, se, p_vs_half`.
    pairs : DataFrame
        One row per unordered pair: `signature_a, signature_b, auc_a, auc_b, difference, ci_low, ci_high, z, p`.
    p, difference, covariance : DataFrame
        Square, signatures in rows and columns; `difference` is row minus column, the diagonal of `p` is 1.
    chi2, df, p_overall : float, int, float
        Test that all AUCs are equal (DeLong 1988, eq. 5); `df` is the rank of the contrasts' covariance
        and `p_overall` is NaN where that is 0 (signatures that rank alike).
    """

    auc: pd.DataFrame
    pairs: pd.DataFrame
    p: pd.DataFrame
    difference: pd.DataFrame
    covariance: pd.DataFrame
    chi2: float
    df: int
    p_overall: float


def delong_matrix(y: Any, risks: Mapping[str, Any], level: float = 0.95) -> DeLongMatrix:
    """Compare every pair of signatures on the same subjects.

    Parameters
    ----------
    y : array-like of 0/1, shape (n,)
    risks : mapping of signature name to array-like, shape (n,)
        A dict, or a DataFrame with one column per signature.
    level : float
        Confidence level of the AUCs.

    Returns
    -------
    DeLongMatrix
        `auc` and `pairs` (tables), `p`, `difference`, `covariance` (square tables), `chi2, df, p_overall`.
        The p-values are not adjusted; pass them to `cohort.tables.adjust_p` if wanted.
    """
    labels = as_binary(y)
    if len(risks) == 0:
        raise InputError("`risks` names no signature; give at least one as {'name': risk}.")
    names = [str(name) for name in risks]
    parts = [placements(labels, as_finite(risk, f"risks[{name!r}]", labels.size)) for name, risk in risks.items()]
    table = pd.DataFrame([vars(auc_of(part, level)) for part in parts]).drop(columns=["n", "events"])
    table.insert(0, "signature", names)
    tests = [[paired_test(a, b, level) for b in parts] for a in parts]
    p = pd.DataFrame([[test.p for test in row] for row in tests], index=names, columns=names)
    difference = pd.DataFrame([[test.difference for test in row] for row in tests], index=names, columns=names)
    rows = [
        {"signature_a": names[i], "signature_b": names[j]} | vars(tests[i][j])
        for i, j in itertools.combinations(range(len(names)), 2)
    ]
    pairs = pd.DataFrame(rows, columns=_PAIR_COLUMNS)
    covariance = _covariance(parts)
    chi2, df = _equality(table["auc"].to_numpy(), covariance)
    overall = float(stats.chi2.sf(chi2, df)) if df else float("nan")
    frame = pd.DataFrame(covariance, index=names, columns=names)
    return DeLongMatrix(table, pairs, p, difference, frame, chi2, df, overall)


def _covariance(parts: list[Placements]) -> FloatArray:
    """DeLong's covariance matrix of the AUCs; NaN where a class has a single member."""
    total = np.zeros((len(parts), len(parts)))
    for values in (np.array([x.of_events for x in parts]), np.array([x.of_nonevents for x in parts])):
        n = values.shape[1]
        total += np.atleast_2d(np.cov(values)) / n if n > 1 else np.nan
    return total


def _equality(areas: FloatArray, covariance: FloatArray) -> tuple[float, int]:
    """Chi-square and degrees of freedom of the test that all areas are equal; (NaN, 0) without a variance."""
    if np.isnan(covariance).any():
        return float("nan"), 0
    contrast = np.hstack([np.ones((areas.size - 1, 1)), -np.eye(areas.size - 1)])
    spread, shift = contrast @ covariance @ contrast.T, contrast @ areas
    # A contrast of two signatures that rank alike has no variance: the generalised inverse leaves it out.
    scale = float(np.trace(covariance))
    df = int(np.linalg.matrix_rank(spread, tol=1e-12 * scale, hermitian=True)) if scale > 0 else 0
    inverse = np.linalg.pinv(spread, rcond=1e-10, hermitian=True)
    return float(shift @ inverse @ shift), df
