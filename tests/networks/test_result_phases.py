"""Two phases compared: r and P are scipy's, the matrix holds what it says, and only training patients count."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from radsupport.errors import NotEstimableError
from radsupport.networks import result as collinearity

N = 40


STUDY = ["arterial", "venous"]


def tables(seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three channels a phase: 0 follows the outcome in both phases, 1 in the arterial one only, 2 in the venous one."""
    rng = np.random.default_rng(seed)
    label = np.r_[np.ones(12), np.zeros(N - 12)]
    features = {"subject": [f"s{i:02d}" for i in range(N)]}
    for phase, follow in (("arterial", (3, 3, 0)), ("venous", (3, 0, 3))):
        noise = rng.normal(size=(N, 3))
        features |= {f"{phase}__deep_{k:04d}": noise[:, k] + follow[k] * label for k in range(3)}
    cohort = pd.DataFrame({"subject": features["subject"], "cohort": "train", "label": label})
    return pd.DataFrame(features), cohort


def test_r_and_p_are_those_of_scipy_for_every_pair() -> None:
    features, cohort = tables()
    found = collinearity.between_phases(features, cohort, STUDY)
    names = [[f"{phase}__deep_{k:04d}" for k in range(3)] for phase in ("arterial", "venous")]
    expected = [stats.pearsonr(features[a], features[b]) for a in names[0] for b in names[1]]
    np.testing.assert_allclose(found.pairs["r"], [e.statistic for e in expected], rtol=1e-12)
    np.testing.assert_allclose(found.pairs["p"], [e.pvalue for e in expected], rtol=1e-9)
    assert (found.n, found.phases) == (N, ("arterial", "venous"))


@pytest.mark.parametrize("n", [3, 4, 30])
def test_p_of_any_r_and_a_perfect_r(n: int) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(2, n, 2))
    expected = [[stats.pearsonr(x[:, i], y[:, j]).pvalue for j in range(2)] for i in range(2)]
    np.testing.assert_allclose(collinearity.p_of_correlation(collinearity.correlation(x, y), n), expected, rtol=1e-8)
    assert collinearity.p_of_correlation(np.array([1.0, -1.0]), n) == pytest.approx([0, 0])
    exact = collinearity.correlation(x, 1e6 - 5 * x)
    assert np.abs(exact).max() <= 1
    np.testing.assert_allclose(np.diag(exact), [-1, -1], rtol=1e-9)


def test_matrix_holds_what_differs_between_the_outcomes_the_shared_channels_first() -> None:
    features, cohort = tables()
    found = collinearity.between_phases(features, cohort, STUDY)
    event = cohort["label"] == 1
    for phase, kept in (("arterial", list(found.matrix.index)), ("venous", list(found.matrix.columns))):
        columns = features.filter(like=f"{phase}__").rename(columns=lambda name: name.split("__")[1])
        p = {name: stats.mannwhitneyu(columns.loc[event, name], columns.loc[~event, name]).pvalue for name in columns}
        assert set(kept) == {name for name, value in p.items() if value < 0.05}
    assert list(found.matrix.index) == ["deep_0000", "deep_0001"]
    assert list(found.matrix.columns) == ["deep_0000", "deep_0002"]
    assert found.overlap == 1
    r = stats.pearsonr(features["arterial__deep_0001"], features["venous__deep_0002"]).statistic
    assert found.matrix.loc["deep_0001", "deep_0002"] == pytest.approx(abs(r))
    assert "P < 0.05" in found.criterion


def test_only_complete_training_patients_count() -> None:
    features, cohort = tables()
    expected = collinearity.between_phases(features, cohort, STUDY)
    extra = features.assign(subject=features["subject"].str.replace("s", "x")).sample(frac=1, random_state=0)
    elsewhere = pd.DataFrame({"subject": extra["subject"], "cohort": "external", "label": 1.0})
    found = collinearity.between_phases(
        pd.concat([extra, features]).iloc[::-1], pd.concat([cohort, elsewhere], ignore_index=True), STUDY
    )
    pd.testing.assert_frame_equal(found.pairs, expected.pairs)
    failed = features.copy()
    failed.loc[[0, 20], "venous__deep_0001"] = np.nan
    assert collinearity.between_phases(failed, cohort, STUDY).n == N - 2


