"""What so many patients can show, flat risks, and numbers by key."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from radsupport.evaluate import judged
from radsupport.evaluate.discrimination import null_se_p
from radsupport.evaluate.summary import flat_signatures, least_detectable


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
