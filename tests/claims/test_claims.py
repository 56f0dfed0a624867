import csv
import json

import numpy as np
import pandas as pd
import pytest

from radsupport.claims.claims import COLUMNS, RESULT_COLUMNS, check_claims, problems_of
from radsupport.claims.verdicts import FAILS, FORMS, HOLDS, MALFORMED, UNDECIDED, VERDICTS, kinds
from radsupport.errors import InputError

GOOD = {
    "study": "S", "table": "Table 1", "item": "Women", "group": "all", "published_value": "47.2%",
    "kind": "proportion", "inputs": '{"k": 67, "n": 142}',
}  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def save(rows, columns=COLUMNS):
        path = tmp_path / "claims.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(columns), extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        return path

    return save


def test_every_claim_of_the_four_papers_gets_a_verdict(verdicts):
    assert list(verdicts.columns) == list(RESULT_COLUMNS)
    assert len(verdicts) == 627
    assert set(verdicts["verdict"]) == set(VERDICTS)
    assert (verdicts["reason"].str.len() > 10).all()
    decided = verdicts[verdicts["verdict"] != UNDECIDED]
    assert (decided["test"].str.len() > 0).all()
    assert (verdicts["row"] == np.arange(2, 629)).all()


def _find(verdicts, item, group=None, table=None):
    chosen = verdicts[verdicts["item"] == item]
    chosen = chosen if group is None else chosen[chosen["group"] == group]
    chosen = chosen if table is None else chosen[chosen["table"] == table]
    assert len(chosen) == 1
    return chosen.iloc[0]


@pytest.mark.parametrize(
    ("item", "group", "table", "verdict", "said"),
    [
        ("Sex: P", "Hospital I", "Table S2", FAILS, "Fisher's exact test would fit"),
        ("Shape: P", "Hospital I", "Table S2", HOLDS, "Fisher's exact test"),
        ("Splenic vein: P", "Hospital I", "Table S2", HOLDS, "Welch's t"),
        ("Radiomics-V: P of AUC against 0.5", "Hospital II", "Table 1", FAILS, "0.494 or 0.506"),
        ("Age row identical to Portal vein row", "Hospital I", None, FAILS, "copy"),
        ("Model dl: HR: P vs CI", "External validation", None, FAILS, "contains 1"),
        ("Grade: P across three cohorts", "all", "Table 1", FAILS, "Fisher's exact test 0.010"),
        ("Age (years): P low vs high", "Training", "Table 4", HOLDS, "Student's t"),
        ("Age (years): P low vs high", "External validation", "Table 4", UNDECIDED, "a rank test might give it"),
        ("Ki-67: P across three cohorts", "all", "Table 1", FAILS, "The test named in the table is analysis"),
        ("Direction of Sex Male", "Training", "Table 2 vs 4", UNDECIDED, "different outcomes"),
        ('Conclusion "good generalization in an external data set"', "Hospital II", None, UNDECIDED, "a judgement"),
        ("Center 1 DFS events", "Center 1", "Text", FAILS, "70/166 = 42.169%, patients with the event divided by"),
        ("LNM among Center 2 tumours <=2 cm", "Center 2", "Text", FAILS, "9 would be 33.3% of 27 patients"),
        ("Convolution1: output shape", "3D-CNN", None, HOLDS, "32 filters and same padding gives 10, 150, 150, 32"),
        ("Sex: P low vs high", "Training", "Table 4", HOLDS, "Chi-square with Yates' correction"),
        ("Sex: risk-group totals", "Internal validation", None, FAILS, "13/19"),
        ("RDPs: Sensitivity", "External validation", "Table 2", FAILS, "24/27"),
        ("RDPs: Sensitivity", "Training", "Table 2", HOLDS, "55/67"),
        ("Tumor size OR rebuilt as a 2x2", "Center 1", None, FAILS, "179/57"),
        ("Vascular invasion OR rebuilt as a 2x2", "Center 1", None, HOLDS, "77/13 against 36/110"),
        ("DL feature count from ResNet101", "all", None, FAILS, "2048"),
        ("SS-3D-CNN: 95% CI of accuracy", "Test", None, HOLDS, "Clopper-Pearson"),
        ("HBsAg: P", "Training/Test", None, HOLDS, "Fisher's exact test"),
        ("No-information rate", "Training", None, FAILS, "0.5899"),
        ("DLR-A vs DLR-V: DeLong P", "Hospital I", None, UNDECIDED, "paired scores"),
        ("Parameter count (not printed)", "3D-CNN", None, UNDECIDED, "15,762,242"),
    ],
)  # fmt: skip
def test_known_claims(verdicts, item, group, table, verdict, said):
    row = _find(verdicts, item, group, table)
    assert row["verdict"] == verdict
    assert said in row["reason"]


def test_none_of_eight_p_values_of_one_table_is_reproduced(verdicts):
    table = verdicts[
        (verdicts["study"] == "Yang2023") & (verdicts["table"] == "Table 1") & (verdicts["kind"] == "p_value")
    ]
    assert len(table) == 8
    assert (table["verdict"] == FAILS).all()


def test_p_values_of_one_supplement_all_hold(verdicts):
    table = verdicts[verdicts["table"].str.startswith("Suppl.") & (verdicts["kind"] == "p_value")]
    assert len(table) == 21
    assert (table["verdict"] == HOLDS).all()


def test_every_form_is_used_or_tested(verdicts):
    assert set(verdicts["kind"]) == set(kinds())
    assert len({(each.kind, each.required) for each in FORMS}) == len(FORMS)


