"""Every figure draws what its table says, carries alt text, and refuses tables it can not draw."""

from __future__ import annotations

import itertools
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.container import BarContainer

from radsupport import plots as plots_figures
from radsupport.errors import InputError
from radsupport.plots import base as figures
from radsupport.plots import features as features_figures
from radsupport.plots import images as images_figures
from radsupport.plots import models as models_figures
from radsupport.plots import prediction as prediction_figures
from radsupport.plots import style
from radsupport.plots import survival as survival_figures
from radsupport.plots.base import matrix
from radsupport.plots.models import label_rows
from radsupport.plots.survival import at_risk
from radsupport.wording import number


def test_every_figure_has_a_case(figure_case: Any) -> None:
    assert all(len(figure_case(name)[0]) for name in drawing())


GRIDS = {name for name, kind in figures.KINDS.items() if kind.grid}


def drawing() -> dict[str, Any]:
    """Return every figure function by its name."""
    rooms = [import_module(f"radsupport.plots.{one.name}") for one in iter_modules(plots_figures.__path__)]
    return {name: getattr(room, name) for room in rooms for name in figures.KINDS if hasattr(room, name)}


@pytest.mark.parametrize(
    ("name", "kinds"),
    {
        "learning": ("training", "learning_curve"),
        "over_time": ("auc_over_time", "prediction_error"),
        "pairs": ("correlations", "delong"),
        "penalty": ("lasso_path", "penalty_error"),
        "scores": ("intervals", "spread"),
        "steps": ("flow", "funnel"),
    }.items(),
)
def test_the_columns_of_a_table_decide_which_picture_is_drawn(name: str, kinds: Any, figure_case: Any) -> None:
    draw = getattr(plots_figures, name)
    for kind in kinds:
        table, options = figure_case(kind)
        assert figures.description(draw(table, **options).figure) == figures.alt_text(kind, table, **options)
    assert draw(pd.DataFrame()).figures == []
    with pytest.raises(InputError, match=kinds[-1]):
        draw(pd.DataFrame({"else": [1]}))


def test_draws_on_the_given_axes_with_title_and_alt_text(drawn_case: Any) -> None:
    name, table, options = drawn_case
    fig, (ax,) = style.new_figure(projection="polar" if name == "radar" else None)
    before = table.copy(deep=True)
    if name in GRIDS:
        with pytest.raises(InputError, match="axes of its own"):
            drawing()[name](table, ax, **options)
        ax = drawing()[name](table, title="Title, external cohort", **options)
        fig = ax.figure
        assert fig.get_suptitle() == "Title, external cohort"
        assert not plt.get_fignums()  # the notebook would show it twice
    else:
        assert drawing()[name](table, ax, title="Title, external cohort", **options) is ax
        assert ax.get_title(loc="left") == "Title, external cohort"
    assert ax.lines or ax.patches or ax.images or ax.collections or len(ax.texts) > 3
    words = figures.alt_text(name, table, title="Title, external cohort", **options)
    assert figures.description(fig) == words
    assert words.startswith("Title, external cohort. ")
    assert words.endswith(".")
    assert not any(bad in words for bad in ("nan", "inf", "e+", "e−"))
    pd.testing.assert_frame_equal(table, before)


def test_no_two_texts_overlap(drawn_case: Any) -> None:
    """Overlaps of more than a tenth of a text's area; ticks at a crossing of axes share a corner at most."""
    name, table, options = drawn_case
    ax = drawing()[name](table, title="Title", **options)
    fig = ax.get_figure()
    fig.savefig("/dev/null", format="png")
    renderer = fig.canvas.get_renderer()
    texts = [t for a in fig.axes for t in _texts(a)] + [t for t in fig.texts if t.get_text()]
    for nested in ax.child_axes:
        texts += _texts(nested)
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts if t.get_text().strip() and t.get_visible()]
    clashes = []
    for i, (one, a) in enumerate(boxes):
        for other, b in boxes[i + 1 :]:
            width = min(a.x1, b.x1) - max(a.x0, b.x0)
            height = min(a.y1, b.y1) - max(a.y0, b.y0)
            if width > 0 and height > 0 and width * height > 0.1 * min(a.width * a.height, b.width * b.height):
                clashes.append((one, other))
    rotated = {t.get_text() for t in texts if t.get_rotation() not in {0.0, 90.0}}  # their boxes are larger than they
    assert [pair for pair in clashes if not set(pair) <= rotated] == []


