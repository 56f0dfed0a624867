"""Figures of fitted models and curves, and nothing is lost on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.errors import InputError
from radsupport.plots import base as figures
from radsupport.plots import models as models_figures
from radsupport.plots import survival as survival_figures
from radsupport.stats.cox import fit_cox
from radsupport.stats.logistic import fit_logistic
from radsupport.stats.proportional_hazards import schoenfeld_residuals, schoenfeld_table
from radsupport.stats.survival_curves import kaplan_meier


def test_kaplan_meier_of_the_project_is_drawn_with_r_numbers_at_risk(r_table: Any, r_values: Any) -> None:
    lung = r_table("data/lung.csv")
    curves = {f"sex {sex}": kaplan_meier(part["time"], part["status"]) for sex, part in lung.groupby("sex")}
    table = pd.concat([km.curve.assign(group=name) for name, km in curves.items()])
    ax = survival_figures.kaplan_meier(table, at=[0, 365, 700, 2000], p=0.001)
    shown = [int(text.get_text()) for text in ax.child_axes[0].texts if text.get_text().isdigit()]
    expected = [
        int((lung.loc[lung["sex"] == sex, "time"] >= time).sum()) for sex in (1, 2) for time in (0, 365, 700, 2000)
    ]
    assert shown == expected


def test_forest_table_has_reference_levels_and_no_intercept(r_table: Any) -> None:
    table = r_table("data/veteran.csv")
    cox = fit_cox(table, "time", "status", "karno+celltype").ratios({"karno": "Karnofsky score"})
    assert list(cox["covariate"]) == [
        "Karnofsky score", "celltype: adeno", "celltype: large", "celltype: smallcell", "celltype: squamous",
    ]  # fmt: skip
    assert cox["hr"].isna().tolist() == [False, True, False, False, False]
    assert "4 hazard ratios" in figures.alt_text("forest", cox)
    models_figures.forest(cox)
    logistic = fit_logistic(r_table("data/pima_tr.csv"), "type01", "glu+age").ratios()
    assert list(logistic["covariate"]) == ["glu", "age"]
    assert "odds_ratio" in logistic


def test_schoenfeld_curve_runs_through_a_straight_trend(r_table: Any) -> None:
    fit = fit_cox(r_table("data/veteran.csv"), "time", "status", "karno+age")
    residuals = schoenfeld_residuals(fit)
    table = schoenfeld_table(residuals, "karno")
    assert len(table) == fit.n_events
    assert table["smooth"].between(table["ci_low"], table["ci_high"]).all()
    # karno: the effect wanes, from clearly negative to about none (cox.zph p < 0.001)
    assert table["smooth"].iloc[0] < -0.03 < table["smooth"].iloc[-20:].mean()
    survival_figures.schoenfeld(table, coefficient=float(fit.coef["karno"]))
    straight = residuals.assign(residual=2 + 3 * residuals["transformed_time"])
    line = schoenfeld_table(straight, "age")
    np.testing.assert_allclose(line["smooth"], line["residual"], atol=1e-8)
    with pytest.raises(InputError, match="those of karno, age"):
        schoenfeld_table(residuals, "sex")
