"""The list at the end of the chapter: what its numbers can and cannot mean."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from radsupport.book.conclusions import validation as guide
from radsupport.errors import ContractError
from radsupport.evaluate import summary as summary_guide
from radsupport.settings.study import Caution
from radsupport.wording import estimate

discrimination = import_module("radsupport.evaluate.discrimination")


def words_of(predictions, study, modelling=None):
    scores = discrimination.discrimination_table(predictions, study)
    return guide.guide_words(predictions, scores, discrimination.all_pairs(predictions, study), study, modelling or {})


@pytest.mark.parametrize(("n", "events"), [(18, 9), (56, 10), (315, 227)])
def test_the_least_detectable_auc_has_a_null_p_of_five_percent(n, events):
    least = summary_guide.least_detectable(n, events)
    assert discrimination.null_se_p(least, events, n - events) == pytest.approx(0.05)


def test_the_least_detectable_auc_exists_only_with_both_outcomes():
    assert np.isnan(summary_guide.least_detectable(10, 0))
    assert np.isnan(summary_guide.least_detectable(10, 10))
    assert summary_guide.least_detectable(3, 1) == 1.0
    assert stats.norm.ppf(0.975) == pytest.approx(1.959963984540054)


def test_better_than_chance_and_the_least_detectable_auc_never_contradict():
    """Nine of 18 patients: DeLong's P of this AUC was 0.023, that of its standard error under chance is 0.058."""
    row = {"measure": "AUC", "value": 0.765, "n": 18, "events": 9, "p_vs_half": 0.023}
    assert not discrimination.above_chance(row)
    assert discrimination.chance_p(row) == pytest.approx(0.058, abs=0.001)
    assert discrimination.above_chance({**row, "value": summary_guide.least_detectable(18, 9) + 0.001})
    assert not discrimination.above_chance({**row, "value": 0.1})  # far from chance on the wrong side
    assert discrimination.above_chance({**row, "measure": "C-index"})


def test_the_guide_says_what_the_intervals_allow(labelled):
    study, _, predictions = labelled
    text = words_of(predictions, study)
    assert "North, A: AUC" in text
    assert "against 0.5 by the standard error under chance: better than chance." in text
    assert "9 pairs of signatures were compared" in text
    assert "0.45 would be expected if no two differed" in text
    assert "chance is not excluded" in words_of(predictions.assign(risk=0.5), study)
    assert "ranks the wrong way" in words_of(predictions.assign(risk=1 - predictions["risk"]), study)


def test_a_single_pair_is_counted_as_one(labelled, make_study):
    _, _, predictions = labelled
    two = make_study(signatures=[{"name": "A", "sources": ["radiomics"]}, {"name": "B", "sources": ["radiomics"]}])
    text = words_of(predictions[(predictions["signature"] != "A + B") & (predictions["cohort"] == "train")], two)
    assert "1 pair of signatures was compared" in text
    assert "0.05 would be expected" in text


def test_the_chosen_signature_is_measured_against_the_comparator_and_the_highest_other(labelled):
    study, _, predictions = labelled
    lines = [line for line in words_of(predictions, study).splitlines() if " minus " in line]
    assert len(lines) == 6
    pairs = discrimination.paired_tests(predictions, study, "train")
    row = pairs.query("signature_a == 'A' and signature_b == 'B'").iloc[0]
    line = next(line for line in lines if "North" in line and "the study's comparator" in line)
    assert f"A (AUC {row['auc_a']:.3f}) minus B ({row['auc_b']:.3f}; the study's comparator): " in line
    assert estimate(row["difference"], row["ci_low"], row["ci_high"], 3) in line
    assert "A does better" in line
    assert any("A + B" in line and "the highest of the others, picked after looking" in line for line in lines)


def test_that_the_chosen_signature_does_worse_is_said_plainly(labelled, make_study):
    _, _, predictions = labelled
    study = make_study(validation={"best": "B", "comparator": "A"})
    text = words_of(predictions, study)
    assert "**B does worse than A**" in text
    assert "minus A (" in text  # the pair stands the other way round in the table of pairs
    alone = make_study(validation={"best": "A", "comparator": ""}, signatures=[{"name": "A", "sources": ["radiomics"]}])
    assert " minus " not in words_of(predictions[predictions["signature"] == "A"], alone)


def test_a_published_rival_is_said_to_be_flattered_in_training_only(labelled, make_study):
    _, _, predictions = labelled
    published = {"name": "B", "sources": ["deep_published"], "learner": "published"}
    study = make_study(signatures=[{"name": "A", "sources": ["radiomics"]}, published])
    lines = words_of(predictions[predictions["signature"] != "A + B"], study).splitlines()
    flattered = [line for line in lines if "may be flattered here" in line]
    assert len(flattered) == 1
    assert flattered[0].startswith("- North: ")


