"""Where the networks look: heat on a planted lesion, shares that add to 1, schemes compared as by scipy, occlusion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import wilcoxon
from torch import nn

from radsupport.errors import NotEstimableError
from radsupport.imaging.patches import Patch, Sampling
from radsupport.networks import attention as deep_attention
from radsupport.networks.attention import (
    MEASURES,
    Attention,
    Ensemble,
    attend,
    heat_shares,
    judged_subjects,
    mean_cam,
    on_millimetres,
    paired_difference,
)
from radsupport.networks.cnn3d import CrossValidated, predict_risk
from radsupport.networks.inputs import Given
from radsupport.networks.schemes import Scheme, train_schemes
from radsupport.settings.features import Cnn3d
from radsupport.settings.study import Study

PATCH = (4, 12, 12)
DEEP = {
    "patch": PATCH, "field_mm": None, "width": 0.1, "learning_rate": 2e-3, "max_epochs": 12, "patience": 12,
    "batch_size": 4, "folds": 2, "augment": False, "max_shift": 1, "window": {"level": 100, "width": 400},
    "cam_layer": "convolution1", "cam_patients": 2, "neighbour_mm": 2.0, "occlusion": [2, 2, 2],
}  # fmt: skip
SPEC = Cnn3d.model_validate({"network": "cnn3d", **DEEP})
SUBJECTS = [f"P{i}" for i in range(6)]
COHORT = pd.DataFrame({"subject": SUBJECTS, "cohort": "external", "label": [0, 1] * 3})


class Bright(nn.Module):
    """A network that can be worked out by hand: logit of the event = gain x mean brightness, of no event = 0."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.convolution1 = nn.Identity()
        self.gain, self.patch = gain, PATCH

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # a copy, so that the layer's output has a gradient of its own
        score = self.gain * self.convolution1(1.0 * x.requires_grad_(torch.is_grad_enabled())).mean(dim=(1, 2, 3, 4))
        return torch.stack([0 * score, score], dim=1)


def planted(seed: int, sampling: Sampling) -> Patch:
    """Noise of 0 to 0.3 with a lesion of 1; without background where the scheme is segmentation sampling."""
    rng = np.random.default_rng(seed)
    image, mask = rng.uniform(0, 0.3, size=PATCH).astype(np.float32), np.zeros(PATCH, bool)
    row, column = rng.integers(1, 7, size=2)
    mask[1:3, row : row + 4, column : column + 4] = True
    image[mask] = 1
    return Patch(image * mask if sampling == "segmentation" else image, mask, 1.0)


def scheme_of(sampling: Sampling, gains: tuple[float, ...] = (40.0, 80.0), subjects: Any = SUBJECTS) -> Scheme:
    """Return a scheme whose fold networks are `Bright`."""
    patches = {name: planted(i, sampling) for i, name in enumerate(subjects)}
    trained = CrossValidated(tuple(Bright(g) for g in gains), pd.DataFrame(), pd.DataFrame())  # type: ignore[arg-type]
    return Scheme(SPEC, given_for(COHORT), "arterial", sampling, patches, trained, pd.DataFrame())


