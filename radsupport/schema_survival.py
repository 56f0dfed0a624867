"""The parts of a study file that steer chapters 07 and 08: risk groups, survival models, nomogram."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, PositiveFloat, PositiveInt

from radsupport.schema_base import STRICT, CohortName


class Part(BaseModel):
    """Base of all parts."""

    model_config = STRICT


class SurvivalAnalysis(Part):
    """Groups and models of chapter 07.

    `threshold` is the rule that fixes the cut-off on training risks. `signatures` are those whose risk groups are
    followed, the main one first (default: `validation.best`). `baseline` is the signature that they are compared with.
    `pooled` names sets of cohorts that are also shown together (default: all of them). `covariates` are the columns of
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
    covariates: list[str] = []
    adds: str = ""
    no_event_levels: Literal["merge", "firth"] = "merge"
    bootstrap: PositiveInt = 500
    optimism_resamples: PositiveInt = 200
    flow: list[str] = ["group", "event"]
    heat_map: Annotated[int, Field(ge=0)] = 0


class Nomogram(Part):
    """Predictors of chapter 08: signatures and clinical columns.

    `signature` is the one that enters, `further_signatures` get an axis of their own. `columns` are the clinical
    predictors, `preoperative_columns` stand in their place in the variant for use before the operation (default: those
    of `columns` that are known by then). `candidates` are the further columns of the regression table.
    `horizons_months` are the times of the survival axes, `bootstrap` the resamples of the calibration.
    """

    model: Literal["logistic", "cox"] = "logistic"
    signature: str = ""
    further_signatures: list[str] = []
    columns: list[str] = []
    preoperative_columns: list[str] = []
    candidates: list[str] = []
    horizons_months: list[PositiveFloat] = []
    bootstrap: PositiveInt = 200
