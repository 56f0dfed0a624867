import re

import pytest

from radsupport.claims.designs import study_labels
from radsupport.claims.report import findings, in_words, not_counted, unchecked
from radsupport.claims.verdicts import HOLDS, UNDECIDED, content
from radsupport.errors import InputError


def test_every_paper_has_findings_and_things_not_checkable(results):
    table = findings(results)
    assert set(table["study"]) == set(study_labels())
    assert table["title"].is_unique
    assert not table["text"].str.contains("[{}]", regex=True).any()
    assert set(unchecked()["study"]) == set(study_labels().values())


def test_the_numbers_of_the_findings_come_from_the_claims(results):
    texts = dict(zip(findings(results)["title"], findings(results)["text"], strict=True))
    sex = texts["A P value printed beside another test's statistic"]
    assert "0.487" in sex
    assert "(0.485)" in sex
    sensitivity = texts["An external sensitivity that the number of patients can not give"]
    assert "24 detected give 0.89, 25 give 0.93" in sensitivity
    ratio = texts["A hazard ratio declared significant whose interval contains 1"]
    assert "0.89 to 1.77" in ratio
    assert "gives P 0.19" in ratio
    shares = texts["Percentages that do not belong to their counts"]
    assert (
        "70/166 = 42.17%, events divided by the 166 patients without recurrence, with the last digit cut off" in shares
    )
    assert "that of 9 among 27, and 27 is the number of all its patients with metastases" in shares
    assert "Of the 33 hazard ratios" in texts["Estimates away from the middle of their intervals"]
    assert "11 of 11 sizes" in texts["Otherwise the tables of this paper hold together"]


def test_the_second_number_of_a_finding_equals_the_first(results):
    """What the text calls the same number is recomputed twice, from different claims."""
    rows = results[results["study"] == "Gu2023"].set_index("item")
    events = rows.loc["Center 1 DFS events"]
    assert events["values"]["without"] == rows.loc["Recurrence OR rebuilt as a 2x2"]["inputs"]["unexposed"]
    small = rows.loc["LNM among Center 2 tumours <=2 cm"]
    cohort = (
        rows.loc["Lymph node metastasis: level counts sum to cohort n"].set_index("group").loc["External validation"]
    )
    assert small["values"]["fitting_n"] == cohort["inputs"]["counts"][0]
    table = results[(results["study"] == "Yang2023") & (results["table"] == "Table 1") & (results["kind"] == "p_value")]
    assert len(table) == 8
    assert (table["verdict"] == "does not hold").all()


def test_rows_that_are_not_counted_are_claims_without_a_value_that_could_fail(results):
    left_out = results[~results["counted"]]
    assert len(left_out) == len(not_counted())
    assert "not printed" in set(left_out["published_value"])
    assert not left_out["item"].str.startswith("Convolution").any()
    assert (not_counted()["why"].str.len() > 10).all()


@pytest.mark.parametrize(
    ("published", "words"),
    [
        ("[139, 39]", "139/39"),
        ("(('67', '47.2'), ('46', '48.9'))", "67 (47.2); 46 (48.9)"),
        ("[('0.86', '0.81', '0.92'), 'x']", "0.86 (0.81, 0.92); x"),
        ("(0.81-0.92)", "(0.81-0.92)"),
        ("[3/5", "[3/5"),
        ("1.05 (0.97-1.07)", "1.05 (0.97-1.07)"),
    ],
)
def test_printed_lists_read_as_words(published, words):
    assert in_words(published) == words


def test_templates_hold_few_typed_numbers():
    """What is typed are names (2 cm, 95%, C-index 0.5); every other number is filled in."""
    for each in content("findings.yaml")["findings"]:
        typed = re.findall(r"(?<![\w.-])\d+(?:\.\d+)?", re.sub(r"\{[^}]*\}", "", each["text"]))
        assert set(typed) <= {"0.5", "0.05", "95", "1", "2", "3", "4"}, each["title"]


def test_a_finding_whose_claim_changed_is_an_error(results):
    changed = results.copy()
    changed.loc[(changed["item"] == "Sex: P") & (changed["table"] == "Table S2"), "verdict"] = HOLDS
    with pytest.raises(InputError, match="is now “holds”"):
        findings(changed)


def test_a_finding_whose_claim_is_gone_is_an_error(results):
    with pytest.raises(InputError, match="0 claims are"):
        findings(results[results["study"] != "Gu2023"])


def test_each_finding_names_the_verdict_it_rests_on():
    for each in content("findings.yaml")["findings"]:
        assert set(each["needs"]) <= set(each["claims"])
        assert set(each["needs"].values()) <= {HOLDS, "does not hold", UNDECIDED}
        assert any(verdict != HOLDS for verdict in each["needs"].values())
