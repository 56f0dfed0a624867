"""Printed tables in their own layout: what is typed stands in the papers, and this build's values stand below it."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from radsupport.book import printed_tables as tables
from radsupport.study import load_study

PAPERS = {"song2021": ("000_", "001_"), "yang2023": ("002_",), "gu2023": ("003_",), "cui2022": ("004_",)}
FAR = 110
"""Characters, without spaces, between a row's name and the last table's half of it."""


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    return tables.printed_cells()


@pytest.fixture(scope="module")
def papers(shared: Path) -> dict[str, str]:
    if not (shared / "papers").is_dir():
        pytest.skip("the papers are not here")
    found = {
        study: [p for p in (shared / "papers").glob("*.txt") if p.name.startswith(PAPERS[study])] for study in PAPERS
    }
    texts = {study: " ".join(p.read_text(encoding="utf-8") for p in paths) for study, paths in found.items()}
    return {study: bare(text.replace("\nMO\t", "\nM0\t")) for study, text in texts.items()}  # one letter misread


def bare(text: str) -> str:
    """Leave out what the text of a PDF garbles: spaces, dashes, brackets, marks of significance."""
    return re.sub(r"[\s*(){}^,$\\\-–—−_]", "", text.replace("\\leq", "≤")).lower()


def of_tables(cells: pd.DataFrame) -> pd.Series:
    """Tell the cells of tables, whose rows stand in a paper as a whole, from those of figures and of other places."""
    return cells["table"].str.match(r"(Supplementary )?Table\b")


def test_each_cell_has_a_value_of_this_build_or_a_reason(cells: pd.DataFrame) -> None:
    assert ((cells["ours"] != "") ^ (cells["reason"] != "")).all()
    assert cells.loc[cells["reason"] != "", "reason"].str.fullmatch(r"reference|not [\w ]{4,30}").all()
    assert (cells[["study", "chapter", "table", "note", "row", "column", "printed"]] != "").all(axis=None)
    assert not cells.duplicated(["study", "table", "row", "column"]).any()


def test_every_row_of_a_table_stands_in_its_paper(cells: pd.DataFrame, papers: dict[str, str]) -> None:
    lost = []
    for (study, table, row), part in cells[of_tables(cells)].groupby(["study", "table", "row"]):
        values, name = bare("".join(part["printed"])), bare(row.split(": ")[-1])
        if not re.search(rf"{re.escape(name)}.{{0,{FAR}}}?{re.escape(values)}", papers[study]):
            lost.append((study, table, row))
    assert not lost


def test_every_value_of_a_figure_stands_in_its_paper(cells: pd.DataFrame, papers: dict[str, str]) -> None:
    figures = cells[~of_tables(cells)].to_dict("records")
    pieces = [(cell, bare(piece)) for cell in figures for piece in re.split(r"[ (]", cell["printed"]) if bare(piece)]
    assert not [cell["printed"] for cell, piece in pieces if piece not in papers[cell["study"]]]


def test_what_the_claims_type_of_these_tables_is_typed_alike(cells: pd.DataFrame, root: Path) -> None:
    claims = pd.read_csv(root / "radsupport/claims/data/claims.csv", dtype=str)
    claims["study"] = claims["study"].str.lower()
    single = claims["kind"].isin(["auc", "ci", "p_value"]) | claims["item"].str.contains("estimate vs CI midpoint")
    checked = 0
    for (study, table), part in claims[single].groupby(["study", "table"]):
        known = cells[(cells["study"] == study) & cells["table"].str.match(rf"{table}(,|$)")]["printed"].map(bare)
        typed = [one for one in part["published_value"] if re.fullmatch(r"[<.\d ()\-]+\*?", one)]
        if len(known):
            assert not [one for one in typed if bare(one) not in set(known)], (study, table)
            checked += len(typed)
    assert checked > 150


def test_what_a_study_file_lists_again_is_typed_alike(cells: pd.DataFrame, root: Path) -> None:
    for study in PAPERS:
        own = cells[cells["study"] == study]
        listed = load_study(study, folder=root / "studies").published
        assert not {one.ours for one in listed} & set(own["ours"]) - {""}  # each value beside ours once
        for one in listed:
            known = own[own["table"].str.match(rf"{re.escape(one.where)}(,|$)")]["printed"]
            assert one.value in set(known) or known.empty, one


def test_the_addresses_name_cohorts_and_signatures_of_the_study(cells: pd.DataFrame, root: Path) -> None:
    for name in PAPERS:
        study = load_study(name, folder=root / "studies")
        places = [*study.cohorts, "center_1"]  # Gu's Center 1: training and internal validation
        known = [*(one.name for one in study.signatures), *study.described]
        keys = tables.cells_of(study)["ours"].loc[lambda key: key != ""]
        assert not [key for key in keys if not any(one in key for one in known)]
        judged = keys[keys.str.match("auc|c_index|accuracy|sensitivity|specificity|ppv|npv|pair|null|logrank|median")]
        assert not [key for key in judged if not any(f"_{place}_" in key for place in places)]


def test_a_table_is_laid_out_as_printed(root: Path) -> None:
    study = load_study("song2021", folder=root / "studies")
    numbers = {
        "accuracy_train_DLR-A": {"value": 0.7142, "n": 56, "ci_low": 0.5796, "ci_high": 0.8271},
        "pair_p_train_DLR-A_DLR-A + s": {"value": 0.0004, "n": 56},
        "auc_train_DLR-A": {"value": float("nan"), "n": 56},
    }
    (caption,) = [key for key in tables.printed_tables(study, "06", numbers) if key.startswith("Table 4 ")]
    assert "synthetic patients of study song2021" in caption
    table = tables.printed_tables(study, "06", numbers)[caption]
    columns = ["ACC", "SEN", "SPC", "AUC", "P", *(f"P against DLR-A + {one}" for one in ("s", "sa", "sag"))]
    assert list(table) == ["row", "whose", *columns, "patients here"]
    assert (
        table["row"].tolist()[::2]
        == table["row"].tolist()[1::2]
        == ["DLR-A", *(f"DLR-A + {s}" for s in ("s", "sa", "sag"))]
    )
    first, second = table.iloc[0], table.iloc[1]
    assert first[columns].tolist() == ["0.71", "0.90", "0.67", "0.80", "0.003", "0.413", "0.822", "0.680"]
    assert second["ACC"] == "0.71 (0.58–0.83)"
    assert second[["AUC", "P against DLR-A + s", "SEN"]].tolist() == ["not estimable", "<0.001", "not in this run"]
    assert second["patients here"] == "56"
    assert table.iloc[6]["P against DLR-A + s"] == table.iloc[7]["P against DLR-A + s"] == tables.BLANK
    assert (table != "").all(axis=None)
    assert tables.printed_tables(study, "02", {}) == {}


@pytest.mark.parametrize(
    ("printed", "found", "words"),
    [
        ("61.9%", {"value": 13 / 21, "ci_low": 0.384, "ci_high": 0.819}, "61.9 (38.4–81.9)%"),
        ("61.9%", {"value": 13 / 21}, "61.9%"),
        ("61.9%", None, "not in this run"),
        ("0.0632", {"value": 0.12345}, "0.123"),
    ],
)
def test_a_value_is_worded_like_the_printed_one(printed: str, found: dict | None, words: str) -> None:
    assert tables.words_here({"printed": printed, "ours": "sensitivity_train"}, found) == words
