"""A random sample of the claims is read back against the papers' text, where that is at hand."""

import csv
import re

import numpy as np
import pytest

FILES = {"Song2021": ("000_", "001_"), "Yang2023": ("002_",), "Gu2023": ("003_",), "Cui2022": ("004_",)}
DERIVED = {"RDPs: prevalence implied by PPV vs by accuracy"}
"""Items whose printed value was worked out, not read."""
SAMPLE = 200


@pytest.fixture(scope="module")
def papers(shared):
    folder = shared / "papers"
    if not folder.is_dir():
        pytest.skip("the papers are not here")
    texts = {}
    for study, starts in FILES.items():
        paths = [path for path in folder.glob("*.txt") if path.name.startswith(starts)]
        texts[study] = " ".join(path.read_text(encoding="utf-8", errors="replace") for path in paths)
    return texts


@pytest.fixture(scope="module")
def sample(root):
    with (root / "radsupport/claims/data/claims.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["item"] not in DERIVED]
    chosen = np.random.default_rng(20240507).choice(len(rows), SAMPLE, replace=False)
    return [rows[i] for i in chosen]


def _numbers(text):
    return {float(each) for each in re.findall(r"\d+\.\d+|\.\d+|\d+", re.sub(r"(?<=\d),(?=\d{3}\b)", "", text))}


def test_every_printed_value_of_the_sample_stands_in_its_paper(papers, sample):
    known = {study: _numbers(text) for study, text in papers.items()}
    lost = [
        (row["study"], row["table"], row["item"], number)
        for row in sample
        for number in _numbers(row["published_value"])
        if number not in known[row["study"]]
    ]
    assert not lost


def test_every_count_of_the_sample_stands_in_its_paper(papers, sample):
    known = {study: _numbers(text) for study, text in papers.items()}
    rows = [
        row for row in sample if re.search(r'"(counts|levels|subgroups|mean_sd|groups|estimate|ci)"', row["inputs"])
    ]
    lost = [
        (row["study"], row["table"], row["item"], number)
        for row in rows
        for number in _numbers(re.sub(r'"[^"\d]*[A-Za-z][^"]*"', " ", row["typed_inputs"] or row["inputs"]))
        if number not in known[row["study"]] and '"n_pos"' not in row["inputs"]
    ]
    assert len(rows) > SAMPLE / 4
    assert not lost


def test_rows_of_a_table_stand_together(papers, sample):
    """The counts of each level are found side by side in the paper's text, in the order of the claim."""
    rows = [row for row in sample if row["kind"] == "p_value" and '"counts"' in row["inputs"]]
    assert len(rows) > 5
    for row in rows:
        text = re.sub(r"\(\s*\d+\.\d+%?\s*\)", " ", papers[row["study"]])
        for level in re.findall(r"\[(\d+(?:, \d+)+)\]", row["inputs"]):
            pattern = r"\D{1,12}".join(level.split(", "))
            assert re.search(rf"(?<!\d){pattern}(?!\d)", text), (row["item"], level)