def test_the_block_lists_the_matrix_row_by_row() -> None:
    found = collinearity.between_phases(*tables(), STUDY)
    wide = found.block.pivot_table(index="feature_a", columns="feature_b", values="r", sort=False)
    np.testing.assert_array_equal(wide.to_numpy(), found.matrix.to_numpy())
    assert wide.index.tolist() == found.matrix.index.tolist()


def test_a_third_phase_takes_nobody_away() -> None:
    features, cohort = tables()
    third = features.assign(late__deep_0000=np.nan)
    found = collinearity.between_phases(third, cohort, [*STUDY, "late"])
    pd.testing.assert_frame_equal(found.pairs, collinearity.between_phases(features, cohort, STUDY).pairs)


def test_patients_of_unknown_outcome_are_correlated_but_not_tested() -> None:
    features, cohort = tables()
    events = cohort["label"] == 1
    unknown = cohort.assign(label=cohort["label"].where(~(events & (np.arange(N) < 6)), np.nan))
    found = collinearity.between_phases(features, unknown, STUDY)
    assert found.n == N
    rest = ~unknown["label"].isna()
    p = {
        name: stats.mannwhitneyu(
            features.loc[rest & events, f"arterial__{name}"], features.loc[rest & ~events, f"arterial__{name}"]
        ).pvalue
        for name in ("deep_0000", "deep_0001", "deep_0002")
    }
    assert set(found.matrix.index) == {name for name, value in p.items() if value < 0.05}
    nobody = cohort.assign(label=np.nan)
    assert collinearity.between_phases(features, nobody, STUDY).criterion == "that vary"


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_all_varying_features_are_shown_where_none_can_differ(outcome: float) -> None:
    features, cohort = tables()
    constant = features.assign(arterial__deep_0002=7.25)
    found = collinearity.between_phases(constant, cohort.assign(label=outcome), STUDY)
    assert found.criterion == "that vary"
    assert found.matrix.shape == (2, 3)
    assert found.overlap == 2
    assert len(found.pairs) == 6
    assert found.pairs.notna().all(axis=None)


def test_survival_studies_use_the_event() -> None:
    features, cohort = tables()
    survival = cohort.rename(columns={"label": "event"})
    expected = collinearity.between_phases(features, cohort, STUDY).matrix
    pd.testing.assert_frame_equal(collinearity.between_phases(features, survival, STUDY).matrix, expected)


def test_too_little_to_correlate_is_said() -> None:
    features, cohort = tables()
    with pytest.raises(NotEstimableError, match="2 patients"):
        collinearity.between_phases(features, cohort.iloc[:2], STUDY)
    flat = features.assign(**cast(Any, {f"venous__deep_{k:04d}": 1.0 for k in range(3)}))
    with pytest.raises(NotEstimableError):
        collinearity.between_phases(flat, cohort, STUDY)
    for table, phases in ((features, STUDY[:1]), (features.rename(columns=lambda c: c.replace("deep", "risk")), STUDY)):
        nothing = collinearity.between_phases(table, cohort, phases)
        assert nothing.pairs.empty
        assert "nothing to correlate" in nothing.block.attrs["empty"]


def test_a_survival_outcome_is_said_to_ignore_how_long_patients_were_followed() -> None:
    features, cohort = tables()
    by_label = collinearity.between_phases(features, cohort, STUDY)
    assert by_label.criterion == "that differ between the outcomes (Mann-Whitney, P < 0.05)"
    followed = collinearity.between_phases(features, cohort.rename(columns={"label": "event"}), STUDY)
    words = (
        "that differ between patients whose event was seen and others (Mann-Whitney, P < 0.05, however long they were"
    )
    assert followed.criterion == f"{words} followed)"
    pd.testing.assert_frame_equal(followed.matrix, by_label.matrix)
