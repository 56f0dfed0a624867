"""Words of the figures of chapters 03 and 04: what is counted, by what, and which line is which part."""

from __future__ import annotations

import numpy as np
import pandas as pd

from radsupport.plots import base as base_figures
from radsupport.plots import features as figures
from radsupport.plots import images as networks


def history(*names: str) -> pd.DataFrame:
    rows = [(n, e, s, "Dice", 0.1 * e, 2) for n in names for s in ("train", "validation") for e in (1, 2)]
    return pd.DataFrame(rows, columns=["network", "epoch", "set", "metric", "value", "kept"])


def labels(table: pd.DataFrame) -> list[str]:
    legend = networks.training(table, metric="Dice").get_legend()
    return [text.get_text() for text in legend.get_texts()]


def test_the_legend_names_both_parts() -> None:
    assert labels(history("U-Net")) == ["training part", "validation part", "epoch kept"]
    assert labels(history("fold 0", "fold 1")) == [
        "fold 0", "fold 1", "training part", "validation part", "epoch kept"
    ]  # fmt: skip


def test_a_histogram_is_described_by_what_it_draws_and_counts() -> None:
    pairs = pd.DataFrame({"r": np.linspace(0, 1, 2001)})
    ax = figures.histogram(pairs, column="r", xlabel="|r| between two features", ylabel="Pairs of features", bins=1)
    words = base_figures.description(ax.figure)
    assert words.startswith("Histogram of |r| between two features: 2,001 pairs of features; from 0 to 1")
    ax.figure.canvas.draw()
    assert "2,000" in [tick.get_text() for tick in ax.get_yticklabels()]


def test_shares_by_filter_are_not_said_to_be_by_class(figure_case: object) -> None:
    table, options = figure_case("icc_shares")  # type: ignore[operator]
    assert ", by class; at 0.75" in base_figures.alt_text("icc", table, **options)
    assert ", by filter; at 0.75" in base_figures.alt_text("icc", table, by="filter", **options)


def test_axes_of_the_bland_altman_plot_can_name_what_is_compared(figure_case: object) -> None:
    table, options = figure_case("bland_altman")  # type: ignore[operator]
    ax = figures.bland_altman(table, **options, ylabel="Risk, reader 1 minus 2", xlabel="Mean risk")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Mean risk (mm)", "Risk, reader 1 minus 2 (mm)")


def test_patients_without_heat_are_said_and_leave_the_pairs() -> None:
    rows = [("a", "SS", 0.9), ("a", "NSS", 0.5), ("b", "SS", np.nan), ("b", "NSS", 0.1)]
    ax = networks.strips(pd.DataFrame(rows, columns=["subject", "group", "value"]), ylabel="Share of heat")
    assert base_figures.description(ax.figure) == "Share of heat of 1 patient in pairs; medians SS 0.90 and NSS 0.50."
    picture = np.full((4, 4), 0.5)
    table = pd.DataFrame(
        [{"subject": "b", "image": picture, "heat": 0 * picture, "mask": picture > 1, "share": np.nan}]
    )
    ax = networks.contact_sheet(table)
    assert "b no heat" in base_figures.description(ax.figure)
    assert [text.get_text() for text in ax.texts] == ["b: no heat"]
