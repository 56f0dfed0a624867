"""Prediction sets: p-values by hand, and the coverage they promise, by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.conformal import class_p, conformal_p, set_words


def test_p_values_count_who_is_as_odd():
    # 3 is met by 3 and 5: (1 + 2) / (1 + 4); 6 by nobody: 1 / 5; weights 2, 1, 1, 1: own 2, (2 + 1 + 1) / (2 + 5)
    assert conformal_p([1, 2, 3, 5], [[3.0], [6.0]], np.ones(4)).tolist() == pytest.approx([3 / 5, 1 / 5])
    assert conformal_p([1, 2, 3, 5], [[3.0]], [2, 1, 1, 1]).tolist() == pytest.approx([4 / 7])
    assert conformal_p([1.0], [[3.0]], [0.0]).tolist() == [1.0]


def test_each_outcome_is_compared_with_its_own_class_and_other_folds():
    risk, label, fold = [0.1, 0.2, 0.6, 0.7, 0.9], [0, 0, 0, 1, 1], [0, 1, 1, 0, 1]
    found = class_p(risk, label, fold)
    # the first (fold 0): of no event, 0.2 and 0.6 are both as high: 3/3; of events in fold 1, none as low: 1/2
    assert found[0].tolist() == pytest.approx([1.0, 1 / 2])
    # the last (fold 1): of no event in fold 0, 0.1 is lower: 1/2; of events there 0.7 is as low: 2/2
    assert found[4].tolist() == pytest.approx([1 / 2, 1.0])
    # somebody new, 0.3 by the first fold's model and 0.65 by the second's; without an event 0.1 < 0.3, 0.2 and 0.6 <
    # 0.65: 1/4; with one 0.7 > 0.3, 0.9 > 0.65: 1/3
    assert class_p(risk, label, fold, [[0.3, 0.65]])[0].tolist() == pytest.approx([1 / 4, 1 / 3])


def test_sets_hold_what_is_not_too_odd():
    p = [[0.5, 0.05], [0.05, 0.5], [0.5, 0.5], [0.1, 0.1]]
    assert set_words(p, 0.1) == ["no event", "event", "both", "neither"]
    with pytest.raises(InputError, match="between 0 and 1"):
        set_words(p, 1.0)


def test_new_patients_need_a_risk_by_every_fold():
    with pytest.raises(InputError, match="each of the 2 folds"):
        class_p([0.1, 0.9], [0, 1], [0, 1], [[0.3]])
    with pytest.raises(NotEstimableError):
        class_p([0.1, 0.9], [1, 1], [0, 1])


@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_each_class_is_covered_as_often_as_promised(alpha):
    """Exchangeable patients, 300 draws of 60 known and 60 new ones: at least 1 - alpha within four standard errors."""
    rng, covered = np.random.default_rng(5), {0: [], 1: []}
    for _ in range(300):
        label = np.repeat([0, 1], [40, 20])
        known, new = (rng.normal(size=60) + 0.8 * label for _ in range(2))
        p = class_p(known, label, rng.integers(0, 2, 60), np.column_stack([new, new]))
        for k in (0, 1):
            covered[k].append((p[label == k, k] > alpha).mean())
    for shares in covered.values():
        error = np.std(shares) / np.sqrt(300)
        assert 1 - alpha - 4 * error <= np.mean(shares) <= 1 - alpha + 0.06  # and not by saying everything


def test_coverage_out_of_fold_of_exchangeable_patients():
    rng, covered = np.random.default_rng(6), []
    for _ in range(200):
        label, fold = np.tile([0, 1, 0], 20), np.arange(60) // 12
        p = class_p(rng.normal(size=60) + label, label, fold)
        covered.append((p[np.arange(60), label] > 0.2).mean())
    assert np.mean(covered) >= 0.8 - 4 * np.std(covered) / np.sqrt(200)


def test_weights_stand_for_the_censored():
    """Half of the late events are lost; counted twice, those left cover all events as promised."""
    rng, covered = np.random.default_rng(7), []
    for _ in range(200):
        late, risk = rng.random(400) < 0.5, rng.normal(size=400)
        risk = risk - 2 * late  # late events look less like events
        seen = ~late | (rng.random(400) < 0.5)
        label, weights = np.ones(401, dtype=int), np.append(seen * np.where(late, 2.0, 1.0), 0)
        label[-1], fresh = 0, rng.normal(size=100) - 2 * (rng.random(100) < 0.5)
        p = class_p(np.append(risk, 0), label, np.arange(401) % 2, np.column_stack([fresh, fresh]), weights)
        covered.append((p[:, 1] > 0.1).mean())
    assert 0.895 <= np.mean(covered) <= 0.92