def test_a_pair_outside_the_comparisons_is_tested_nevertheless(labelled, make_study):
    _, _, predictions = labelled
    study = make_study(validation={"comparisons": [{"name": "two", "signatures": ["B", "A + B"]}]})
    assert " minus B (" in words_of(predictions, study)


def test_survival_is_compared_by_the_c_index(followed):
    study, _, predictions = followed
    line = next(line for line in words_of(predictions, study).splitlines() if " minus " in line)
    assert "A (C-index" in line
    assert "jackknife, paired" in line


def test_the_gap_to_the_apparent_value_is_that_of_the_chosen_signature(labelled, make_study):
    study, _, predictions = labelled
    scores = discrimination.discrimination_table(predictions, study)
    row = scores.query("cohort == 'train' and signature == 'A'").iloc[0]
    assert f"The apparent AUC of A ({row['apparent']:.3f}) is {row['apparent'] - row['value']:.3f} above" in words_of(
        predictions, study
    )
    same = predictions.assign(risk=predictions["risk"].mask(predictions["kind"] == "apparent", 0.5))
    assert "no optimism is seen" in words_of(same, study)
    given = make_study(signatures=[{"name": "A", "sources": ["deep_published"], "learner": "published"}])
    assert "apparent" not in words_of(predictions[predictions["signature"] == "A"], given)


def test_divisions_are_quoted_where_chapter_five_published_them(labelled):
    study, _, predictions = labelled
    entry = {"value": 0.807, "n": 3, "ci_low": 0.77, "ci_high": 0.852}
    text = words_of(predictions, study, {"mean_over_divisions:A": entry, "auc_train_A": entry})
    assert "first of 3 divisions into folds" in text
    first = discrimination.discrimination_table(predictions, study).query("cohort == 'train'").set_index("signature")
    assert f"A 0.807 (0.770 to 0.852; in the first {first.loc['A', 'value']:.3f})." in text
    assert first.loc["A", "value"] > first.loc["B", "value"]
    luckier = {"value": 0.9, "n": 3, "ci_low": 0.8, "ci_high": 0.95}
    both = words_of(predictions, study, {"mean_over_divisions:A": entry, "mean_over_divisions:B": luckier})
    assert "the other way round" in both
    assert "the other way round" not in text
    for nothing in ({}, {"mean_over_divisions:A": {"value": None, "n": 3}}, {"mean_over_divisions:A": 0.8}):
        assert "divisions" not in words_of(predictions, study, nothing)


def test_without_chapter_five_there_are_no_numbers():
    class Entered:
        def published(self, chapter):
            raise ContractError("not here", [])

    assert guide.modelling_numbers(Entered()) == {}


def test_unequal_areas_are_mentioned_and_equal_ones_are_not(labelled):
    study, _, predictions = labelled
    assert "of the group All signatures are not all equal (P" in words_of(predictions, study)
    chance = predictions.assign(risk=np.random.default_rng(3).uniform(size=len(predictions)))
    assert "not all equal" not in words_of(chance, study)


def test_a_risk_that_hardly_varies_is_no_rival(labelled):
    study, _, predictions = labelled
    flat = predictions["risk"].mask(predictions["signature"] == "B", 0.49 + 0.01 * predictions["risk"])
    predictions = predictions.assign(risk=flat)
    assert set(summary_guide.flat_signatures(predictions, study)) == {"B"}
    text = words_of(predictions, study)
    assert "B: its risks hardly vary between the training patients" in text
    assert "no finding, because the risks of B hardly vary" in text
    assert "A does better" not in "".join(line for line in text.splitlines() if "minus B" in line)
    scores = predictions.assign(risk=predictions["risk"] + 7)  # no scale on which 0.01 is little
    assert summary_guide.flat_signatures(scores, study) == {}


def test_the_guide_quotes_the_cautions_of_its_chapter(labelled, make_study):
    _, _, predictions = labelled
    cautions = [{"text": "Always."}, {"text": "Here.", "chapters": ["06"]}, {"text": "Elsewhere.", "chapters": ["01"]}]
    study = make_study(cautions=cautions)
    own = predictions[predictions["cohort"] == "train"]
    text = guide.guide_words(own, discrimination.discrimination_table(own, study), pd.DataFrame(), study, {})
    assert "- Always." in text
    assert "- Here." in text
    assert "Elsewhere" not in text
    assert "one cohort only" in text
    assert isinstance(study.cautions[0], Caution)
