"""ComBat: the published equations written out, closed forms, and what it must refuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.errors import InputError, NotEstimableError
from radsupport.learning.preparation import ComBat, posterior_effects

FEATURES = [f"f{i}" for i in range(30)]


def _centers(seed=0, sizes=(25, 18, 12)):
    """Three centers with their own shift and scale per feature; returns the table and the clean features."""
    rng = np.random.default_rng(seed)
    center = np.repeat(list("abc")[: len(sizes)], sizes)
    clean = rng.normal(10, 3, (len(center), len(FEATURES)))
    shift = {c: rng.normal(m, 0.5, len(FEATURES)) for c, m in zip("abc", (0, 4, -2), strict=True)}
    scale = {c: rng.uniform(0.8, 1.2, len(FEATURES)) * s for c, s in zip("abc", (1, 2, 0.6), strict=True)}
    seen = np.array([10 + (row - 10) * scale[c] + shift[c] for row, c in zip(clean, center, strict=True)])
    return pd.DataFrame(seen, columns=FEATURES).assign(center=center), clean


def _published(table, conv=1e-4):
    """Johnson 2007 feature by feature, with sva's stopping rule."""
    Y, center = table[FEATURES].to_numpy(), table["center"].to_numpy()
    names, n = np.unique(center), len(table)
    means = {c: Y[center == c].mean(0) for c in names}
    alpha = sum(means[c] * (center == c).sum() / n for c in names)
    sigma = np.sqrt(sum(((Y[center == c] - means[c]) ** 2).sum(0) for c in names) / n)
    result = np.empty_like(Y)
    for c in names:
        Z = (Y[center == c] - alpha) / sigma
        g_hat, d_hat, n_c = Z.mean(0), Z.var(0, ddof=1), len(Z)
        g_bar, t2, m, s2 = g_hat.mean(), g_hat.var(ddof=1), d_hat.mean(), d_hat.var(ddof=1)
        a, b = (2 * s2 + m**2) / s2, (m * s2 + m**3) / s2
        for j in range(Y.shape[1]):
            g, d, change = g_hat[j], d_hat[j], 1.0
            while change > conv:
                g_new = (n_c * t2 * g_hat[j] + d * g_bar) / (n_c * t2 + d)
                d_new = (0.5 * ((Z[:, j] - g_new) ** 2).sum() + b) / (n_c / 2 + a - 1)
                change = max(abs(g_new - g) / abs(g), abs(d_new - d) / d)
                g, d = g_new, d_new
            result[center == c, j] = alpha[j] + sigma[j] * (Z[:, j] - g) / np.sqrt(d)
    return result


def test_equals_the_published_algorithm():
    table, _ = _centers()
    got = ComBat().fit_transform(table)
    assert list(got.columns) == FEATURES
    assert got.to_numpy() == pytest.approx(_published(table, conv=1e-13), rel=1e-8)
    assert got.to_numpy() == pytest.approx(_published(table), rel=1e-3)


def test_posterior_is_the_fixed_point_of_both_conditional_means():
    z = np.random.default_rng(1).normal(0.4, 1.5, (14, 40))
    g, d = posterior_effects(z)
    g_hat, d_hat, n = z.mean(0), z.var(0, ddof=1), len(z)
    t2, m, s2 = g_hat.var(ddof=1), d_hat.mean(), d_hat.var(ddof=1)
    a, b = (2 * s2 + m**2) / s2, (m * s2 + m**3) / s2
    assert g == pytest.approx((n * t2 * g_hat + d * g_hat.mean()) / (n * t2 + d), abs=1e-8)
    assert d == pytest.approx((0.5 * ((z - g) ** 2).sum(0) + b) / (n / 2 + a - 1), abs=1e-8)
    # Shrinkage: both estimates lie nearer to the center's average than the feature's own.
    assert g.var() < g_hat.var()
    assert d.var() < d_hat.var()


def test_without_shrinkage_every_center_gets_the_pooled_mean_and_variance():
    table, _ = _centers()
    got = ComBat(empirical_bayes=False).fit_transform(table)
    pooled = table.groupby("center")[FEATURES].transform("mean")
    sd = np.sqrt(((table[FEATURES] - pooled) ** 2).mean())
    for _, rows in got.groupby(table["center"]):
        assert rows.mean().to_numpy() == pytest.approx(table[FEATURES].mean().to_numpy(), rel=1e-9)
        assert rows.std(ddof=1).to_numpy() == pytest.approx(sd.to_numpy(), rel=1e-9)


