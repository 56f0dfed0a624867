"""A second rater's outlines, scored by the same networks: closed forms on tables made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import torch
from scipy.stats import norm, t
from torch import nn

from radsupport.imaging.patches import Sampling
from radsupport.networks.cnn3d import CrossValidated
from radsupport.networks.schemes import (
    READERS,
    Scheme,
    case_patches,
    differences,
    discrimination_by_reader,
    rescored,
    score_agreement,
    second_reader,
)
from radsupport.settings.study import Study

PATCH = (10, 20, 20)
COLUMNS = ["subject", "scheme", *READERS, "label"]


class Bright(nn.Module):
    """A network that can be worked out by hand: risk = logistic of gain x mean brightness of the patch."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.layer, self.gain, self.patch = nn.Identity(), gain, PATCH

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits of no event and event, shape (n, 2)."""
        score = self.gain * self.layer(x).mean(dim=(1, 2, 3, 4))
        return torch.stack([0 * score, score], dim=1)


GAINS = (4.0, -1.0, 10.0)


@pytest.fixture(scope="module")
def study(study_with: Callable[..., Study]) -> Study:
    return study_with("cui2022", {"patch": PATCH, "field_mm": None, "window": {"level": 100, "width": 400}})


@pytest.fixture(scope="module")
def scans(make_scans: Callable[..., Any]) -> Any:
    return make_scans(3, 6)


def scheme_of(study: Study, scans: Any, sampling: Sampling) -> Scheme:
    spec, given = study.deep, scans.given(study)
    patches, failed = case_patches(spec, given, "arterial", sampling, sorted(scans.cohort["subject"]))
    trained = CrossValidated(tuple(Bright(gain) for gain in GAINS), pd.DataFrame(), pd.DataFrame())  # type: ignore[arg-type]
    return Scheme(spec, given, "arterial", sampling, patches, trained, failed)


def on(schemes: list[Scheme], cases: pd.DataFrame) -> list[Scheme]:
    """Return the schemes with other cases to be outlined again."""
    return [replace(scheme, given=replace(scheme.given, cases=cases)) for scheme in schemes]


@pytest.fixture(scope="module")
def schemes(study: Study, scans: Any) -> list[Scheme]:
    return [scheme_of(study, scans, "segmentation"), scheme_of(study, scans, "box")]


def risk_by_hand(case: Any, outline: str) -> float:
    """Return the mean risk over the networks of a patch by segmentation sampling that holds the whole tumour."""
    image = sitk.GetArrayFromImage(sitk.ReadImage(case["image"])).astype(float)
    inside = sitk.GetArrayFromImage(sitk.ReadImage(case[outline])) > 0
    brightness = (np.clip((image + 100) / 400, 0, 1) * inside).sum() / np.prod(PATCH)
    return float(np.mean([1 / (1 + np.exp(-gain * brightness)) for gain in GAINS]))


def test_both_readers_are_scored_by_the_mean_of_the_same_networks(
    study: Study, scans: Any, schemes: list[Scheme]
) -> None:
    found = rescored(schemes)
    assert found.columns.tolist() == COLUMNS
    assert found["scheme"].tolist() == ["SS"] * 6 + ["NSS"] * 6
    ss = found[found["scheme"] == "SS"].set_index("subject")
    # training patients were learnt from: only the others are scored again
    assert ss.index.tolist() == scans.labels("external").index.tolist()
    assert ss["label"].to_dict() == scans.labels("external").to_dict()
    cases = scans.cases.set_index("subject")
    for subject, row in ss.iterrows():
        assert row["reader 1"] == pytest.approx(risk_by_hand(cases.loc[subject], "mask"), rel=1e-5)
        assert row["reader 2"] == pytest.approx(risk_by_hand(cases.loc[subject], "mask_reader2"), rel=1e-5)
    assert ((ss["reader 1"] - ss["reader 2"]).abs() > 1e-3).all()


def test_an_unusable_second_outline_is_left_out_and_harms_nobody(
    study: Study, scans: Any, schemes: list[Scheme], scratch: Any
) -> None:
    whole = rescored(schemes)
    empty = scratch / "empty.nii"
    mask = sitk.ReadImage(scans.cases["mask"].iloc[0])
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros(sitk.GetArrayFromImage(mask).shape, np.uint8)), str(empty))
    second = scans.cases.set_index("subject")["mask_reader2"].copy()
    second["E01"], second["E02"], second["E03"] = str(empty), None, ""
    cases = scans.cases.assign(mask_reader2=second.to_numpy())
    cases.loc[cases["subject"] == "E04", "exclusion"] = "wrong phase"
    found = rescored(on(schemes, cases))
    pd.testing.assert_frame_equal(found, whole[whole["subject"].isin(["E00", "E05"])].reset_index(drop=True))


def test_a_patient_without_a_first_patch_is_left_out(study: Study, scans: Any) -> None:
    scheme = scheme_of(study, scans, "box")
    del scheme.patches["E05"]
    found = rescored([scheme])
    assert found["subject"].tolist() == ["E00", "E01", "E02", "E03", "E04"]


def test_internal_patients_are_scored_before_external_ones(study: Study, scans: Any, schemes: list[Scheme]) -> None:
    cases = scans.cases.copy()
    cases.loc[cases["subject"].isin(["E04", "E05"]), "cohort"] = "internal"
    found = rescored(on(schemes[:1], cases))
    assert found["subject"].tolist() == ["E04", "E05", "E00", "E01", "E02", "E03"]


def test_without_two_patients_read_twice_there_are_no_rows(study: Study, scans: Any, schemes: list[Scheme]) -> None:
    second = scans.cases["mask_reader2"].where(scans.cases["subject"] == "E00", None)
    for cases in (
        scans.cases.drop(columns="mask_reader2"),
        scans.cases.assign(mask_reader2=None),
        scans.cases.assign(mask_reader2=second),
        scans.cases[scans.cases["cohort"] == "train"],
    ):
        found = rescored(on(schemes, cases))
        assert found.empty
        assert found.columns.tolist() == COLUMNS
        read = second_reader(on(schemes, cases))
        assert "No second reader" in read.agreement.attrs["empty"]
        assert read.discrimination.empty
        assert read.points.empty
    assert rescored([]).empty


# Shrout & Fleiss 1979, Table 2: the first two of its judges, on the scale of a risk
FIRST = np.array([9, 6, 8, 7, 10, 6]) / 20
SECOND = np.array([2, 1, 4, 1, 5, 2]) / 20
EVENTS = (1, 0, 1, 0, 1, 0)


def scores(
    first: Any = FIRST, second: Any = SECOND, label: Any = (1, 0, 1, 0, 1, 0), scheme: str = "SS"
) -> pd.DataFrame:
    names = [f"P{i}" for i in range(len(first))]
    return pd.DataFrame({"subject": names, "scheme": scheme, "reader 1": first, "reader 2": second, "label": label})


def test_agreement_is_the_closed_form_on_a_table_made_by_hand() -> None:
    (row,) = score_agreement(scores()).to_dict("records")
    x = np.stack([FIRST, SECOND], axis=1)
    n, k, grand = 6, 2, x.mean()
    bms = k * ((x.mean(axis=1) - grand) ** 2).sum() / (n - 1)
    jms = n * ((x.mean(axis=0) - grand) ** 2).sum() / (k - 1)
    ems = ((x - x.mean(axis=1, keepdims=True) - x.mean(axis=0) + grand) ** 2).sum() / ((n - 1) * (k - 1))
    assert row["icc"] == pytest.approx((bms - ems) / (bms + (k - 1) * ems + k * (jms - ems) / n), rel=1e-12)
    assert row["icc_low"] < row["icc"] < row["icc_high"]
    gap = np.array([7, 5, 4, 6, 5, 4]) / 20
    assert row["n"] == 6
    assert row["bias"] == pytest.approx(31 / 120)
    sd = np.sqrt((167 / 400 - 6 * (31 / 120) ** 2) / 5)  # 167 = 49 + 25 + 16 + 36 + 25 + 16
    np.testing.assert_allclose(gap.std(ddof=1), sd)
    z, half = norm.ppf(0.975), t.ppf(0.975, 5) * sd / np.sqrt(6)
    assert (row["limit_low"], row["limit_high"]) == pytest.approx((31 / 120 - z * sd, 31 / 120 + z * sd))
    assert (row["bias_low"], row["bias_high"]) == pytest.approx((31 / 120 - half, 31 / 120 + half))


def test_a_constant_shift_spoils_absolute_agreement_only() -> None:
    shifted = scores(second=FIRST - 0.2)
    assert score_agreement(shifted, "ICC(3,1)")["icc"].item() == pytest.approx(1)
    assert score_agreement(shifted)["icc"].item() < 0.5
    assert score_agreement(shifted)[["bias", "limit_low", "limit_high"]].to_numpy() == pytest.approx(0.2)
    assert score_agreement(scores(second=FIRST))["icc"].item() == pytest.approx(1)


def test_schemes_are_judged_apart_in_their_own_order() -> None:
    both = pd.concat([scores(), scores(second=FIRST, scheme="NSS")])
    found = score_agreement(both)
    assert found["scheme"].tolist() == ["SS", "NSS"]
    pd.testing.assert_frame_equal(found.iloc[:1], score_agreement(scores()))
    assert found["bias"].iloc[1] == 0


def delong_by_hand(y: np.ndarray, risks: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return AUCs and their covariance by the structural components of DeLong 1988, pair by pair."""
    above = []
    for risk in risks:
        pairs = risk[y == 1][:, None] - risk[y == 0][None]
        above.append((pairs > 0) + 0.5 * (pairs == 0))
    ten, one = np.stack([a.mean(axis=1) for a in above]), np.stack([a.mean(axis=0) for a in above])
    covariance = np.cov(ten) / ten.shape[1] + np.cov(one) / one.shape[1]
    return np.array([a.mean() for a in above]), covariance