def test_the_table_as_first_typed_gives_the_same_verdicts(verdicts, shared):
    path = shared / "reference" / "published" / "claims.csv"
    if not path.is_file():
        pytest.skip("the table as first typed is not here")
    pd.testing.assert_frame_equal(check_claims(path), verdicts)


def test_no_claim_was_lost_or_changed(shared, root):
    path = shared / "reference" / "published" / "claims.csv"
    if not path.is_file():
        pytest.skip("the table as first typed is not here")
    with path.open(encoding="utf-8") as file:
        typed = list(csv.DictReader(file))
    with (root / "radsupport/claims/data/claims.csv").open(encoding="utf-8") as file:
        ours = list(csv.DictReader(file))
    for a, b in zip(typed, ours, strict=True):
        assert [a[name] for name in COLUMNS[:-1]] == [b[name] for name in COLUMNS[:-1]]
        assert json.loads(a["inputs"]) == json.loads(b["typed_inputs"] or b["inputs"])


def test_a_changed_row_of_the_papers_is_judged_by_its_own_inputs(write, root):
    with (root / "radsupport/claims/data/claims.csv").open(encoding="utf-8") as file:
        row = next(r for r in csv.DictReader(file) if r["item"] == "No-information rate" and r["group"] == "Training")
    typed = json.loads(row["typed_inputs"])
    assert check_claims(write([row | {"inputs": json.dumps(typed)}])).iloc[0]["verdict"] == FAILS
    changed = check_claims(write([row | {"inputs": json.dumps(typed | {"NER": 106})}])).iloc[0]
    assert changed["verdict"] == MALFORMED
    better = check_claims(write([row | {"inputs": json.dumps({"k": 107, "n": 178})}])).iloc[0]
    assert better["verdict"] == HOLDS


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "p-value"}, "kind 'p-value' is unknown"),
        ({"inputs": '{"k": 67, "n": }'}, "no valid JSON"),
        ({"inputs": '{"k": NaN, "n": 3}'}, "NaN is no number"),
        ({"inputs": "[67, 142]"}, "must be a JSON object"),
        ({"inputs": '{"k": 67}'}, "fit no form of proportion"),
        ({"inputs": '{"k": 67, "n": 142, "typo": 1}'}, "fit no form of proportion"),
        ({"inputs": '{"k": -1, "n": 142}'}, "at least 0"),
        ({"inputs": '{"k": "many", "n": 142}'}, "whole number"),
        ({"inputs": ""}, "no valid JSON"),
    ],
)
def test_a_malformed_row_is_reported_and_the_others_are_checked(write, change, reason):
    table = check_claims(write([GOOD, GOOD | change, GOOD]))
    assert table["verdict"].tolist() == [HOLDS, MALFORMED, HOLDS]
    assert reason in table.loc[1, "reason"]
    problems = problems_of(table, "my.csv")
    assert len(problems) == 1
    assert "row 3" in str(problems[0])


def test_all_malformed_rows_are_reported_at_once(write):
    rows = [GOOD | {"kind": "x"}, GOOD, GOOD | {"inputs": "{"}, GOOD | {"published_value": ""}]
    table = check_claims(write(rows))
    assert [p.row for p in problems_of(table)] == ["2", "4", "5"]


def test_rows_with_too_many_or_too_few_fields(tmp_path):
    path = tmp_path / "claims.csv"
    path.write_text(",".join(COLUMNS) + '\nS,T,I\nS,T,I,G,1,count_total,"{""counts"": [1]}",extra\n'
                    'S,T,I,G,1,count_total,"{""counts"": [1]}"\n', encoding="utf-8")  # fmt: skip
    table = check_claims(path)
    assert table["verdict"].tolist() == [MALFORMED, MALFORMED, HOLDS]
    assert "7 fields" in table.loc[0, "reason"]


def test_a_file_from_a_spreadsheet_is_read(write):
    path = write([GOOD])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert check_claims(path)["verdict"].tolist() == [HOLDS]


def test_further_columns_are_ignored(write):
    assert check_claims(write([GOOD | {"remark": "x"}], (*COLUMNS, "remark")))["verdict"].tolist() == [HOLDS]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "can not be checked"),
        ("study,kind\na,b\n", "add table, item"),
        (",".join(COLUMNS) + "\n", "holds no claims"),
        (",".join(COLUMNS) + '\n"a\n', "no valid CSV"),
    ],
)
def test_a_file_that_is_no_table_of_claims_is_refused(tmp_path, content, message):
    path = tmp_path / "claims.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        check_claims(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="can not be read"):
        check_claims(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InputError, match="can not be read"):
        check_claims(tmp_path / "latin.csv")


def test_significant_figures_are_read_off_from_the_whole_table(write):
    counts = '{"counts": [[32, 4], [14, 6]], "printed_stat": "f"}'
    p = GOOD | {"kind": "p_value", "published_value": "0.140", "inputs": counts}
    others = [p | {"published_value": text} for text in ("0.032", "0.85", "1.000", "0.054", "0.39", "0.022", "0.680")]
    assert check_claims(write([p, *others])).iloc[0]["verdict"] == HOLDS
    assert check_claims(write([p, *others[:3]])).iloc[0]["verdict"] == FAILS
    assert check_claims(write([p, *others, p | {"published_value": "0.123"}])).iloc[0]["verdict"] == FAILS


def test_checking_twice_gives_the_same(verdicts):
    pd.testing.assert_frame_equal(check_claims(), verdicts)
