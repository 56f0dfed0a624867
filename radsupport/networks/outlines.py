"""What a U-Net outlines itself, in the place of the reader: localisation without drawing by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk

from radsupport.files import file_stem
from radsupport.imaging.patches import outline_in
from radsupport.imaging.reading import like, read_mask, write_image
from radsupport.imaging.regions import region
from radsupport.networks import unet
from radsupport.networks.inputs import Given, in_rows
from radsupport.networks.result import DeepResult, nothing
from radsupport.networks.sources import bottleneck_tables, case_slices, segmenters
from radsupport.settings.features import Cnn3d, Resnet, Unet


@dataclass(frozen=True)
class OwnOutlines:
    """What a U-Net outlines itself, in the place of the reader.

    Attributes
    ----------
    cases : DataFrame
        Table `cases` of the patients it did not learn from in the phases given, its outline as `source_mask` (on the
        grid of the scan); one without an outline is excluded.
    dice : DataFrame
        subject, cohort, phase, dice (overlap with the reader's outline, 0 to 1; 0 where nothing was outlined).
    features : DataFrame
        Contract table of the deep features of the cuboids around its outlines.
    """

    cases: pd.DataFrame
    dice: pd.DataFrame
    features: pd.DataFrame

    @property
    def overlap(self) -> pd.DataFrame:
        """Dice by cohort and phase: cohort, phase, n, lowest, median, highest."""
        if self.dice.empty:
            return self.dice
        by = self.dice.groupby(["cohort", "phase"], sort=False)["dice"]
        return by.agg(n="size", lowest="min", median="median", highest="max").reset_index()


def own_outlines(spec: Unet | Resnet | Cnn3d, given: Given, trained: DeepResult) -> OwnOutlines:
    """Let a trained U-Net outline the tumours of everybody whom it did not learn from, in its own cuboids.

    The region that the network is shown (for Song 2021 the cuboid around three rough quadrilaterals) is still drawn;
    the careful outline is not. Of what is found in it the largest connected part counts.
    """
    if not isinstance(spec, Unet) or "unet" not in trained.nets:
        none = nothing("This study's network outlines no tumour.", ["subject", "cohort", "phase", "dice"])
        return OwnOutlines(given.cases.iloc[:0], none, nothing(""))
    learnt = set(segmenters(spec, given.cohort, given.seed))
    who, rows, tables = [s for s in given.predicted if s not in learnt], [], dict[str, pd.DataFrame]()
    accurate = spec.model_copy(update={"roi": "accurate", "shift_mm": (0.0, 0.0, 0.0), "enlarge_mm": 0.0})
    for phase in given.phases:
        stack, _ = case_slices(spec, given, phase, who)
        masks, kept = unet.predict_masks(trained.nets["unet"], stack.images), {}
        known = given.cases[given.cases["phase"] == phase].set_index("subject")
        for subject, at in ((str(name), at) for name, at in stack.table.groupby("subject", sort=False).indices.items()):
            (image, drawn), case = given.kept[phase, subject, "mask"], dict[Any, Any](known.loc[subject])
            rough = case.get("roi_rough")
            shown = region(spec, drawn, given.kept.get(rough, rough))
            found = outline_in(masks[at], sitk.GetArrayViewFromImage(shown))
            true = sitk.GetArrayViewFromImage(drawn) > 0
            dice = 2 * (found & true).sum() / (found.sum() + true.sum())
            rows.append({"subject": subject, "phase": phase, "cohort": case["cohort"], "dice": dice, "own": None})
            if found.any():
                own = like(found.astype(np.uint8), drawn)
                kept[phase, subject, "mask"] = (image, own)
                path = given.folder / "own_outlines" / f"{file_stem(subject, phase)}.nii.gz"
                rows[-1]["own"] = _on_scan(own, case["source_mask"], path)
        seen = [subject for _, subject, _ in kept]
        if seen:
            again = replace(given, kept=kept, phases=[phase])
            tables |= bottleneck_tables(accurate, again, trained.nets["unet"], seen, None)[0]
    table = pd.DataFrame(rows)
    cases = given.cases[given.cases["subject"].isin(who) & given.cases["phase"].isin(given.phases)]
    cases = cases.drop(columns="source_mask")
    cases = cases.merge(table.rename(columns={"own": "source_mask"})[["subject", "phase", "source_mask"]], how="left")
    empty = cases["source_mask"].isna() & (cases["exclusion"] == "")
    cases["exclusion"] = cases["exclusion"].mask(empty, "the network outlined nothing")
    return OwnOutlines(cases, table.drop(columns="own"), in_rows(given.predicted, tables))


def _on_scan(mask: sitk.Image, scan: str, path: Path) -> str | None:
    """Write a mask on the grid of the scan that it belongs to; None where no voxel of that is inside."""
    there = sitk.Resample(mask, read_mask(scan), sitk.Transform(), sitk.sitkNearestNeighbor, 0.0, sitk.sitkUInt8)
    return str(write_image(there, path)) if sitk.GetArrayViewFromImage(there).any() else None
