"""Baseline tables in the papers' layout, from the counts that Song et al. and Cui et al. printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency

from radsupport.book.chapter import Chapter
from radsupport.book.printed import ADJUSTED, FREEMAN_HALTON, INDENT, printed_baseline
from radsupport.data.synthetic_patients import draw_subjects
from radsupport.settings.parts import Column
from radsupport.settings.study import Study
from radsupport.stats.table_one import survival_test
from radsupport.study import load_study


def drawn(study: Study) -> pd.DataFrame:
    """Return the synthetic cohort's table without its images; its counts are the printed ones."""
    table = draw_subjects(study.synthetic, study.seed).dropna(subset=["label"])
    where = {center: key for key, cohort in study.cohorts.items() for center in cohort.centers}
    return table.assign(cohort=table["split"].replace("", pd.NA).fillna(table["center"].map(where)))


def by_cohort(table: pd.DataFrame, study: Study, tests: Mapping[str, str], columns: Sequence[str]) -> pd.DataFrame:
    return first_rows(printed_baseline(table, "cohort", chosen(study, columns), study.cohort_names, tests), study)


def by_outcome(
    table: pd.DataFrame, study: Study, tests: Mapping[str, str], columns: Sequence[str], adjust: str = "none"
) -> pd.DataFrame:
    names = study.endpoint.outcome_names
    return first_rows(printed_baseline(table, "label", chosen(study, columns), names, tests, adjust=adjust), study)


def chosen(study: Study, columns: Sequence[str]) -> dict[str, Column]:
    return {name: study.columns[name] for name in columns or study.columns}


