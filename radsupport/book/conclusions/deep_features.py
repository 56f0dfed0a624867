"""What chapter 04 concludes from what the networks gave: a function per conclusion, of tables and plain values."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from radsupport.settings.features import Cnn3d, Resnet, Unet
from radsupport.wording import STRONG, counted, fixed, listed, p_value, share

#: Risks that lie closer together than this tell nobody apart.
FLAT = 0.05
#: Spearman's correlation from which two maps of one patient are said to show the same.
HEAT_AGREES = 0.5
_FINE_TUNED = {
    "no": "No network is trained on the outcome.",
    "out_of_fold": "It is fine-tuned on the outcome of the {n} training patients, anew in each fold, so that a "
    "patient's features come from a network that never saw that patient's outcome.",
    "as_published": "**It is fine-tuned on the outcome of all {n} training patients, as published: the features of a "
    "training patient carry that patient's own outcome.**",
}


def network(spec: Unet | Resnet | Cnn3d, trainers: Mapping[str, int]) -> str:
    """Say which network it is and whom it was trained on, and whether these are predicted later.

    Parameters
    ----------
    trainers : mapping
        Cohort to number of patients, as `networks.trainers` gives it.
    """
    n = trainers.get("train", 0)
    if isinstance(spec, Cnn3d):
        return (
            f"A 3-D CNN learns the outcome of the {n} training patients, in {spec.folds} folds: the risk of a training "
            "patient comes from the network that never saw that patient."
        )
    if isinstance(spec, Resnet):
        how = _FINE_TUNED[spec.fine_tune].format(n=n)
        seen = {1: "the largest section", 3: "the largest section and its two neighbours"}[spec.slices]
        return f"A ResNet-{spec.depth} describes {seen}. {how}"
    leak = (
        f"**{n} of them are cross-validated later, as published: their outlines were seen by the network.**"
        if n
        else "None of them is predicted later."
    )
    return (
        f"A 2-D U-Net learns to outline the tumour in the {spec.train_phase} phase of {sum(trainers.values())} "
        f"patients. {leak} It never sees an outcome. What its deepest layer says about a slice, averaged over the "
        "slice, is the slice's feature vector."
    )


def training(history: pd.DataFrame, trainers: Mapping[str, int], how: str, names: Mapping[str, str]) -> str:
    """Caption the training curves: of how many networks, and whom they were trained on.

    Parameters
    ----------
    history : DataFrame
        network, metric.
    trainers : mapping
        Cohort to number of patients; `how` they were used, `names` of the cohorts.
    """
    whom = [f'{counted(n, "patient")} of the cohort "{names.get(key, key)}"' for key, n in trainers.items()]
    metrics = listed(list(history["metric"].unique()))
    networks = counted(history["network"].nunique(), "network")
    return f"{metrics[:1].upper()}{metrics[1:]} per epoch of {networks} trained on {' and '.join(whom)}{how}"


def learnt(ranges: pd.DataFrame) -> str:
    """Name the sampling schemes whose networks give everybody nearly the same risk; "" where there is none.

    Parameters
    ----------
    ranges : DataFrame
        scheme, lowest, highest out-of-fold risk.
    """
    flat = ranges.loc[ranges["highest"] - ranges["lowest"] < FLAT, "scheme"].tolist()
    if not flat:
        return ""
    return (
        f"**The out-of-fold risks of {' and '.join(flat)} are nearly the same for everybody:** these networks have "
        "learnt next to nothing in the epochs they were given, and what later pages say of them is said of that. It is "
        "no evidence against the sampling scheme."
    )


def sizes(table: pd.DataFrame) -> str:
    """Say in whom networks of fewer patients are judged, and what all patients say; "" where all are judged.

    Parameters
    ----------
    table : DataFrame
        `networks.by_sample_size`.
    """
    if table["judged"].nunique() < 2:
        return ""
    few, whole = (
        table[(table["judged"] == name) & (table["n"] == table["n"].max())] for name in table["judged"].unique()
    )
    places, values = [few.iloc[0], whole.iloc[0]], []
    for part in (few, whole):
        p = part["p"].iloc[0]
        difference = f"; {p_value(p, name='P')} of their difference" if p == p else ""
        values.append(
            listed([f"{row['signature']} {fixed(row['value'], 3)}" for row in part.to_dict("records")]) + difference
        )
    alone = bool(places[0]["p"] < 0.05 <= places[1]["p"])
    return (
        f"The sizes are compared in the {places[0]['held']} patients ({places[0]['events']} with the event) of the "
        f"{places[0]['judged']} only. The study's own networks: {values[0]} in these; {values[1]} in all "
        f"{places[1]['held']}, whom chapter 06 judges."
        + " **A difference of these folds alone, which all of them together do not confirm, is no finding.**"
        * alone
    )


def heat(table: pd.DataFrame) -> str:
    """Say whether Grad-CAM shows what covering parts of the patch shows; "" where nobody was checked.

    Parameters
    ----------
    table : DataFrame
        scheme, spearman (of both maps over the voxels of one patient).
    """
    known = table.dropna(subset=["spearman"])
    parts = [
        f"{name} {fixed(own['spearman'].min())} to {fixed(own['spearman'].max())} in {counted(len(own), 'patient')}"
        for name, own in known.groupby("scheme", sort=False)
    ]
    if not parts:
        return ""
    text = f"Spearman's correlation of Grad-CAM with occlusion: {listed(parts)}."
    agree = int((known["spearman"] > HEAT_AGREES).sum())
    if agree > len(known) / 2:
        return f"{text} Above {HEAT_AGREES:g} in {agree} of {len(known)} maps: the two agree for the most part."
    return (
        f"{text} **{f'Only {agree}' if agree else 'None'} of {len(known)} maps agree{'s' * (agree < 2)} "
        f"(above {HEAT_AGREES:g}):** what Grad-CAM paints is not what "
        "lowers the risk when it is covered, so that neither the pictures nor the shares of heat tell what the "
        "networks use."
    )


def own_outlines(table: pd.DataFrame, names: Mapping[str, str]) -> str:
    """Say how far a U-Net's own outlines overlap the reader's, in which cohort, and where it found nothing.

    Parameters
    ----------
    table : DataFrame
        subject, cohort, dice.
    names : mapping
        Cohort to its name.
    """
    if table.empty:
        return ""
    said = []
    for cohort, part in table.groupby("cohort", sort=False)["dice"]:
        low, middle, high = part.quantile([0.25, 0.5, 0.75])
        n = counted(len(part), "outline")
        said.append(f"{names.get(str(cohort), str(cohort))}: Dice {fixed(middle)} ({fixed(low)}–{fixed(high)}), {n}")
    nothing = int((table["dice"] == 0).sum())
    missed = f" {counted(nothing, 'outline')} missed the tumour altogether." if nothing else ""
    return f"Overlap with the reader's outline, median (quartiles): {'; '.join(said)}.{missed}"


def phases(pairs: pd.DataFrame, matrix: pd.DataFrame, overlap: int, names: tuple[str, str], n: int, which: str) -> str:
    """Say how strongly two phases repeat each other; "" without pairs.

    Parameters
    ----------
    pairs : DataFrame
        r and p of every pair of one feature of each phase, in `n` training patients.
    matrix : DataFrame
        |r| of the features chosen by `which`, `overlap` of them the same in both of the phases `names`.
    """
    if pairs.empty:
        return ""
    strong, low = ((pairs["r"].abs() > STRONG).mean(), (pairs["p"] < 0.05).mean())
    rows, columns = matrix.shape
    return (
        f"Of {len(pairs):,} pairs of one {names[0]} and one {names[1]} feature that vary, {share(low)} are "
        f"correlated at P < 0.05 (unadjusted) in the {n} training patients, {share(strong)} with |r| above "
        f"{STRONG:g}. Features {which}: {rows} in the {names[0]} and {columns} in the {names[1]} phase, {overlap} of "
        "them the same channel in both."
    )


def counts(features: pd.DataFrame, failed: int) -> str:
    """Say how many features, or risks, the networks give of how many patients, and how many cases failed."""
    known = features.drop(columns="subject").notna().any(axis=1).sum()
    found = f"{counted(features.shape[1] - 1, 'column')} of features or risks, in {counted(known, 'patient')}"
    return f"{found}; {counted(failed, 'case')} failed."
