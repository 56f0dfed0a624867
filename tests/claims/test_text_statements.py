import pytest

from radsupport.claims.text import SIMPLE
from radsupport.claims.verdicts import FAILS, HOLDS, UNDECIDED


@pytest.mark.parametrize(
    ("inputs", "verdict"),
    [
        ({"relation": "equal", "first": ["0.75", "0.70"], "second": ["0.75", "0.70"]}, HOLDS),
        ({"relation": "equal", "first": ["0.75", "0.70"], "second": ["0.75", "0.71"]}, FAILS),
        ({"relation": "equal", "first": {"a": "0.8"}, "second": {"a": "0.8"}}, HOLDS),
        ({"relation": "equal", "first": ["82", "76"], "second": ["0.82", "0.76"], "scale": 100}, HOLDS),
        ({"relation": "equal", "first": ["82", "76"], "second": ["0.82", "0.77"], "scale": 100}, FAILS),
        ({"relation": "contained", "first": ["0.90"], "second": ["0.88 (0.84-0.92)", "0.90"]}, HOLDS),
        ({"relation": "contained", "first": ["0.91"], "second": ["0.88 (0.84-0.92)", "0.90"]}, FAILS),
        ({"relation": "implies", "first": ["<0.05"], "second": ["<0.0001"]}, HOLDS),
        ({"relation": "implies", "first": ["<0.0001"], "second": ["<0.05"]}, FAILS),
        ({"relation": "member", "first": ["anova"], "second": ["t test", "anova"]}, HOLDS),
        ({"relation": "member", "first": ["anova"], "second": ["t test"]}, FAILS),
        ({"relation": "all_below", "values": ["0.04", "0.03"], "limit": 0.05}, HOLDS),
        ({"relation": "all_below", "values": ["0.05", "0.03"], "limit": 0.05}, FAILS),
        ({"relation": "increasing", "values": ["0.65", "0.66"]}, HOLDS),
        ({"relation": "increasing", "values": ["0.66", "0.66"]}, FAILS),
        ({"relation": "none", "values": [0, 0]}, HOLDS),
        ({"relation": "none", "values": [0, 7]}, FAILS),
        ({"relation": "same_direction", "values": ["2.5"], "odds": ["30/34", "23/42"]}, HOLDS),
        ({"relation": "same_direction", "values": ["0.33"], "odds": ["30/34", "23/42"]}, FAILS),
        ({"relation": "change", "values": ["-0.10"], "before": ["0.90"], "after": ["0.80"]}, HOLDS),
        ({"relation": "change", "values": ["-0.20"], "before": ["0.90"], "after": ["0.80"]}, FAILS),
        (
            {
                "relation": "change",
                "values": ["-0.10"],
                "before": ["0.90"],
                "after": ["0.80"],
                "first": ["1"],
                "second": ["2"],
            },
            FAILS,
        ),
        ({"relation": "range_of_estimates", "values": [["0.8", "0.8"]], "estimates": [["0.8", "0.7", "0.9"]]}, HOLDS),
        ({"relation": "range_of_estimates", "values": [["0.7", "0.9"]], "estimates": [["0.8", "0.7", "0.9"]]}, FAILS),
        ({"relation": "same_range", "values": [["1", "5"], ["1", "5"]]}, HOLDS),
        ({"relation": "same_range", "values": [["5", "8"], ["1", "5"]]}, FAILS),
        ({"relation": "count", "values": ["a", "b", "c"]}, HOLDS),
        ({"relation": "count", "values": ["a", "b"]}, FAILS),
        ({"relation": "highest", "rows": {"a": ["0.9", "3"], "b": ["0.8", "2"]}, "which": "a"}, HOLDS),
        ({"relation": "highest", "rows": {"a": ["0.9", "1"], "b": ["0.8", "2"]}, "which": "a"}, FAILS),
    ],
)
def test_relations(judge, inputs, verdict):
    assert judge("text_vs_table", "3", inputs).verdict == verdict


@pytest.mark.parametrize("values", [["2.5"], ["0.33"]])
def test_a_statement_that_figures_can_not_settle_is_undecided(judge, values):
    inputs = {
        "relation": "same_direction",
        "values": values,
        "odds": ["30/34", "23/42"],
        "open_because": "Two outcomes.",
    }
    verdict = judge("text_vs_table", "3", inputs)
    assert verdict.verdict == UNDECIDED
    assert verdict.reason.endswith("Two outcomes.")


def test_confidence_limits_given_as_a_range_are_recognised(judge):
    inputs = {"relation": "range_of_estimates", "values": [["0.7", "0.9"]], "estimates": [["0.8", "0.7", "0.9"]]}
    verdict = judge("text_vs_table", "0.7-0.9", inputs)
    assert verdict.values["limits"] == 1


def test_a_note_is_put_behind_the_reason(judge):
    verdict = judge("text_vs_table", "3", {"relation": "count", "values": ["a"], "note": "As printed."})
    assert verdict.reason.endswith("As printed.")


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"relation": "about", "first": ["1"], "second": ["1"]}, "must be equal"),
        ({"relation": "about", "values": ["1"]}, ", ".join(SIMPLE)),
        ({"relation": "all_below", "values": ["1"]}, "also needs limit"),
        ({"relation": "best", "rows": {"a": ["1"]}, "which": "a"}, "must be highest"),
        ({"relation": "highest", "rows": {"a": ["1"]}, "which": "b"}, "one of the names"),
        ({"relation": "highest", "rows": {"a": ["1"], "b": ["1", "2"]}, "which": "a"}, "structure"),
        ({"relation": "same_direction", "values": ["2"], "odds": ["3/3", "0/4"]}, "does not exist"),
        ({"relation": "count", "values": 3}, "must be a list"),
        ({"values": ["1"]}, "fit no form"),
    ],
)
def test_malformed_statements_are_refused(refusal, inputs, reason):
    assert reason in refusal("text_vs_table", "3", inputs)
