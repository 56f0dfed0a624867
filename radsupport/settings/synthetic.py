"""The part of a study file that describes a synthetic cohort: sizes, scanners, anatomy, marginals."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from radsupport.settings.parts import CohortName, Part, Share


class Scanner(Part):
    """How a center's scanner renders the same patient.

    Slices of `thickness_mm` lie `interval_mm` apart, side by side where that is not given.
    """

    thickness_mm: PositiveFloat
    interval_mm: PositiveFloat | None = None
    pixel_mm: PositiveFloat
    noise_hu: float
    kernel_mm: float
    offset_hu: float = 0.0


class Split(Part):
    """Size of one cohort of a synthetic center; `events` (labels) only where the outcome is a label."""

    n: PositiveInt
    events: int | None = None


class SyntheticCenter(Part):
    """Number of patients and events of one synthetic center.

    `split` divides the center into cohorts of fixed size (written to the column that `data.cohort` names);
    `screened_out` maps a reason to the number of patients who were screened and left out for it.
    """

    n: PositiveInt
    events: int
    scanner: Scanner
    missing: dict[str, int] = {}
    split: dict[CohortName, Split] = {}
    screened_out: dict[str, PositiveInt] = {}

    @model_validator(mode="after")
    def split_adds_up(self) -> SyntheticCenter:
        """Require a split that uses every patient and every event once."""
        parts = list(self.split.values())
        patients = sum(part.n for part in parts)
        if parts and patients != self.n:
            raise ValueError(f"the cohorts of `split:` have {patients} patients, the center {self.n}")
        events = [part.events for part in parts if part.events is not None]
        if events and (len(events) < len(parts) or sum(events) != self.events):
            raise ValueError(f"the cohorts of `split:` have {sum(events)} events, the center {self.events}")
        return self


class Marginal(Part):
    """Distribution of one column, [event-free, event]: counts per level, or a normal by mean and SD.

    `center_counts` (level to count) and `center_mean_sd` replace these where a center's own are published; the key is a
    center, or center/cohort where the center has a fixed split. Totals then hold exactly; counts by outcome keep their
    odds ratio.
    `log_hazard` (per level) and `log_hazard_per_sd` let the column act on survival where the outcome
    is drawn from the hazard. `reads_diameter` is a reader's measurement of the drawn tumour, off
    by 1 mm SD, kept within the reader's size class; `reads_tissue` a reader's measurement of the drawn tissue by the
    column's `measure`, off by 4% SD.
    `shapes` makes the column steer the tumour that is drawn: its largest axial diameter (classes
    between `edges`, mm), a fluid core, or calcification.
    """

    counts: dict[str, tuple[float, float]] = {}
    center_counts: dict[str, dict[str, float]] = {}
    mean: tuple[float, float] | None = None
    sd: tuple[float, float] | None = None
    center_mean_sd: dict[str, tuple[float, float]] = {}
    limits: tuple[float, float] = (0.05, 1e6)
    log_hazard: dict[str, float] = {}
    log_hazard_per_sd: float = 0.0
    reads_diameter: bool = False
    reads_tissue: bool = False
    shapes: Literal["", "size_mm", "core", "calcification"] = ""
    edges: list[float] = []


class Anatomy(Part):
    """Mean HU of each tissue per phase, and the tumour's size."""

    organ: dict[str, float]
    tumour: dict[str, float]
    aorta: dict[str, float]
    vein: dict[str, float]
    diameter_mm: tuple[PositiveFloat, PositiveFloat] = (8.0, 45.0)
    field_mm: PositiveFloat = 90.0
    distractors: int = 0


class Synthetic(Part):
    """The generator of a synthetic cohort.

    `effect`: log-odds of the label (or log-hazard) per SD of the latent; 0 plants nothing.
    `survival_effect`: log-hazard per SD, where it differs. `late_event_share`: share of the patients without the
    label whose event comes after the label's horizon. `competing_share`: share of the patients without an event whose
    follow-up ends by a competing one (the endpoint's `competing_values`), drawn at random, whatever the tumour.
    """

    effect: float = 3.0
    outcome: Literal["label", "survival"] = "label"
    survival_from: Literal["label", "hazard"] = "label"
    centers: dict[str, SyntheticCenter]
    anatomy: Anatomy
    marginals: dict[str, Marginal] = {}
    survival_effect: float | None = None
    late_event_share: Share = 0.0
    competing_share: Share = 0.0
    follow_up_months: tuple[float, float] = (12.0, 107.0)
    label_horizon_months: float = 60.0
    median_survival_months: float = 40.0
    second_reader_subjects: int = 30