def first_rows(printed: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Name each variable's first row by its column, the others by the empty text."""
    labels = {f"{one.label} ({one.unit})" if one.unit else one.label: name for name, one in study.columns.items()}
    keys = [labels.get(text.strip(INDENT).split(", me")[0], "") for text in printed["Characteristic"]]
    keys = [key if test else "" for key, test in zip(keys, printed["Test"], strict=True)]
    return printed.set_axis(keys)


@pytest.fixture(scope="module")
def song(root: Path) -> Study:
    return load_study("song2021", folder=root / "studies")


@pytest.fixture(scope="module")
def cui(root: Path) -> Study:
    return load_study("cui2022", folder=root / "studies")


def test_table_s2_has_its_headings_and_the_printed_p_of_every_category(song: Study) -> None:
    training = drawn(song).query("cohort == 'train'")
    table = by_outcome(training, song, song.cohort_tables.tests_by_outcome, [])
    headings = [
        "Clinical information",
        "Primary lesion",
        "Pancreas",
        "Lymph node",
        "Hepatobiliary system",
        "Portal system",
    ]
    assert [text for text in table["Characteristic"] if not text.startswith(INDENT)] == headings
    assert list(table.columns)[1:3] == ["recurrence-free (n = 46)", "recurrence (n = 10)"]
    printed = {
        "symptom": 0.032, "size_class": 0.032, "location": 0.85, "property": 0.054, "calcified": 0.39, "shape": 0.022,
        "boundary": 0.14, "vessel_involvement": 1.0, "duct": 0.028, "atrophy": 0.68, "node_morphology": 0.023,
        "node_enhancement": 0.029, "fatty_liver": 1.0, "benign_lesion": 0.49, "bile_duct": 1.0, "splenomegaly": 1.0,
        "splenic_varices": 0.56,
    }  # fmt: skip
    for column, p in printed.items():
        assert table.attrs["p"][column] == pytest.approx(p, abs=0.0051 if p >= 0.1 else 0.00051), column
    assert table.loc["location", "Test"] == FREEMAN_HALTON
    assert table.loc["symptom", "Test"] == "Fisher's exact test"
    assert table.loc["sex", "Statistic"] == "χ² = 0.49"


@pytest.mark.parametrize("by", ["cohort", "outcome"])
def test_supplementary_tables_s3_and_s4_of_the_liver_study(cui: Study, by: str) -> None:
    tests, everybody = cui.cohort_tables, drawn(cui)
    if by == "cohort":
        table = by_cohort(everybody, cui, tests.tests_by_cohort, [])
    else:
        table = by_outcome(everybody[everybody["cohort"] == "train"], cui, tests.tests_by_outcome, [])
    printed = {
        "cohort": {"age": 0.215, "sex": 0.658, "hbsag": 0.277, "child_pugh": 0.563, "cirrhosis": 0.734,
                   "size_class": 0.720, "alt": 0.199, "ast": 0.102, "afp": 0.807},
        "outcome": {"age": 0.714, "sex": 0.855, "hbsag": 0.485, "child_pugh": 0.018, "cirrhosis": 0.274,
                    "grade": 0.043, "alt": 0.457, "ast": 0.259, "afp": 0.007},
    }  # fmt: skip
    for column, p in printed[by].items():
        assert table.attrs["p"][column] == pytest.approx(p, abs=0.00051), column


def test_a_test_of_means_shows_means_and_a_rank_test_medians(song: Study) -> None:
    table = drawn(song)
    tests = {"age": "student_t", "portal_vein": "mann_whitney"}
    found = by_outcome(table, song, tests, list(tests))
    assert found.loc["age", "Characteristic"].endswith("mean ± SD")
    assert found.loc["portal_vein", "Characteristic"].endswith("median (Q1–Q3)")
    assert found.loc["age", "Statistic"].startswith("t = ")
    assert found.loc["portal_vein", "Statistic"].startswith("U = ")


def test_small_numbers_get_two_decimals_and_missing_values_a_column(song: Study) -> None:
    table = drawn(song).assign(ct_ratio_arterial=lambda t: np.linspace(0.5, 1.5, len(t)))
    found = by_cohort(table, song, {}, ["ct_ratio_arterial", "symptom"])
    assert "." in found.loc["ct_ratio_arterial"].iloc[1].split(" ")[0]
    assert len(found.loc["ct_ratio_arterial"].iloc[1].split(" ")[0].split(".")[1]) == 2
    assert found.loc["symptom", "Missing"] == "4"
    assert (found.loc["", "P"] == "").all()
    full = by_cohort(table.dropna(subset=["symptom"]), song, {}, ["symptom"])
    assert "Missing" not in full


def test_levels_follow_the_study_file(song: Study) -> None:
    found = by_outcome(drawn(song), song, {}, ["location"])
    assert [t.strip(INDENT) for t in found["Characteristic"]][2:] == song.columns["location"].levels


def test_adjusted_p_values_get_a_column(song: Study) -> None:
    found = by_outcome(drawn(song), song, {}, ["symptom", "duct", "sex"], adjust="bh")
    raw, bh = (found.loc[found[name] != "", name].astype(float) for name in ("P", ADJUSTED))
    assert (bh >= raw).all()
    assert bh.max() == raw.max()
    assert ADJUSTED not in by_outcome(drawn(song), song, {}, ["symptom"])


@pytest.fixture
def six() -> pd.DataFrame:
    """Three patients of each hospital; by the alphabet hospital II (external) and its levels would come first."""
    return pd.DataFrame(
        {
            "cohort": ["train"] * 3 + ["external"] * 3,
            "age": [1.0, 2, 3, 2, 4, 6],
            "portal_vein": [1.0, 2, 3, 2, 4, 6],
            "duct": ["no", "no", "yes", "no", "yes", "yes"],
            "node_enhancement": ["homogeneous"] * 3 + ["homogeneous", "heterogeneous", "heterogeneous"],
            "fatty_liver": ["no", "yes", "yes", "no", "no", "no"],
        }
    )


def test_statistics_point_the_way_the_table_is_shown(song: Study, six: pd.DataFrame) -> None:
    """t: (2 - 4) / sqrt(2.5 · 2/3); U: 0 + 1/2 + 1 pairs; odds ratio: root of r³ - 9 r - 2 (margins of 3)."""
    tests = {"age": "student_t", "portal_vein": "mann_whitney"}
    tests |= dict.fromkeys(["duct", "node_enhancement", "fatty_liver"], "fisher")
    found = by_cohort(six, song, tests, list(tests))
    assert list(found.columns)[1:3] == ["Hospital I (n = 3)", "Hospital II (n = 3)"]
    assert found.loc["age", "Statistic"] == "t = −1.55"
    assert found.loc["portal_vein", "Statistic"] == "U = 1.5"
    assert found.loc["duct", "Statistic"] == "odds ratio = 3.11"
    # nobody of hospital I is heterogeneous: infinite odds for hospital II; nobody of hospital II has a fatty liver
    assert found.loc["node_enhancement", "Statistic"] == "odds ratio = ∞"
    assert found.loc["fatty_liver", "Statistic"] == "odds ratio = 0"


def test_calcification_by_cohort_is_more_frequent_where_its_odds_ratio_says_so(song: Study) -> None:
    """Counts 45 and 11 of hospital I, 13 and 5 of hospital II: 45 · 5 / (13 · 11) = 1.57, conditionally 1.56."""
    duct = ["no"] * 45 + ["yes"] * 11 + ["no"] * 13 + ["yes"] * 5
    table = pd.DataFrame({"cohort": ["train"] * 56 + ["external"] * 18, "duct": duct})
    found = by_cohort(table, song, {"duct": "fisher"}, ["duct"])
    assert found.loc["duct", "Statistic"] == "odds ratio = 1.56"


def test_a_statistic_of_nothing_is_a_plain_zero(song: Study) -> None:
    table = pd.DataFrame({"cohort": ["train"] * 4 + ["external"] * 4, "age": [0.1, 0.2, 0.3, 0.6] * 2})
    table["duct"] = ["no", "yes"] * 4
    tests = {"age": "welch_t", "duct": "chi_square"}
    found = by_cohort(table, song, tests, list(tests))
    assert found.loc["age", "Statistic"] == "t = 0.00"
    assert found.loc["duct", "Statistic"] == "χ² = 0.00"


def test_nothing_to_describe_or_one_group_gives_no_rows(song: Study) -> None:
    assert printed_baseline(drawn(song), "cohort", {}, song.cohort_names).empty
    one = drawn(song).assign(cohort="train")
    assert printed_baseline(one, "cohort", song.columns, song.cohort_names).empty


def test_the_table_by_outcome_of_a_survival_study_tests_the_times(root: Path) -> None:
    yang = load_study("yang2023", folder=root / "studies")
    rng, n = np.random.default_rng(0), 40
    table = pd.DataFrame({"cohort": "train", "time": rng.uniform(1, 60, n), "event": rng.integers(0, 2, n)})
    for name, column in yang.columns.items():
        table[name] = rng.normal(50, 9, n) if column.kind == "number" else rng.choice(column.levels, n)
    names = yang.endpoint.outcome_names
    printed = printed_baseline(table, "event", yang.columns, names, survival=("time", "event"))
    expected = {
        name: survival_test(table[name], table["time"], table["event"], column.kind == "number")["p"]
        for name, column in yang.columns.items()
    }
    assert printed.attrs["p"] == pytest.approx(expected)
    assert set(printed["Test"]) - {""} == {"log-rank test", "Cox regression, likelihood-ratio test"}
    assert printed.columns[1].startswith("no death seen (censored) (n = ")


@pytest.mark.parametrize(("study", "printed"), [("cui2022", 0.289), ("gu2023", 0.04)])
def test_the_outcome_stands_in_the_table_by_cohort_where_the_paper_has_it(
    root: Path, study: str, printed: float
) -> None:
    study = load_study(study, folder=root / "studies")
    everybody = drawn(study).dropna(subset=["label"])
    known = {key: column for key, column in study.described.items() if key in everybody}
    table = printed_baseline(everybody, "cohort", known, study.cohort_names)
    counts = pd.crosstab(everybody["cohort"].astype(str), everybody["label"])
    assert table.attrs["p"]["label"] == pytest.approx(chi2_contingency(counts, correction=False).pvalue)
    assert round(table.attrs["p"]["label"], len(str(printed)) - 2) == printed
    assert table.iloc[0]["Characteristic"] == study.endpoint.event_name
    cells = Chapter.described(table, "by_cohort", {"label": study.described["label"].levels})
    events = int(counts.loc["train", 1])
    assert cells[f"by_cohort_label_{study.endpoint.label.positive}_train"]["value"].startswith(f"{events} (")
    assert cells["statistic_by_cohort_label"]["value"] == pytest.approx(chi2_contingency(counts, False).statistic)
    assert "label" not in study.columns
    assert "label" not in load_study("song2021", folder=root / "studies").described
