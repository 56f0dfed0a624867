"""How signatures rank the training patients: optimism, the luck of the first division, published outputs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from radsupport import evaluate
from radsupport.book.conclusions import modelling as say
from radsupport.book.conclusions import validation
from radsupport.book.conclusions.comparison import folds_together
from radsupport.evaluate.cross_validation import cross_validation, scores
from radsupport.learning.inspection import selection_funnel
from radsupport.learning.signatures import SignatureRun
from radsupport.stats.roc import auc
from radsupport.wording import estimate


def spread(values: dict[str, list[float]]) -> pd.DataFrame:
    rows = [{"signature": name, "repeat": i, "score": v} for name, own in values.items() for i, v in enumerate(own)]
    empty = pd.DataFrame()
    return SignatureRun(empty, empty, empty, empty, pd.DataFrame(rows), empty, [], {}).divisions()


def test_spread_over_divisions(finished):
    table = finished.run.divisions().set_index("signature")
    own = finished.run.by_repeat.query("signature == 'Radiomics'")["score"]
    assert table.loc["Radiomics", "divisions"] == 2
    assert table.loc["Radiomics", "first"] == own.iloc[0]
    assert table.loc["Radiomics", "mean"] == pytest.approx(own.mean())
    assert table.loc["Radiomics", ["lowest", "highest"]].tolist() == [own.min(), own.max()]


def test_a_published_output_has_no_divisions(small, folder):
    cohort = small.cohort()
    given = pd.DataFrame({"subject": cohort["subject"], "ct__risk": np.linspace(0, 1, len(cohort))})
    published = {"name": "CNN", "sources": ["deep_published"], "learner": "published"}
    study = small.study([published, small.clinical], modelling={"repeats": 2})
    run = small.run(study, small.assemble(study, folder(cohort, deep_published=given)))
    assert run.divisions()["signature"].tolist() == ["Clinical"]
    table = cross_validation(run)
    assert table["kind"].tolist() == ["published output; not fitted here", "out of fold"]
    assert table.loc[0, ["inner_score", "apparent", "optimism", "divisions_mean"]].isna().all()


def test_cross_validation_table_has_optimism_and_leaves_given_risks_out(finished, small, folder):
    table = cross_validation(finished.run).set_index("signature")
    mean = finished.run.by_repeat.groupby("signature")["score"].agg(["mean", "min", "max"]).loc[table.index]
    assert table["divisions_mean"].to_numpy() == pytest.approx(mean["mean"])
    assert table["optimism"].to_numpy() == pytest.approx(table["apparent"] - mean["mean"])
    ends = [f"{low:.3f}–{high:.3f}" for low, high in zip(mean["min"], mean["max"], strict=True)]
    assert table["divisions_range"].tolist() == ends
    assert "kind" not in table
    row = table.loc["Radiomics"]
    z = (row["out_of_fold"] - 0.5) / np.sqrt((row["n"] + 1) / (12 * row["events"] * (row["n"] - row["events"])))
    assert row["p_null_se"] == pytest.approx(2 * stats.norm.sf(abs(z)))
    summary = finished.run.summary.set_index("signature")
    assert table["out_of_fold"].to_dict() == pytest.approx(summary["out_of_fold"].to_dict())
    assert table["inner_score"].to_dict() == summary["inner_score"].to_dict()
    words = say.cross_validated(table.reset_index(), finished.run.excluded, {})
    assert words.startswith(
        f"The interval lies above 0.5 for {(table['out_of_fold_low'] > 0.5).sum()} of 3 fitted signatures"
    )
    cohort = small.cohort()
    given = pd.DataFrame({"subject": cohort["subject"], "ct__risk": np.linspace(0, 1, len(cohort))})
    study = small.study([{"name": "CNN", "sources": ["deep_published"], "learner": "published"}])
    run = small.run(study, small.assemble(study, folder(cohort, deep_published=given)))
    alone = cross_validation(run)
    assert alone[["inner_score", "apparent", "optimism"]].isna().all(axis=None)
    assert alone["kind"].tolist() == ["published output; not fitted here"]
    assert not {"divisions_mean", "divisions_range"} & set(alone)
    words = say.cross_validated(alone, run.excluded, {})
    assert words.startswith("Nothing was fitted")
    assert "Every patient has a prediction by every signature." in words
    assert run.selection_counts().empty
    assert selection_funnel(run).empty


def test_lucky_and_unlucky_first_divisions_are_named():
    words = say.divisions(spread({"A": [0.85, 0.74, 0.83], "B": [0.7, 0.8, 0.75], "C": [0.7, 0.6, 0.8]}))
    assert (
        "Of 3 divisions the first is the highest for **A** (0.850; mean 0.807), and the lowest for **B** (0.700;"
        in words
    )
    assert "**C**" not in words
    assert "one signature in 3" in words
    level = say.divisions(spread({"A": [0.7, 0.7]}))
    assert "the highest for none, and the lowest for none" in level
    assert say.divisions(spread({"A": [0.7]})).startswith("One division only")


def test_values_of_every_cohort(finished):
    table = scores(finished.run.predictions).set_index("signature")
    rows = finished.run.predictions.query("signature == 'Both' and kind == 'external'")
    assert table.loc["Both", "external"] == pytest.approx(roc_auc_score(rows["label"], rows["risk"]))
    own = auc(rows["label"], rows["risk"])
    limits = table.loc["Both", ["external_low", "external_high"]].tolist()
    assert limits == pytest.approx([own.ci_low, own.ci_high])
    assert table.loc["Both", "n_external"] == len(rows)
    rows = finished.run.predictions.query("signature == 'Both' and kind == 'apparent'")
    assert table.loc["Both", "apparent"] == pytest.approx(roc_auc_score(rows["label"], rows["risk"]))
    assert "internal" not in table


def test_words_of_published_outputs_and_of_who_is_left_out():
    kinds = ["out of fold, on a published output", "published output; not fitted here", "out of fold"]
    table = pd.DataFrame({"signature": ["Both", "CNN", "R"], "kind": kinds, "inner_score": np.nan, "apparent": np.nan})
    rows = pd.DataFrame(
        {"subject": ["a", "b"], "cohort": ["train", "external"], "signature": "R", "reason": "no radiomics features"}
    )
    names = {"train": "North", "external": "South"}
    words = say.cross_validated(table, rows, names)
    assert "Published output: **CNN**." in words
    assert "inherits this: **Both**." in words
    assert words.endswith("- **R**: 2 patients without a prediction (no radiomics features): 1 in North and 1 in South")
    assert "Published output" not in say.cross_validated(table.drop(columns="kind"), rows, names)


def test_gaps_in_single_columns_are_stated(small):
    cohort, study = small.cohort(), small.study([small.clinical])
    words = say.missing(cohort, study.columns, study.cohort_names)
    assert words == "- Symptom is missing for 4 of 24 in C: filled with the most frequent level of the training part."
    assert say.missing(cohort, {"age": study.columns["age"]}, study.cohort_names).startswith("No clinical column")
    assert say.missing(cohort, {}, study.cohort_names) == "No signature names a clinical column."
    older = cohort.assign(symptom="no", age=cohort["age"].where(cohort.index > 0))
    assert "Age is missing for 1 of 60 in A: filled with the median" in say.missing(
        older, study.columns, {"train": "A"}
    )


def test_training_patients_of_several_centers_have_a_value_within_them(finished):
    predictions = finished.run.predictions
    cohort = predictions.drop_duplicates("subject")[["subject", "cohort", "label"]].reset_index(drop=True)
    cohort["center"] = np.where(np.arange(len(cohort)) % 3 == 0, "a", "b")
    table = cross_validation(finished.run, cohort=cohort).set_index("signature")
    own = predictions.query("signature == 'Radiomics' and kind == 'out_of_fold'").merge(cohort[["subject", "center"]])
    gaps = []
    for _, part in own.groupby("center"):
        ill, well = part[part["label"] == 1]["risk"].to_numpy(), part[part["label"] == 0]["risk"].to_numpy()
        gaps += [*np.where(ill[:, None] > well, 1.0, np.where(ill[:, None] == well, 0.5, 0.0)).ravel()]
    row = table.loc["Radiomics"]
    assert row["within"] == pytest.approx(np.mean(gaps))
    assert row["within_low"] < row["within"] < row["within_high"]
    assert row["centers"] == 2
    assert row["out_of_fold"] == cross_validation(finished.run).set_index("signature").loc["Radiomics", "out_of_fold"]
    pooled = table.reset_index().rename(columns={"out_of_fold": "value"}).assign(cohort="train")
    line = validation.pooling(pooled, None, {"train": "North"}).split("\n")[table.index.get_loc("Radiomics")]
    limits = estimate(*row[["within", "within_low", "within_high"]])
    assert line.startswith(f"- North, Radiomics: AUC {limits} within 2 centers, {row['out_of_fold']:.3f} pooled")
    one = cohort.assign(center=np.where(cohort["cohort"] == "train", "a", cohort["center"]))  # several elsewhere only
    assert "within" not in cross_validation(finished.run, cohort=one)
    words = say.cross_validated(table.reset_index(), finished.run.excluded, {})
    assert words.startswith(f"The interval within centers lies above 0.5 for {(table['within_low'] > 0.5).sum()} of 3")


def test_what_does_better_out_of_fold_is_not_called_optimism():
    table = pd.DataFrame({"signature": ["A", "B"], "out_of_fold_low": [0.55, 0.4], "inner_score": 0.7})
    table = table.assign(out_of_fold=[0.8, 0.6], apparent=[0.75, 0.58], optimism=[-0.05, -0.02])
    nobody = pd.DataFrame(columns=["signature", "reason", "cohort"])
    words = say.cross_validated(table, nobody, {})
    assert words.startswith(
        "The interval lies above 0.5 for 1 of 2 fitted signatures. No apparent value lies above the one out of fold. "
        "Out of fold **A** and **B** did better than apparent: by chance."
    )
    mixed = say.cross_validated(table.assign(apparent=[0.9, 0.58], optimism=[0.1, -0.02]), nobody, {})
    assert "that of **A**: 0.90 against 0.80. Out of fold **B** did better than apparent: by chance." in mixed


def test_the_largest_gap_may_be_that_of_a_network_which_has_no_inner_score():
    table = pd.DataFrame({"signature": ["Net", "Clinical", "CNN"], "out_of_fold": [0.746, 0.623, 0.7]})
    table = table.assign(out_of_fold_low=[0.67, 0.54, 0.6], apparent=[0.859, 0.732, np.nan])
    table = table.assign(optimism=table["apparent"] - table["out_of_fold"], inner_score=[np.nan, 0.669, np.nan])
    table["kind"] = ["out of fold", "out of fold", "published output; not fitted here"]
    words = say.cross_validated(table, pd.DataFrame(columns=["signature", "reason", "cohort"]), {})
    assert words.startswith("The interval lies above 0.5 for 2 of 2 fitted signatures.")
    assert "that of **Net**: 0.86 against 0.75." in words


def test_the_chosen_signature_is_said_with_what_it_flatters_itself_by():
    row = {"signature": "A", "n": 50.0, "out_of_fold": 0.7, "out_of_fold_low": 0.6, "out_of_fold_high": 0.8}
    table = pd.DataFrame([row | {"apparent": 0.9}, row | {"signature": "B", "out_of_fold": np.nan, "apparent": 0.9}])
    none = pd.DataFrame()
    table["optimism"] = table["apparent"] - table["out_of_fold"]
    words = say.in_short(table, "A", "AUC", none, none, {})[0].splitlines()
    assert words[0].endswith(
        "AUC 0.70 (0.60–0.80) in 50 training patients, out of fold; on its own patients 0.90; one division."
    )
    assert words[1].startswith("The interval lies above 0.5 for 2 of 2 fitted signatures.")
    assert say.in_short(table, "B", "AUC", none, none, {})[0] == words[1]
    several = table.assign(within=0.65, within_low=0.55, within_high=0.75)
    assert "AUC 0.65 (0.55–0.75) within centers in 50" in say.in_short(several, "A", "AUC", none, none, {})[0]


CONTROL = {"signature": "A", "draws": 30, "observed": 0.7, "p": 2 / 31, "p_low": 0.000844, "p_high": 0.1722}


def test_permutations_that_contradict_the_table_are_believed():
    table = pd.DataFrame({"signature": ["A", "B"], "p_null_se": [0.004, 0.6]})
    words = say.disagreement(pd.DataFrame([CONTROL, CONTROL | {"signature": "B", "p": 0.5}]), table)
    assert "for A (P = 0.065 by 30 permutations, which alone leaves P between 0.001 and 0.17; P = 0.004 in" in words
    assert "B (" not in words
    assert "believe it" in words
    brief = say.disagreement(pd.DataFrame([CONTROL]), table, why=False)
    assert brief.endswith("do not agree for A (P = 0.065 by 30 permutations; P = 0.004 in the table).")
    agrees = pd.DataFrame([CONTROL | {"p": 1 / 31, "p_low": 0.0, "p_high": 0.1157}])
    assert say.disagreement(agrees, table) == say.disagreement(pd.DataFrame(), table) == ""
    first = say.disagreement(agrees.assign(signature="B"), table)
    assert "P = 0.032 by 30 permutations, which alone leaves P between 0.000 and 0.12" in first
    assert say.disagreement(pd.DataFrame([CONTROL | {"p": np.nan}]), table) == ""


def test_other_choices_that_differ_are_named():
    row = {"signature": "A", "variant": "whole field", "out_of_fold": 0.543, "difference": -0.247, "p": 0.0001}
    row |= {"difference_low": -0.352, "difference_high": -0.143}
    table = pd.DataFrame([row, row | {"variant": "mean", "p": 0.4}, row | {"variant": "own", "p": np.nan}])
    assert say._apart(table) == (
        "Other choices that differ, out of fold: A, whole field: 0.54, −0.25 (−0.35 to −0.14) against the study's "
        "choice (of 2 tests, not adjusted)."
    )
    assert say._apart(table.tail(2)) == say._apart(pd.DataFrame({"variant": []})) == say._apart(None) == ""


def test_a_value_below_chance_is_said_beside_the_table():
    row = {"signature": "A", "out_of_fold": 0.402, "out_of_fold_low": 0.32, "out_of_fold_high": 0.484}
    assert say._below(pd.DataFrame([row])).startswith("**Worse than chance**: A in training 0.40 (0.32–0.48).")
    assert say._below(pd.DataFrame([row | {"out_of_fold": 0.5, "out_of_fold_high": 0.6}])) == ""


def test_fold_models_on_one_scale_change_ranks_between_folds_and_no_risk(finished, small, folder):
    assembly = finished.assembly.changed(pooling="standardised")
    run = small.run(finished.study, assembly)
    risks = [one.predictions.drop(columns="score", errors="ignore") for one in (run, finished.run)]
    pd.testing.assert_frame_equal(*risks)
    assert "score" not in finished.run.predictions
    scored = run.predictions["score"].notna()
    assert (scored == (run.predictions["kind"] == "out_of_fold")).all()
    table, raw = (cross_validation(one).set_index("signature") for one in (run, finished.run))
    own = run.predictions[scored]
    for name, part in own.groupby("signature"):
        assert table.loc[name, "out_of_fold"] == pytest.approx(roc_auc_score(part["label"], part["score"]))
    assert table["out_of_fold"].to_dict() != pytest.approx(raw["out_of_fold"].to_dict())
    assert table["within_folds"].to_dict() == pytest.approx(raw["within_folds"].to_dict())
    assert run.by_repeat["score"].tolist() != pytest.approx(finished.run.by_repeat["score"].tolist())
    # What goes by the probability is the same to the last digit: threshold, slope and intercept.
    rows = [evaluate.judged(one.predictions) for one in (run, finished.run)]
    cuts = [evaluate.threshold(one, rule="youden") for one in rows]
    pd.testing.assert_series_equal(*cuts)
    shown = [
        evaluate.measure(evaluate.probabilities(one, evaluate.lock(one), []), evaluate.calibration) for one in rows
    ]
    pd.testing.assert_frame_equal(*shown)
    words = say.cross_validated(table.reset_index(), run.excluded, {}, "standardised")
    gap = (table["out_of_fold"] - table["within_folds"]).abs()
    assert f"**{gap.idxmax()}**: {gap.max():.3f}" in words
    assert "put on one scale" in words
    assert folds_together(raw.reset_index().drop(columns="within_folds"), "raw").endswith("gave, as they are.")
