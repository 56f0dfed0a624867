"""What so many patients can show, flat risks, and numbers by key."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from radsupport.evaluate import judged
from radsupport.evaluate.discrimination import null_se_p
from radsupport.evaluate.summary import flat_signatures, least_detectable, validated


@pytest.mark.parametrize(("n", "events"), [(18, 9), (56, 10), (315, 227)])
def test_the_least_detectable_auc_has_a_null_p_of_five_percent(n, events):
    assert null_se_p(least_detectable(n, events), events, n - events) == pytest.approx(0.05)


def test_the_least_detectable_auc_exists_only_with_both_outcomes():
    assert np.isnan(least_detectable(10, 0))
    assert np.isnan(least_detectable(10, 10))
    assert least_detectable(3, 1) == 1.0
    assert stats.norm.ppf(0.975) == pytest.approx(1.959963984540054)


def test_chance_is_decided_by_the_standard_error_under_chance():
    """Nine of 18 patients: DeLong's P of this AUC was 0.023, that of its standard error under chance is 0.058."""
    assert null_se_p(0.765, 9, 9) == pytest.approx(0.058, abs=0.001)
    assert null_se_p(least_detectable(18, 9) + 0.001, 9, 9) < 0.05


def test_risks_that_hardly_vary_are_found_where_they_have_a_scale(labelled, followed):
    _, _, predictions = labelled
    narrow = predictions["risk"].mask(predictions["signature"] == "B", 0.4 + 0.001 * predictions["risk"])
    rows = judged(predictions.assign(risk=narrow))
    assert list(flat_signatures(rows)) == ["B"]
    assert flat_signatures(rows)["B"] == pytest.approx(
        rows[(rows["signature"] == "B") & (rows["cohort"] == "train")]["risk"].std()
    )
    assert flat_signatures(judged(predictions)) == {}
    assert flat_signatures(judged(followed[2], ("time", "event"))) == {}


def test_a_locked_model_is_judged_by_patients_it_never_saw() -> None:
    rng = np.random.default_rng(5)
    label, risk = rng.integers(0, 2, 60), rng.random(60).round(2)
    risk = np.clip(risk + 0.2 * label, 0.01, 0.99)
    subjects = [f"p{i}" for i in range(60)]
    rows = pd.DataFrame({"subject": subjects, "signature": "A", "risk": risk, "threshold": 0.5, "probability": risk})
    lost = pd.DataFrame({"subject": ["q"], "signature": "A", "risk": np.nan, "threshold": 0.5, "probability": np.nan})
    patients = pd.DataFrame({"label": [*label.astype(float), 1.0]}, index=[*subjects, "q"])
    found = validated(pd.concat([rows, lost], ignore_index=True), patients, ("label",)).iloc[0]
    pairs = [(a > b) + 0.5 * (a == b) for a in risk[label == 1] for b in risk[label == 0]]
    assert found["n"] == 60
    assert found["value"] == pytest.approx(np.mean(pairs), abs=1e-12)
    assert found["sensitivity"] == pytest.approx((risk[label == 1] > 0.5).mean(), abs=1e-12)
    assert found["predicted"] == pytest.approx(risk.mean(), abs=1e-12)
    assert validated(rows, patients.rename(columns={"label": "other"}), ("label",)).empty
    time = pd.DataFrame({"time": rng.exponential(30, 60), "event": label.astype(float)}, index=subjects)
    followed = validated(rows.drop(columns="probability").assign(by_12=risk), time, ("time", "event")).iloc[0]
    assert followed["measure"] == "C-index"
    assert followed["predicted_by_12"] == pytest.approx(risk.mean(), abs=1e-12)
