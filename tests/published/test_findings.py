import re

import pytest

from radsupport.errors import InputError
from radsupport.published.findings import _content, findings, not_checkable
from radsupport.published.side_by_side import study_labels
from radsupport.published.verdicts import HOLDS, UNDECIDED


def test_every_paper_has_findings_and_things_not_checkable(results):
    table = findings(results)
    assert set(table["study"]) == set(study_labels())
    assert table["title"].is_unique
    assert not table["text"].str.contains("[{}]", regex=True).any()
    assert set(not_checkable()["study"]) == set(study_labels().values())


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


def test_templates_hold_few_typed_numbers():
    """What is typed are names (2 cm, 95%, C-index 0.5); every other number is filled in."""
    for each in _content()["findings"]:
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
    for each in _content()["findings"]:
        assert set(each["needs"]) <= set(each["claims"])
        assert set(each["needs"].values()) <= {HOLDS, "does not hold", UNDECIDED}
        assert any(verdict != HOLDS for verdict in each["needs"].values())