def given_for(cohort: pd.DataFrame, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Given:
    return Given(cohort, pd.DataFrame(), {}, ["arterial"], spacing, Path())


def of(schemes: Any, **changed: Any) -> list[Scheme]:
    """Return schemes with another specification or other patients."""
    return [replace(scheme, **changed) for scheme in schemes]


@pytest.fixture(scope="module")
def schemes() -> tuple[Scheme, Scheme]:
    return scheme_of("segmentation"), scheme_of("box")


@pytest.fixture(scope="module")
def attention(schemes: tuple[Scheme, Scheme]) -> Attention:
    return attend(schemes)


def test_the_map_of_a_linear_network_is_the_image_itself(attention: Attention, schemes: tuple[Scheme, Scheme]) -> None:
    # the gradient of a mean is the same everywhere and positive: the map is the brightness over its maximum, 1
    for scheme in schemes:
        np.testing.assert_allclose(attention.maps[scheme.name], scheme.images(SUBJECTS)[:, 0], atol=1e-6)
        assert attention.maps[scheme.name].max() == pytest.approx(1)


def test_most_heat_lies_on_the_planted_lesion_and_shares_add_to_one(
    attention: Attention, schemes: tuple[Scheme, Scheme]
) -> None:
    shares = attention.shares
    np.testing.assert_allclose(shares[["tumour", "neighbour", "elsewhere"]].sum(axis=1), 1, atol=1e-12)
    assert shares["peak_in_tumour"].all()
    assert not shares["no_heat"].any()
    assert (shares.loc[shares["scheme"] == "SS", "tumour"] == 1).all()
    for subject in SUBJECTS:
        patch = schemes[1].patches[subject]
        assert attention.share(subject, "NSS") == pytest.approx(patch.image[patch.mask].sum() / patch.image.sum())
        assert attention.share(subject, "NSS") > 4 * patch.mask.mean()  # far above the share of even heat


def test_neighbouring_tissue_reaches_as_far_as_the_study_says(attention: Attention, schemes: Any) -> None:
    found = attention.shares.query("scheme == 'NSS'").set_index("subject")
    for subject, patch in schemes[1].patches.items():
        inside = np.argwhere(patch.mask)
        distance = np.array(
            [np.sqrt(((inside - at) ** 2).sum(axis=1)).min() for at in np.argwhere(np.ones(PATCH))]
        ).reshape(PATCH)
        near = (distance > 0) & (distance <= 2)
        assert found.loc[subject, "neighbour"] == pytest.approx(patch.image[near].sum() / patch.image.sum(), rel=1e-5)


def test_trained_networks_look_at_the_lesion_more_than_even_heat_would(
    study_with: Callable[..., Study], make_scans: Callable[..., Any]
) -> None:
    study = study_with("cui2022", {**DEEP, "patch": [6, 20, 20], "cam_layer": "convolution2", "cam_patients": 6})
    scans = make_scans(14, 6)
    found = attend(train_schemes(study.deep, scans.given(study)))
    np.testing.assert_allclose(found.shares[["tumour", "neighbour", "elsewhere"]].sum(axis=1), 1, atol=1e-9)
    labels = scans.labels("external")
    events = found.shares[found.shares["subject"].isin(labels.index[labels == 1])]
    assert len(events) == 6
    assert (events["concentration"] > 1).all()
    # and covering the bright lesion does lower the risk
    falls = found.check().merge(events, on=["subject", "scheme"])
    assert len(falls) == 6
    assert (falls["occlusion_tumour"] > falls["tumour_volume"]).all()


def test_the_ensembles_probability_is_the_mean_of_its_networks() -> None:
    scheme = scheme_of("box", (-3.0, 1.0, 9.0))
    images = scheme.images(SUBJECTS)
    brightness = images.mean(axis=(1, 2, 3, 4), dtype=float)
    expected = np.mean([1 / (1 + np.exp(-gain * brightness)) for gain in (-3.0, 1.0, 9.0)], axis=0)
    ensemble = Ensemble(scheme.trained.models)
    ensemble.patch = PATCH  # type: ignore[assignment]
    np.testing.assert_allclose(predict_risk(ensemble, images), expected, rtol=1e-5)  # type: ignore[arg-type]
    sure = Ensemble([Bright(1e6)])(torch.as_tensor(images))  # type: ignore[list-item]
    assert torch.isfinite(sure).all()


def test_the_map_is_the_mean_over_the_folds() -> None:
    # a network that is lowered by brightness has no evidence at all: half of the mean is left
    heat = mean_cam(scheme_of("box", (5.0, -5.0)), SUBJECTS, "convolution1")
    alone = mean_cam(scheme_of("box", (5.0,)), SUBJECTS, "convolution1")
    np.testing.assert_allclose(heat, alone / 2, atol=1e-6)


def test_patients_outside_training_are_judged_else_those_in_it() -> None:
    schemes = [scheme_of("box"), scheme_of("segmentation", subjects=SUBJECTS[:5])]
    cohort = COHORT.assign(cohort=["train", "train", "internal", "external", "external", "external"])
    shuffled = cohort.iloc[::-1]
    assert judged_subjects(of(schemes, given=given_for(shuffled))) == [
        "P2",
        "P3",
        "P4",
    ]  # P5 has no patch in one scheme
    assert judged_subjects(of(schemes, given=given_for(shuffled.assign(cohort="train")))) == SUBJECTS[:5]


def test_a_patient_whose_patch_lost_the_tumour_harms_nobody() -> None:
    schemes = [scheme_of(sampling) for sampling in ("segmentation", "box")]
    for scheme in schemes:
        patch = scheme.patches["P3"]
        scheme.patches["P3"] = Patch(patch.image, np.zeros(PATCH, bool), 0.0)
    found = attend(schemes)
    kept = [name for name in SUBJECTS if name != "P3"]
    assert found.subjects == kept
    whole = attend((scheme_of("segmentation"), scheme_of("box"))).shares
    expected = whole[whole["subject"] != "P3"].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.shares, expected)


