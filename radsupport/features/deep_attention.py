"""Where the networks of both sampling schemes look, on the same patients (Cui 2022, Figure 8).

Grad-CAM is averaged over the networks of the folds. Shares are taken on a grid of 1 mm, whatever the patch's voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from radsupport.features.attribution import grad_cam, heat_shares, map_agreement, occlusion_sensitivity
from radsupport.features.cnn3d import CNN3D
from radsupport.features.deep_cnn3d import Scheme, covered_mm, spec_of
from radsupport.features.signed_rank import FEWEST, signed_rank
from radsupport.features.slices import Float32Array
from radsupport.study_schema import Study

#: Columns of `heat_shares` that the schemes are compared in, and how they are called.
MEASURES = {
    "tumour": "heat in the tumour",
    "neighbour": "heat in the tissue next to it",
    "concentration": "heat in the tumour over the tumour's share of the patch",
}


class Ensemble(nn.Module):
    """The networks of the folds as one, whose softmax is the mean of theirs."""

    def __init__(self, models: Sequence[CNN3D]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the mean class probabilities, shape (n, 2)."""
        probabilities = torch.stack([model(x).softmax(dim=1) for model in self.models]).mean(dim=0)
        return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()


@dataclass(frozen=True)
class Attention:
    """Heat of both schemes on the same patients.

    Attributes
    ----------
    subjects : list of str
    schemes : tuple of Scheme
    maps : dict of scheme name to array, shape (n, slices, rows, columns)
        0 to 1.
    shares : DataFrame
        subject, scheme, tumour, neighbour, elsewhere, tumour_volume, concentration, peak_in_tumour, no_heat.
    """

    subjects: list[str]
    schemes: tuple[Scheme, ...]
    maps: dict[str, Float32Array]
    shares: pd.DataFrame

    def share(self, subject: str, scheme: str) -> float:
        """Return the share of one patient's heat in the tumour."""
        row = self.shares[(self.shares["subject"] == subject) & (self.shares["scheme"] == scheme)]
        return float(row["tumour"].iloc[0])


def judged_subjects(cohort: pd.DataFrame, schemes: Sequence[Scheme]) -> list[str]:
    """Return the patients that are looked at: those outside training, else the training patients.

    Who has no patch in one of the schemes, or no voxel of the tumour in it (a tumour of less than half a voxel of the
    patch), has no share of heat and is left out.
    """
    others = cohort["cohort"].isin(["external", "internal"])
    chosen = cohort[others] if others.any() else cohort[cohort["cohort"] == "train"]

    def is_seen(subject: str) -> bool:
        return all(subject in scheme.patches and scheme.patches[subject].mask.any() for scheme in schemes)

    return [subject for subject in sorted(chosen["subject"]) if is_seen(subject)]


def attend(study: Study, cohort: pd.DataFrame, schemes: Sequence[Scheme]) -> Attention:
    """Make the heat maps of all judged patients in every scheme, and their shares."""
    spec, subjects = spec_of(study), judged_subjects(cohort, schemes)
    maps, shares = {}, []
    for scheme in schemes:
        heat = mean_cam(scheme, subjects, spec.cam_layer)
        maps[scheme.name] = heat
        fine = [on_millimetres(part, covered_mm(study)) for part in (heat, scheme.masks(subjects))]
        found = heat_shares(fine[0], fine[1], subjects, neighbour_voxels=spec.neighbour_mm)
        shares.append(found.assign(scheme=scheme.name))
    return Attention(subjects, tuple(schemes), maps, pd.concat(shares, ignore_index=True))


def mean_cam(scheme: Scheme, subjects: list[str], layer: str) -> Float32Array:
    """Return the mean over the folds' networks of the Grad-CAM of the event, 0 to 1."""
    images = scheme.images(subjects)
    return np.mean([grad_cam(model, images, layer) for model in scheme.trained.models], axis=0, dtype=np.float32)


def on_millimetres(arrays: NDArray[Any], mm: tuple[int, int, int]) -> NDArray[Any]:
    """Return maps (n, slices, rows, columns) with voxels of 1 mm, each taken from the voxel that holds its centre."""
    for axis, wanted in enumerate(mm, start=1):
        n = arrays.shape[axis]
        arrays = np.take(arrays, np.floor((np.arange(wanted) + 0.5) * n / wanted).astype(int), axis=axis)
    return arrays


def compare_shares(attention: Attention) -> pd.DataFrame:
    """Compare two schemes' shares of heat in the same patients.

    Returns
    -------
    DataFrame
        measure, n, one column per scheme (median), difference (first minus second, Hodges-Lehmann), ci_low, ci_high
        (95%, from the same test), p (Wilcoxon's signed-rank test), method (exact or normal approximation), as
        `signed_rank.signed_rank` gives them. Missing where fewer than three patients have heat in both schemes; limits
        are missing where the test could reject no shift. No rows unless there are two schemes.
    """
    names = [scheme.name for scheme in attention.schemes]
    if len(names) != 2:
        return pd.DataFrame()
    rows = []
    for column, words in MEASURES.items():
        # a scheme without any heat keeps its column, which pivot_table would else drop
        wide = attention.shares.pivot_table(index="subject", columns="scheme", values=column, dropna=False)
        wide = wide[names].dropna()
        row: dict[str, object] = {"measure": words, "n": len(wide)}
        if len(wide) >= FEWEST:
            difference = (wide[names[0]] - wide[names[1]]).to_numpy()
            row |= {name: float(wide[name].median()) for name in names}
            row |= paired_difference(difference)
        rows.append(row)
    return pd.DataFrame(rows, columns=["measure", "n", *names, "difference", "ci_low", "ci_high", "p", "method"])


