"""The signatures of a study file, and how chapter 05 builds, judges and compares them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from radsupport.settings.parts import Folds, Part, Share, SourceName

PositiveShare = Annotated[float, Field(gt=0, le=1)]
PUBLISHED = "published"  # the learner that takes an output of others as it is
MEAN = "Mean"  # the learner of a combination that weighs all its parts alike
BEST = "Best"  # the learner of a combination that takes one of its parts, chosen in every outer fold anew


class Selection(Part):
    """Feature selection, fitted on the training part of each fold only.

    `icc` keeps features that two readers agree on (`radiomics.icc_threshold`); `test` those that differ between the
    outcomes at `alpha`, `adjust` by Benjamini and Hochberg, at least `keep_at_least`; `cox` characteristics below
    `alpha` in a Cox regression alone and in that of all together; `max_correlation` drops, of two features with a
    larger \\|r\\|, the one with the larger P; `lasso` keeps those with a coefficient at the penalty that `lasso_rule`
    names (the smallest cross-validated deviance, or the largest penalty within one standard error of it).
    """

    icc: bool = False
    test: Literal["none", "shapiro", "t", "mann_whitney"] = "none"
    alpha: Share = 0.05
    adjust: Literal["none", "bh"] = "none"
    keep_at_least: PositiveInt = 10
    cox: bool = False
    max_correlation: Share | None = None
    lasso: bool = False
    lasso_rule: Literal["lambda_min", "lambda_1se"] = "lambda_min"


def _as_pattern(given: str) -> str:
    """Refuse what is no regular expression."""
    try:
        re.compile(given)
    except re.error as error:
        raise ValueError(f"`{given}` is no regular expression ({error})") from error
    return given


class Signature(Part):
    """A named model: feature sources and phases, selection, learner; or a combination of signatures.

    `sources` are feature tables, `phases` those of their columns that enter, `features` a regular expression found in
    the names of such columns (all without it), `columns` single clinical variables or CT findings, `combines` other
    signatures whose out-of-fold risks enter (`learner: Mean` weighs them alike, `learner: Best` takes the
    first within one standard error of the best in repeated inner folds). `seen` are the centers that a
    published output was trained or tuned on, as far as its authors say. `harmonise` takes out differences between the
    training centers (ComBat) in each fold. `description` is shown beside the name.
    """

    name: str
    sources: list[SourceName] = []
    phases: list[str] = []
    features: Annotated[str, AfterValidator(_as_pattern)] = ""
    columns: list[str] = []
    combines: list[str] = []
    selection: Selection = Selection()
    learner: str = "SVM"
    harmonise: bool = False
    seen: list[str] = []
    description: str = ""

    @property
    def is_simple(self) -> bool:
        """Whether it needs no image features: clinical variables, and what a reader measures or finds."""
        return not self.combines and set(self.sources) <= {"ct_findings"}

    @model_validator(mode="after")
    def has_input(self) -> Signature:
        """Require something to learn from."""
        if not (self.sources or self.columns or self.combines):
            raise ValueError("a signature needs `sources:`, `columns:` or `combines:`")
        if self.learner in (MEAN, BEST) and (len(self.combines) < 2 or self.sources or self.columns):
            does = {MEAN: "averages", BEST: "chooses among"}[self.learner]
            raise ValueError(f"`learner: {self.learner}` {does} two or more signatures: `combines:` names them, alone")
        return self


class Division(Part):
    """Centers a model is built on in the comparison of harmonisation, and centers it has not seen."""

    train: Annotated[list[str], Field(min_length=1)]
    test: list[str] = []


class Harmonisation(Part):
    """Comparison with and without ComBat: `signature` is built on each of the `divisions` of the centers.

    ComBat needs two training centers, which studies with one do not have: the divisions are a comparison of their own
    and change nothing in the study's signatures.
    """

    signature: str
    divisions: Annotated[list[Division], Field(min_length=1)]


class LearningCurve(Part):
    """Signatures rebuilt on a share of the training patients, `draws` times each."""

    signatures: Annotated[list[str], Field(min_length=1)]
    shares: Annotated[list[PositiveShare], Field(min_length=2)] = [0.4, 0.6, 0.8, 1.0]
    draws: PositiveInt = 5


class Modelling(Part):
    """Cross-validation of chapter 05, its comparisons and its controls.

    `repeats`: how often the division into `folds` is drawn. `grid`: how many settings a learner is tuned over in
    `inner_folds`. `external`: other cohorts get the mean of the fold models, or the model refitted on everyone.
    `pooling`: what patients of different folds are ranked by: the risks as the fold models give them, as most papers
    do, or standardised (log-odds minus the mean, over the SD, of that model's own inner out-of-fold log-odds).
    `unseen_center`: what harmonisation does with a center that was not in training (refuse it, or leave it as it is).
    `permutations`: runs with permuted outcomes; `null_draws`: how often outcomes are drawn anew without any planted
    effect (synthetic studies); from 30 on there is a verdict. `controls` are the signatures of both controls, such as
    the cheapest of each kind (without it the first that is fitted). `compare_learners` are tried on each of
    `compare_sources`. `shown` are the signatures whose coefficients are drawn (without it the parts of
    `validation.best`). `imputations`: how often gaps are filled where that is compared with filling them once.
    """

    folds: Folds = 10
    inner_folds: Folds = 5
    repeats: PositiveInt = 1
    grid: Literal["coarse", "full"] = "coarse"
    external: Literal["mean_of_folds", "refit"] = "mean_of_folds"
    pooling: Literal["raw", "standardised"] = "raw"
    unseen_center: Literal["error", "pooled"] = "error"
    permutations: Annotated[int, Field(ge=0)] = 30
    null_draws: Annotated[int, Field(ge=0)] = 30
    imputations: Annotated[int, Field(ge=0)] = 5
    controls: list[str] = []
    compare_learners: list[str] = []
    compare_sources: list[SourceName] = []
    shown: list[str] = []
    learning_curve: LearningCurve | None = None
    harmonisation: Harmonisation | None = None
