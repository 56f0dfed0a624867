"""Chapter 04, step by step: one way in for every kind of network a study may name."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from radsupport.errors import StudyError
from radsupport.features import deep_cnn3d, deep_finetune, deep_resnet, deep_unet, unet
from radsupport.features.cnn3d import build_cnn3d, layer_table
from radsupport.features.deep_inputs import model_phases
from radsupport.features.deep_result import DeepResult, write
from radsupport.features.deep_settings import settings_table
from radsupport.features.variants import Variant, compared_signatures
from radsupport.paths import StudyPaths
from radsupport.study_schema import Cnn3d, Resnet, Study, Unet

__all__ = [
    "LAYER_HEADERS", "DeepResult", "compute", "description", "model_phases", "printed_layers", "settings_table",
    "unlisted_words", "write",
]  # fmt: skip

Runner = Callable[[Study, pd.DataFrame, pd.DataFrame, StudyPaths, bool], DeepResult]
#: Words for the columns of the layer tables.
LAYER_HEADERS = {
    "kernel": "Filters or units", "kernel_size": "Kernel", "strides": "Stride", "made_of": "Made of",
    "output_shape": "Output (…, channels)",
}  # fmt: skip


def description(study: Study, cohort: pd.DataFrame) -> str:
    """Say in words which network it is and whom it was trained on."""
    if isinstance(study.deep, Unet):
        return deep_unet.description(study, cohort)
    n = int((cohort["cohort"] == "train").sum())
    if isinstance(study.deep, Cnn3d):
        return (
            f"A 3-D CNN learns the outcome of the {n} training patients, in {study.deep.folds} folds: the risk of a "
            "training patient comes from the network that never saw that patient."
        )
    if isinstance(study.deep, Resnet):
        how = {
            "no": "No network is trained on the outcome.",
            "out_of_fold": f"It is fine-tuned on the outcome of the {n} training patients, anew in each fold, so that "
            "a patient's features come from a network that never saw that patient's outcome.",
            "as_published": f"**It is fine-tuned on the outcome of all {n} training patients, as published: the "
            "features of a training patient carry that patient's own outcome.**",
        }
        return (
            f"A ResNet-{study.deep.depth} describes the slices around the largest section. {how[study.deep.fine_tune]}"
        )
    raise _unknown(study)


def compute(
    study: Study, cohort: pd.DataFrame, cases: pd.DataFrame, paths: StudyPaths, progress: bool = True
) -> DeepResult:
    """Train the study's network where it is trained, return every patient's features, and those of other choices."""
    run = _runner(study)
    result = run(study, cohort, cases, paths, progress)
    if study.deep is None:
        raise _unknown(study)
    signatures = compared_signatures(study, "deep", study.deep.compare_on)
    variants = []
    for comparison in study.deep.compare:
        changed = study.model_copy(update={"deep": study.deep.chosen(comparison)})
        other = _runner(changed)(changed, cohort, cases, paths, progress)
        made = Variant(
            comparison.name, comparison.group, comparison.description, "deep", signatures, other.features,
            other.by_fold, other.icc,
        )  # fmt: skip
        variants.append(made)
    return result.with_variants(tuple(variants))


def printed_layers(study: Study) -> pd.DataFrame:
    """Return the study's own network layer by layer at its printed size, whatever the profile.

    The 3-D CNN takes patches of 10 x 150 x 150 and has all filters; the U-Net takes 256 x 256 pixels and has 64
    channels in its first level: the defaults of the study file.
    """
    if isinstance(study.deep, Unet):
        printed = Unet(network="unet")
        return unet.layer_table(printed.base_channels, printed.input_px)
    return layer_table(build_cnn3d(seed=study.seed))


def unlisted_words(study: Study) -> str:
    """Say why a network's layers are not listed, and what its features are."""
    if not isinstance(study.deep, Resnet):
        raise _unknown(study)
    return (
        f"The network is a ResNet-{study.deep.depth} (He et al. 2016, in torchvision's layout) without its last layer; "
        "its layers are not listed here. A feature is one map of the last block, pooled."
    )


def _runner(study: Study) -> Runner:
    if isinstance(study.deep, Unet):
        return deep_unet.run
    if isinstance(study.deep, Cnn3d):
        return deep_cnn3d.run
    if isinstance(study.deep, Resnet):
        return deep_resnet.run if study.deep.fine_tune == "no" else deep_finetune.run
    raise _unknown(study)


def _unknown(study: Study) -> StudyError:
    return StudyError(f"Study {study.id} names no network that chapter 04 can run.")