def paired_difference(difference: NDArray[np.float64]) -> dict[str, float | str]:
    """Return the estimate of `signed_rank` with its interval, P and method; a limit that does not exist is missing."""
    found = signed_rank(difference)
    low, high = (limit if np.isfinite(limit) else np.nan for limit in (found.ci_low, found.ci_high))
    return {"difference": found.estimate, "ci_low": low, "ci_high": high, "p": found.p, "method": found.method}


def comparison_headers(attention: Attention) -> dict[str, str]:
    """Return the words for the columns of `compare_shares`; none unless there are two schemes."""
    if len(attention.schemes) != 2:
        return {}
    first, second = (scheme.name for scheme in attention.schemes)
    return {
        "n": "Patients", first: f"{first}, median", second: f"{second}, median",
        "difference": f"{first} minus {second} (Hodges-Lehmann)", "ci_low": "95% CI, lower", "ci_high": "95% CI, upper",
        "method": "Test",
    }  # fmt: skip


def check_by_occlusion(study: Study, attention: Attention) -> pd.DataFrame:
    """Compare Grad-CAM with what covering parts of the patch does to the risk, in the pictured patients.

    Returns
    -------
    DataFrame
        subject, scheme, spearman (of the two maps over voxels), cam_tumour and occlusion_tumour (share of the heat in
        the tumour by either; missing where covering nothing lowers the risk).
    """
    spec = spec_of(study)
    shown = attention.subjects[: spec.cam_patients]
    block = [min(b, n) for b, n in zip(spec.occlusion, spec.patch, strict=True)]
    tables = []
    for scheme in attention.schemes:
        heat = attention.maps[scheme.name][: len(shown)]
        # 0 is what segmentation sampling itself puts outside the tumour; a box is covered by its own mean
        fill: Any = 0.0 if scheme.sampling == "segmentation" else "mean"
        falls = occlusion_sensitivity(
            Ensemble(scheme.trained.models), scheme.images(shown), block, step=block, fill=fill
        )
        shares = [
            heat_shares(
                on_millimetres(part, covered_mm(study)), on_millimetres(scheme.masks(shown), covered_mm(study)), shown
            )
            for part in (heat, falls)
        ]
        table = map_agreement(heat, falls, shown).assign(scheme=scheme.name)
        table["cam_tumour"], table["occlusion_tumour"] = (part["tumour"].to_numpy() for part in shares)
        tables.append(table[["subject", "scheme", "spearman", "cam_tumour", "occlusion_tumour"]])
    return pd.concat(tables, ignore_index=True)


def overlay_table(study: Study, attention: Attention) -> pd.DataFrame:
    """Return the middle slice of the pictured patients in every scheme, for `networks.heat_overlays`."""
    rows = []
    for i, subject in enumerate(attention.subjects[: spec_of(study).cam_patients]):
        for scheme in attention.schemes:
            patch = scheme.patches[subject]
            at = patch.image.shape[0] // 2
            row = {"image": patch.image[at], "heat": attention.maps[scheme.name][i, at], "mask": patch.mask[at]}
            share = attention.share(subject, scheme.name)
            rows.append({"subject": f"{subject}, {scheme.name}", **row, "share": share})
    return pd.DataFrame(rows)


def slider_table(study: Study, attention: Attention) -> pd.DataFrame:
    """Return the pictured patients in every scheme, for `slice_slider.slider_html`.

    Returns
    -------
    DataFrame
        subject, panel, image, heat, mask (all slices), words.
    """
    rows = []
    for i, subject in enumerate(attention.subjects[: spec_of(study).cam_patients]):
        said = [f"{s.name}: {_heat_words(attention.share(subject, s.name))}" for s in attention.schemes]
        for scheme in attention.schemes:
            patch = scheme.patches[subject]
            row = {"image": patch.image, "heat": attention.maps[scheme.name][i], "mask": patch.mask}
            rows.append({"subject": subject, "panel": scheme.name, **row, "words": "; ".join(said)})
    return pd.DataFrame(rows)


def pair_table(attention: Attention, measure: str = "tumour") -> pd.DataFrame:
    """Return one measure of the patients who have it in every scheme, for `networks.paired_values`.

    Returns
    -------
    DataFrame
        subject, group (scheme), value.
    """
    lacking = attention.shares.loc[attention.shares[measure].isna(), "subject"]
    kept = attention.shares[~attention.shares["subject"].isin(lacking)]
    return kept.rename(columns={"scheme": "group", measure: "value"})[["subject", "group", "value"]]


def _heat_words(share: float) -> str:
    return "no heat" if np.isnan(share) else f"{share:.0%} of the heat in the tumour"


CHECK_HEADERS = {
    "subject": "Patient", "spearman": "Spearman's ρ", "cam_tumour": "Grad-CAM, share in the tumour",
    "occlusion_tumour": "Occlusion, share in the tumour",
}  # fmt: skip
SHARE_HEADERS = {
    "subject": "Patient", "scheme": "Scheme", "tumour": "In the tumour", "neighbour": "Next to it",
    "elsewhere": "Elsewhere", "tumour_volume": "Tumour's share of the patch", "concentration": "Concentration",
    "peak_in_tumour": "Hottest voxel in the tumour", "no_heat": "No heat",
}  # fmt: skip
