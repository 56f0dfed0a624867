import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from radsupport.claims.counts import METRICS, rearrangement, shares
from radsupport.claims.numbers import read_number
from radsupport.claims.verdicts import FAILS, HOLDS

CELL = st.integers(0, 60)


@given(tp=CELL, fn=CELL, tn=CELL, fp=CELL)
def test_the_measures_of_any_table_hold(judge, tp, fn, tn, fp):
    table = shares((tp, fn, tn, fp))
    assume(all(n > 0 for _, n in table.values()))
    printed = {name: f"{k / n:.2f}" for name, (k, n) in table.items()}
    for name in METRICS:
        item = f"model: {name.upper()}"
        cells = {"TP": tp, "FN": fn, "TN": tn, "FP": fp}
        assert judge("proportion", printed[name], cells, item=item).verdict == HOLDS
        margins = {"n_pos": tp + fn, "n_neg": tn + fp, "printed": printed}
        assert judge("proportion", printed[name], margins, item=item).verdict == HOLDS
    pair = {"n_pos": tp + fn, "n_neg": tn + fp}
    assert judge("proportion", f"{printed['sensitivity']}/{printed['specificity']}", pair).verdict == HOLDS
    both = pair | {"sen": printed["sensitivity"], "spc": printed["specificity"]}
    assert judge("proportion", printed["accuracy"], both).verdict == HOLDS


def test_values_equal_those_of_caret(judge, r_values):
    found = r_values("confusion__pima_te_pfull_ge_0.5")["values"]
    cells = {name.upper(): n for name, n in found["counts"].items()}
    measures = found["by_class"]
    names = {
        "sensitivity": "sensitivity",
        "specificity": "specificity",
        "ppv": "pos_pred_value",
        "npv": "neg_pred_value",
    }
    for name, key in names.items():
        verdict = judge("proportion", f"{measures[key]:.4f}", cells, item=name)
        assert verdict.verdict == HOLDS
        assert verdict.values["share"] == pytest.approx(measures[key], abs=1e-12)


PRINTED = {"Accuracy": "0.87", "Sensitivity": "0.91", "Specificity": "0.79", "PPV": "0.97", "NPV": "0.82"}


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("Sensitivity", FAILS), ("Specificity", HOLDS), ("PPV", FAILS), ("NPV", FAILS), ("Accuracy", FAILS)],
)
def test_an_impossible_column(judge, name, verdict):
    inputs = {"n_pos": 27, "n_neg": 57, "printed": PRINTED}
    found = judge("proportion", PRINTED[name], inputs, item=f"RDPs: {name}")
    assert found.verdict == verdict


def test_a_mix_up_of_classes_is_named():
    table = shares((20, 7, 50, 10))
    swapped = {"sensitivity": table["specificity"], "specificity": table["sensitivity"],
               "ppv": table["npv"], "npv": table["ppv"], "accuracy": table["accuracy"]}  # fmt: skip
    printed = {name: read_number(f"{k / n:.3f}") for name, (k, n) in swapped.items()}
    assert rearrangement(27, 60, printed).startswith("All printed measures fit if the other class")
    exchanged = {
        "sensitivity": table["ppv"],
        "ppv": table["sensitivity"],
        "specificity": table["npv"],
        "npv": table["specificity"],
    }
    printed = {name: read_number(f"{k / n:.3f}") for name, (k, n) in exchanged.items()}
    assert "predicted and reference are exchanged" in rearrangement(27, 60, printed)


def test_digits_cut_off_are_said_to_be(judge):
    verdict = judge("proportion", "0.55/0.66", {"n_pos": 9, "n_neg": 9})
    assert verdict.verdict == FAILS
    assert verdict.reason.count("cut off") == 2


def test_prevalence_from_predictive_value(judge):
    inputs = {"sen": "0.80", "spc": "0.90", "ppv": "0.77", "acc": "0.87"}
    assert judge("proportion", "30/100 = 0.30", inputs).verdict == HOLDS
    assert judge("proportion", "60/100 = 0.60", inputs).verdict == FAILS


@pytest.mark.parametrize(
    ("published", "inputs", "item", "reason"),
    [
        ("0.9", {"TP": 1, "FN": 1, "TN": 1, "FP": 1}, "no measure", "must end with"),
        ("0.9", {"TP": 0, "FN": 0, "TN": 1, "FP": 1}, "sensitivity", "0 patients"),
        ("0.9", {"n_pos": 3, "n_neg": 4}, "pair", "sensitivity/specificity"),
        ("0.9", {"n_pos": 0, "n_neg": 4}, "pair", "at least 1"),
        ("0.9", {"n_pos": 3, "n_neg": 4, "printed": {"ppv": "0.9"}}, "PPV", "must name"),
        ("0.9", {"n_pos": 3, "n_neg": 4, "printed": ["0.9"]}, "PPV", "must map"),
    ],
)
def test_malformed_tables_are_refused(refusal, published, inputs, item, reason):
    assert reason in refusal("proportion", published, inputs, item=item)


def test_large_cohorts_are_judged_quickly(judge):
    margins = {"n_pos": 400_000, "n_neg": 600_000}
    printed = {"sensitivity": "0.80", "specificity": "0.90", "ppv": "0.84", "npv": "0.87", "accuracy": "0.86"}
    assert judge("proportion", "0.80/0.90", margins).verdict == HOLDS
    for name in ("ppv", "npv", "accuracy"):
        inputs = margins | {"printed": printed}
        assert judge("proportion", printed[name], inputs, item=name).verdict == HOLDS
    assert judge("proportion", "0.50", margins | {"printed": printed}, item="PPV").verdict == FAILS


def test_equal_sensitivity_and_specificity_leave_the_prevalence_to_the_ppv(judge):
    inputs = {"sen": "0.80", "spc": "0.80", "ppv": "0.50", "acc": "0.80"}
    assert judge("proportion", "20/100 = 0.20", inputs).verdict == HOLDS
    perfect = {"sen": "1.00", "spc": "1.00", "ppv": "1.00", "acc": "1.00"}
    assert judge("proportion", "20/100 = 0.20", perfect).verdict == HOLDS