def _texts(ax: Axes) -> list[Any]:
    if not ax.axison:
        return [*ax.texts, ax.title, ax._left_title]  # type: ignore[attr-defined]
    ticks = []
    axes = [axis for axis in (ax.xaxis, ax.yaxis) if axis.get_visible()]
    for axis in axes:
        low, high = sorted(axis.get_view_interval())
        ticks += [
            tick.label1
            for tick in axis.get_major_ticks()
            if low - 1e-9 <= tick.get_loc() <= high + 1e-9 and tick.label1.get_visible()
        ]
    legend = ax.get_legend()
    words = list(legend.get_texts()) if legend else []
    return [*ax.texts, *ticks, *words, *(axis.label for axis in axes), ax._left_title]  # type: ignore[attr-defined]


def test_wrong_tables_are_refused(drawn_case: Any) -> None:
    name, table, options = drawn_case
    draw = drawing()[name]
    with pytest.raises(InputError, match="takes a DataFrame"):
        draw([1, 2], **options)
    if name != "histogram":
        with pytest.raises(InputError) as caught:
            draw(pd.DataFrame({"other": [1]}), **options)
        assert len(caught.value.problems) >= 1 + (name not in {"forest", "icc"})
    assert draw(table.iloc[:0], **options).figures == []


def test_alt_text_of_a_radar_says_what_its_spokes_are() -> None:
    radar = pd.DataFrame({"learner": ["apparent", "apparent"], "metric": ["LDA", "GBM"], "value": [0.72, 1.0]})
    words = "one spoke each; lowest and highest value: apparent 0.72 to 1.00."
    assert figures.alt_text("radar", radar) == f"Radar of 2 metrics, {words}"
    named = radar.assign(spokes="learners on radiomics")
    assert figures.alt_text("radar", named) == f"Radar of 2 learners on radiomics, {words}"


def test_unknown_figure_has_no_alt_text() -> None:
    with pytest.raises(InputError, match=r"no figure `pie`.*roc"):
        figures.alt_text("pie", pd.DataFrame({"a": [1]}))


def test_roc_curve_draws_the_points_and_the_interval(figure_case: Any) -> None:
    table, options = figure_case("roc")
    ax = prediction_figures.roc(table, **options)
    for name, part in table.groupby("signature"):
        (line,) = [line for line in ax.lines if str(line.get_label()).startswith(f"{name}:")]
        np.testing.assert_allclose(line.get_xdata(), 1 - part["specificity"])
        np.testing.assert_allclose(line.get_ydata(), part["sensitivity"])
        row = part.iloc[0]
        assert f"{row['auc']:.2f} ({row['auc_low']:.2f}–{row['auc_high']:.2f})" in str(line.get_label())
    low = table.assign(sensitivity=1 - table["sensitivity"], specificity=1 - table["specificity"])
    for rows, below in ((table, False), (low, True)):  # a curve that runs far under the diagonal pushes the legend out
        drawn = prediction_figures.roc(rows, **options)
        drawn.figure.canvas.draw()
        assert (drawn.get_legend().get_window_extent().y1 < drawn.get_window_extent().y0) == below
    assert "3 signatures in 56 patients; AUC (95% CI): DLR-A 0.82 (0.71–0.92)" in figures.alt_text("roc", table)
    fewer = table.assign(n=table["signature"].map({"DLR-A": 56, "DLR-V": 9, "Clinical": 12}))
    assert "3 signatures in 9 to 56 patients" in figures.alt_text("roc", fewer)
    assert "3 signatures; AUC" in figures.alt_text("roc", table.drop(columns="n"))


