"""Learning curves: a share of the patients, and nothing else changed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radsupport.book.conclusions import modelling as modelling_learning_curve
from radsupport.errors import NotEstimableError
from radsupport.evaluate import reruns as learning_curve
from radsupport.learning.signatures import assemble, run_signatures
from radsupport.settings.learning import LearningCurve
from radsupport.stats.outcome import as_target


@given(st.integers(6, 40), st.integers(6, 40), st.floats(0.1, 1.0), st.integers(0, 1000))
def test_a_share_is_drawn_from_each_outcome_group(n0, n1, share, seed):
    target = as_target(np.random.default_rng(seed).permutation(np.repeat([0, 1], [n0, n1])))
    rows = learning_curve.draw_share(target, share, 3, seed)
    assert len(set(rows)) == len(rows)
    assert (np.diff(rows) > 0).all()
    assert int(target[rows].sum()) == max(round(share * n1), 3)
    assert len(rows) - int(target[rows].sum()) == max(round(share * n0), 3)
    assert (rows == learning_curve.draw_share(target, share, 3, seed)).all()


def test_the_whole_share_is_everybody_in_order():
    target = as_target(np.tile([0, 1], 10))
    assert learning_curve.draw_share(target, 1.0, 2, 5).tolist() == list(range(20))
    with pytest.raises(NotEstimableError, match="Use fewer inner folds"):
        learning_curve.draw_share(target, 0.5, 11, 0)


def test_the_full_curve_ends_at_the_signature_itself(finished):
    settings = LearningCurve(signatures=["Radiomics"], shares=[0.4, 1.0], draws=2)
    modelling = finished.study.modelling.model_copy(update={"repeats": 1, "external": "refit"})
    once = finished.study.model_copy(update={"modelling": modelling})
    draws = learning_curve.learning_table(once, finished.assembly, settings)
    assert draws["n"].tolist() == [18.0, 18.0, 45.0]
    assert draws["n_all"].tolist() == [24.0, 24.0, 60.0]
    assert draws["events"].iloc[-1] == pytest.approx(0.75 * finished.run.summary["events"].iloc[0])
    own = finished.run.summary.set_index("signature").loc["Radiomics", "out_of_fold"]
    assert draws["out_of_fold"].iloc[-1] == pytest.approx(own)
    assert draws["out_of_fold"].iloc[0] != draws["out_of_fold"].iloc[1]
    refit = run_signatures(once, finished.assembly, ["Radiomics"]).predictions
    outside = refit[refit["kind"] == "external"]
    one, zero = (outside.loc[outside["label"] == k, "risk"].to_numpy() for k in (1, 0))
    expected = np.mean((one[:, None] > zero) + 0.5 * (one[:, None] == zero))
    assert draws["external"].iloc[-1] == pytest.approx(expected)


def test_lines_are_means_and_ranges_of_the_draws():
    draws = pd.DataFrame({"signature": "R", "draw": [0, 1, 0], "n": [20.2, 19.9, 45.0], "events": 9.0,
                          "n_all": [27.0, 27.0, 60.0], "out_of_fold": [0.5, 0.7, 0.8], "external": np.nan})  # fmt: skip
    table = learning_curve.curve_table(draws)
    assert table["judged"].unique().tolist() == ["out of fold"]
    assert table[["n", "value", "low", "high"]].to_numpy().tolist() == [[20.0, 0.6, 0.5, 0.7], [45.0, 0.8, 0.8, 0.8]]
    words = modelling_learning_curve.curve_words(table)
    assert "0.60 with 20 training patients, 0.80 with 45" in words
    assert "With 2 draws per size these values do not tell whether more patients would help" in words
    outside = learning_curve.curve_table(draws.assign(external=[0.5, 0.6, 0.7]))
    assert outside.loc[outside["judged"] == "other cohorts", "n"].tolist() == [27.0, 60.0]
    many = modelling_learning_curve.curve_words(learning_curve.curve_table(pd.concat([draws] * 3)))
    assert "A rise that is larger than the range of the draws" in many


def test_signatures_that_fit_nothing_have_no_curve(small, folder):
    cohort = small.cohort()
    given_risk = pd.DataFrame({"subject": cohort["subject"], "ct__risk": np.linspace(0, 1, len(cohort))})
    study = small.study([{"name": "CNN", "sources": ["deep_published"], "learner": "published"}])
    assembly = assemble(study, folder(cohort, deep_published=given_risk))
    draws = learning_curve.learning_table(study, assembly, LearningCurve(signatures=["CNN"]))
    assert draws.empty
    assert "None of these" in modelling_learning_curve.curve_words(learning_curve.curve_table(draws))


def test_survival_curve(small, folder):
    study = small.study([{"name": "R", "sources": ["radiomics"], "learner": "CoxLasso"}], "survival")
    assembly = assemble(study, folder())
    draws = learning_curve.learning_table(study, assembly, LearningCurve(signatures=["R"], shares=[0.5, 1.0], draws=1))
    assert draws[["out_of_fold", "external"]].notna().all(axis=None)