@pytest.mark.parametrize(("field", "expected"), [((8, 36, 48), (8, 36, 48)), (None, (12, 24, 6))])
def test_a_patch_covers_its_field_or_its_own_voxels_in_mm(
    field: Any, expected: tuple[int, ...], schemes: tuple[Scheme, Scheme]
) -> None:
    # x, y, z: columns of 0.5, rows of 2 and slices of 3 mm
    spec, given = SPEC.model_copy(update={"field_mm": field}), given_for(COHORT, (0.5, 2.0, 3.0))
    assert replace(schemes[0], spec=spec, given=given).covered_mm == expected


def test_voxels_of_one_mm_are_taken_from_the_voxel_that_holds_them() -> None:
    maps = np.arange(2 * 2 * 3 * 4).reshape(2, 2, 3, 4)
    fine = on_millimetres(maps, (4, 3, 8))
    np.testing.assert_array_equal(fine, maps.repeat(2, axis=1).repeat(2, axis=3))
    # 4 columns over 6 mm: centres at 0.5, 1.5 … mm lie in columns of 1.5 mm
    np.testing.assert_array_equal(on_millimetres(maps, (2, 3, 6))[0, 0, 0], [0, 1, 1, 2, 3, 3])
    np.testing.assert_array_equal(on_millimetres(maps, (1, 3, 2))[0, 0, 0], maps[0, 1, 0, [1, 3]])


def test_shares_are_taken_in_mm(schemes: tuple[Scheme, Scheme]) -> None:
    wide = SPEC.model_copy(update={"field_mm": (4, 24, 24)})  # in-plane voxels of 2 mm
    found = attend(of(schemes[1:], spec=wide)).shares
    heat, masks = schemes[1].images(SUBJECTS)[:, 0], schemes[1].masks(SUBJECTS)
    fine = [part.repeat(2, axis=2).repeat(2, axis=3) for part in (heat, masks)]
    expected = heat_shares(fine[0], fine[1], SUBJECTS, neighbour_voxels=2)
    np.testing.assert_allclose(found["neighbour"], expected["neighbour"], rtol=1e-5)
    coarse = heat_shares(heat, masks, SUBJECTS, neighbour_voxels=2)
    assert (found["neighbour"] < coarse["neighbour"]).all()  # 2 mm reach half as far as 2 voxels


def table_of(ss: dict[str, list[float]], nss: dict[str, list[float]], schemes: Any) -> Attention:
    """Return heat shares typed by hand; the second scheme's rows in another order."""
    n = len(next(iter(ss.values())))
    names = [f"Q{i:02d}" for i in range(n)]
    tables = [pd.DataFrame({"subject": names, "scheme": name, **part}) for name, part in (("SS", ss), ("NSS", nss))]
    shares = pd.concat([tables[0], tables[1].iloc[::-1]], ignore_index=True)
    return Attention(names, tuple(schemes), {}, shares)


