"""How a study file describes its radiomics and its network: chapters 03 and 04."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, StringConstraints, model_validator

from radsupport.settings.parts import Folds, Part, Share

AS_CHOSEN = "as the study has it"  #: the study's own choice among those compared


Control = Annotated[str, StringConstraints(pattern=r"^(shuffled|randomised|sampled) (roi|outside|everywhere)$")]


class Window(Part):
    """Display and network window in HU."""

    level: float
    width: PositiveFloat


class Comparison(Part):
    """A choice to be compared with the study's own.

    `set` holds the keys of the section that differ, `group` what the choice is about (aggregation, leak, roi …).
    Chapters 03 and 04 make a feature table of it, chapter 05 judges it.
    """

    group: str
    name: str
    description: str = ""
    set: dict[str, Any]


class Compared(Part):
    """A section whose choices can be compared.

    `compare_on` names the signatures that are judged with every choice (by default the first one that uses this
    source alone). `reader_seconds` says how long readers took for the region of a choice (its name; the
    study's own is `as the study has it`), one number per reader, where a paper prints it.
    """

    compare: list[Comparison] = []
    compare_on: list[str] = []
    reader_seconds: dict[str, Annotated[list[PositiveFloat], Field(min_length=1)]] = {}

    @model_validator(mode="after")
    def choices_are_valid(self) -> Compared:
        """Require that each choice gives a valid section."""
        given = self.model_dump()
        for comparison in self.compare:
            type(self).model_validate({**given, "compare": [], "reader_seconds": {}, **comparison.set})
        unknown = sorted(set(self.reader_seconds) - {AS_CHOSEN, *(one.name for one in self.compare)})
        if unknown:
            raise ValueError(
                f"`reader_seconds` names {', '.join(unknown)}, which is neither compared nor `{AS_CHOSEN}`"
            )
        return self

    def chosen(self, comparison: Comparison) -> Any:
        """Return this section with the keys of one choice."""
        return type(self).model_validate({**self.model_dump(), "compare": [], "reader_seconds": {}, **comparison.set})


class Roi(Compared):
    """A region that a network or pyradiomics looks at, and how it is changed to ask what careful drawing is worth.

    `accurate` is the reader's outline, `rough` the cuboid around the rough quadrilaterals; `shift_mm` (x, y, z) moves
    the region, `enlarge_mm` grows it on all sides.
    """

    roi: Literal["accurate", "rough"] = "accurate"
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    enlarge_mm: Annotated[float, Field(ge=0)] = 0.0


class ToolkitFamily(Part):
    """A family of features of the paper's own software: how many it had, and which of our classes cover it."""

    family: str
    published: int
    classes: list[str]


class Radiomics(Roi):
    """Chapter 03; `settings` is a pyradiomics parameter file under studies/radiomics.

    `windowed` cuts HU off outside the window of the phase before anything is measured.
    `icc_subjects` training patients that a second reader outlined give each feature's ICC; `perturb` measures a
    study without a second reader again after small changes of the scan and of the outline, in that many patients
    (0: not). `toolkit` lists the families of the paper's own software beside ours. `controls` are images without a
    picture in them, on which chapter 09 judges the signature again: shuffled, randomised or sampled voxels, in the
    roi, outside it or everywhere.
    """

    settings: str
    windowed: bool = False
    icc_threshold: Share | None = None
    icc_kind: str = "ICC(2,1)"
    icc_subjects: PositiveInt = 30
    perturb: Annotated[int, Field(ge=0)] = 0
    toolkit: list[ToolkitFamily] = []
    controls: list[Control] = ["shuffled roi"]


class Unet(Roi):
    """U-Net trained on masks; its pooled bottleneck is the feature vector.

    `slices_per_case` trains on that many evenly spread slices of a patient (all if not given).
    """

    network: Literal["unet"]
    base_channels: PositiveInt = 64
    input_px: PositiveInt = 256
    learning_rate: PositiveFloat = 1e-5
    max_epochs: PositiveInt = 200
    patience: PositiveInt = 20
    batch_size: PositiveInt = 8
    validation_share: Share = 0.1
    slices_per_case: PositiveInt | None = None
    train_phase: str = "arterial"
    sampled_training_cases: int = 22
    sampled_cases: Literal["leave_out", "as_published"] = "leave_out"
    roi: Literal["accurate", "rough"] = "rough"
    aggregation: Literal["kmeans_largest", "mean", "max", "median", "largest_slice"] = "kmeans_largest"


#: Weights of a ResNet that are made here, on the training patients' images without their outcome.
PRETRAINED = ("rotation", "outlines")


class Resnet(Compared):
    """ResNet features of the slices around the largest section.

    `box_mm` is the side of the square around the tumour; null takes the smallest square and `margin_mm`. `weights`:
    random, rotation (self-supervised on the training images), outlines (trained to read size, brightness, texture and
    shape off the training images, without their outcome), imagenet (`radsupport fetch weights`), or the path of a file.
    """

    network: Literal["resnet"]
    depth: Literal[18, 34, 50, 101] = 50
    input_px: PositiveInt = 224
    slices: Literal[1, 3] = 3
    box_mm: PositiveFloat | None = 224.0
    margin_mm: Annotated[float, Field(ge=0)] = 5.0
    masked: bool = False
    pooling: Literal["max", "average"] = "max"
    normalisation: Literal["imagenet", "image", "none"] = "imagenet"
    weights: str = "random"
    pretraining_epochs: PositiveInt = 20
    fine_tune: Literal["no", "out_of_fold", "as_published"] = "no"
    epochs: PositiveInt = 50
    patience: PositiveInt = 10
    learning_rate: PositiveFloat = 0.01
    batch_size: PositiveInt = 16
    icc_subjects: PositiveInt = 30
    icc_kind: str = "ICC(2,1)"
    window: Window | None = None


class Cnn3d(Compared):
    """3-D CNN trained on the label, on patches with and without the background.

    `patch` is slices, rows and columns of the network's input; `field_mm` what it covers of the scan (by default as
    many mm as voxels), around the middle of the tumour or its largest section (`centre`). Box sampling keeps the
    background within `box_margin_mm` of the tumour's bounding box, all of it where that is null. `max_shift` bounds the
    random translation in voxels. How it learns (`standardise`, `schedule`, `stop_on`, `inner_share`,
    `train_limit`) is described in `networks.cnn3d.CNN3DSettings`. `learning_sizes` are numbers of
    patients that the networks of the first `learning_folds` folds learn from once more. `cam_layer` is the layer of
    Grad-CAM, `neighbour_mm` how far the tissue next to the tumour reaches, `cam_patients` how many are pictured;
    `occlusion` is the covering block (slices, rows, columns) of the check on Grad-CAM in those patients.
    """

    network: Literal["cnn3d"]
    patch: tuple[PositiveInt, PositiveInt, PositiveInt] = (10, 150, 150)
    field_mm: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    width: PositiveFloat = 1.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    centre: Literal["tumour", "largest_section"] = "tumour"
    sampling: list[Literal["segmentation", "box"]] = ["segmentation", "box"]
    box_margin_mm: Annotated[float, Field(ge=0)] | None = 0.0
    window: Window
    learning_rate: PositiveFloat = 1e-5
    max_epochs: PositiveInt = 100
    patience: PositiveInt = 15
    batch_size: PositiveInt = 8
    folds: Folds = 5
    augment: bool = True
    max_shift: PositiveInt = 10
    standardise: bool = True
    schedule: Literal["constant", "cosine"] = "constant"
    stop_on: Literal["inner", "held_out", "last"] = "inner"
    inner_share: Share = 0.2
    train_limit: PositiveInt | None = None
    learning_sizes: list[PositiveInt] = []
    learning_folds: PositiveInt = 1
    cam_layer: str = "convolution6"
    cam_patients: PositiveInt = 6
    neighbour_mm: PositiveFloat = 10.0
    occlusion: tuple[PositiveInt, PositiveInt, PositiveInt] = (5, 30, 30)


Deep = Annotated[Unet | Resnet | Cnn3d, Field(discriminator="network")]