def test_planted_scanner_effect_is_removed():
    table, clean = _centers()
    got = ComBat().fit_transform(table)

    def share(values):
        frame = pd.DataFrame(values, columns=FEATURES)
        between = frame.groupby(table["center"]).transform("mean").var()
        return (between / frame.var()).mean()

    assert share(table[FEATURES].to_numpy()) > 0.2
    assert share(got.to_numpy()) < 0.02
    error = [np.abs(x - clean).mean() for x in (table[FEATURES].to_numpy(), got.to_numpy())]
    assert error[1] < 0.5 * error[0]


def test_covariate_effect_is_kept_although_centers_differ_in_it():
    rng = np.random.default_rng(3)
    table, _ = _centers()
    age = rng.normal(0, 1, len(table)) + (table["center"] == "b") * 1.5
    table[FEATURES] += 3 * age.to_numpy()[:, None]
    with_age = ComBat(covariates=["age"]).fit_transform(table.assign(age=age))
    assert with_age["age"].tolist() == age.tolist()
    slope = np.polyfit(age, with_age[FEATURES].mean(axis=1), 1)[0]
    blind = np.polyfit(age, ComBat().fit_transform(table).mean(axis=1), 1)[0]
    assert slope == pytest.approx(3, abs=0.4)
    assert abs(slope - 3) < abs(blind - 3)


def test_test_subjects_do_not_change_the_fit():
    table, _ = _centers()
    train, test = table.iloc[::2], table.iloc[1::2]
    fitted = ComBat().fit(train)
    alone = fitted.transform(test.iloc[:1])
    assert alone.to_numpy() == pytest.approx(fitted.transform(test).iloc[:1].to_numpy(), rel=1e-12)
    assert not np.allclose(alone, ComBat().fit(table).transform(test.iloc[:1]))


def test_labels_do_not_change_the_fit():
    table, _ = _centers()
    y = np.random.default_rng(0).integers(0, 2, len(table))
    pd.testing.assert_frame_equal(ComBat().fit(table, y).transform(table), ComBat().fit(table).transform(table))


def test_unseen_center_follows_the_stated_rule():
    table, _ = _centers()
    seen, new = table[table["center"] != "c"], table[table["center"] == "c"]
    with pytest.raises(InputError, match=r"(?s)not fitted on.*value c.*unseen center"):
        ComBat().fit(seen).transform(new)
    same = new[FEATURES].to_numpy()
    assert ComBat(unseen="pooled").fit(seen).transform(new).to_numpy() == pytest.approx(same)
    by_reference = ComBat(reference="a", unseen="reference").fit(seen)
    assert by_reference.transform(new).to_numpy() == pytest.approx(same)


def test_reference_center_stays_as_it_is():
    table, _ = _centers()
    got = ComBat(reference="b").fit_transform(table)
    rows = (table["center"] == "b").to_numpy()
    assert got[rows].to_numpy() == pytest.approx(table.loc[rows, FEATURES].to_numpy())
    exact = ComBat(reference="b", empirical_bayes=False).fit_transform(table)
    for name in "ac":
        others, target = exact[table["center"] == name], table.loc[rows, FEATURES]
        assert others.mean().to_numpy() == pytest.approx(target.mean().to_numpy(), rel=1e-9)
        assert others.std(ddof=1).to_numpy() == pytest.approx(target.std(ddof=0).to_numpy(), rel=1e-9)


def test_constant_features_pass_unchanged():
    table, _ = _centers()
    table = table.assign(f3=0.1, f4=np.where(table["center"] == "a", 1.0, 2.0))
    got = ComBat().fit_transform(table)
    assert got["f3"].tolist() == table["f3"].tolist()
    assert got["f4"].tolist() == table["f4"].tolist()
    assert np.isfinite(got.to_numpy()).all()
    assert np.isfinite(ComBat().fit_transform(table[["f0", "center"]]).to_numpy()).all()


def test_bad_input_is_refused():
    table, _ = _centers()
    y = (table["f0"] > 10).astype(int)
    with pytest.raises(InputError, match="outcome is a covariate"):
        ComBat(covariates=["label"]).fit(table.assign(label=y))
    with pytest.raises(InputError, match="outcome is a covariate"):
        ComBat(covariates=["grade"]).fit(table.assign(grade=1 - y), y)
    with pytest.raises(InputError, match="impute before: f2"):
        ComBat().fit(table.assign(f2=np.nan))
    with pytest.raises(NotEstimableError, match="two or more centers"):
        ComBat().fit(table.iloc[:20])
    with pytest.raises(NotEstimableError, match="one only in b"):
        ComBat().fit(table.iloc[:26])
    with pytest.raises(InputError, match="told from the centers"):
        ComBat(covariates=["site"]).fit(table.assign(site=(table["center"] == "a").astype(float)))
    with pytest.raises(InputError, match=r"(?s)1\. .*2\. "):
        ComBat(reference="z", unseen="nearest").fit(table)
    with pytest.raises(InputError, match="misses 1 column: center"):
        ComBat().fit(table[FEATURES])
