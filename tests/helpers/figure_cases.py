"""Realistic tidy tables, one per figure, small and seeded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

Case = tuple[pd.DataFrame, dict[str, Any]]


def _roc() -> Case:
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], [31, 25])
    parts = []
    for name, shift in {"DLR-A": 1.2, "DLR-V": 1.6, "Clinical": 0.5}.items():
        risk = rng.normal(size=56) + shift * y
        cuts = np.concatenate([[np.inf], np.sort(risk)[::-1]])
        sensitivity = [(risk[y == 1] >= c).mean() for c in cuts]
        specificity = [(risk[y == 0] < c).mean() for c in cuts]
        auc = float((risk[y == 1][:, None] > risk[y == 0]).mean())
        part = pd.DataFrame({"signature": name, "sensitivity": sensitivity, "specificity": specificity})
        parts.append(part.assign(auc=auc, auc_low=auc - 0.11, auc_high=min(auc + 0.1, 1), n=56))
    points = pd.DataFrame({"signature": ["DLR-V"], "sensitivity": [0.8], "specificity": [0.77]})
    return pd.concat(parts), {"marks": points}


def _delong() -> Case:
    names = {"DLR-A": 0.81, "DLR-V": 0.88, "Radiomics-A": 0.74, "Radiomics-V": 0.79, "Clinical": 0.64}
    keys, p = list(names), iter([0.21, 0.04, 0.33, 0.0004, 0.012, 0.06, 0.0002, 0.45, 0.11, 0.02])
    rows = [(a, b, next(p), names[a], names[b]) for i, a in enumerate(keys) for b in keys[i + 1 :]]
    return pd.DataFrame(rows, columns=["signature_a", "signature_b", "p", "auc_a", "auc_b"]), {}


def _confusion() -> Case:
    table = pd.DataFrame({"tn": [24], "fp": [7], "fn": [5], "tp": [20], "accuracy": [44 / 56]})
    return table, {"classes": ("wild type", "mutant")}


def _radar() -> Case:
    rng = np.random.default_rng(2)
    metrics = ["AUC", "Accuracy", "Sensitivity", "Specificity", "PPV", "NPV"]
    rows = [
        (n, m, rng.uniform(0.6, 0.92)) for n in ("LASSO logistic", "Random forest", "SVM", "XGBoost") for m in metrics
    ]
    return pd.DataFrame(rows, columns=["learner", "metric", "value"]), {}


def _calibration() -> Case:
    p = np.linspace(0.05, 0.95, 60)
    apparent = pd.DataFrame({"kind": "apparent", "predicted": p, "observed": p + 0.05 * np.sin(5 * p)})
    corrected = pd.DataFrame({"kind": "corrected", "predicted": p, "observed": 0.08 + 0.84 * p})
    corrected = corrected.assign(observed_low=corrected["observed"] - 0.08, observed_high=corrected["observed"] + 0.08)
    groups = pd.DataFrame({"kind": "grouped", "predicted": [0.12, 0.35, 0.55, 0.8], "observed": [0.15, 0.3, 0.6, 0.76]})
    groups = groups.assign(observed_low=groups["observed"] - 0.1, observed_high=groups["observed"] + 0.1)
    risks = np.random.default_rng(3).beta(1.5, 2, 160)
    options = {"risks": risks, "summary": {"slope": 0.93, "intercept": -0.04, "brier": 0.163}}
    return pd.concat([apparent, corrected, groups]), options


def _decision() -> Case:
    t = np.linspace(0.01, 0.8, 80)
    prevalence, parts = 0.4, []
    everyone = prevalence - (1 - prevalence) * t / (1 - t)
    parts.append(pd.DataFrame({"threshold": t, "strategy": "treat_all", "net_benefit": everyone}))
    parts.append(pd.DataFrame({"threshold": t, "strategy": "treat_none", "net_benefit": 0.0}))
    for name, (tp, fp) in {"DLR-V": (0.35, 0.12), "Clinical": (0.3, 0.2)}.items():
        net = np.maximum(everyone, (tp * (1 - 0.4 * t) - fp * (1 - t) ** 2 * t / (1 - t)))
        parts.append(pd.DataFrame({"threshold": t, "strategy": name, "net_benefit": net}))
    return pd.concat(parts), {}


def _incidence() -> Case:
    rows = [(0.0, 20, 0.0, 0.0, 0.0), (5.0, 20, 0.1, 0.1, 0.0), (9.0, 16, 0.1, 0.1, 0.05), (14.0, 9, 0.3, 0.36, 0.05)]
    table = pd.DataFrame(rows, columns=["time", "n_risk", "incidence", "one_minus_km", "competing"])
    table["incidence_low"], table["incidence_high"] = table["incidence"] / 2, table["incidence"] * 1.5
    both = pd.concat([table.assign(group="low risk"), table.assign(group="high risk", time=table["time"] * 0.8)])
    return both, {"order": ("low risk", "high risk")}


def _km() -> Case:
    rng = np.random.default_rng(4)
    parts = []
    for name, scale in {"Low risk": 60.0, "High risk": 22.0}.items():
        event_time, censor = rng.exponential(scale, 60), rng.uniform(10, 72, 60)
        time, event = np.minimum(event_time, censor), event_time <= censor
        order = np.argsort(time)
        at_risk = np.arange(60, 0, -1)
        survival = np.cumprod(1 - event[order] / at_risk)
        spread = 1.2 * np.sqrt(survival * (1 - survival) / at_risk)
        part = pd.DataFrame({"group": name, "time": time[order], "survival": survival, "n_risk": at_risk})
        part["survival_low"], part["survival_high"] = np.clip(survival - spread, 0, 1), np.clip(survival + spread, 0, 1)
        parts.append(part.assign(n_censor=(~event[order]).astype(int)))
    return pd.concat(parts), {"p": 0.00002}


def _over_time() -> Case:
    t = np.arange(6, 61, 6.0)
    parts = []
    for name, base in {"RDPs": 0.82, "Clinical": 0.68}.items():
        auc = base - 0.001 * t + 0.02 * np.sin(t / 7)
        parts.append(
            pd.DataFrame({"signature": name, "time": t, "auc": auc, "auc_low": auc - 0.08, "auc_high": auc + 0.07})
        )
    return pd.concat(parts), {}


def _schoenfeld() -> Case:
    rng = np.random.default_rng(5)
    t = np.sort(rng.uniform(1, 60, 70))
    smooth = 0.7 - 0.006 * t
    table = pd.DataFrame(
        {"covariate": "RDPs", "time": t, "residual": smooth + rng.normal(0, 1.1, 70), "smooth": smooth}
    )
    return table.assign(smooth_low=smooth - 0.3, smooth_high=smooth + 0.3), {"p": 0.31, "coefficient": 0.55}


def _forest() -> Case:
    rows = [
        ("Age (per 10 years)", 1.12, 0.94, 1.33, 0.21),
        ("Sex: male", np.nan, np.nan, np.nan, np.nan),
        ("Sex: female", 0.71, 0.46, 1.09, 0.12),
        ("Stage III against I–II", 2.05, 1.31, 3.22, 0.0017),
        ("RDPs (per SD)", 2.64, 1.88, 3.71, 1e-7),
    ]
    return pd.DataFrame(rows, columns=["covariate", "hr", "hr_low", "hr_high", "p"]), {}


def _bars() -> Case:
    names = [
        "A__log-sigma-3-0-mm_glcm_Idmn",
        "V__wavelet-LLH_firstorder_Mean",
        "V__original_shape_Sphericity",
        "A__original_glszm_ZoneEntropy",
        "V__resnet_f183",
    ]
    return pd.DataFrame({"feature": names, "coefficient": [0.62, -0.44, -0.31, 0.12, 0.81]}), {}


def _path() -> Case:
    lambdas = np.geomspace(0.3, 0.003, 40)
    rng = np.random.default_rng(6)
    parts = []
    for i in range(14):
        start, slope = rng.uniform(0.01, 0.3), rng.normal(0, 0.5)
        value = slope * np.clip(np.log(start / lambdas), 0, None)
        parts.append(pd.DataFrame({"feature": f"V__feature_{i}", "lambda": lambdas, "coefficient": value}))
    return pd.concat(parts), {"chosen": {"λ min": 0.012, "λ 1se": 0.05}}


def _risks() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    parts = []
    for cohort, n in {"train": 110, "internal": 48, "external": 56}.items():
        label = rng.integers(0, 2, n)
        risk = 1 / (1 + np.exp(-(rng.normal(size=n) + 1.6 * label - 0.8)))
        parts.append(pd.DataFrame({"cohort": cohort, "risk": risk, "label": label}))
    return pd.concat(parts, ignore_index=True)


def _risk_pairs() -> Case:
    table = _risks().rename(columns={"cohort": "signature"}).groupby("signature").head(40)
    table["subject"] = table.groupby("signature").cumcount()
    return table.assign(label=table["subject"] % 2), {"classes": ("wild type", "mutant")}


def _waterfall() -> Case:
    table = _risks()
    return table[table["cohort"] == "external"], {"cut_off": 0.47, "classes": ("wild type", "mutant")}


def _boxes() -> Case:
    p = {"train": "p < 0.001", "internal": "p < 0.001", "external": "p = 0.003"}
    return _risks(), {"classes": ("wild type", "mutant"), "p": p}


def _correlations(n: int, groups: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(groups, 80))
    values = np.array([latent[i * groups // n] + rng.normal(0, 0.3 + 0.4 * (i % 3), 80) for i in range(n)])
    values[::4] *= -1
    r = np.corrcoef(values)
    rows = [(f"feature_{i:02d}", f"feature_{j:02d}", r[i, j]) for i in range(n) for j in range(i)]
    return pd.DataFrame(rows, columns=["feature_a", "feature_b", "r"])


def _triangle() -> Case:
    return _correlations(9, 3, 8), {"method": "Spearman"}


def _block() -> Case:
    rng = np.random.default_rng(9)
    rows = [(f"CT {i}", f"PET {j}", rng.uniform(-1, 1)) for i in range(12) for j in range(20)]
    return pd.DataFrame(rows, columns=["feature_a", "feature_b", "r"]), {"overlap": 4, "sets": ("CT", "PET")}


def _histogram() -> Case:
    rng = np.random.default_rng(10)
    p = np.concatenate([rng.uniform(size=700), rng.beta(0.3, 6, 300)])
    return pd.DataFrame({"p": p}), {
        "column": "p",
        "mark": 0.05,
        "limits": (0, 1),
        "bins": 20,
        "xlabel": "p (Mann-Whitney)",
    }


def _icc() -> Case:
    rng = np.random.default_rng(11)
    parts = []
    for name, (a, n) in {"shape": (14, 14), "firstorder": (9, 90), "glcm": (5, 120), "wavelet": (3, 400)}.items():
        icc = np.sort(rng.beta(a, 1.6, n))
        parts.append(pd.DataFrame({"feature_class": name, "icc": icc, "share": np.arange(n, 0, -1) / n, "n": n}))
    return pd.concat(parts), {"threshold": 0.75}


def _ranked() -> Case:
    icc = np.random.default_rng(12).beta(5, 1.6, 300)
    table = pd.DataFrame({"icc": icc, "icc_low": icc - 0.2 * (1 - icc), "icc_high": icc + 0.1 * (1 - icc)})
    table.loc[7] = np.nan
    return table, {"threshold": 0.8}


def _funnel() -> Case:
    steps = ["Extracted", "ICC ≥ 0.75", "Mann-Whitney p < 0.05", "|r| < 0.9", "LASSO"]
    return pd.DataFrame({"step": steps, "n_features": [3262, 2411, 640, 118, 9]}), {}


def _sankey() -> Case:
    rows = [
        ("low (model)", "low (biopsy)", 61),
        ("low (model)", "high (biopsy)", 9),
        ("high (model)", "low (biopsy)", 14),
        ("high (model)", "high (biopsy)", 38),
    ]
    return pd.DataFrame(rows, columns=["source", "target", "n"]), {}


def _flow() -> Case:
    rows = [
        ("main", "Assessed for eligibility", 312, "no venous phase: 31\nthick slices: 13\nno follow-up: 22", ""),
        ("main", "In the study", 246, "", ""),
        ("cohort", "training", 150, "", "61 events\ncenter: A"),
        ("cohort", "external validation", 96, "", "30 events\ncenter: B"),
        ("aside", "In addition: outlines only", 20, "", "no outcome is used"),
    ]
    return pd.DataFrame(rows, columns=["role", "step", "n", "excluded", "note"]), {}


def _follow_up() -> Case:
    rng = np.random.default_rng(21)
    table = pd.DataFrame({"cohort": np.repeat(["training", "external"], [90, 40]), "time": rng.uniform(1, 80, 130)})
    return table.assign(event=rng.integers(0, 2, 130)), {"marks": (36.0, 60.0)}


def _bland_altman() -> Case:
    rng = np.random.default_rng(22)
    table = pd.DataFrame({"mean": rng.uniform(10, 40, 60), "difference": rng.normal(0.4, 0.9, 60)})
    return table, {"bias": 0.4, "limit_low": -1.36, "limit_high": 2.16, "unit": "mm"}


def _strips() -> Case:
    rng = np.random.default_rng(23)
    table = pd.DataFrame({"group": np.repeat(["center A", "center B"], [40, 25]), "value": rng.normal(11, 1, 65)})
    return table, {"ylabel": "Noise (HU)"}


def _slice_areas() -> Case:
    position = np.arange(-12.0, 13.0)
    rows = [pd.DataFrame({"subject": s, "position_mm": position, "area_mm2": (r**2 - position**2) * 3.1})
            for s, r in {"small": 13.0, "large": 22.0}.items()]  # fmt: skip
    return pd.concat(rows), {}


def _training() -> Case:
    rng = np.random.default_rng(12)
    epochs = np.arange(1, 41)
    rows = []
    for name, floor in {"train": 0.15, "validation": 0.32}.items():
        loss = floor + 0.8 * np.exp(-epochs / 9) + rng.normal(0, 0.015, 40)
        rows += [(e, name, "loss", v) for e, v in zip(epochs, loss, strict=True)]
        rows += [(e, name, "Dice", 1 - v / 1.2) for e, v in zip(epochs, loss, strict=True)]
    table = pd.DataFrame(rows, columns=["epoch", "set", "metric", "value"])
    return table.assign(network="CNN", kept=31), {"metric": "Dice"}


def _overlays() -> Case:
    y, x = np.mgrid[:32, :32]
    mask = (x - 16) ** 2 + (y - 16) ** 2 < 60
    rows = [
        {"subject": f"SS {i}", "image": (x + y) / 62, "heat": np.exp(-((x - 10 - i) ** 2) / 40), "mask": mask,
         "share": 0.2 * i}
        for i in range(5)
    ]  # fmt: skip
    return pd.DataFrame(rows), {}


def _pairs() -> Case:
    values = np.random.default_rng(14).uniform(0, 1, (9, 2))
    rows = [(f"s{i}", name, v) for i, pair in enumerate(values) for name, v in zip(("SS", "NSS"), pair, strict=True)]
    return pd.DataFrame(rows, columns=["subject", "group", "value"]), {"ylabel": "Share of heat"}


def _sheet() -> Case:
    rng = np.random.default_rng(13)
    rows, columns = np.mgrid[:96, :120]
    cases = []
    for i in range(7):
        body = ((rows - 48) / 40) ** 2 + ((columns - 60) / 54) ** 2 < 1
        tumour = (rows - 40 - i) ** 2 + (columns - 50 - 3 * i) ** 2 < (7 + i) ** 2
        image = np.where(body, 50.0, -1000.0) + 60 * tumour + rng.normal(0, 12, body.shape)
        mask = tumour.astype(int) if i != 5 else np.zeros_like(rows)
        cases.append({"subject": f"synthetic-{i + 1:03d}", "image": image, "mask": mask, "spacing": (0.8, 0.8)})
    return pd.DataFrame(cases), {}


def _nomogram() -> Case:
    rows = [("Points", "points", str(v), v / 100) for v in range(0, 101, 10)]
    rows += [("Age", "predictor", str(v), (v - 20) / 150) for v in range(20, 85, 5)]
    rows += [("Stage", "predictor", s, x) for s, x in {"I": 0.0, "II": 0.31, "III": 0.335, "IV": 0.72}.items()]
    rows += [("RDPs", "predictor", f"{v / 10:g}".replace("-", "−"), (v + 20) / 40) for v in range(-20, 21, 5)]
    rows += [("Total points", "total", str(v), v / 260) for v in range(0, 261, 20)]
    rows += [("3-year survival", "result", f"{v}", 0.9 - v * 0.8) for v in (0.9, 0.8, 0.7, 0.5, 0.3, 0.1, 0.05)]
    return pd.DataFrame(rows, columns=["axis", "kind", "label", "position"]), {}


def _heat() -> Case:
    rng = np.random.default_rng(21)
    subjects = [f"s{i:02d}" for i in range(40)]
    features = [f"arterial: original glcm Feature{j}" for j in range(8)]
    rows = [
        {"feature": f, "subject": s, "group": "low risk" if i < 22 else "high risk", "value": rng.normal(0.05 * i, 1)}
        for f in features
        for i, s in enumerate(subjects)
    ]
    return pd.DataFrame(rows), {}


def _errors() -> Case:
    time = np.linspace(2, 60, 20)
    models = {"Kaplan–Meier": 0.22, "clinic": 0.19, "clinic+dl": 0.15}
    parts = [pd.DataFrame({"model": name, "time": time, "brier": top * time / 60}) for name, top in models.items()]
    return pd.concat(parts, ignore_index=True), {}


def _score_intervals() -> Case:
    table = pd.DataFrame({"signature": ["Radiomics", "DLR-A", "CT findings"], "value": [0.81, 0.63, 0.44]})
    return table.assign(
        value_low=table["value"] - 0.12, value_high=table["value"] + 0.1, apparent=[0.95, 1.0, np.nan]
    ), {}


def _score_spread() -> Case:
    rng = np.random.default_rng(21)
    rows = [(name, r, rng.normal(0.7, 0.04)) for name in ("Radiomics", "DLR-A", "CT findings") for r in range(12)]
    return pd.DataFrame(rows, columns=["signature", "repeat", "score"]), {"measure": "AUC"}


def _learning() -> Case:
    rows = [
        (name, judged, n, 0.55 + 0.0015 * n + 0.02 * i)
        for i, (name, judged) in enumerate(
            [("Radiomics", "out of fold"), ("Radiomics", "other cohorts"), ("Clinical", "out of fold")]
        )
        for n in (40, 80, 120, 160)
    ]
    table = pd.DataFrame(rows, columns=["signature", "judged", "n", "value"])
    return table.assign(low=table["value"] - 0.03, high=table["value"] + 0.03), {}


def _penalty_error() -> Case:
    lambdas = np.geomspace(0.2, 0.004, 40)
    mean = 1.1 + 0.05 * (np.log10(lambdas) + 1.6) ** 2
    table = pd.DataFrame({"lambda": lambdas, "mean": mean, "sd": 0.04, "n_nonzero": np.arange(40)})
    return table, {"chosen": {"λ used": 0.025, "λ by one standard error": 0.09}}


def _verdicts() -> Case:
    names = ["holds", "does not hold", "cannot be decided"]
    rows = [(paper, verdict, 3 + i) for i, paper in enumerate(("Paper A", "Paper B")) for verdict in names]
    table = pd.DataFrame(rows, columns=["row", "verdict", "claims"])
    return table.assign(verdict=pd.Categorical(table["verdict"], names)), {}


def _network() -> Case:
    layers = [
        ("input", "image", 64, 1, ""), ("down 1", "convolution", 32, 16, ""), ("middle", "convolution", 16, 32, ""),
        ("up 1", "convolution", 32, 16, "down 1"), ("features", "vector", 1, 32, ""),
    ]  # fmt: skip
    table = pd.DataFrame(layers, columns=["block", "kind", "side", "channels", "joins"])
    return table.assign(shape=[f"{side} x {side} x {n}" for side, n in table[["side", "channels"]].to_numpy()]), {}


def _missing() -> Case:
    rows = [(41, 0, False, False), (7, 1, True, False), (2, 2, True, True)]
    return pd.DataFrame(rows, columns=["n", "gaps", "Histology", "Stage"]), {}


def _swarm() -> Case:
    rng = np.random.default_rng(9)
    value = rng.normal(size=(40, 3))
    parts = [
        pd.DataFrame({"feature": name, "contribution": slope * value[:, i], "value": value[:, i]})
        for i, (name, slope) in enumerate({"Volume": 0.8, "Entropy": -0.4, "Age": 0.1}.items())
    ]
    return pd.concat(parts, ignore_index=True), {}


def _parts() -> Case:
    table = pd.DataFrame({"feature": ["Volume", "Entropy", "3 other features"], "contribution": [0.8, -0.3, 0.1]})
    return table.assign(value=[12.5, 4.1, np.nan], base=-1.0, score=-0.4), {"scale": "log-odds"}


def _repeats() -> Case:
    x = np.linspace(0, 1, 20)
    lines = [("own", 0, 1.0), ("repeat", 1, 0.8), ("repeat", 2, 1.3), ("treat all", 0, 0.2)]
    parts = [pd.DataFrame({"of": of, "repeat": k, "x": x, "y": slope * x}) for of, k, slope in lines]
    return pd.concat(parts, ignore_index=True), {"diagonal": True, "rug": x[::4], "lowest": -0.1}


#: Further cases of figures that have one: a second way to call them.
FURTHER: dict[str, tuple[str, Callable[[], Case]]] = {
    "block": ("correlations", _block), "icc_shares": ("icc", _icc), "overlays": ("contact_sheet", _overlays),
    "pairs": ("strips", _pairs),
}  # fmt: skip

CASES: dict[str, Callable[[], Case]] = {
    "beeswarm": _swarm,
    "contributions": _parts,
    "repeats": _repeats,
    "roc": _roc,
    "delong": _delong,
    "confusion": _confusion,
    "radar": _radar,
    "calibration": _calibration,
    "decision": _decision,
    "kaplan_meier": _km,
    "incidence": _incidence,
    "auc_over_time": _over_time,
    "schoenfeld": _schoenfeld,
    "forest": _forest,
    "coefficients": _bars,
    "lasso_path": _path,
    "waterfall": _waterfall,
    "boxes": _boxes,
    "correlations": _triangle,
    "clustered": _triangle,
    "risks": _risk_pairs,
    "histogram": _histogram,
    "icc": _ranked,
    "funnel": _funnel,
    "sankey": _sankey,
    "bland_altman": _bland_altman,
    "follow_up": _follow_up,
    "flow": _flow,
    "areas": _slice_areas,
    "strips": _strips,
    "training": _training,
    "contact_sheet": _sheet,
    "nomogram": _nomogram,
    "heat_map": _heat,
    "prediction_error": _errors,
    "intervals": _score_intervals,
    "spread": _score_spread,
    "learning_curve": _learning,
    "penalty_error": _penalty_error,
    "verdicts": _verdicts,
    "architecture": _network,
    "missing": _missing,
}


@pytest.fixture(params=[*(name for name in CASES if name != "sankey"), *FURTHER])
def drawn_case(request: pytest.FixtureRequest) -> tuple[str, pd.DataFrame, dict[str, Any]]:
    """Name, table and options of each matplotlib figure."""
    name, case = FURTHER.get(request.param) or (request.param, CASES[request.param])
    return (name, *case())


@pytest.fixture
def figure_case() -> Callable[[str], Case]:
    """Table and options of the figure with this name."""
    return lambda name: (FURTHER[name][1] if name in FURTHER else CASES[name])()