def random_shares(n: int, seed: int, up: float = 0.0) -> dict[str, list[float]]:
    rng = np.random.default_rng(seed)
    return {name: (rng.uniform(0, 1, n) + up).tolist() for name in MEASURES}


def test_the_paired_test_of_the_schemes_is_scipys(schemes: tuple[Scheme, Scheme]) -> None:
    ss, nss = random_shares(25, 1, up=0.2), random_shares(25, 2)
    found = table_of(ss, nss, schemes).compare()
    assert found["measure"].tolist() == list(MEASURES.values())
    for row, name in zip(found.to_dict("records"), MEASURES, strict=True):
        first, second = np.array(ss[name]), np.array(nss[name])
        assert row["n"] == 25
        assert (row["p"], row["method"]) == (pytest.approx(wilcoxon(first, second).pvalue, rel=1e-12), "exact")
        both = first - second
        assert row["difference"] == pytest.approx(
            np.median([(a + b) / 2 for i, a in enumerate(both) for b in both[i:]])
        )
        assert (row["SS"], row["NSS"]) == pytest.approx((np.median(first), np.median(second)))
        assert row["ci_low"] < row["difference"] < row["ci_high"]
        assert (row["ci_low"] > 0 or row["ci_high"] < 0) == (row["p"] < 0.05)


def test_wilcoxons_p_of_a_tiny_table_is_counted_by_hand() -> None:
    # five differences of one sign: 2 of the 2 ** 5 sign patterns are as extreme
    assert paired_difference(np.array([0.1, 0.2, 0.3, 0.4, 0.5]))["p"] == pytest.approx(2 / 32)
    # ranks 1 to 4, the first one negative: W = 1, reached or passed in 2 x 2 of 16 patterns
    assert paired_difference(np.array([-0.1, 0.2, 0.3, 0.4]))["p"] == pytest.approx(4 / 16)


def test_schemes_that_never_differ_have_p_one_and_few_patients_no_limits() -> None:
    same = paired_difference(np.zeros(6))
    assert (same["difference"], same["ci_low"], same["ci_high"], same["p"]) == (0, 0, 0, 1)
    few = paired_difference(np.array([0.1, 0.2, 0.3, 0.45, 0.5]))
    assert np.isnan([few["ci_low"], few["ci_high"]]).all()  # P of five can not fall below 0.0625
    with pytest.raises(NotEstimableError, match="2 patients are too few"):
        paired_difference(np.array([0.1, 0.2]))


def test_a_patient_without_heat_is_no_pair(schemes: tuple[Scheme, Scheme]) -> None:
    ss, nss = random_shares(3, 1), random_shares(3, 2)
    nss["tumour"][1] = np.nan
    pairs = table_of(ss, nss, schemes).pairs()
    assert pairs["subject"].nunique() == 2
    assert pairs["value"].notna().all()


def test_a_patient_without_heat_leaves_the_pair_but_not_the_others(schemes: tuple[Scheme, Scheme]) -> None:
    ss, nss = random_shares(9, 5), random_shares(9, 6)
    whole = table_of({k: v[1:] for k, v in ss.items()}, {k: v[1:] for k, v in nss.items()}, schemes).compare()
    for values in nss.values():
        values[0] = np.nan
    found = table_of(ss, nss, schemes).compare()
    pd.testing.assert_frame_equal(found, whole)
    assert found["n"].tolist() == [8, 8, 8]


def test_a_scheme_without_any_heat_is_a_row_without_a_test(schemes: tuple[Scheme, Scheme]) -> None:
    dead = {name: [np.nan] * 9 for name in MEASURES}
    found = table_of(random_shares(9, 5), dead, schemes).compare()
    assert found["n"].tolist() == [0, 0, 0]
    assert found[["SS", "NSS", "difference", "ci_low", "ci_high", "p", "method"]].isna().all(axis=None)


