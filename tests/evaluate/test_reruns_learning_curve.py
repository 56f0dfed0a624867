"""Learning curves: a share of the patients, and nothing else changed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radsupport.book.conclusions import modelling as say
from radsupport.errors import NotEstimableError
from radsupport.evaluate import reruns
from radsupport.stats.outcome import as_target


@given(st.integers(6, 40), st.integers(6, 40), st.floats(0.1, 1.0), st.integers(0, 1000))
def test_a_share_is_drawn_from_each_outcome_group(n0, n1, share, seed):
    target = as_target(np.random.default_rng(seed).permutation(np.repeat([0, 1], [n0, n1])))
    rows = reruns.draw_share(target, share, 3, seed)
    assert len(set(rows)) == len(rows)
    assert (np.diff(rows) > 0).all()
    assert int(target[rows].sum()) == max(round(share * n1), 3)
    assert len(rows) - int(target[rows].sum()) == max(round(share * n0), 3)
    assert (rows == reruns.draw_share(target, share, 3, seed)).all()


def test_the_whole_share_is_everybody_in_order():
    target = as_target(np.tile([0, 1], 10))
    assert reruns.draw_share(target, 1.0, 2, 5).tolist() == list(range(20))
    with pytest.raises(NotEstimableError, match="Use fewer inner folds"):
        reruns.draw_share(target, 0.5, 11, 0)


def test_the_full_curve_ends_at_the_signature_itself(finished, small):
    protocol = small.protocol(finished.study, external="refit")
    curve = reruns.learning_curve(finished.assembly, ["Radiomics"], [0.4, 1.0], 2, **protocol)
    inside, outside = (curve[curve["judged"] == judged] for judged in ("out of fold", "other cohorts"))
    assert inside["n"].tolist() == [18.0, 45.0]
    assert outside["n"].tolist() == [24.0, 60.0]
    assert inside["draws"].tolist() == [2, 1]
    own = finished.run.summary.set_index("signature").loc["Radiomics", "out_of_fold"]
    assert inside["value"].iloc[-1] == pytest.approx(own)
    known = reruns.learning_curve(finished.assembly, ["Radiomics"], [1.0], 2, run=finished.run, **protocol)
    pd.testing.assert_frame_equal(known, curve[curve["draws"] == 1].reset_index(drop=True))
    assert inside["low"].iloc[0] < inside["value"].iloc[0] < inside["high"].iloc[0]
    refit = small.run(finished.study, finished.assembly, ["Radiomics"], external="refit").predictions
    rows = refit[refit["kind"] == "external"]
    one, zero = (rows.loc[rows["label"] == k, "risk"].to_numpy() for k in (1, 0))
    expected = np.mean((one[:, None] > zero) + 0.5 * (one[:, None] == zero))
    assert outside["value"].iloc[-1] == pytest.approx(expected)


def test_a_share_is_what_the_models_are_fitted_on(finished, small):
    cut = finished.assembly.changed(wrap=reruns._share_of(0.4, 0))
    result = small.run(finished.study, cut, ["Radiomics"]).results["Radiomics"]
    assert {model.n_ for model in result.models[0].values()} == {18}
    assert result.refit.n_ == 24
    assert result.refit.events_ == 8


def test_lines_are_means_and_ranges_of_the_draws():
    draws = pd.DataFrame({"signature": "R", "judged": "out of fold", "n": [20.2, 19.9, 45.0], "value": [0.5, 0.7, 0.8]})
    table = reruns.over_sizes(draws)
    assert table["judged"].unique().tolist() == ["out of fold"]
    assert table[["n", "value", "low", "high"]].to_numpy().tolist() == [[20.0, 0.6, 0.5, 0.7], [45.0, 0.8, 0.8, 0.8]]
    words = say.learning_curve(table)
    assert "0.60 with 20 training patients, 0.80 with 45" in words
    assert "With 2 draws per size these values do not tell whether more patients would help" in words
    outside = draws.assign(judged="other cohorts", n=[27.0, 27.0, 60.0], value=[0.5, 0.6, 0.7])
    both = reruns.over_sizes(pd.concat([outside, draws]))
    assert both["judged"].tolist() == ["out of fold"] * 2 + ["other cohorts"] * 2
    assert both.loc[both["judged"] == "other cohorts", "n"].tolist() == [27.0, 60.0]
    assert reruns.over_sizes(draws.assign(value=np.nan)).empty
    many = say.learning_curve(reruns.over_sizes(pd.concat([draws] * 3)))
    assert many == "- **R**, out of fold: 0.60 with 20 training patients, 0.80 with 45"


def test_signatures_that_fit_nothing_have_no_curve(small, folder):
    cohort = small.cohort()
    given_risk = pd.DataFrame({"subject": cohort["subject"], "ct__risk": np.linspace(0, 1, len(cohort))})
    study = small.study([{"name": "CNN", "sources": ["deep_published"], "learner": "published"}])
    assembly = small.assemble(study, folder(cohort, deep_published=given_risk))
    curve = reruns.learning_curve(assembly, ["CNN"], [0.5, 1.0])
    assert curve.empty
    assert curve.attrs["empty"] == "None of these signatures is fitted here."
    assert say.learning_curve(curve) == ""
    assert reruns.learning_curve(assembly, [], []).attrs["empty"] == "No learning curve is asked for."


def test_survival_curve(small, folder):
    study = small.study([{"name": "R", "sources": ["radiomics"], "learner": "CoxLasso"}], "survival")
    assembly = small.assemble(study, folder())
    curve = reruns.learning_curve(assembly, ["R"], [0.5, 1.0], 1, **small.protocol(study))
    assert len(curve) == 4
    assert curve["value"].notna().all()


def test_a_draw_that_can_not_be_fitted_costs_its_own_point(small, folder, monkeypatch):
    study = small.study([{"name": "R", "sources": ["radiomics"]}])
    assembly = small.assemble(study, folder())
    real, calls = reruns.run_signatures, []

    def unlucky(*given, **options):
        calls.append(given)
        if len(calls) == 1:
            raise NotEstimableError("the draw has one class")
        return real(*given, **options)

    monkeypatch.setattr(reruns, "run_signatures", unlucky)
    curve = reruns.learning_curve(assembly, ["R"], [0.5, 1.0], 2, **small.protocol(study))
    assert curve["draws"].tolist() == [1, 1, 1, 1]
    assert [lost["reason"] for lost in curve.attrs["lost"]] == ["the draw has one class"]
    assert "A draw of 50% of the patients gave no **R**: the draw has one class" in say.learning_curve(curve)