def test_kaplan_meier_steps_and_numbers_at_risk(figure_case: Any) -> None:
    table, options = figure_case("kaplan_meier")
    ax = survival_figures.kaplan_meier(table, at=[0, 12, 24], **options)
    (curve,) = [line for line in ax.lines if line.get_label() == "High risk"]
    assert curve.get_drawstyle() == "steps-post"
    assert (curve.get_xdata()[0], curve.get_ydata()[0]) == (0, 1)  # type: ignore[index]
    (below,) = ax.child_axes
    shown = [text for text in below.texts if text.get_text().isdigit()]
    expected = [
        str(int((table.loc[table["group"] == group, "time"] >= time).sum()))
        for group in ("Low risk", "High risk")
        for time in (0, 12, 24)
    ]
    assert [text.get_text() for text in shown] == expected
    assert below.get_shared_x_axes().joined(below, ax)  # the numbers stand under the ticks
    assert ax.get_legend().get_title().get_text() == "Log-rank P < 0.001"
    assert "median" not in figures.alt_text("kaplan_meier", table)  # a figure computes none
    assert "median not reached" in figures.alt_text("kaplan_meier", table.assign(median=np.inf))


def test_at_risk_counts_those_whose_follow_up_reaches_the_time() -> None:
    part = pd.DataFrame({"time": [0.0, 2.0, 5.0], "n_risk": [10, 10, 4]})
    assert at_risk(part, [0, 2, 2.1, 5, 5.1]) == [10, 10, 4, 4, 0]


def test_forest_handles_reference_rows_infinite_limits_and_wrong_columns(figure_case: Any) -> None:
    table, _ = figure_case("forest")
    table.loc[len(table)] = ["Rare level", 9.0, 0.4, np.inf, 0.4]
    ax = models_figures.forest(table)
    squares = [float(line.get_xdata()[0]) for line in ax.lines if line.get_marker() == "s"]  # type: ignore[index]
    assert squares == list(table["hr"].dropna())
    assert any(text.get_text() == "9.00 (0.40–∞)" for text in ax.texts)
    assert any(text.get_text() == "reference" for text in ax.texts)
    with pytest.raises(InputError, match="one column of ratios"):
        models_figures.forest(table.rename(columns={"hr": "coef"}))


def test_forest_columns_do_not_touch_beside_long_names(figure_case: Any) -> None:
    table, _ = figure_case("forest")
    for name in (*table["covariate"], "a combination of signatures, all cohorts, pooled"):
        ax = models_figures.forest(table.assign(covariate=name))
        figure = ax.get_figure()
        figure.canvas.draw()
        heads = {text.get_text(): text.get_window_extent() for text in ax.texts}
        ratio, p = heads["Hazard ratio (95% CI)"], heads["p"]
        assert ratio.x1 + 4 < p.x0


@pytest.mark.parametrize("cut_off", [0.02, 0.5, 0.98])
def test_the_legend_of_a_waterfall_hides_no_bar(cut_off: float) -> None:
    table = pd.DataFrame({"risk": np.linspace(0, 1, 90) ** 0.8, "label": np.arange(90) % 2})
    ax = prediction_figures.waterfall(table, cut_off=cut_off, classes=("no mutation", "mutation"))
    ax.get_figure().canvas.draw()
    legend = ax.get_legend().get_window_extent()
    assert not any(legend.overlaps(bar.get_window_extent()) for bar in ax.patches)


def test_waterfall_stands_on_the_cut_off(figure_case: Any) -> None:
    table, options = figure_case("waterfall")
    ax = prediction_figures.waterfall(table, **options)
    heights = np.concatenate([[bar.get_height() for bar in c] for c in ax.containers if isinstance(c, BarContainer)])
    np.testing.assert_allclose(np.sort(heights), np.sort(table["risk"] - 0.47))


def test_correlation_triangle_shows_each_pair_once_whichever_way_it_is_given(figure_case: Any) -> None:
    table, _ = figure_case("correlations")
    shown = features_figures.correlations(table).collections[0].get_array()
    n = 9
    assert np.isfinite(np.ma.filled(shown, np.nan)).sum() == n * (n - 1) / 2
    both = pd.concat([table, table.rename(columns={"feature_a": "feature_b", "feature_b": "feature_a"})])
    again = features_figures.correlations(both).collections[0].get_array()
    np.testing.assert_array_equal(np.ma.filled(shown, np.nan), np.ma.filled(again, np.nan))


