"""Chapter 06 in words: who was judged, and what its numbers can and can not mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport import evaluate
from radsupport.book.conclusions import comparison
from radsupport.book.conclusions import validation as say
from radsupport.evaluate.discrimination import pairs
from radsupport.evaluate.predictions import LABEL, SURVIVAL
from radsupport.settings.learning import Signature
from radsupport.settings.parts import Cohort
from radsupport.tables import write_table
from radsupport.wording import estimate

NAMES = {"train": "North", "internal": "South", "external": "East and West"}


def meaning(
    predictions: pd.DataFrame,
    best: str = "A",
    comparator: str = "B",
    outcome: tuple[str, ...] = LABEL,
    families: dict[str, list[str]] | None = None,
    **given: Any,
) -> str:
    rows = evaluate.judged(predictions, outcome)
    scores = evaluate.measure(rows, evaluate.discrimination, outcome=outcome)
    seen = evaluate.judged(predictions, outcome, apparent=True)
    own = evaluate.measure(seen[seen["cohort"] == "apparent"], evaluate.discrimination, outcome=outcome)
    scores["apparent"] = scores["signature"].map(own.set_index("signature")["value"]).where(scores["cohort"] == "train")
    options = {"outcome": outcome, "n_bootstrap": 20}
    pairs = evaluate.comparisons(rows, families or {"all": list(rows["signature"].cat.categories)}, **options)
    rivals = evaluate.rivals(rows, scores, pairs, best, comparator, **options)
    words = {"modelling": {}, "published": [], "names": NAMES} | given
    short, answer, rest = say.meaning(rows, scores, pairs, rivals, best=best, comparator=comparator, **words)
    assert len(short.splitlines()) <= 6
    assert "nan" not in short
    assert not set(answer.splitlines()) & set(rest.splitlines())  # nothing is said twice
    return f"{answer}\n{rest}"


def test_who_is_judged_is_counted_from_the_predictions(labelled):
    _, cohort, predictions = labelled
    rows = evaluate.judged(predictions)
    lines = say.judged(rows, ["A", "B", "A + B"], NAMES, {}, cohort=cohort, external="refit").splitlines()
    events = int(cohort.loc[cohort["cohort"] == "train", "label"].sum())
    assert lines[0] == f"- North: 60 patients, {events} with the event, out-of-fold predictions"
    assert lines[2].startswith("- East and West: 50 patients")
    assert lines[2].endswith("scored with the model fitted on all training patients")
    assert lines[-1] == "Every signature has a prediction for every patient of the cohort table with an outcome."
    alone = say.judged(rows, ["A", "B", "A + B"], NAMES, {}, external="mean_of_folds")
    assert "scored with the mean of the models of the folds" in alone
    assert "there is no cohort table here" in alone.splitlines()[-1]


def test_patients_whom_no_signature_predicts_are_missed(labelled):
    _, cohort, predictions = labelled
    gone = set(cohort.loc[cohort["cohort"] == "external", "subject"].head(40))
    for lost in (gone, set(cohort.loc[cohort["cohort"] == "external", "subject"])):
        rows = evaluate.judged(predictions[~predictions["subject"].isin(lost)], cohort=cohort)
        words = say.judged(rows, ["A", "B"], NAMES, {}, cohort=cohort).splitlines()[-1]
        assert f"A in East and West ({len(lost)} of 50)" in words
        assert f"B in East and West ({len(lost)} of 50)" in words


def test_missing_predictions_are_named(labelled):
    rows = evaluate.judged(labelled[2][labelled[2]["signature"] != "B"])
    assert "B in North (60 of 60)" in say.judged(rows, ["A", "B", "A + B"], NAMES, {})


def test_a_published_output_is_named_with_what_contains_it(labelled):
    rows = evaluate.judged(labelled[2])
    text = say.judged(rows, ["A", "B", "A + B"], NAMES, {"B": ["A + B"]}, external="refit")
    assert "out-of-fold predictions; B as published\n" in text
    assert "scored with the model fitted on all training patients; B as published\n" in text
    lost = rows[(rows["signature"] != "A") | (rows["subject"] != rows["subject"].iloc[0])]
    assert say.judged(lost, ["A", "B"], NAMES, {}).startswith("- North: up to 60 patients")
    assert ", published output\n" in say.judged(rows[rows["signature"] == "B"], ["B"], NAMES, {"B": []})
    assert "B in North: published output; its own training patients may be among them" in text
    assert "those of A + B, which contains it" in text
    text = say.probabilities(evaluate.lock(rows, published=["B"]))
    assert text.startswith("Probabilities as they are: 2 of 3 signatures.")
    assert "B is a published output, translated like a score because it was fitted by others: as it is" in text
    mean = rows.query("cohort == 'train' and signature == 'B'")["risk"].mean()
    assert f"its mean in training is {mean:.2f}" in text


def test_whether_risks_had_to_be_translated(labelled, followed):
    assert (
        say.probabilities(evaluate.lock(evaluate.judged(labelled[2])))
        == "Probabilities as they are: 3 of 3 signatures."
    )
    locked = evaluate.lock(evaluate.judged(followed[2], SURVIVAL), SURVIVAL)
    assert say.probabilities(locked).startswith("Probabilities as they are: 0 of 3 signatures. The others")
    assert "nothing can be translated" in say.probabilities({})


def test_a_published_output_is_never_called_out_of_fold():
    assert say.titles(NAMES, ["B"], ["B"])["train"] == "North, published output"
    assert say.titles(NAMES, ["A", "B"], ["B"])["train"] == "North, out of fold; B as published"
    assert say.titles(NAMES, ["A"], ["B"])["train"] == "North, out of fold"
    assert say.titles(NAMES, ["B"], ["B"])["external"] == "East and West"
    assert say.titles(NAMES, ["B"])["apparent"] == "North, apparent"


def test_the_patient_who_makes_a_slope_is_named():
    row = {
        "cohort": "external", "signature": "A", "n": 50, "subject": "external_007", "risk": 1e-9, "slope": 0.31,
        "slope_without": 0.94,
    }  # fmt: skip
    table = pd.DataFrame([row, {**row, "subject": np.nan, "slope_without": np.nan}])
    text = say.influence(table, NAMES)
    assert (
        "East and West, A: one of 50 patients (patient external_007, predicted risk <0.0001) makes the slope 0.31"
        in text
    )
    assert text.endswith("without this patient it is 0.94.")
    assert say.influence(table.tail(1), NAMES) == say.influence(table.drop(columns="slope_without"), NAMES) == ""


def test_the_verdict_on_a_planted_effect_is_said_plainly(labelled):
    _, cohort, predictions = labelled
    latent = cohort.set_index("subject")["latent"]
    table = evaluate.planted(evaluate.judged(predictions), latent)
    text = say.planted(table, NAMES, 1.5)
    assert "North: found by A" in text
    assert "not found by B" in text
    assert '"Found" means above 0.5 with P < 0.05 by its standard error under chance.' in text
    assert "the latent itself reaches" in text
    flat = evaluate.planted(evaluate.judged(predictions.assign(risk=0.5)), latent)
    assert say.planted(flat, NAMES, 1.5).count("**found by no signature**") == 3
    assert "Nothing was planted" in say.planted(table, NAMES, 0.0)
    nobody = evaluate.planted(evaluate.judged(predictions), pd.Series(dtype=float))
    assert (len(nobody), say.planted(nobody, NAMES, 1.5)) == (0, "")


def test_the_guide_says_what_the_intervals_allow(labelled):
    _, _, predictions = labelled
    text = meaning(predictions)
    assert "North, A: AUC" in text
    assert "against 0.5 by the standard error under chance: better than chance." in text
    assert "3 pairs of signatures were compared in 3 cohorts (9 tests)" in text
    assert "0.45 would be expected if no two differed" in text
    assert "no interval or test: everybody has the same risk" in meaning(predictions.assign(risk=0.5))
    assert "ranks the wrong way" in meaning(predictions.assign(risk=1 - predictions["risk"]))
    gone = predictions.assign(label=predictions["label"].mask(predictions["cohort"] == "external", 0.0))
    assert "East and West: the AUC of A does not exist there." in meaning(gone)


def test_a_single_pair_is_counted_as_one(labelled):
    own = labelled[2][(labelled[2]["signature"] != "A + B") & (labelled[2]["cohort"] == "train")]
    text = meaning(own)
    assert "1 pair of signatures was compared" in text
    assert "0.05 would be expected" in text
    assert "Nobody outside the training cohort is judged" in text


def test_the_chosen_signature_is_measured_against_the_comparator_and_the_highest_other(labelled):
    _, _, predictions = labelled
    lines = [line for line in meaning(predictions).splitlines() if " minus " in line]
    assert len(lines) == 6
    row = pairs(evaluate.judged(predictions, cohorts=["train"])).iloc[0]
    line = next(line for line in lines if "North" in line and "the study's comparator" in line)
    assert f"A (AUC {row['value_a']:.3f}) minus B ({row['value_b']:.3f}; the study's comparator): " in line
    assert estimate(row["difference"], row["difference_low"], row["difference_high"], 3) in line
    assert "A does better" in line
    assert any("A + B" in line and "the highest of the others, picked after looking" in line for line in lines)


def test_that_the_chosen_signature_does_worse_is_said_plainly(labelled):
    _, _, predictions = labelled
    text = meaning(predictions, "B", "A")
    assert "**B does worse than A**" in text
    assert "minus A (" in text  # the pair stands the other way round in the table of pairs
    assert " minus " not in meaning(predictions[predictions["signature"] == "A"], "A", "")


def test_a_published_rival_is_said_to_be_flattered_in_training_only(labelled):
    lines = meaning(labelled[2][labelled[2]["signature"] != "A + B"], published=["B"]).splitlines()
    flattered = [line for line in lines if "may be flattered here" in line]
    assert len(flattered) == 1
    assert flattered[0].startswith("- North: ")


def test_a_pair_outside_the_comparisons_is_tested_nevertheless(labelled):
    assert " minus B (" in meaning(labelled[2], families={"two": ["B", "A + B"]})


def test_survival_is_compared_by_the_c_index(followed):
    line = next(line for line in meaning(followed[2], outcome=SURVIVAL).splitlines() if " minus " in line)
    assert "A (C-index" in line
    assert "jackknife, paired" in line


def test_the_gap_to_the_apparent_value_is_that_of_the_chosen_signature(labelled):
    _, _, predictions = labelled
    own = [evaluate.judged(predictions, signatures=["A"], cohorts=[key]) for key in ("train", "internal", "external")]
    first, *others = (evaluate.discrimination(rows)["value"] for rows in own)
    assert "The apparent AUC of A (" in meaning(predictions)
    rises = f"as optimism makes it; but in South ({others[0]:.3f})" in meaning(predictions)
    assert rises == (others[0] > first)
    train = predictions[predictions["cohort"] == "train"]
    assert "above the out-of-fold one: that much is optimism." in meaning(train)
    worse = predictions["risk"].where(predictions["cohort"] == "train", 0.5)
    assert "above the out-of-fold one: that much is optimism." in meaning(predictions.assign(risk=worse))
    same = predictions.assign(risk=predictions["risk"].mask(predictions["kind"] == "apparent", 0.5))
    assert "no optimism is seen" in meaning(same)
    assert "apparent" not in meaning(predictions[predictions["signature"] == "A"], published=["A"])


def test_divisions_are_quoted_where_chapter_five_published_them(labelled):
    _, _, predictions = labelled
    entry = {"value": 0.807, "n": 3, "ci_low": 0.77, "ci_high": 0.852}
    text = meaning(predictions, modelling={"mean_over_divisions:A": entry, "auc_train_A": entry})
    first = evaluate.discrimination(evaluate.judged(predictions, signatures=["A"], cohorts=["train"]))["value"]
    assert "first of 3 divisions into folds" in text
    assert f"A 0.807 (0.770 to 0.852; in the first {first:.3f})." in text
    assert "above the mean out-of-fold one" in text
    once = meaning(predictions, modelling={"mean_over_divisions:A": {**entry, "n": 1}})
    assert "divisions into folds" not in once
    turned = {"mean_over_divisions:A": entry, "mean_over_divisions:B": {**entry, "value": 0.9}}
    assert "the other way round" in meaning(predictions, modelling=turned)


def test_a_risk_that_hardly_varies_is_no_rival(labelled):
    _, _, predictions = labelled
    flat = predictions["risk"].mask(predictions["signature"] == "B", 0.49 + 0.01 * predictions["risk"])
    text = meaning(predictions.assign(risk=flat))
    assert "B: its risks hardly vary between the training patients" in text
    assert "no finding, because the risks of B hardly vary" in text
    assert "A does better" not in "".join(line for line in text.splitlines() if "minus B" in line)


@pytest.mark.parametrize(("p", "low", "verdict"), [(0.04, 0.01, "A does better"), (0.04, -0.01, "undecided")])
def test_a_p_value_that_contradicts_the_interval_decides_nothing(p: float, low: float, verdict: str) -> None:
    row = {
        "signature_a": "A",
        "signature_b": "B",
        "role": "comparator",
        "cohort": "train",
        "p": p,
        "measure": "C-index",
    }
    row |= {"difference": 0.1, "difference_low": low, "difference_high": 0.2, "value_a": 0.7, "value_b": 0.6, "n": 50}
    assert f"): {verdict}" in comparison._rival(row, NAMES, {}, set(), set())


def test_what_else_a_reader_must_know_stands_at_the_end(labelled):
    assert meaning(labelled[2], notes=["Always.", "Here."]).endswith("- Always.\n- Here.")


def of_centers() -> pd.DataFrame:
    """Return risks that differ between four hospitals by offset, as the event does: pooled they rank far better."""
    rng = np.random.default_rng(3)
    parts = []
    for i, (center, share) in enumerate({"A": 0.15, "B": 0.4, "C": 0.6, "D": 0.85}.items()):
        label = (np.arange(60) < 60 * share).astype(float)
        risk = 0.1 + 0.2 * i + 0.08 * (0.35 * label + rng.normal(size=60))
        parts.append(pd.DataFrame({"center": center, "label": label, "risk": risk}))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(subject=table.index.astype(str), cohort="external", signature=pd.Categorical(["A"] * 240))


def test_a_pooled_value_above_every_center_is_no_headline():
    rows, keys = of_centers(), ["cohort", "signature"]
    scores = evaluate.measure(rows, evaluate.discrimination, keys)
    centers = evaluate.measure(rows, evaluate.discrimination, [*keys, "center"], fewest=5)
    row = scores.iloc[0]
    pairs = weighted = 0.0
    for _, own in rows.groupby("center"):
        case, control = (own.loc[own["label"] == y, "risk"].to_numpy() for y in (1, 0))
        weighted += (case[:, None] > control).sum()
        pairs += case.size * control.size
    assert row["within"] == pytest.approx(weighted / pairs, rel=1e-12)
    assert row["value"] > 0.78 > centers["value"].max()
    words = say.pooling(scores, centers, NAMES)
    assert f"AUC {estimate(row['within'], row['within_low'], row['within_high'])} within 4 centers" in words
    assert "**The pooled value lies above every center" in words
    assert "outside the interval" in words
    shown = evaluate.headline(scores).iloc[0]
    assert (shown["value"], shown["pooled"], shown["p_chance"]) == (row["within"], row["value"], row["p_within"])
    alike = rows.assign(risk=rows["risk"] - rows.groupby("center")["risk"].transform("mean"))
    same = evaluate.measure(alike, evaluate.discrimination, keys)
    assert "**" not in say.pooling(same, evaluate.measure(alike, evaluate.discrimination, [*keys, "center"]), NAMES)


def test_conclusions_of_several_centers_say_where_they_pool():
    table = of_centers().assign(kind="external")
    other = table.assign(signature="B", risk=np.random.default_rng(1).uniform(size=240))
    third = other.assign(signature="C", risk=other["risk"].to_numpy()[::-1])
    rows = pd.concat([table, other, third]).assign(signature=lambda t: pd.Categorical(t["signature"]))
    scores = evaluate.measure(rows, evaluate.discrimination).assign(apparent=np.nan)
    tests = evaluate.comparisons(rows, {"all": ["A", "B", "C"]})
    rivals = evaluate.rivals(rows, scores, tests, "A", "B")
    given: dict[str, Any] = {"best": "A", "comparator": "B", "published": [], "names": NAMES}
    text = "\n".join(say.meaning(rows, scores, tests, rivals, {}, **given))
    assert "paired, n = 240, pooled over centers)" in text
    assert "the AUCs of the group all (pooled over centers) are not all equal" in text
    assert "the pairs say which differ" in text
    for p, words in ((0.04, "after Holm's adjustment."), (0.2, "after Holm's adjustment, nor before it.")):
        none = tests.assign(p=p, p_adjusted=0.3)
        assert f"no single pair differs {words}" in say.meaning(rows, scores, none, rivals, {}, **given)[2]
    alone = "\n".join(say.meaning(rows, scores.drop(columns="within"), tests, rivals, {}, **given))
    assert "pooled over centers" not in alone


def test_calibration_and_usefulness_are_part_of_the_conclusion(labelled):
    row = {"cohort": "external", "signature": "A", "predicted": 0.4, "observed": 0.6, "slope": 0.5}
    first = row | {"slope_low": 0.1, "slope_high": 0.9}
    table = pd.DataFrame([first, row | {"cohort": "internal", "slope": np.nan}, row | {"cohort": "train"}])
    shares = {"cohort": ["internal", "external"], "share": [0.0, 0.2], "better_at": ["nowhere", "20% to 30%"]}
    useful = pd.DataFrame(shares).assign(signature="A")
    text = meaning(labelled[2], calibration=table, useful=useful)
    assert (
        "Mean risk by A, predicted and observed (ideal slope: 1): East and West 0.40 and 0.60, slope "
        "0.50 (0.10–0.90) and South 0.40 and 0.60." in text
    )
    assert "treating nobody: East and West at thresholds of 20% to 30%; nowhere in South." in text
    later = meaning(labelled[2], useful=useful.assign(horizon=24.0, share=0.0))
    assert "treating nobody: nowhere in South by 24 months and East and West by 24 months." in later
    nothing = meaning(labelled[2], calibration=pd.DataFrame(), useful=pd.DataFrame())
    assert nothing == meaning(labelled[2])


def test_one_center_keeps_its_value(labelled):
    rows = evaluate.judged(labelled[2])
    plain = evaluate.measure(rows, evaluate.discrimination)
    alone = evaluate.measure(rows.assign(center="A"), evaluate.discrimination)
    pd.testing.assert_frame_equal(plain, alone)
    pd.testing.assert_frame_equal(evaluate.headline(plain).drop(columns="pooled"), plain)
    assert say.pooling(plain, plain, NAMES) == ""


def test_what_was_not_tested_is_no_verdict(labelled):
    few = labelled[2].assign(label=lambda t: (t["subject"].str[-2:].astype(int) < 2).astype(float))
    words = meaning(few)
    assert "no interval or test: fewer than 5 patients with, or without, the event" in words
    assert "not tested: fewer than 5" in words
    assert "No pair of signatures could be compared" in words
    assert "chance is not excluded" not in words
    assert "NA" not in words


def test_a_cohort_on_another_scale_is_said(tmp_path):
    rng = np.random.default_rng(8)
    rows = pd.DataFrame({"subject": [f"s{i}" for i in range(90)], "cohort": ["train"] * 60 + ["external"] * 30})
    rows = rows.assign(signature=pd.Categorical(["A"] * 90), risk=rng.uniform(size=90))
    feature = rng.lognormal(3, 0.5, 90)
    table = pd.DataFrame({"subject": rows["subject"], "ct__volume": feature, "ct__entropy": rng.normal(4, 0.3, 90)})
    table["center"] = "a"
    chosen = pd.DataFrame({"signature": "A", "feature": ["ct__volume", "ct__entropy"], "share": [1.0, 0.9]})
    chosen.to_csv(tmp_path / "stability.csv", index=False)
    signature = Signature(name="A", sources=["radiomics"])
    for factor, moved in ((1, False), (10, True)):
        own = table.drop(columns="center")
        own.loc[60:, "ct__volume"] *= factor
        write_table(own, "features_radiomics", tmp_path)
        found = evaluate.features.on_scale(rows, tmp_path, [signature], "A")
        assert found["of"].tolist() == ["risk", "feature", "feature"]
        words = say.shift(found, NAMES)
        assert words.startswith("- East and West: 0 of 1 risk on another scale")
        assert ("do not look like those of training" in words) == moved
        assert ("ct__volume: " in words) == moved
    assert (
        say.shift(evaluate.features.on_scale(rows[rows["cohort"] == "train"], tmp_path, [signature], "A"), NAMES) == ""
    )


def test_what_is_on_another_scale_is_repeated_beside_the_values():
    modelling = {"another_scale:external:radiomics:R": {"value": 362}, "another_scale:external:deep_published:CNN": {}}
    modelling |= {"auc_train_A": {"value": 0.8}}
    given = [("R", "radiomics"), ("CT", "ct_findings"), ("CNN", "deep_published")]
    given = [Signature(name=name, sources=[source]) for name, source in given]
    given.append(Signature(name="Both", combines=["R", "CT"]))
    assert say.distrusted(modelling, given, ["R", "CT", "Both"], NAMES) == (
        "**Not to be trusted**, as the chapter on modelling says: R and Both in East and West (features on another "
        "scale: radiomics)."
    )
    assert "published deep output" in say.distrusted(modelling, given, ["CNN"], NAMES)
    other = Signature(name="R2", sources=["radiomics"])  # uses other columns of the same table
    assert say.distrusted(modelling, [*given, other], ["R2"], NAMES) == ""
    assert say.distrusted(modelling, given, ["CT"], NAMES) == say.distrusted({}, given, ["R"], NAMES) == ""


def test_what_an_unseen_value_lies_below_half_is_no_optimism():
    own = [{"cohort": "train", "signature": "A", "measure": "AUC", "apparent": 0.715, "value": 0.412}]
    said = (
        "The apparent AUC of A (0.715) is 0.303 above the out-of-fold one; at most 0.215 of this, what lies above 0.5"
    )
    assert say._optimism(own, {}, NAMES) == f"{said}, is optimism."
    other = {"cohort": "external", "signature": "A", "measure": "AUC", "apparent": np.nan, "value": 0.6}
    words = say._optimism([*own, other], {}, NAMES)
    assert words == f"{said}, is optimism; in East and West (0.600) the value lies above the out-of-fold one, too."
    low = say._optimism([own[0] | {"apparent": 0.48}], {}, NAMES)
    assert "at most 0.000 of this" in low
    entry = {
        "value": 0.45,
        "n": 3,
        "ci_low": 0.4,
        "ci_high": 0.5,
    }  # the mean over divisions decides, where there is one
    assert "at most 0.215" in say._optimism([own[0] | {"value": 0.6}], {"mean_over_divisions:A": entry}, NAMES)
    assert "0.115 above the out-of-fold one: that much is optimism" in say._optimism(
        [own[0] | {"value": 0.6}], {}, NAMES
    )


def test_a_slope_that_leaves_out_one_in_training_is_said():
    row = {"cohort": "train", "signature": "A", "slope": 0.51, "slope_low": 0.26, "slope_high": 0.76}
    table = pd.DataFrame([row, row | {"cohort": "external"}, row | {"signature": "B"}])
    words = (
        "The slope of the risks of A leaves out 1, North, out of fold, 0.51 (0.26–0.76): too extreme; East and West "
        "0.51 (0.26–0.76): too extreme."
    )
    assert say._slope(table, "A", NAMES) == words
    assert say._slope(table.assign(slope_high=1.1), "A", NAMES) == say._slope(None, "A", NAMES) == ""
    steep = say._slope(table.assign(slope=1.6, slope_low=1.2, slope_high=2.0, horizon=24), "A", NAMES)
    assert "North by 24 months, out of fold, 1.60 (1.20–2.00): not extreme enough;" in steep
    none = say._slope(table.assign(slope=-0.46, slope_low=-1.15, slope_high=0.22), "A", NAMES)
    assert none.endswith(
        "(−1.15 to 0.22): so much too extreme that, by the slope alone, nothing of their spread need be real."
    )


def test_reclassification_is_said_in_favour_of_whom_it_speaks_for():
    rows = [("train", "continuous NRI", -0.548, 0.0002), ("train", "IDI", -0.076, 0.005)]
    rows += [("external", "IDI", 0.1, 0.04), ("external", "continuous NRI", -0.19, 0.53)]
    rows += [("internal", "IDI", np.nan, np.nan)]
    table = pd.DataFrame(rows, columns=["cohort", "measure", "value", "p"])
    words = comparison.reclassified(table, "A", "B", NAMES)
    assert "North continuous NRI −0.548 (P < 0.001) in favour of B" in words
    assert "North IDI −0.076 (P = 0.005) in favour of B" in words
    assert "East and West IDI 0.100 (P = 0.040) in favour of A, of 4 tests, not adjusted." in words
    assert comparison.reclassified(table.assign(p=0.5), "A", "B", NAMES) == ""
    assert comparison.reclassified(None, "A", "B", NAMES) == ""


def test_a_pair_in_several_cohorts_is_one_pair():
    rows = [(key, "A", "B", 0.01) for key in ("train", "external")] + [
        ("train", "A", "C", 0.5),
        ("external", "C", "A", 0.5),
    ]
    words = comparison.counted_pairs(pd.DataFrame(rows, columns=["cohort", "signature_a", "signature_b", "p"]))
    assert words.startswith("2 pairs of signatures were compared in 2 cohorts (4 tests); 2 had P < 0.05")
    one = comparison.counted_pairs(pd.DataFrame(rows[:1], columns=["cohort", "signature_a", "signature_b", "p"]))
    assert one.startswith("1 pair of signatures was compared; 1 had P < 0.05")


SCORE = {"cohort": "external", "signature": "A", "measure": "AUC", "value": 0.6, "value_low": 0.48, "value_high": 0.71}
SCORE |= {"p_chance": 0.13, "n": 104, "events": 76}


def test_a_center_that_is_not_shown_to_be_better_than_chance_is_named():
    table = pd.DataFrame([SCORE | {"center": "W"}, SCORE | {"center": "E", "value_low": 0.55, "p_chance": 0.001}])
    assert comparison.in_centers(table, "A", NAMES) == [
        "**One center alone**, East and West, A: W 0.60 (0.48–0.71), 76 events in 104 patients, P = 0.13: chance is "
        "not excluded there."
    ]
    untested = table.assign(p_chance=np.nan)
    assert comparison.in_centers(table.tail(1), "A", NAMES) == comparison.in_centers(untested, "A", NAMES) == []
    assert comparison.in_centers(pd.DataFrame(columns=["cohort", "signature", "center", "n"]), "A", NAMES) == []
    assert comparison.in_centers(table, "B", NAMES) == comparison.in_centers(None, "A", NAMES) == []


@pytest.mark.parametrize(
    ("p", "low", "high", "words"),
    [
        (0.13, 0.48, 0.71, "chance is not excluded"),
        (0.03, 0.52, 0.71, "better than chance"),
        (0.03, 0.48, 0.71, "undecided"),
        (0.07, 0.52, 0.71, "undecided"),
    ],
)
def test_p_and_interval_have_to_agree_on_chance(p: float, low: float, high: float, words: str) -> None:
    row = SCORE | {"p_chance": p, "value_low": low, "value_high": high}
    assert comparison.against_chance(row).startswith(words)
    assert f": {words}" in say._value(row, NAMES)


def test_worse_than_chance_is_called_no_finding():
    rows = [SCORE | {"cohort": "train", "value": 0.402, "value_low": 0.32, "value_high": 0.484}]
    rows += [SCORE | {"signature": "B", "value": 0.44, "value_low": 0.3, "value_high": 0.58}]
    rows += [SCORE | {"signature": "C", "value": 0.47, "value_low": 0.4, "value_high": 0.55}]
    rows += [SCORE | {"signature": "D", "value": 0.2, "value_low": np.nan, "value_high": np.nan}]
    words = comparison.below_chance(pd.DataFrame(rows), NAMES)
    assert words.startswith(
        "**Worse than chance**: A in North 0.40 (0.32–0.48). **Below 0.5, though the interval covers it**: B in East "
        "and West 0.44 (0.30–0.58). Most likely"
    )
    assert comparison.below_chance(pd.DataFrame(rows[2:]), NAMES) == ""


def test_the_kind_of_validation_is_said_as_the_study_file_has_it():
    cohorts = {
        "internal": Cohort(name="South", centers=["N"], validation="temporal"),
        "train": Cohort(name="N", centers=["N"]),
    }
    scores = pd.DataFrame({"cohort": ["train", "internal"]})
    words = comparison.tested(scores, NAMES, cohorts)
    assert words.startswith("South is a temporal validation, other years of the hospitals that trained.")
    assert "No other hospital is judged" in words
    cohorts["external"] = Cohort(name="E", centers=["E"], validation="geographic")
    both = comparison.tested(pd.DataFrame({"cohort": ["train", "internal", "external"]}), NAMES, cohorts)
    assert both.endswith("East and West is a geographic validation, other hospitals.")
    assert comparison.tested(scores, NAMES, {}) == ""
    assert comparison.tested(scores.head(1), NAMES, cohorts).startswith(
        "**Nobody outside the training cohort is judged"
    )


def test_where_risks_are_too_low_on_the_whole_is_said():
    row = {"cohort": "external", "signature": "A", "n": 314, "events": 226, "predicted": 0.461, "observed": 0.72}
    label = row | {"intercept": 1.17, "intercept_low": 0.92, "intercept_high": 1.43}
    right = label | {"cohort": "internal", "intercept_low": -0.1}
    few = label | {"cohort": "internal", "events": 3, "n": 20, "intercept_low": np.nan}
    said = (
        "**On the whole the risks by A are not right**: East and West too low (mean 0.46, observed 0.72; intercept "
        "1.17 (0.92–1.43); 226 events in 314 patients)."
    )
    assert say._on_the_whole(pd.DataFrame([label, right]), "A", NAMES) == said
    told = say._on_the_whole(pd.DataFrame([label, few]), "A", NAMES)
    assert told == f"{said} Whether they are right on the whole, too few tell: South (3 events in 20 patients)."
    assert say._on_the_whole(pd.DataFrame([right]), "A", NAMES) == say._on_the_whole(None, "A", NAMES) == ""
    later = row | {"horizon": 60.0, "cohort": "train", "ratio": 0.7, "ratio_low": 0.5, "ratio_high": 0.9}
    words = say._on_the_whole(pd.DataFrame([later]), "A", NAMES)
    assert "North by 60 months too high, out of fold (mean 0.46, observed 0.72; observed / expected 0.70" in words


def test_patients_that_a_published_output_was_fitted_to_are_named_wherever_it_stands(labelled):
    given = [Signature(name="A", sources=["radiomics"]), Signature(name="A + B", combines=["A", "B"])]
    given.append(Signature(name="B", sources=["deep_published"], learner="published", seen=["W"]))
    cohorts = {"train": Cohort(name="N", centers=["N"]), "external": Cohort(name="E", centers=["E", "W"])}
    words = say.distrusted({}, given, ["A", "B", "A + B"], NAMES, cohorts)
    assert words == (
        "**Flattered:** B was trained or tuned on patients of East and West (W); values there of B and A + B are no "
        "validation."
    )
    assert say.distrusted({}, given, ["A"], NAMES, cohorts) == ""
    unknown = [*given[:2], given[2].model_copy(update={"seen": []})]
    assert say.distrusted({}, unknown, ["B"], NAMES, cohorts) == ""
    lines = meaning(labelled[2], published=["B"], signatures=given, cohorts=cohorts).splitlines()
    met = [line for line in lines if "flattered here, for it has met patients of W" in line]
    assert [line.startswith("- East and West: A ") for line in met] == [True]


def test_a_simple_predictor_that_may_do_as_well_is_in_the_short_answer(labelled):
    rows = evaluate.judged(labelled[2])
    scores = evaluate.measure(rows, evaluate.discrimination)
    tests = evaluate.comparisons(rows)
    for best, other in (("A", "B"), ("B", "A")):
        for row in evaluate.rivals(rows, scores, tests, best, "A + B", [other]).to_dict("records"):
            assert (row["role"] != "simple") or row["difference_low"] <= 0
    row = evaluate.rivals(rows, scores, tests, "B", "A + B", ["A"]).query("role == 'simple'").iloc[0].to_dict()
    row |= {"p": 0.5, "difference": 0.01, "difference_low": -0.1, "difference_high": 0.12}
    words = comparison._rival(row, NAMES, {}, set(), set())
    assert "; a simple predictor, without image features): 0.010 (−0.100 to 0.120)" in words
    assert words.endswith(": no difference is shown, so A alone may do as well.")


def test_a_gain_of_less_than_one_patient_is_worth_no_word():
    row = {"cohort": "train", "signature": "A", "share": 0.4, "better_at": "20% to 30%"}
    small = say._useful(pd.DataFrame([row | {"least": 1 / 22}]), "A", NAMES)
    assert "treating nobody: North (0.045 or more, one patient) at thresholds of 20% to 30%." in small
    assert "one patient" not in say._useful(pd.DataFrame([row | {"least": 0.005}]), "A", NAMES)


def test_the_answer_of_all_cohorts_is_one_line_by_verdict():
    cohorts = {
        key: Cohort(name=NAMES[key], centers=[key], validation=kind)
        for key, kind in {"train": "", "internal": "random split", "external": "geographic"}.items()
    }
    row = {"cohort": "train", "signature": "A", "measure": "AUC", "n": 56, "events": 10, "value": 0.76}
    row |= {"value_low": 0.58, "value_high": 0.95, "p_chance": 0.01}
    weak = {"cohort": "internal", "value": 0.55, "value_low": 0.4, "value_high": 0.7, "p_chance": 0.5}
    split = {"cohort": "external", "within": 0.7, "pooled": 0.8, "value_low": 0.45, "p_chance": 0.03}
    assert comparison.answer([row, row | weak, row | split], NAMES, cohorts) == (
        "A, AUC: better than chance in North, 0.76 (0.58–0.95; out of fold, 10 events in 56 patients); chance is not "
        "excluded in South, 0.55 (0.40–0.70; a random split, below 0.70 none can be told from it, 10 events in 56 "
        "patients); undecided, as P and interval disagree in East and West, 0.76 (0.45–0.95; other hospitals, within "
        "centers, pooled 0.80, 10 events in 56 patients)."
    )
    assert "published output" in comparison.answer([row], NAMES, cohorts, ["A"])
    assert "**ranked the wrong way** in North, 0.24" in comparison.answer(
        [row | {"value": 0.24, "value_low": 0.05, "value_high": 0.42}], NAMES, cohorts
    )
    nothing = row | {"value": np.nan, "value_low": np.nan, "value_high": np.nan, "p_chance": np.nan}
    assert comparison.answer([nothing], NAMES, {}).startswith("A, AUC: not tested in North, no value (out of fold")
    assert comparison.answer([], NAMES, {}) == ""


def test_rivals_are_compared_in_one_line_where_nobody_trained_and_where_worse(labelled):
    rows = evaluate.judged(labelled[2])
    scores = evaluate.measure(rows, evaluate.discrimination)
    row = {"signature_a": "A", "signature_b": "B", "role": "both", "measure": "AUC", "n": 60, "cohort": "train"}
    row |= {"difference": 0.1, "difference_low": -0.1, "difference_high": 0.3, "p": 0.3}
    worse = {"difference": -0.1, "difference_low": -0.2, "difference_high": -0.01, "p": 0.02}
    simple = {"signature_b": "A + B", "role": "simple", "cohort": "internal"}
    rivals = pd.DataFrame([row, row | {"cohort": "external"}, row | simple, row | {"role": "highest"}])
    assert comparison.against(rivals, rows, scores, NAMES) == (
        "Difference from B (the study's comparator): no difference is shown: East and West, 0.100 (−0.100 to 0.300; "
        "P = 0.30). Difference from A + B (a simple predictor, without image features): no difference is shown, so "
        "A + B alone may do as well: South, 0.100 (−0.100 to 0.300; P = 0.30)."
    )
    said = comparison.against(pd.DataFrame([row | worse, row | {"cohort": "external"}]), rows, scores, NAMES)
    assert "**A does worse than B**: North, −0.100 (−0.200 to −0.010; P = 0.020); no difference is shown: East" in said
    assert comparison.against(pd.DataFrame([row]), rows, scores, NAMES).count("North") == 1  # nobody else is judged
    assert comparison.against(rivals.head(0), rows, scores, NAMES) == ""


def test_use_is_told_of_the_last_horizon_where_nobody_trained(labelled):
    useful = pd.DataFrame(
        {"cohort": ["train", "external", "external"], "horizon": [36.0, 12.0, 36.0], "signature": "A"}
    )
    assert say._last_elsewhere(useful).index.tolist() == [2]
    assert say._last_elsewhere(useful.head(1)).index.tolist() == [0]
    assert say._last_elsewhere(None) is None