def test_one_scheme_has_nothing_to_be_compared_with(schemes: tuple[Scheme, Scheme]) -> None:
    assert attend(schemes[:1]).compare().empty


def test_without_a_scheme_there_is_no_heat_and_a_reason() -> None:
    nothing = attend([])
    assert "networks that give a risk" in nothing.shares.attrs["empty"]
    for table in (nothing.compare(), nothing.pairs(), nothing.middle(), nothing.pictures(), nothing.check()):
        assert table.empty
        assert table.attrs["empty"] == ""


def test_occlusion_agrees_in_sign_with_the_lesion() -> None:
    gains = ((4.0, 8.0), (-4.0, -8.0))
    up, down = ([scheme_of(sampling, gain) for sampling in ("segmentation", "box")] for gain in gains)
    raised = attend(up).check()
    assert raised["subject"].tolist() == ["P0", "P1"] * 2  # the pictured patients only
    assert raised["scheme"].tolist() == ["SS", "SS", "NSS", "NSS"]
    assert (raised["spearman"] > 0).all()
    assert (raised["occlusion_tumour"] > 3 * 32 / 576).all()  # three times the share of even heat
    # where brightness lowers the risk, covering the lesion raises it: no heat of either kind is left on it
    lowered = attend(down).check().query("scheme == 'SS'")
    assert lowered[["spearman", "cam_tumour", "occlusion_tumour"]].isna().all(axis=None)


def test_the_falls_are_those_worked_out_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    original = deep_attention.occlusion_sensitivity

    def keep(*given: Any, **options: Any) -> Any:
        seen[str(options["fill"])] = original(*given, **options)
        return seen[str(options["fill"])]

    monkeypatch.setattr(deep_attention, "occlusion_sensitivity", keep)
    schemes = [scheme_of(sampling, (2.0, 7.0)) for sampling in ("segmentation", "box")]
    attend(schemes).check()
    for scheme, fill in zip(schemes, ("0.0", "mean"), strict=True):
        image = scheme.patches["P0"].image.astype(float)
        covered = image.copy()
        covered[0:2, 4:6, 4:6] = image.mean() if fill == "mean" else 0
        risk = [np.mean([1 / (1 + np.exp(-g * x.mean())) for g in (2.0, 7.0)]) for x in (image, covered)]
        np.testing.assert_allclose(seen[fill][0, 0:2, 4:6, 4:6], risk[0] - risk[1], atol=1e-6)


def test_pictures_show_the_middle_slice_and_the_slider_all(attention: Attention) -> None:
    overlays = attention.middle()
    assert overlays["subject"].tolist() == ["P0, SS", "P0, NSS", "P1, SS", "P1, NSS"]
    patch = attention.schemes[1].patches["P1"]
    last = overlays.iloc[3]
    np.testing.assert_array_equal(last["image"], patch.image[2])
    np.testing.assert_array_equal(last["mask"], patch.mask[2])
    np.testing.assert_array_equal(last["heat"], attention.maps["NSS"][1, 2])
    assert last["share"] == attention.share("P1", "NSS")
    slider = attention.pictures()
    assert slider[["subject", "panel"]].to_numpy().tolist() == [
        ["P0", "SS"],
        ["P0", "NSS"],
        ["P1", "SS"],
        ["P1", "NSS"],
    ]
    assert {array.shape for name in ("image", "heat", "mask") for array in slider[name]} == {PATCH}
    np.testing.assert_array_equal(slider["heat"].iloc[3], attention.maps["NSS"][1])
    share = attention.share("P1", "NSS")
    assert slider["words"].iloc[3] == f"SS: 100% of the heat in the tumour; NSS: {share:.0%} of the heat in the tumour"
    pairs = attention.pairs("neighbour")
    assert pairs.columns.tolist() == ["subject", "group", "value"]
    row = pairs[(pairs["subject"] == "P4") & (pairs["group"] == "NSS")]
    own = attention.shares.query("subject == 'P4' and scheme == 'NSS'")
    assert row["value"].tolist() == own["neighbour"].tolist()