def test_decision_curve_names_the_models_and_where_they_help(figure_case: Any) -> None:
    table, _ = figure_case("decision")
    ax = prediction_figures.decision(table, names={"Clinical": "Clinical model"})
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["DLR-V", "Clinical model", "Treat all", "Treat none"]
    useless = table[table["strategy"] != "DLR-V"].assign(
        net_benefit=lambda t: t["net_benefit"].where(t["strategy"] != "Clinical", -0.1)
    )
    assert "Clinical nowhere" in figures.alt_text("decision", useless)


def test_confusion_matrix_shows_counts_and_row_shares(figure_case: Any) -> None:
    table, options = figure_case("confusion")
    ax = prediction_figures.confusion(table, **options)
    assert [text.get_text() for text in ax.texts] == ["24\n(77%)", "7\n(23%)", "5\n(20%)", "20\n(80%)"]
    with pytest.raises(InputError, match="one row"):
        prediction_figures.confusion(pd.concat([table, table]))
    none = prediction_figures.confusion(table.assign(fn=0, tp=0))
    assert none.texts[-1].get_text() == "0\n(0%)"


def test_radar_needs_polar_axes_and_complete_metrics(figure_case: Any) -> None:
    table, _ = figure_case("radar")
    with pytest.raises(InputError, match="projection='polar'"):
        prediction_figures.radar(table, style.new_figure()[1][0])
    with pytest.raises(InputError, match="three metrics"):
        prediction_figures.radar(table.iloc[:-1])


def test_contact_sheet_checks_shapes_and_says_which_mask_is_empty(figure_case: Any) -> None:
    table, _ = figure_case("contact_sheet")
    ax = images_figures.contact_sheet(table, columns=3)
    assert len(ax.images) == 7
    assert len(ax.collections) == 6  # one outline for each mask but the empty one
    assert "no mask in synthetic-006" in figures.description(ax.get_figure())  # type: ignore[arg-type]
    table["mask"] = [np.zeros((3, 3)), *table["mask"].iloc[1:]]
    with pytest.raises(InputError, match="synthetic-001"):
        images_figures.contact_sheet(table)


def test_one_axes_shows_one_covariate_and_a_known_metric(figure_case: Any) -> None:
    table, options = figure_case("schoenfeld")
    with pytest.raises(InputError, match="one covariate"):
        survival_figures.schoenfeld(pd.concat([table, table.assign(covariate="age")]), **options)
    table, _ = figure_case("training")
    with pytest.raises(InputError, match="it has loss and Dice"):
        images_figures.training(table, metric="AUC")
    with pytest.raises(InputError, match="no values in a column `r`"):
        features_figures.histogram(pd.DataFrame({"p": [0.1]}), column="r")


def test_sankey_keeps_flows_and_describes_itself(figure_case: Any) -> None:
    table, _ = figure_case("sankey")
    fig = survival_figures.sankey(table, title="Risk groups")
    assert isinstance(fig, go.Figure)
    assert list(fig.data[0].link.value) == list(table["n"])
    names = list(fig.data[0].node.label)
    assert [names[i] for i in fig.data[0].link.target] == list(table["target"])
    assert "low (model) to low (biopsy) 61" in fig.layout.meta["alt_text"]
    with pytest.raises(InputError):
        survival_figures.sankey(table.drop(columns="n"))


def test_heat_map_text_is_readable_on_every_cell() -> None:
    values = np.linspace(-1, 1, 41)[None, :]
    ax = style.new_figure()[1][0]
    labels = np.array([["x"] * 41], dtype=object)
    mesh = matrix(ax, values, ["r"], list(range(41)), labels, style.DIVERGING, (-1, 1))

    def luminance(colour: Any) -> float:
        c = np.array(to_rgb(colour))
        return float(np.where(c <= 0.03928, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])

    for text, value in zip(ax.texts, values[0], strict=True):
        ground, ink = luminance(mesh.cmap(mesh.norm(value))), luminance(text.get_color())  # type: ignore[call-overload]
        contrast = (max(ground, ink) + 0.05) / (min(ground, ink) + 0.05)
        assert contrast >= 4.5, value  # WCAG AA


def test_tick_labels_go_below_then_above_then_nowhere() -> None:
    assert label_rows([0, 100], ["aa", "bb"], ("below", "above")) == ["below", "below"]
    assert label_rows([0, 4, 8], ["aaaa", "bbbb", "cccc"], ("below", "above")) == ["below", "above", None]
    assert label_rows([0, 4], ["aaaa", "bbbb"], ("below",)) == ["below", None]


