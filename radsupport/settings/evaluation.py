"""How chapters 06 to 08 judge what was learnt: validation, survival analysis, nomogram."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, model_validator

from radsupport.settings.parts import CohortName, Part, Share

#: Columns and terms of them (`radsupport.stats.formulas`), as a list or as one text.
Formula = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class SurvivalAnalysis(Part):
    """Groups and models of chapter 07.

    `threshold` is the rule that fixes the cut-off on training risks. `signatures` are those whose risk groups are
    followed, the main one first (default: `validation.best`). `baseline` is the signature that they are compared with.
    `pooled` names sets of cohorts that are also shown together (default: all of them). `covariates` is the formula of
    the Cox models, `adds` the signature whose value beside them is tested (default: the main one). A level without any
    event has no finite hazard ratio: `no_event_levels` merges it with its neighbour or keeps it under Firth's penalty.
    `bootstrap` counts the resamples of concordance and AUC, `optimism_resamples` those of the optimism of the Cox
    models. `flow` lists the stations of the Sankey diagram: ``group``, ``event``, ``label`` or columns. `heat_map`
    is how many chosen features of each source are drawn by risk group (0: none).
    """

    threshold: Literal["youden", "median", "max_logrank"] = "youden"
    signatures: list[str] = []
    baseline: str = ""
    pooled: dict[str, Annotated[list[CohortName], Field(min_length=2)]] = {}
    covariates: Formula = []
    adds: str = ""
    no_event_levels: Literal["merge", "firth"] = "merge"
    bootstrap: PositiveInt = 500
    optimism_resamples: PositiveInt = 200
    flow: list[str] = ["group", "event"]
    heat_map: Annotated[int, Field(ge=0)] = 0


class Nomogram(Part):
    """Predictors of chapter 08: signatures and clinical columns.

    `signature` is the one that enters, `further_signatures` get an axis of their own. `columns` are the clinical
    predictors, columns or terms of them, `preoperative_columns` stand in their place in the variant for use before the
    operation (default: those of `columns` that are known by then). `candidates` are the further columns of the
    regression table. `horizons_months` are the times of the survival axes, `bootstrap` the resamples of the
    calibration.
    """

    model: Literal["logistic", "cox"] = "logistic"
    signature: str = ""
    further_signatures: list[str] = []
    columns: Formula = []
    preoperative_columns: Formula = []
    candidates: Formula = []
    horizons_months: list[PositiveFloat] = []
    bootstrap: PositiveInt = 200


class Comparison(Part):
    """Signatures that are shown and tested together, such as one table of a paper."""

    name: str
    signatures: Annotated[list[str], Field(min_length=2)]


class Subgroup(Part):
    """A division of the patients in which signatures are judged separately.

    `column` is one of `columns:`. A category is divided by its levels, or by those of `levels` only; a number at `cut`
    (in the column's unit): up to it, and above it. `advice` quotes what a paper recommends for a part at
    low and at high risk.
    """

    column: str
    levels: list[str] = []
    cut: float | None = None
    advice: dict[str, dict[Literal["low", "high"], str]] = {}

    @property
    def by_side(self) -> dict[tuple[str, str], str]:
        """The advice by part and side."""
        return {(part, side): words for part, sides in self.advice.items() for side, words in sides.items()}

    @model_validator(mode="after")
    def levels_or_cut(self) -> Subgroup:
        """Refuse both ways of dividing at once."""
        if self.levels and self.cut is not None:
            raise ValueError("a subgroup has either `levels:` (a category) or `cut:` (a number)")
        return self


class Validation(Part):
    """Resamples, thresholds and comparisons of chapter 06.

    `threshold` is the rule by which the classifying threshold is fixed on the training cohort; `decision_thresholds`
    the range of decision curves. `best` is the signature singled out beforehand, `comparator` the one that it is
    measured against (reclassification, prediction error). `comparisons` are the groups of signatures that are drawn
    and tested together; without them all are one group. `risk_categories` are the limits of risk classes for the net
    reclassification. `null_se` says that a paper's P of an AUC is by the standard error under chance; the header of
    that P, by which chapter 06 always decides whether an AUC is better than chance, then says so. `agreed_thresholds`
    are risks at which somebody would act, in whole per cent, for tables of net benefit. `instability` counts the
    bootstrap samples in which chapter 09 develops the chosen signature again.
    """

    bootstrap: PositiveInt = 1000
    threshold: Literal["youden", "median", "half"] = "youden"
    decision_thresholds: tuple[Share, Share] = (0.05, 0.6)
    best: str = ""
    comparator: str = ""
    comparisons: list[Comparison] = []
    subgroups: list[Subgroup] = []
    risk_categories: list[Share] = []
    null_se: bool = False
    agreed_thresholds: list[Annotated[float, Field(gt=0, lt=1)]] = [0.1, 0.2, 0.3, 0.5]
    instability: PositiveInt = 10

    @model_validator(mode="after")
    def ranges_rise(self) -> Validation:
        """Require limits in rising order."""
        low, high = self.decision_thresholds
        if not low < high < 1:
            raise ValueError("`decision_thresholds` must be two shares, the first below the second, the second below 1")
        if sorted(set(self.risk_categories)) != self.risk_categories:
            raise ValueError("`risk_categories` must rise")
        return self
