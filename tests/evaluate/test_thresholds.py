"""One threshold per signature, fixed in training by a name, a number or a function, and what it classifies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from radsupport.errors import InputError
from radsupport.evaluate import classification, groups, judged, lock, threshold
from radsupport.evaluate.predictions import HIGH, LOW, SURVIVAL
from radsupport.stats.logrank import maximally_selected_cutoff
from radsupport.stats.usefulness import net_benefit


def of(rows, signature, cohort="train"):
    return rows[(rows["cohort"] == cohort) & (rows["signature"] == signature)]


def test_a_threshold_is_fixed_in_training_by_the_rule(labelled):
    rows = judged(labelled[2])
    part = of(rows, "A")
    assert threshold(rows, "median")["A"] == part["risk"].median()
    assert threshold(rows, "half").to_dict() == {"A": 0.5, "B": 0.5, "A + B": 0.5}
    assert threshold(rows, 0.3)["B"] == threshold(rows, np.float64(0.3))["B"] == 0.3
    assert threshold(rows, lambda p: p["risk"].quantile(0.75))["A"] == part["risk"].quantile(0.75)
    y, risk = part["label"].to_numpy(), part["risk"].to_numpy()
    gains = {cut: (risk > cut)[y == 1].mean() - (risk > cut)[y == 0].mean() for cut in [-1.0, *risk]}
    cut = threshold(rows)["A"]
    assert (risk > cut)[y == 1].mean() - (risk > cut)[y == 0].mean() == pytest.approx(max(gains.values()))
    with pytest.raises(InputError, match=r"no rule `best`.*youden, median, half, max_logrank"):
        threshold(rows, "best")


def test_patients_elsewhere_and_apparent_risks_do_not_move_it(labelled):
    _, _, predictions = labelled
    elsewhere = predictions["cohort"] != "train"
    other = predictions.assign(
        label=predictions["label"].mask(elsewhere, 1.0), risk=predictions["risk"].mask(elsewhere, 0)
    )
    pd.testing.assert_series_equal(threshold(judged(predictions)), threshold(judged(other)))
    apparent = predictions.assign(risk=predictions["risk"].mask(predictions["kind"] == "apparent", 0.9))
    pd.testing.assert_series_equal(
        threshold(judged(predictions, apparent=True)), threshold(judged(apparent, apparent=True))
    )


def test_of_ties_the_most_sensitive_threshold_is_taken():
    rows = pd.DataFrame({"cohort": "train", "signature": "A", "label": [0, 1, 0, 1.0], "risk": [0.1, 0.2, 0.3, 0.4]})
    assert threshold(rows)["A"] == pytest.approx(0.15)


def test_a_constant_risk_has_a_threshold_below_everybody(labelled):
    rows = judged(labelled[2].assign(risk=0.4))
    table = classification(rows, threshold(rows))
    assert (table["threshold"] == -np.inf).all()
    assert (table["sensitivity"] == 1).all()
    assert table["npv"].isna().all()


def test_where_a_rule_finds_nothing_the_median_stands_in_and_says_so(labelled, followed):
    rows = judged(labelled[2].assign(label=0.0))
    cut = threshold(rows)
    assert cut["A"] == of(rows, "A")["risk"].median()
    assert set(cut.attrs["note"]) == {"A", "B", "A + B"}
    assert threshold(judged(labelled[2])).attrs["note"] == {}
    censored = judged(followed[2].assign(event=0.0), SURVIVAL)
    cut = threshold(censored, "max_logrank")
    assert cut["B"] == of(censored, "B")["risk"].median()
    assert "censored" in cut.attrs["note"]["B"]


def test_survival_is_cut_by_the_log_rank_or_the_median_and_has_no_youden_s_index(followed):
    rows = judged(followed[2], SURVIVAL)
    part = of(rows, "A")
    found = maximally_selected_cutoff(part["time"], part["event"], part["risk"])
    assert threshold(rows, "max_logrank")["A"] == found.cut_off
    assert threshold(rows, "youden", SURVIVAL)["A"] == part["risk"].median()
    with pytest.raises(InputError, match="median"):
        threshold(rows, "youden")


def test_a_signature_without_training_rows_has_no_threshold(labelled):
    _, _, predictions = labelled
    rows = judged(predictions[~((predictions["signature"] == "B") & (predictions["kind"] == "out_of_fold"))])
    cut = threshold(rows)
    assert list(cut.index) == ["A", "A + B"]
    assert set(classification(rows, cut)["signature"]) == {"A", "A + B"}
    assert set(groups(rows, cut)["signature"]) == {"A", "A + B"}
    assert threshold(rows[rows["cohort"] != "train"]).empty


def test_counts_and_exact_limits(labelled):
    rows = judged(labelled[2])
    cut = threshold(rows)
    row = classification(rows, cut).query("cohort == 'internal' and signature == 'A'").iloc[0]
    part = of(rows, "A", "internal")
    called = part["risk"] > cut["A"]
    assert row["tp"] == int((called & (part["label"] == 1)).sum())
    assert row["tp"] + row["fn"] == row["events"] == int(part["label"].sum())
    assert row[["tn", "fp", "fn", "tp"]].sum() == row["n"] == 40
    exact = stats.binomtest(int(row["tp"]), int(row["events"])).proportion_ci(method="exact")
    assert [row["sensitivity_low"], row["sensitivity_high"]] == pytest.approx([exact.low, exact.high])
    better = stats.binomtest(int(row["tp"] + row["tn"]), 40, row["no_information_rate"], alternative="greater").pvalue
    assert row["p_vs_nir"] == pytest.approx(better)


def test_high_risk_is_above_the_threshold(followed):
    rows = judged(followed[2], SURVIVAL)
    found = groups(rows, pd.Series({"A": 0.5, "B": 0.4, "A + B": np.nan}))
    assert ((found["risk"] > found["threshold"]) == (found["group"] == HIGH)).all()
    assert found.loc[found["signature"] == "B", "threshold"].eq(0.4).all()
    assert set(found["signature"]) == {"A", "B"}
    assert list(found["group"].cat.categories) == [LOW, HIGH]
    nothing = groups(rows, pd.Series({"A": np.nan}))
    assert nothing.empty
    assert {"threshold", "group", "time"} <= set(nothing.columns)


def upper_quarter(rows):
    return rows["risk"].quantile(0.75)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("yuden", r"no rule `yuden`.*a number \(without quotation marks\).*Did you mean `youden`"),
        ("0.3", "without quotation marks"),
        (float("nan"), "a finite number, the name of a rule or a function, not nan"),
        (True, "not True"),
        (["youden"], "not \\['youden'\\]"),
        (
            lambda rows: rows["risk"],
            "the function in the cell returns a Series of .* values. Expected: one finite number",
        ),
        (lambda rows: rows["rsk"], "asks for 'rsk'. The rows have: .*risk"),
        (lambda rows: None, "returns None. Expected: one finite number"),
        (lambda rows: "0.3", "returns '0.3'"),
        (lambda rows: rows["risk"].head(0).mean(), "returns nan"),
    ],
)
def test_a_rule_that_gives_no_number_is_refused(labelled, rule, words):
    with pytest.raises(InputError, match=words):
        threshold(judged(labelled[2]), rule)


def test_a_rule_has_a_name_and_says_whether_it_looked_at_the_outcome(labelled):
    rows = judged(labelled[2])
    found = {one: threshold(rows, one).attrs for one in ("youden", "median", 0.3, upper_quarter)}
    assert [a["rule"] for a in found.values()] == ["youden", "median", "the number 0.3", "the function upper_quarter"]
    assert [a["by_outcome"] for a in found.values()] == ["yes", "no", "no", "perhaps"]
    assert threshold(rows, lambda _: np.array([0.4])[0])["A"] == 0.4


def test_other_thresholds_are_the_same_in_every_cohort_and_each_is_classified_as_alone(labelled):
    rows = judged(labelled[2])
    cut, models = threshold(rows), lock(rows)
    table = classification(rows, cut, others=40, models=models)
    for name, own in table.groupby("signature"):
        marks = own.groupby("cohort")["threshold"].apply(list)
        assert all(one == marks["train"] for one in marks)
        assert cut[name] in marks["train"]
        assert len(marks["train"]) <= 41
        assert not set(marks["train"][:3]) & set(of(rows, name)["risk"])  # between risks: > and >= are one
    at_cut = table[table["threshold"] == table["signature"].map(cut)].reset_index(drop=True)
    shared = [name for name in at_cut if name not in ("probability", "net_benefit")]
    pd.testing.assert_frame_equal(at_cut[shared], classification(rows, cut)[shared], check_dtype=False)
    part = of(rows, "A", "external")
    given = table[
        (table["signature"] == "A") & (table["cohort"] == "external") & table["threshold"].between(0.01, 0.99)
    ]
    benefit = net_benefit(part["label"], part["risk"], given["threshold"]).query("strategy == 'model'")
    assert models["A"].whole.rule == "the risk itself"
    np.testing.assert_allclose(given["net_benefit"], benefit["net_benefit"], atol=1e-12)
    assert classification(rows, cut, SURVIVAL, others=40).attrs["empty"].startswith("Not used")


def test_a_threshold_of_a_score_weighs_by_the_probability_it_stands_for(labelled):
    rows = judged(labelled[2].assign(risk=10 * labelled[2]["risk"] - 3))
    models = lock(rows)
    row = classification(rows, threshold(rows), others=9, models=models).iloc[4]
    chance = models[row["signature"]].whole.probability([row["threshold"]])[0]
    assert row["probability"] == chance
    assert row["net_benefit"] == pytest.approx((row["tp"] - row["fp"] * chance / (1 - chance)) / row["n"])
    constant = judged(labelled[2].assign(risk=0.4))
    assert (
        classification(constant, threshold(constant), others=9, models=lock(constant))["threshold"] == -np.inf
    ).all()
