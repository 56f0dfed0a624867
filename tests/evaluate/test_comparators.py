"""Volume alone and the clinical model beside signatures of images: honest, and equal to values computed elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifelines.utils import concordance_index
from scipy.stats import mannwhitneyu

from radsupport import evaluate
from radsupport.evaluate import comparators
from radsupport.settings.learning import Signature
from radsupport.settings.parts import Column

SEEN = [
    Signature(name="Radiomics", sources=["radiomics"], learner="Ridge"),
    Signature(name="Findings", sources=["ct_findings"], learner="Ridge"),
    Signature(name="Clinic", columns=["age"], learner="Ridge"),
    Signature(name="Both", combines=["Radiomics", "Clinic"], learner="Logistic"),
    Signature(name="No image", combines=["Findings", "Clinic"], learner="Logistic"),
]


def patients(n: int = 60, sign: float = 1.0) -> tuple[pd.DataFrame, pd.Series]:
    draw = np.random.default_rng(3)
    size = draw.normal(0, 1, n)
    label = (sign * size + draw.normal(0, 1, n) > 0).astype(int)
    time = np.exp(-sign * size + draw.normal(0, 1, n))
    cohort = pd.DataFrame({"subject": [f"p{i}" for i in range(n)], "center": "A", "label": label, "time": time})
    cohort["cohort"], cohort["event"] = ["train"] * 40 + ["external"] * (n - 40), [0, 1, 1] * (n // 3)
    return cohort, pd.Series(np.exp(size), cohort["subject"])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_volume_alone_ranks_by_volume_in_the_direction_of_training(sign: float) -> None:
    cohort, volume = patients(sign=sign)
    rows = comparators.ranked_by(volume, cohort, ("label",), 5, 1, "V")
    scores = evaluate.measure(evaluate.judged(rows), evaluate.discrimination).set_index("cohort")["value"]
    for key, part in cohort.groupby("cohort"):
        own, label = volume[part["subject"]].to_numpy(), part["label"].to_numpy()
        u = mannwhitneyu(own[label == 1], own[label == 0]).statistic / (label.sum() * (1 - label).sum())
        assert scores[key] == pytest.approx(u if sign > 0 else 1 - u)
    followed = comparators.ranked_by(volume, cohort, ("time", "event"), 5, 1, "V")
    scores = evaluate.measure(evaluate.judged(followed, ("time", "event")), evaluate.discrimination,
                              outcome=("time", "event")).set_index("cohort")["value"]  # fmt: skip
    part = cohort[cohort["cohort"] == "train"]
    expected = concordance_index(part["time"], -sign * volume[part["subject"]].to_numpy(), part["event"])
    assert scores["train"] == pytest.approx(expected)


def test_the_direction_of_a_patient_comes_from_the_other_folds() -> None:
    cohort, volume = patients()
    folds = pd.Series(np.arange(40) % 4, cohort["subject"][:40])
    first = folds.index[folds == 0]
    flipped = cohort.assign(label=cohort["label"].where(~cohort["subject"].isin(first), 1 - cohort["label"]))
    before, after = (comparators.ranked_by(volume, one, ("label",), folds, 1, "V") for one in (cohort, flipped))
    own = before["subject"].isin(first)
    assert before.loc[own, "risk"].to_list() == after.loc[own, "risk"].to_list()
    noise = pd.Series(np.random.default_rng(0).normal(size=60), volume.index)
    auc = [
        evaluate.measure(evaluate.judged(comparators.ranked_by(noise, cohort, ("label",), 5, seed, "V")),
                         evaluate.discrimination)["value"].iloc[0]
        for seed in range(20)
    ]  # fmt: skip
    assert np.mean(auc) < 0.55  # the larger of an AUC and its complement would lie above


def test_what_learns_from_images_is_told_by_its_parts() -> None:
    assert comparators.image_based(SEEN) == ["Radiomics", "Both"]
    assert comparators.without_image(SEEN) == ["Findings", "Clinic", "No image"]
    assert comparators.chosen(SEEN, "Clinic") == "Radiomics"
    assert comparators.chosen(SEEN, "Both") == "Both"
    assert comparators.chosen(SEEN[1:3]) == "Findings"


@pytest.mark.parametrize(
    ("column", "known"),
    [
        ("ct__original_shape_VoxelVolume", True), ("ct__original_shape_Volume", True), ("tumor_volume_ml", True),
        ("GTV_volume", True), ("volume", True), ("ct__original_shape_SurfaceVolumeRatio", False),
        ("liver_volume", False), ("volume_density", False),
    ],
)  # fmt: skip
def test_a_volume_is_known_by_its_name(tmp_path: Path, column: str, known: bool) -> None:
    cohort, volume = patients()
    table = pd.DataFrame({"subject": volume.index, f"ct__{column.removeprefix('ct__')}": volume.to_numpy()})
    table.to_parquet(tmp_path / "features_radiomics.parquet")
    found = comparators.volumes(tmp_path, cohort)
    assert (len(found) == 60, found.name != "") == (known, known)


def test_volumes_of_a_standardised_table_are_kept_for_everybody(tmp_path: Path) -> None:
    cohort, volume = patients()
    scores = (volume - volume.mean()) / volume.std()
    table = pd.DataFrame({"subject": volume.index, "ct__original_shape_MeshVolume": scores.to_numpy()})
    table.to_parquet(tmp_path / "features_radiomics.parquet")
    assert comparators.volumes(tmp_path, cohort).to_dict() == pytest.approx(scores.to_dict())


def test_a_clinical_model_is_fitted_only_where_the_study_has_none(tmp_path: Path) -> None:
    cohort, volume = patients()
    cohort = cohort.assign(age=volume.to_numpy(), stage="I", grade=1.0)
    columns = {
        "age": Column(source="clinical", kind="number", label="Age"),
        "stage": Column(source="clinical", kind="category", label="Stage", levels=["I", "II"]),
        "grade": Column(source="clinical", kind="number", label="Grade", time_of_knowledge="postoperative"),
    }
    given = comparators.ranked_by(volume, cohort, ("label",), 5, 1, "Radiomics")
    options = {"folds": 5, "inner_folds": 3, "seed": 1}
    found = comparators.added(given, tmp_path, SEEN[:1], columns, cohort, **options)
    assert list(found["signature"].unique()) == ["Radiomics", "Clinical columns"]
    assert found.attrs["lacking"] == ["no volume of the tumour is among these data"]
    rows = found[(found["signature"] == "Clinical columns") & (found["kind"] == "external")]
    assert rows["risk"].rank().to_list() == volume[rows["subject"]].rank().to_list()  # one column varies: its order
    own = comparators.added(given, tmp_path, SEEN, columns, cohort, **options)
    assert list(own["signature"].unique()) == ["Radiomics"]
    nothing = comparators.added(given, tmp_path, SEEN[:1], {}, cohort, **options)
    assert "no clinical column known before treatment is among these data" in nothing.attrs["lacking"]


def test_differences_are_those_of_the_pair_alone() -> None:
    cohort, volume = patients()
    noisy = volume * np.exp(np.random.default_rng(5).normal(0, 1, 60))
    pairs = {"Radiomics": volume, "V": noisy, "C": -noisy}
    rows = pd.concat([comparators.ranked_by(v, cohort, ("label",), 5, 1, k) for k, v in pairs.items()])
    rows = evaluate.judged(rows[(rows["signature"] != "C") | (rows["subject"] != "p0")])
    found = comparators.beside(rows, ["Radiomics", "absent"], ["V", "C", "Radiomics"])
    assert found[["cohort", "beside", "n"]].to_numpy().tolist() == [
        ["train", "V", 40], ["train", "C", 39], ["external", "V", 20], ["external", "C", 20],
    ]  # fmt: skip
    two = rows[(rows["cohort"] == "train") & rows["signature"].isin(["Radiomics", "V"])]
    alone = evaluate.comparisons(two.astype({"signature": str})).iloc[0]
    assert found["p"].iloc[0] == pytest.approx(alone["p"])
    assert found["difference"].iloc[0] == pytest.approx(found["value"].iloc[0] - found["value_beside"].iloc[0])
    p = sorted(found["p"].iloc[:2])
    assert sorted(found["p_adjusted"].iloc[:2]) == pytest.approx([min(1, 2 * p[0]), max(min(1, 2 * p[0]), p[1])])
    assert comparators.beside(rows, ["absent"], ["V"]).attrs["empty"]


def test_a_table_of_cases_gives_the_volume_of_its_outlines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cases.parquet").touch()
    cases = pd.DataFrame({"subject": ["a", "a", "b", "c"], "volume_mm3": [100.0, 300.0, 50.0, 0.0]})
    monkeypatch.setattr(comparators, "read_table", lambda name, folder: cases)
    found = comparators.volumes(tmp_path, patients()[0])
    assert found.to_dict() == {"a": 200.0, "b": 50.0}  # mean over phases; nothing outlined is no volume
