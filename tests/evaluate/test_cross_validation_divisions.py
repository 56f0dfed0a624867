"""The luck of the first division is named, and the numbers of all divisions are published."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions import modelling as modelling_divisions
from radsupport.evaluate import cross_validation as divisions
from radsupport.evaluate.summary import DIVISIONS
from radsupport.learning.signatures import assemble, run_signatures


def spread(values: dict[str, list[float]]) -> pd.DataFrame:
    rows = [{"signature": name, "repeat": i, "score": v} for name, own in values.items() for i, v in enumerate(own)]
    run, study = SimpleNamespace(by_repeat=pd.DataFrame(rows)), SimpleNamespace(signatures=[])
    return divisions.spread_table(run, study)


def test_spread_over_divisions(finished):
    table = divisions.spread_table(finished.run, finished.study).set_index("signature")
    own = finished.run.by_repeat.query("signature == 'Radiomics'")["score"]
    assert table.loc["Radiomics", "divisions"] == 2
    assert table.loc["Radiomics", "first"] == own.iloc[0]
    assert table.loc["Radiomics", "mean"] == pytest.approx(own.mean())
    assert table.loc["Radiomics", ["lowest", "highest"]].tolist() == [own.min(), own.max()]
    assert divisions.divided_again(table)


def test_a_published_output_has_no_divisions(small, folder):
    cohort = small.cohort()
    given = pd.DataFrame({"subject": cohort["subject"], "ct__risk": np.linspace(0, 1, len(cohort))})
    published = {"name": "CNN", "sources": ["deep_published"], "learner": "published"}
    study = small.study([published, small.clinical], modelling={"repeats": 2})
    run = run_signatures(study, assemble(study, folder(cohort, deep_published=given)))
    assert divisions.spread_table(run, study)["signature"].tolist() == ["Clinical"]


def test_lucky_and_unlucky_first_divisions_are_named():
    words = modelling_divisions.luck_words(
        spread({"A": [0.85, 0.74, 0.83], "B": [0.7, 0.8, 0.75], "C": [0.7, 0.6, 0.8]})
    )
    assert "Of 3 divisions it is the highest for **A** (0.850; mean 0.807), and the lowest for **B** (0.700;" in words
    assert "**C**" not in words
    assert "one signature in 3" in words
    level = modelling_divisions.luck_words(spread({"A": [0.7, 0.7]}))
    assert "the highest for none, and the lowest for none" in level
    assert modelling_divisions.luck_words(spread({"A": [0.7]})).startswith("One division only")


def test_divisions_are_published_where_there_are_several():
    told = {}
    chapter = SimpleNamespace(publish=lambda key, value, **more: told.update({key: (value, more)}))
    modelling_divisions.publish_divisions(chapter, spread({"A": [0.85, 0.74, 0.84]}))
    modelling_divisions.publish_divisions(chapter, spread({"B": [0.5]}))
    assert told == {"mean_over_divisions:A": (pytest.approx(0.81), {"n": 3, "ci": (0.74, 0.85)})}


def test_chapter_six_looks_where_they_are_published():
    assert divisions.PUBLISHED_AS == DIVISIONS
