"""What chapter 02 says of its data: which cases can be used, what networks do not see, how findings agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from radsupport.imaging.findings import MIN_CALCIFICATION_MM3, MIN_CYSTIC_SHARE, PURELY_CYSTIC_SHARE
from radsupport.wording import counted, fixed, listed, number, p_value

MOVES_ICC = 0.05
"""An ICC that one patient moves by more than this rests on that patient."""
ALPHA = 0.05
INTERPOLATIONS = {"cubic": "cubic B-spline", "linear": "linear"}
_SEEN = {
    "unet": "The network of this study sees every slice of the box around the region; some are shown.",
    "resnet": "The network of this study sees the largest section and its two neighbours.",
    "cnn3d": "The network of this study sees {n} slices through the middle of the tumour; some are shown.",
}
_RULES = {
    "max_diameter": "the **largest diameter** is the largest distance within the outline in any axial plane",
    "diameter_class": "the **class of size** follows from the largest distance within the outline in any axial plane",
    "ct_ratio": "the **CT ratio** is the mean HU of the tumour's largest section (without a rim of 1 mm) over that "
    "of the organ's sample in the same plane",
    "enhanced_rate": "the **relatively enhanced rate** is the rise of the tumour's mean HU after contrast over "
    "that of the aorta's sample in the same plane",
    "calcification": f"a tumour is **calcified** where a connected portion of {MIN_CALCIFICATION_MM3:g} mm³ or "
    "more is denser than the threshold, after a median filter over 3 × 3 pixels",
    "cystic_part": f"a **cystic part** is a connected portion below the threshold of {MIN_CYSTIC_SHARE:.1%} or "
    f"more of the tumour in every phase named, after smoothing by 1 mm; from {PURELY_CYSTIC_SHARE:.0%} on the "
    "tumour is called cystic",
}


def usable(
    cases: pd.DataFrame,
    n_phases: int,
    spacing_mm: Sequence[float],
    margin_mm: float | Sequence[float],
    how: str,
    network: str = "",
    windowed: bool = False,
) -> str:
    """Say how many cases can be used, and what was done to them; `network` as `seen` takes it.

    `windowed` says that radiomics is measured in the window, too.
    """
    sides = [margin_mm] if isinstance(margin_mm, int | float) else margin_mm
    spacing, margin = (" × ".join(f"{side:g}" for side in found) for found in (spacing_mm, sides))
    radiomics = (
        "radiomics is measured in the window of the phase" if windowed else "radiomics is measured without a window"
    )
    return (
        f"{(cases['exclusion'] == '').sum()} of {len(cases)} cases "
        f"({counted(cases['subject'].nunique(), 'patient')}, {counted(n_phases, 'phase')}) can be used. Images are "
        f"resampled to {spacing} mm with {INTERPOLATIONS[how]} interpolation, masks to the nearest voxel, and both "
        f"are cut to the masks plus {margin} mm. HU are kept as they are: {radiomics}"
        f"{', networks look through one' * bool(network)}."
    )


def scanners(table: pd.DataFrame) -> str:
    """Say how far the medians of centers and phases lie apart (slice_thickness_mm, noise_hu)."""
    if len(table) < 2:
        return ""
    words = {"slice_thickness_mm": "slice thickness {} mm", "noise_hu": "noise {} HU"}
    ends = {key: sorted({f"{found:.3g}" for found in (table[key].min(), table[key].max())}, key=float) for key in words}
    spread = [text.format(" to ".join(ends[key])) for key, text in words.items() if table[key].notna().any()]
    return f"Medians over centers and phases: {', '.join(spread)}."


def seen(network: str, slices: int | None = None) -> str:
    """Say which slices of a case a network (unet, resnet, cnn3d, or none) looks at."""
    if network == "resnet" and slices == 1:
        return "The network of this study sees the largest section alone."
    none = "No network looks at slices in this study; radiomics takes the whole outline. Some slices are shown."
    return _SEEN.get(network, none).format(n=slices)


def outlines(checked: pd.DataFrame) -> str:
    """Say how many cases are flagged, and how far two readers' outlines overlap."""
    words = f"{(checked['n_flags'] > 0).sum()} of {len(checked)} cases are flagged."
    dice = checked["dice"].dropna()
    if dice.empty:
        return f"{words} No case was outlined by a second reader."
    spread = f"{dice.median():.2f} ({dice.min():.2f} to {dice.max():.2f})"
    cases = f"{counted(len(dice), 'case')} {'was' if len(dice) == 1 else 'were'}"
    return f"{words} {cases} outlined by two readers; the Dice coefficient has a median of {spread}."


def unseen(shares: pd.DataFrame) -> str:
    """Say, as a warning, how many tumours do not fit into patches of some sizes (`imaging.shares`)."""
    parts = [
        f"A patch of {row['patch']} voxels cuts {row['n'] - row['whole']} of {row['n']} tumours; the median share "
        f"inside is {row['median']:.0%}, the smallest {row['smallest']:.0%}."
        for row in shares.to_dict("records")
    ]
    return "**What the network does not see.** " + " ".join(parts)


def rules(kinds: Iterable[str]) -> str:
    """Say by which rules findings of some kinds are measured, or that none is."""
    found = set(kinds)
    if not found:
        return "No variable of this study is one that its images could give."
    return "The rules: " + "; ".join(words for kind, words in _RULES.items() if kind in found) + "."


def agreement(numeric: pd.DataFrame) -> str:
    """Say which ICC rests on one patient, and for which findings constant limits of agreement do not hold."""
    if numeric.empty:
        return ""
    parts = [
        f"{row['finding']}: the ICC rests on {row['patient']} (mean of both {number(row['mean'])}); "
        f"{fixed(row['icc'], 3)} with this patient, {fixed(row['icc_without'], 3)} without."
        for row in numeric[(numeric["icc_without"] - numeric["icc"]).abs() > MOVES_ICC].to_dict("records")
    ] or [f"Leaving out any one patient changes no ICC by more than {MOVES_ICC:g}."]
    for key, words in (("bias", "The difference"), ("spread", "The spread of the differences")):
        named = [
            f"{row['finding']} (Spearman's ρ = {fixed(row[f'{key}_rho'])}, {p_value(row[f'{key}_p'], name='P')})"
            for row in numeric[numeric[f"{key}_p"] < ALPHA].to_dict("records")
        ]
        parts += [f"{words} depends on the size of the measurement for {listed(named, 12)}."] if named else []
    if (numeric[["bias_p", "spread_p"]] < ALPHA).any(axis=None):
        parts.append(
            "There either the bias changes with the value or one measurement spreads more than the other: limits of "
            "agreement that are the same for small and large values do not hold throughout. Read the panels, not the "
            "limits alone. P-values are not adjusted for the number of findings."
        )
    return "\n".join(f"- {part}" for part in parts)