def test_discrimination_by_either_reader_is_delongs_closed_form() -> None:
    rng = np.random.default_rng(3)
    y = np.arange(20) % 2
    first, second = rng.uniform(size=20) + 0.3 * y, rng.uniform(size=20) + 0.1 * y
    second[:5] = first[:5]
    (row,) = discrimination_by_reader(scores(first, second, y)).to_dict("records")
    areas, covariance = delong_by_hand(y, [first, second])
    assert (row["n"], row["events"]) == (20, 10)
    assert (row["auc_1"], row["auc_2"]) == pytest.approx(tuple(areas))
    assert row["difference"] == pytest.approx(areas[0] - areas[1])
    se = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert row["p"] == pytest.approx(2 * norm.sf(abs(areas[0] - areas[1]) / se))
    assert row["auc_1_low"] < row["auc_1"] < row["auc_1_high"] <= 1
    assert row["auc_2_low"] < row["auc_2"] < row["auc_2_high"] <= 1


def test_unknown_outcomes_and_single_outcomes_are_left_out() -> None:
    rng = np.random.default_rng(4)
    y = (np.arange(12) % 2).astype(float)
    first, second = rng.uniform(size=12) + 0.2 * y, rng.uniform(size=12) + 0.2 * y
    known = discrimination_by_reader(scores(first[:10], second[:10], y[:10]))
    y[10:] = np.nan
    found = discrimination_by_reader(pd.concat([scores(first, second, y), scores(label=1, scheme="NSS")]))
    pd.testing.assert_frame_equal(found, known)
    assert discrimination_by_reader(scores(label=0)).empty


def test_the_points_of_the_figure_are_mean_and_difference() -> None:
    both = pd.concat([scores(), scores(second=FIRST, scheme="NSS")], ignore_index=True)
    agreement = score_agreement(both)
    points = differences(both, agreement)
    assert points["scheme"].tolist() == ["SS"] * 6 + ["NSS"] * 6
    np.testing.assert_allclose(points["mean"][:6], np.array([5.5, 3.5, 6, 4, 7.5, 4]) / 20)
    np.testing.assert_allclose(points["difference"][:6], np.array([7, 5, 4, 6, 5, 4]) / 20)
    row = agreement.iloc[0]
    assert points["difference"][:6].mean() == pytest.approx(row["bias"])
    assert points.loc[0, ["bias", "limit_low", "limit_high"]].tolist() == [
        row["bias"],
        row["limit_low"],
        row["limit_high"],
    ]
    assert points["n"].tolist() == [6] * 12
