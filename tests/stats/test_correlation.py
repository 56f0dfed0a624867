"""Correlations and paired rank tests against R."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats import correlation
from radsupport.stats.groups import signed_rank

GOLDEN = Path(__file__).parents[1] / "golden" / "statistics"


def stems(topic):
    return sorted(f.stem for f in GOLDEN.glob(f"{topic}__*.json"))


@pytest.mark.parametrize("stem", stems("correlation"))
def test_correlation_equals_r(stem, r_values, r_table):
    reference = r_values(stem)
    params, expected = reference["params"], reference["values"]
    table = r_table(reference["dataset"][0])[[params["x"], params["y"]]]
    keys = {"pearson": ("r", "p"), "spearman": ("rho", "p_t_approximation")}
    for method, (r, p) in keys.items():
        theirs = expected[method]
        found = correlation.correlate(table[params["x"]], table[params["y"]], method)
        assert found.n == expected["n"]
        assert found.r == pytest.approx(theirs[r], rel=1e-9)
        assert found.p == pytest.approx(theirs[p], rel=1e-8)
        row = correlation.correlation_table(table, method).iloc[0]
        assert [row["r"], row["p"], row["n"]] == pytest.approx([theirs[r], theirs[p], expected["n"]], rel=1e-8)


@pytest.mark.parametrize("stem", stems("paired"))
def test_paired_ranks_equal_r(stem, r_values, r_table):
    reference = r_values(stem)
    table, expected = r_table(reference["dataset"][0]), reference["values"]["wilcoxon_signed_rank"]
    a, b = (table[reference["params"][k]] for k in ("a", "b"))
    exact = expected["p_exact_or_null"]
    wanted = expected["p_normal_with_continuity"] if exact is None else exact
    assert signed_rank((a - b).dropna().to_numpy()).p == pytest.approx(wanted, rel=1e-8)


def test_degenerate_correlations():
    with pytest.raises(NotEstimableError, match="correlation"):
        correlation.correlate([1, 1, 1], [1, 2, 3])
    with pytest.raises(NotEstimableError, match="correlation"):
        correlation.correlate([1, 2, np.nan], [1, 2, 3])
    with pytest.raises(InputError, match="method"):
        correlation.correlate([1, 2, 3], [1, 2, 3], "phi")
    with pytest.raises(InputError, match="shapes"):
        correlation.correlate([1, 2, 3], [1, 2])
    perfect = correlation.correlate([1, 2, 3, 4], [2, 4, 6, 8])
    assert (perfect.r, perfect.p) == (pytest.approx(1), pytest.approx(0, abs=1e-12))


@pytest.mark.parametrize("method", correlation.METHODS)
def test_every_pair_equals_one_by_one(method):
    rng = np.random.default_rng(2)
    X = pd.DataFrame(rng.normal(size=(75, 6)) + rng.normal(size=(75, 1)), columns=[f"f{i}" for i in range(6)])
    X.iloc[:5, 2], X["f1"], X["f5"] = np.nan, X["f1"].round(1), 3.0
    found = correlation.correlation_table(X.rename(columns={"f5": "constant"}), method)
    assert len(found) == 15
    for row in found.itertuples():
        if "constant" in (row.feature_a, row.feature_b):
            assert np.isnan([row.r, row.p]).all()
            continue
        single = correlation.correlate(X[row.feature_a], X[row.feature_b], method)
        assert [row.r, row.p, row.n] == pytest.approx([single.r, single.p, single.n], rel=1e-8)
    with pytest.raises(InputError, match="at least two"):
        correlation.correlation_table(X[["f0"]], method)
    with pytest.raises(InputError, match="method"):
        correlation.correlation_table(X, "phi")
