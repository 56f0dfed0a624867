"""Results become the tables that the figures take, and nothing is lost on the way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.errors import InputError
from radsupport.plots import base as figures
from radsupport.plots import models as models_figures
from radsupport.plots import prediction as prediction_figures
from radsupport.plots import survival as survival_figures
from radsupport.plots import tidy
from radsupport.stats.cox import fit_cox
from radsupport.stats.logistic import fit_logistic
from radsupport.stats.proportional_hazards import schoenfeld_residuals
from radsupport.stats.survival_curves import kaplan_meier


def test_roc_table_repeats_the_auc() -> None:
    curve = pd.DataFrame({"threshold": [0.1, 0.2], "sensitivity": [1.0, 0.0], "specificity": [0.0, 1.0]})
    auc = SimpleNamespace(auc=0.5, ci_low=0.4, ci_high=0.6, n=12)
    table = tidy.roc_table({"a": curve, "b": curve}, {"a": auc, "b": auc, "c": auc})
    assert list(table["signature"]) == ["a", "a", "b", "b"]
    assert set(table["n"]) == {12}
    assert "2 signatures in 12 patients" in figures.alt_text("roc", table)
    for curves in ({"d": curve}, {}):
        with pytest.raises(InputError, match="needs its AUC"):
            tidy.roc_table(curves, {"a": auc})


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


def test_calibration_table_stacks_lines_and_groups() -> None:
    line = pd.DataFrame({"predicted": [0.1, 0.9], "apparent": [0.2, 0.8], "corrected": [0.3, np.nan]})
    groups = pd.DataFrame({"predicted": [0.5], "observed": [0.4], "ci_low": [0.2], "ci_high": [0.6], "n": [9]})
    table = tidy.calibration_table(line, groups)
    assert list(table["kind"]) == ["apparent", "apparent", "corrected", "grouped"]
    assert list(table["observed"]) == [0.2, 0.8, 0.3, 0.4]
    smooth = tidy.calibration_table(groups.drop(columns="n"))
    assert list(smooth["kind"]) == ["apparent"]
    prediction_figures.calibration(table)
    with pytest.raises(InputError, match="nothing to stack"):
        tidy.calibration_table()


def test_forest_table_has_reference_levels_and_no_intercept(r_table: Any) -> None:
    table = r_table("data/veteran.csv")
    cox = tidy.forest_table(fit_cox(table, "time", "status", "karno+celltype"), {"karno": "Karnofsky score"})
    assert list(cox["covariate"]) == [
        "Karnofsky score", "celltype: adeno", "celltype: large", "celltype: smallcell", "celltype: squamous",
    ]  # fmt: skip
    assert cox["hr"].isna().tolist() == [False, True, False, False, False]
    assert "4 hazard ratios" in figures.alt_text("forest", cox)
    models_figures.forest(cox)
    logistic = tidy.forest_table(fit_logistic(r_table("data/pima_tr.csv"), "type01", "glu+age"))
    assert list(logistic["covariate"]) == ["glu", "age"]
    assert "odds_ratio" in logistic


def test_schoenfeld_curve_runs_through_a_straight_trend(r_table: Any) -> None:
    fit = fit_cox(r_table("data/veteran.csv"), "time", "status", "karno+age")
    residuals = schoenfeld_residuals(fit)
    table = tidy.schoenfeld_table(residuals, "karno")
    assert len(table) == fit.n_events
    assert table["smooth"].between(table["ci_low"], table["ci_high"]).all()
    # karno: the effect wanes, from clearly negative to about none (cox.zph p < 0.001)
    assert table["smooth"].iloc[0] < -0.03 < table["smooth"].iloc[-20:].mean()
    survival_figures.schoenfeld(table, coefficient=float(fit.coef["karno"]))
    straight = residuals.assign(residual=2 + 3 * residuals["transformed_time"])
    line = tidy.schoenfeld_table(straight, "age")
    np.testing.assert_allclose(line["smooth"], line["residual"], atol=1e-8)
    with pytest.raises(InputError, match="those of karno, age"):
        tidy.schoenfeld_table(residuals, "sex")
