"""Controls: what is fitted is permuted, and outcomes drawn anew share nothing with the patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from radsupport.book.conclusions import modelling as say
from radsupport.data.synthetic_patients import draw_subjects, outcomes_without_effect, without_effect
from radsupport.errors import StudyError
from radsupport.evaluate import controls
from radsupport.evaluate import features as of_features
from radsupport.learning.signatures import OUTCOME, run_signatures
from radsupport.study import load_study


def null_cohort(study, cohort, draw):
    drawn = outcomes_without_effect(study.synthetic, study.seed, draw)
    return controls.with_outcomes(cohort.set_index("subject"), drawn).reset_index()


@pytest.mark.parametrize("name", ["song2021", "gu2023", "cui2022", "yang2023"])
def test_outcomes_drawn_anew_keep_each_centers_size_and_events(root, name):
    study = load_study(name, folder=root / "studies")
    cohort = draw_subjects(study.synthetic, study.seed).assign(cohort="train")
    null = null_cohort(study, cohort, 0)
    assert null.drop(columns=OUTCOME).equals(cohort.set_index("subject").reset_index().drop(columns=OUTCOME))
    for column in OUTCOME:
        assert (null[column].isna() == cohort[column].isna()).all()
    assert not null["time"].dropna().equals(cohort["time"].dropna())
    if study.endpoint.primary == "label":
        assert null.groupby("center")["label"].sum().to_dict() == cohort.groupby("center")["label"].sum().to_dict()
    assert null_cohort(study, cohort, 0).equals(null)
    assert not null_cohort(study, cohort, 1)["time"].equals(null["time"])


def test_nothing_is_planted_in_them(root):
    study = load_study("yang2023", folder=root / "studies")
    silent = without_effect(study.synthetic)
    rows = pd.concat([draw_subjects(silent, seed) for seed in range(12)])
    followed = rows[rows["event"] == 1]
    assert abs(np.corrcoef(rows["latent"], rows["event"])[0, 1]) < 0.06
    assert abs(np.corrcoef(followed["latent"], followed["time"])[0, 1]) < 0.08
    assert abs(rows["event"].groupby(rows["m_stage"]).mean().diff().iloc[-1]) < 0.08
    planted = pd.concat([draw_subjects(study.synthetic, seed) for seed in range(12)])
    assert np.corrcoef(planted["latent"], planted["time"])[0, 1] < -0.2


def test_labels_do_not_follow_the_latent_of_the_drawn_images(root):
    study = load_study("gu2023", folder=root / "studies")
    cohort = draw_subjects(study.synthetic, study.seed)
    r = [np.corrcoef(cohort["latent"], null_cohort(study, cohort, i)["label"])[0, 1] for i in range(8)]
    assert abs(np.mean(r)) < 0.06
    assert np.corrcoef(cohort["latent"], cohort["label"])[0, 1] > 0.4


def test_real_patients_can_not_be_drawn_anew(small):
    with pytest.raises(StudyError, match="not synthetic"):
        null_cohort(small.study([small.radiomics]), small.cohort(), 0)


def test_every_signature_is_built_on_outcomes_without_effect(small, folder, root):
    spec = load_study("gu2023", folder=root / "studies").synthetic
    center = next(iter(spec.centers.values()))
    sizes = {"a": 30, "b": 30, "c": 24}
    centers = {k: center.model_copy(update={"n": n, "events": n // 3, "split": {}}) for k, n in sizes.items()}
    study = small.study([small.radiomics, small.clinical], modelling={"null_draws": 5})
    study = study.model_copy(update={"synthetic": spec.model_copy(update={"centers": centers, "marginals": {}})})
    cohort = small.cohort()
    cohort["subject"] = [f"{c}_{i + 1:03d}" for c in "abc" for i in range(sizes[c])]
    cohort["center"] = [c for c in "abc" for _ in range(sizes[c])]
    assembly = small.assemble(study, folder(cohort, radiomics=small.features(cohort)))
    outcomes = [outcomes_without_effect(study.synthetic, study.seed, i) for i in range(5)]
    table = controls.null_draws(assembly, outcomes, **small.protocol(study))
    assert len(table) == 5 * 2 * 2
    assert set(table["events"]) == {20, 8}
    assert (table["covers"] == ((table["ci_low"] <= 0.5) & (table["ci_high"] >= 0.5))).all()
    assert list(table.columns) == controls.DRAWN
    assert sorted(table["draw"].unique()) == list(range(1, 6))
    one = controls.null_draws(assembly, outcomes[:1], ["Radiomics"], **small.protocol(study))
    assert set(one["signature"]) == {"Radiomics"}
    summary = controls.over_draws(table, least=5)
    assert len(summary) == 2 * 2
    assert (summary["draws"] == 5).all()
    means = summary.set_index(["signature", "cohort"])["mean"].to_dict()
    assert means == pytest.approx(table.groupby(["signature", "cohort"])["value"].mean().to_dict())
    assert summary["mean"].to_numpy() == pytest.approx([0.5] * 4, abs=0.2)
    assert (np.minimum(1, 4 * summary["p_t"]) > 0.05).all()


def drawn(values: dict[str, list[float]], half: float = 0.1) -> pd.DataFrame:
    """Return draws of one cohort as `null_table` does, with intervals of one width."""
    rows = [
        {"draw": i + 1, "signature": name, "cohort": "train", "n": 40, "events": 10, "measure": "AUC", "value": value,
         "ci_low": value - half, "ci_high": value + half, "p_vs_half": 0.5, "covers": abs(value - 0.5) <= half}
        for name, own in values.items()
        for i, value in enumerate(own)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_summary_is_a_t_interval_of_the_draws():
    values = {"A": [0.41, 0.48, 0.55, 0.62, 0.3], "B": [0.7, 0.72, 0.8, 0.71, 0.74]}
    summary = controls.over_draws(drawn(values), 5).set_index("signature")
    for name, own in values.items():
        test = stats.ttest_1samp(own, 0.5)
        limits = test.confidence_interval(0.95)
        row = summary.loc[name]
        assert row[["mean", "mean_low", "mean_high"]].tolist() == pytest.approx([np.mean(own), limits.low, limits.high])
        assert row["p_t"] == pytest.approx(test.pvalue)
        covering = sum(abs(value - 0.5) <= 0.1 for value in own)
        assert row[["draws", "intervals", "covering"]].tolist() == [5, 5, covering]
        assert row[["lowest", "highest", "sd"]].tolist() == pytest.approx([min(own), max(own), np.std(own, ddof=1)])
    assert summary.loc["A", "covering"] == 3
    assert summary.loc["B", "covering"] == 0
    wider = controls.over_draws(drawn(values), 5, level=0.99).set_index("signature")
    assert (wider["mean_high"] > summary["mean_high"]).all()


def test_draws_of_one_value_of_one_draw_and_without_an_interval():
    same = controls.over_draws(drawn({"A": [0.5] * 5, "B": [0.6] * 5}), 5).set_index("signature")
    assert same.loc["A", ["mean", "mean_low", "mean_high", "p_t"]].tolist() == [0.5, 0.5, 0.5, 1.0]
    assert same.loc["B", "p_t"] == 0
    wide = controls.over_draws(drawn({"A": [0.0, 1.0, 0.0, 1.0, 0.5]}), 5).iloc[0]
    assert wide[["mean_low", "mean_high"]].tolist() == [0, 1]
    one = controls.over_draws(drawn({"A": [0.45]})).iloc[0]
    assert one[["mean", "lowest", "highest"]].tolist() == [0.45] * 3
    assert one[["mean_low", "mean_high", "p_t", "sd"]].isna().all()
    table = drawn({"A": [0.5, 0.45, 0.55]})
    table.loc[0, ["ci_low", "ci_high", "covers"]] = [np.nan, np.nan, False]
    assert controls.over_draws(table).iloc[0][["draws", "intervals", "covering"]].tolist() == [3, 2, 2]


@pytest.mark.parametrize("draws", [1, 3, 29])
def test_fewer_than_thirty_draws_have_values_and_no_verdict(draws):
    values = {"A": [0.4, 0.6, 0.52] * 10, "B": [0.9, 0.92, 0.8] * 10}
    few = controls.over_draws(drawn({name: own[:draws] for name, own in values.items()}))
    assert few[["mean_low", "mean_high", "p_t"]].isna().all(axis=None)
    runs = controls.over_draws(permuted_table(values["B"][:draws]))
    assert runs["p"].isna().all()
    for words in (say.control(few), say.control(runs)):
        assert words.endswith("too few for a verdict, which takes 30.")
        assert "\n" not in words
        assert not any(part in words for part in ("leak", "hold", "interval", "P =", "**"))


def test_cohorts_and_signatures_are_joined_separately():
    both = pd.concat([drawn({"A": [0.4, 0.6], "B": [0.5, 0.52]}), drawn({"A": [0.7, 0.8]}).assign(cohort="external")])
    summary = controls.over_draws(both)
    assert summary[["signature", "cohort"]].to_numpy().tolist() == [["A", "train"], ["B", "train"], ["A", "external"]]
    assert summary["mean"].tolist() == pytest.approx([0.5, 0.51, 0.75])


def often(values: dict[str, list[float]]) -> dict[str, list[float]]:
    """Return six times as many draws, enough for a verdict."""
    return {name: own * 6 for name, own in values.items()}


def test_words_of_the_null_draws():
    calm = often({"A": [0.41, 0.52, 0.55, 0.6, 0.44], "B": [0.55, 0.42, 0.5, 0.62, 0.38]})
    words = say.control(controls.over_draws(drawn(calm)))
    assert (
        "Over 30 independent draws of the outcomes, 2 of 2 means have a 95% interval that holds 0.5; by chance 0.1"
        in words
    )
    assert "no mean is significantly above 0.5" in words
    assert "48 of 60 intervals from single draws hold 0.5, of which 95% should" in words
    half = np.median([stats.t.ppf(0.975, 29) * np.std(own, ddof=1) / 30**0.5 for own in calm.values()])
    assert f"reach {half:.2f} or more to either side: 30 draws can not show a bias that is smaller" in words
    high = {"A": calm["A"], "B": [0.8, 0.82, 0.85, 0.81, 0.79] * 6}
    assert "**B (train, 0.81) above 0.5, where a leak would put it**" in say.control(controls.over_draws(drawn(high)))
    assert "B (Training cohort, 0.81)" in say.control(
        controls.over_draws(drawn(high)), names={"train": "Training cohort"}
    )
    low = say.control(controls.over_draws(drawn({"A": [1 - v for v in high["B"]], "B": calm["B"]})))
    assert "no mean is significantly above 0.5, where a leak would put it; below 0.5: A (train, 0.19)" in low
    assert "1 of 2 means have a 95% interval that holds 0.5 (A (train, 0.19) not)" in low
    # a mean that misses 0.5 by no more than the number of means lets expect is named, and not called a leak
    mild = say.control(
        controls.over_draws(drawn({"A": [0.58, 0.6, 0.46, 0.58, 0.42] * 6, **dict.fromkeys("BCDE", calm["B"])}))
    )
    assert "4 of 5 means have a 95% interval that holds 0.5 (A (train, 0.53) not)" in mild
    assert "no mean is significantly above 0.5" in mild


def permuted_table(values: list[float], observed: float = 0.84) -> pd.DataFrame:
    return pd.DataFrame({"signature": "R", "cohort": "train", "observed": observed, "value": values})


def test_the_p_of_permutations_has_the_exact_interval_of_so_few():
    found = controls.over_draws(permuted_table([0.9] + [0.5] * 29, 0.8)).iloc[0]
    assert found["p"] == pytest.approx(2 / 31)
    limits = stats.binomtest(1, 30).proportion_ci()  # Clopper and Pearson
    assert [found["p_low"], found["p_high"]] == pytest.approx(list(limits))
    none = controls.over_draws(permuted_table([0.5] * 30, 0.8)).iloc[0]
    assert [none["p_low"], none["p_high"]] == pytest.approx([0, 1 - 0.025 ** (1 / 30)])


def test_permuted_runs_have_the_t_interval_of_their_mean():
    values = [0.43, 0.44, 0.46, 0.48]
    found = controls.over_draws(permuted_table(values), 2).iloc[0]
    limits = stats.ttest_1samp(values, 0.5).confidence_interval(0.95)
    assert [found["mean"], found["mean_low"], found["mean_high"]] == pytest.approx([np.mean(values), *limits])
    assert (found["lowest"], found["highest"], found["draws"]) == (0.43, 0.48, 4)
    assert found["p"] == pytest.approx(1 / 5)
    assert controls.over_draws(permuted_table(values, 0.46), 2).iloc[0]["p"] == pytest.approx(3 / 5)
    assert np.isnan(controls.over_draws(permuted_table([0.5]), 2).iloc[0]["mean_low"])


def test_only_a_mean_above_a_half_is_called_a_leak():
    below = say.control(controls.over_draws(permuted_table([0.43, 0.44, 0.46, 0.48, 0.47] * 6)))
    assert "leaks" not in below
    assert "does not lie above 0.5, where a leak would put it. It lies below 0.5, which is no leak" in below
    assert "with 30 runs it can not be smaller than 1/31 = 0.03" in below
    assert "it was 0.84 by one division into folds, which may be a lucky or an unlucky one" in below
    divided = permuted_table([0.43, 0.47] * 15).assign(observed_low=0.8, observed_high=0.9, divisions=5)
    five = say.control(controls.over_draws(divided))
    assert "it was 0.84 on average over 5 divisions into folds (0.80 to 0.90; each run has one)" in five
    above = say.control(controls.over_draws(permuted_table([0.63, 0.64, 0.66, 0.68, 0.6] * 6)))
    assert "**it lies above 0.5, where a leak puts it**" in above
    assert "would pass" not in above


def test_runs_that_cover_a_half_say_how_small_a_leak_they_miss():
    values = [0.34, 0.66, 0.42, 0.6, 0.45] * 6
    words = say.control(controls.over_draws(permuted_table(values)))
    half = stats.t.ppf(0.975, 29) * np.std(values, ddof=1) / 30**0.5
    assert f"any mean up to {0.5 + half:.2f} (0.5 plus half the width of the interval) would pass" in words
    assert "(single runs from 0.34 to 0.66)" in words
    assert "no leak" not in words


def test_permuted_outcomes_cover_a_half_and_the_planted_effect_stands_out(finished):
    protocol = {"folds": 4, "inner_folds": 2, "external": "mean_of_folds", "seed": 1}
    runs = controls.permuted(finished.assembly, ["Radiomics"], 8, **protocol)
    observed = finished.run.summary.set_index("signature").loc["Radiomics", "out_of_fold"]
    assert runs["observed"].eq(observed).all()
    three = controls.permuted(finished.assembly, ["Radiomics"], 1, divisions=3, **protocol).iloc[0]
    alone = [run_signatures(finished.assembly, ["Radiomics"], **protocol, repeats=3).by_repeat["score"]]
    assert three["observed"] == pytest.approx(np.mean(alone))
    assert three[["observed_low", "observed_high", "divisions"]].tolist() == [np.min(alone), np.max(alone), 3]
    summary = controls.over_draws(runs, 5).iloc[0]
    assert summary["mean_low"] < 0.5
    assert summary["highest"] < observed
    assert summary["p"] == pytest.approx(1 / 9)
    assert runs["value"].nunique() > 4
    pd.testing.assert_frame_equal(runs.iloc[:2], controls.permuted(finished.assembly, ["Radiomics"], 2, **protocol))
    light = controls.protocol(finished.assembly, **protocol)
    assert (light["folds"], light["inner_folds"], light["seed"]) == (3, 2, 1)


def test_a_source_on_another_scale_is_named(small, folder):
    study = small.study([small.radiomics, small.clinical])
    cohort = small.cohort()
    for factor in (1, 10):
        features = small.features(cohort)
        outside = features["subject"].isin(cohort.loc[cohort["cohort"] != "train", "subject"])
        numbers = features.select_dtypes("number").columns
        features.loc[outside, numbers] = features.loc[outside, numbers] * factor
        assembly = small.assemble(study, folder(cohort, radiomics=features))
        table = of_features.sources_on_scale(assembly, pd.DataFrame(columns=["signature", "feature"]))
        row = table[table["source"] == "radiomics"].iloc[0]
        moved, kept = features.copy(), numbers[0]  # one column that the fits use stays as it is: the rest is a note
        moved[kept] = small.features(cohort)[kept]
        other = small.assemble(study, folder(cohort, radiomics=moved))
        chosen = pd.DataFrame({"signature": [small.radiomics["name"]], "feature": [kept]})
        left = of_features.sources_on_scale(other, chosen).query("source == 'radiomics'").iloc[0]
        assert (left["features"], left["another_scale"], left["unused"] > 0) == (1, False, factor == 10)
        words = say.scale(table, dict.fromkeys(("internal", "external"), "East"))
        assert row["another_scale"] == (factor == 10)
        assert (row["alarms"] == row["features"]) == (factor == 10)
        assert ("**Another scale than in training:** Radiomics: radiomics in East" in words) == (factor == 10)
        note = say.scale(table.assign(another_scale=False, unused=3), {"internal": "East", "external": "East"})
        assert "touch none of its risks: Radiomics: 3 of radiomics in East" in note
        assert row["beyond"] <= row["alarms"]
        lost = row["beyond"] > 0 and factor == 10
        assert (f"{row['beyond']} of them without a value inside the training range" in words) == lost
        published = say.scale(table.assign(source="deep_published"), dict.fromkeys(("internal", "external"), "East"))
        assert ("published deep output in East" in published) == (factor == 10)


def test_a_leak_is_said_in_one_line_from_thirty_runs_on():
    row = {
        "signature": "A",
        "draws": 30,
        "mean": 0.5,
        "mean_low": 0.48,
        "mean_high": 0.52,
        "lowest": 0.4,
        "highest": 0.6,
    }
    nothing = pd.DataFrame({"signature": [], "out_of_fold": [], "apparent": []})

    def short(control: pd.DataFrame) -> str:
        return say.in_short(nothing, "A", "AUC", control, pd.DataFrame(), {})[0].partition("speak of.\n")[2]

    clean, leaking = pd.DataFrame([row]), pd.DataFrame([row | {"mean_low": 0.501}])
    assert short(clean).endswith("A 0.50 (0.48–0.52); none above 0.5, where a leak would put it.")
    assert short(leaking).startswith("**Control: A above 0.5, where a leak would put it**: means of 30 runs")
    few = short(clean.assign(draws=3))
    assert few == "Control: 3 runs with permuted outcomes gave 0.40 to 0.60; no verdict."
    assert short(clean.head(0)) == ""


def test_images_without_a_picture_are_judged_by_the_signatures_own_protocol(small, folder):
    cohort = small.cohort()
    good, noise = small.features(cohort), small.features(cohort, 0.0, seed=5)
    filtered = good.add_suffix("_filtered").rename(columns={"subject_filtered": "subject"})
    tables = {"radiomics": good.merge(filtered, on="subject"), "radiomics_control_shuffled_roi": noise}
    path = folder(cohort, **tables, radiomics_control_sampled_roi=good)
    study = small.study([small.radiomics, small.clinical])
    assembly, wanted = small.assemble(study, path), ["shuffled roi", "sampled roi", "randomised roi"]
    own = small.run(study, assembly).predictions
    volume = own[own["signature"] == "Clinical"].assign(signature="Volume alone")
    table = controls.images(path, assembly, wanted, volume, **small.protocol(study))
    assert list(table.columns) == controls.IMAGES
    train = table[table["cohort"] == "train"].set_index("control")
    assert list(train.index) == wanted[:2]  # the third was not measured
    # the features of the original images alone, by a run of their own
    alone = small.assemble(small.study([small.radiomics]), folder(cohort, radiomics=good))
    expected = controls.judged(
        run_signatures(alone, **small.protocol(study)).predictions, ("label",), cohorts=["train"]
    )
    assert train["true"].tolist() == pytest.approx([controls.discrimination(expected)["value"]] * 2)
    lost = train.loc["shuffled roi"]
    assert lost["lost"] == pytest.approx(lost["true"] - lost["value"])
    assert lost["lost_low"] > 0.1
    assert lost["p"] < 0.05
    assert train.loc["sampled roi", "lost"] == 0
    sizes = controls.discrimination(controls.judged(volume, ("label",), cohorts=["train"]))
    assert lost["over_volume"] == pytest.approx(lost["value"] - sizes["value"])
    found = controls.images(path, assembly, wanted, volume.head(0), **small.protocol(study))
    assert found["over_volume"].isna().all()
    assert found["lost"].tolist() == pytest.approx(table["lost"].tolist())


def test_no_control_images_say_why(small, folder):
    study, path = small.study([small.radiomics, small.clinical]), folder()
    found = controls.images(path, small.assemble(study, path), ["shuffled roi"], pd.DataFrame({"signature": []}))
    assert "there are none of these scans" in found.attrs["empty"]
    clinical = small.assemble(small.study([small.clinical]), path)
    found = controls.images(path, clinical, ["shuffled roi"], pd.DataFrame({"signature": []}))
    assert "no signature learns from radiomics alone" in found.attrs["empty"]
