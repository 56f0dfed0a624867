import json
import re

import numpy as np
import pandas as pd
import pytest

from radsupport import claims, plots
from radsupport.book.conclusions import published
from radsupport.book.tables import filterable_table
from radsupport.claims.designs import study_labels
from radsupport.claims.report import numbers as numbers_of
from radsupport.claims.text import SWITCHES, WORDS
from radsupport.claims.verdicts import FAILS, FORMS, HOLDS, MALFORMED, VERDICTS
from radsupport.errors import ParameterError
from radsupport.plots.base import description

COUNTED = 614
"""Printed values of the four papers that could fail; the other rows of the table of claims are only listed."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("project")


def test_kinds_that_fail_most_are_named_by_count_and_by_share():
    kinds = pd.DataFrame({"kind": ["a", "b", "c", "d"], "holds": [90, 1, 5, 0], "does not hold": [10, 4, 0, 0]})
    words = published.where_they_differ(kinds)
    assert "Of the 14 values" in words
    assert "the kinds with the most are “a” (10 of 100) and “b” (4 of 5); by the share" in words
    assert "“b” (4 of 5) and “a” (10 of 100) come first. Nothing fails in: c." in words
    assert "Nothing fails" not in published.where_they_differ(kinds[:2])
    assert published.where_they_differ(kinds[2:]) == "No value that could be decided does not hold."


def test_the_short_answer_counts_by_paper() -> None:
    papers = pd.DataFrame({"paper": ["A 2020", "B 2021", "C"], "holds": [9, 3, 0], "does not hold": [1, 0, 0]})
    words = published.by_paper(papers, pd.DataFrame({"paper": ["A 2020", "A 2020"]}))
    assert words.startswith("- Decided values that do not hold: A 2020 1 of 10 (10%) and B 2021 0 of 3 (0%); papers")
    assert words.endswith("\n- Every test tried puts 2 P values on the other side of 0.05: A 2020 2.")
    assert published.by_paper(papers, pd.DataFrame({"paper": []})).endswith(
        "- No P value lies on the other side of 0.05 by every test tried."
    )
    assert published.not_counted(12, 12) == ""
    assert published.not_counted(13, 12).startswith("1 further row of the table of claims is not counted")


def test_the_chapter_writes_only_into_its_folder(results, folder):
    quoted = claims.write(results, "published", folder)
    written = folder / "results" / "published"
    assert {path.relative_to(folder).parts[:2] for path in folder.rglob("*") if path.is_file()} == {
        ("results", "published")
    }
    content = json.loads((written / "10_published.json").read_text())
    numbers = content["numbers"]
    assert {name: (each["value"], each["n"]) for name, each in numbers.items()} == quoted
    assert numbers["n_claims"]["value"] == COUNTED
    assert sum(numbers[verdict.replace(" ", "_")]["value"] for verdict in VERDICTS) == COUNTED
    assert len(content["inputs"]["claims.csv"]) == 64
    table = pd.read_csv(written / "verdicts.csv", keep_default_na=False)
    assert len(table) == 627


def test_parameters_are_checked(results, tmp_path):
    with pytest.raises(ParameterError, match="study"):
        claims.write(results, "song2021", tmp_path)
    with pytest.raises(ParameterError, match="must be all"):
        claims.shown_rows(results, "Song2021", "everything")


def test_counts_add_up(results):
    per_paper, per_kind = claims.verdicts(results), claims.verdicts(results, by="kind")
    assert (per_paper[list(VERDICTS)].sum(axis=1) == per_paper["claims"]).all()
    assert per_kind["claims"].sum() == results["counted"].sum() == COUNTED
    joint = per_kind.groupby(["paper", "verdict"], observed=True)["claims"].sum()
    assert np.array_equal(joint.to_numpy(), per_paper[list(VERDICTS)].to_numpy().ravel())
    decided = per_paper[HOLDS] + per_paper[FAILS]
    assert per_paper["percent_holding"].tolist() == (100 * per_paper[HOLDS] / decided).round().tolist()


def test_rows_shown_follow_the_parameter(results):
    assert (
        len(claims.shown_rows(results, "Yang2023", "all"))
        == (results["counted"] & (results["study"] == "Yang2023")).sum()
    )
    only = claims.shown_rows(results, "Yang2023", FAILS)
    assert set(only["verdict"]) == {FAILS}
    assert only.attrs["paper"] == "Yang 2023"
    with pytest.raises(ParameterError):
        claims.shown_rows(results, "Yang2023", "some")


def test_significance_changes(results):
    table = claims.significance_changes(results)
    assert 0 < len(table) < 20
    assert "Model dl: HR: P vs CI" in set(table["item"])
    assert "Sex: P" not in set(table["item"])
    assert "Age (years): P low vs high" not in set(table["item"])
    assert f"Every test tried puts {len(table)} P values" in published.by_paper(claims.verdicts(results), table)


def test_every_rule_is_listed():
    rules = claims.rules()
    assert len(rules) == len(FORMS)
    assert (rules["what is checked"].str.len() > 20).all()
    assert not rules["from which figures"].str.contains("_").any()


def test_every_input_of_a_form_has_words():
    names = {name for each in FORMS for name in each.required | each.optional}
    assert names == set(WORDS) | SWITCHES


def test_no_code_is_left_in_what_a_reader_sees(results):
    shown = pd.concat([claims.shown_rows(results, study, "all") for study in study_labels()])
    texts = pd.concat([shown[name] for name in ("item", "published_value", "recomputed", "reason")])
    texts = pd.concat([texts, claims.rules()["what is checked"], claims.rules()["from which figures"]])
    assert not texts.str.contains(r"\[\[|\('|\['|\d[eE][-+]\d|\(s\)|`|[{}]|nan|None\b", regex=True).any()
    assert not claims.unchecked(listed=True).isna().any().any()


def test_the_example_shows_each_verdict():
    text, table = claims.example()
    assert text.startswith("study,table")
    assert set(table["verdict"]) == {*VERDICTS, MALFORMED}


def test_a_table_of_ones_own_is_checked_like_the_example(tmp_path):
    text, table = claims.example()
    (tmp_path / "own.csv").write_text(text)
    pd.testing.assert_frame_equal(claims.checked_claims(tmp_path / "own.csv"), table)


def test_headline_and_findings_are_in_words(results):
    assert f"**{COUNTED}** printed values" in published.headline(numbers_of(results))
    assert f"{len(results) - COUNTED} further rows" in published.not_counted(len(results), COUNTED)
    found = pd.DataFrame({"study": ["a", "b"], "title": ["T", "U"], "text": ["x", "y"]})
    assert published.findings(found, "a") == "- **T.** x"


def test_tables_carry_filters_and_ask_nothing_of_the_network(results):
    table = claims.shown_rows(results, "Song2021")
    html = filterable_table(table, "Song 2021", ["verdict", "kind"], {"published_value": "printed"}, wide="reason")
    assert html.count("<select") == 2
    assert f'<option value="{FAILS}">' in html
    assert html.count("<tr>") == len(table) + 1
    assert not re.search(r"src=|href=(?!\"data:text/csv;base64,)|https?://|fetch\(|import\(", html)
    assert len(html) < 300_000


def test_a_table_of_others_is_escaped():
    table = pd.DataFrame({"verdict": ["<b>x</b>"], "kind": ['a"b']})
    html = filterable_table(table, "A <table>", ["verdict", "kind"])
    assert "<b>x</b>" not in html
    assert 'value="a&quot;b"' in html


def test_figures_show_the_counts_and_say_so(results):
    per_kind = claims.verdicts(results, by="kind")
    counts = per_kind.groupby(["paper", "verdict"], observed=True)["claims"].sum().reset_index()
    ax = plots.verdicts(counts.rename(columns={"paper": "row"}))
    row = claims.verdicts(results).iloc[0]
    assert f"{row['paper']}: {row[HOLDS]} holds, {row[FAILS]} does not hold" in description(ax)
    widths = [sum(patch.get_width() for patch in container) for container in ax.containers]
    assert widths == [int((results["counted"] & (results["verdict"] == verdict)).sum()) for verdict in VERDICTS]
    kinds = plots.verdicts(per_kind.rename(columns={"kind": "row"}), facet="paper")
    axes = [ax for fig in kinds.figures for ax in fig.axes]
    assert len(axes) == 4
    assert sum(patch.get_width() for ax in axes for each in ax.containers for patch in each) == COUNTED


def test_bars_of_a_missing_verdict_are_empty():
    verdict = pd.Categorical([FAILS, HOLDS], VERDICTS)
    ax = plots.verdicts(pd.DataFrame({"row": ["a", "b"], "verdict": verdict, "claims": [1, 2]}))
    assert [[patch.get_width() for patch in container] for container in ax.containers] == [[0, 2], [1, 0], [0, 0]]
