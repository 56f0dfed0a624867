"""What all parts of a study file share: their base, which refuses unknown keys, and the words they use."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

CohortName = Literal["train", "internal", "external", "segmentation"]
SourceName = Literal["ct_findings", "clinical", "radiomics", "deep", "deep_published"]
TestName = Literal[
    "student_t", "welch_t", "mann_whitney", "anova", "welch_anova", "kruskal",
    "chi_square", "chi_square_yates", "fisher",
]  # fmt: skip
Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """Base of every part of a study file: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)