def test_the_words_of_a_path_count_features_only_where_the_path_was_fitted(figure_case: Any) -> None:
    table, _ = figure_case("lasso_path")
    on = float(table["lambda"].unique()[20])
    kept = int((table.loc[table["lambda"] == on, "coefficient"] != 0).sum())
    words = {value: figures.alt_text("lasso_path", table, chosen={"λ used": value}) for value in (on, on * 1.03)}
    assert f"λ used {number(on, 2)} keeps {kept} features" in words[on]
    assert "keeps" not in words[on * 1.03]


def test_pair_plot_shows_every_patient_by_outcome_with_a_marker_each(figure_case: Any) -> None:
    table, options = figure_case("risks")
    ax = prediction_figures.risks(table, **options)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("train", "external")
    (points,) = ax.collections
    wide = table.pivot_table(index="subject", columns="signature", values="risk")
    np.testing.assert_allclose(points.get_offsets(), wide[["train", "external"]])
    squares = [len(path.vertices) < 10 for path in points.get_paths()]
    assert squares == list(table.drop_duplicates("subject")["label"] == 1)
    upside_down = prediction_figures.risks(table.sort_values("label", ascending=False), **options).collections[0]
    assert sorted(len(path.vertices) for path in upside_down.get_paths()) == sorted(
        len(path.vertices) for path in points.get_paths()
    )
    legend = ax.figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["wild type", "mutant"]
    bars = [bar for axes in ax.figure.axes for bar in axes.patches]
    assert sum(bar.get_height() for bar in bars) == 3 * 40
    assert sum(bar.get_height() for bar in bars if bar.get_hatch()) == 3 * 20


def test_boxes_are_seaborns_with_every_patient_and_a_hatch(figure_case: Any) -> None:
    table, options = figure_case("boxes")
    ax = prediction_figures.boxes(table, **options)
    medians = [line.get_ydata()[0] for box in ax.containers for line in box.medians]
    by = table.groupby(["label", "cohort"], sort=False)["risk"].median().sort_index(level="label", sort_remaining=False)
    np.testing.assert_allclose(medians, by)
    assert sum(len(points.get_offsets()) for points in ax.collections) == len(table)
    assert [box.get_hatch() for one in ax.containers for box in one.boxes] == [None] * 3 + ["////"] * 3
    again = prediction_figures.boxes(table, **options)
    for one, two in zip(ax.collections, again.collections, strict=True):  # spread by rank, not at random
        np.testing.assert_array_equal(one.get_offsets(), two.get_offsets())


def test_three_long_cohort_names_stand_side_by_side_under_boxes() -> None:
    names = ["training, out of fold", "internal validation", "external validation"]
    table = pd.DataFrame({"cohort": np.repeat(names, 4), "risk": np.arange(12.0), "label": [0, 0, 1, 1] * 3})
    ax = prediction_figures.boxes(table)
    ax.figure.canvas.draw()
    spans = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert all(left.x1 + 4 < right.x0 for left, right in itertools.pairwise(spans))
    assert all("\n" in label.get_text().partition("\n(n")[0] for label in ax.get_xticklabels())


def test_what_is_missing_or_all_alike_is_drawn_without_a_warning(figure_case: Any) -> None:
    risks, options = figure_case("risks")
    gone = risks.assign(risk=risks["risk"].where(risks["signature"] != "train"))
    assert prediction_figures.risks(gone, **options).get_xlabel() == "internal"
    boxes, options = figure_case("boxes")
    for table in (boxes[boxes["label"] == 0], boxes.assign(risk=boxes["risk"].where(boxes["cohort"] != "train")),
                  boxes.assign(cohort=pd.Categorical(boxes["cohort"]))):  # fmt: skip
        assert "external" in figures.description(prediction_figures.boxes(table, **options))
    heat, _ = figure_case("heat_map")
    for table in (heat.assign(value=0.0), heat[heat["subject"] == "s00"]):
        assert features_figures.heat_map(table).get_xlabel().endswith("in order of risk")
