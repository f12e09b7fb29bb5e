"""Figures of the benchmarks: errors with intervals, learning curves, parity."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.figure import Figure


def errors_with_intervals(
    summary: pd.DataFrame,
    units: dict[str, str],
    paper: dict[tuple[str, str], float] | None = None,
    metric: str = "mae",
) -> Figure:
    """Mean error of every feature set with its interval, a panel for each data set (Figure 5a).

    Parameters
    ----------
    summary : as from `matgan.learning.statistics.summarise`
    units : data set -> label of its axis
    paper : (data set, features) -> the paper's value, drawn as a cross
    metric : "mae", "rmse" or "r2"

    Notes
    -----
    An axis ends a quarter of the means' range beyond them; an interval that goes on is cut.
    """
    kinds = list(summary["split"].unique())
    middle = (len(kinds) - 1) / 2
    names = list(summary["features"].unique())[::-1]
    figure, panels = plt.subplots(
        1, len(units), figsize=(3.6 * len(units), 0.38 * len(names) + 1.6), sharey=True
    )
    for axes, (dataset, label) in zip(np.atleast_1d(panels), units.items(), strict=True):
        part = summary[summary["dataset"] == dataset]
        for i, kind in enumerate(kinds):
            rows = part[part["split"] == kind]
            y = np.array([names.index(n) for n in rows["features"]]) + 0.25 * (middle - i)
            half = (rows[f"{metric}_high"] - rows[metric]).to_numpy()
            axes.errorbar(rows[metric], y, xerr=half, fmt="o", ms=5, capsize=2, label=kind)
        for (where, features), value in (paper or {}).items():
            if where == dataset and features in names:
                axes.plot(value, names.index(features), "kx", ms=8, mew=2, label="paper")
        shown = [*part[metric], *(v for (where, _), v in (paper or {}).items() if where == dataset)]
        low, high = min(shown), max(shown)
        axes.set(title=dataset, xlabel=label, ylim=(-0.6, len(names) - 0.4))
        axes.set_xlim(max(0, low - 0.25 * (high - low)), high + 0.25 * (high - low))
    np.atleast_1d(panels)[0].set_yticks(range(len(names)), names)
    marks: dict[str, Artist] = {}  # one of each kind
    for axes in np.atleast_1d(panels):
        handles, labels = axes.get_legend_handles_labels()
        marks |= dict(zip(labels, handles, strict=True))
    figure.legend(list(marks.values()), list(marks), loc="outside lower center", ncols=len(marks))
    return figure


def learning_curves(
    curves: pd.DataFrame, units: dict[str, str], bold: Sequence[str] = (), metric: str = "mae"
) -> Figure:
    """Error against the number of training compounds, log-log, a panel for each data set.

    Parameters
    ----------
    curves : dataset, features, n_train, repeat and the metric
    units : data set -> label of its axis
    bold : feature sets drawn with thick lines; the others are thin

    Notes
    -----
    Lines are means over the repeats, bands their smallest and largest values.
    """
    names = list(curves["features"].unique())
    colour = dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))
    figure, panels = plt.subplots(1, len(units), figsize=(4.8 * len(units), 4.6))
    for axes, (dataset, label) in zip(np.atleast_1d(panels), units.items(), strict=True):
        part = curves[curves["dataset"] == dataset]
        for name in names:
            points = part[part["features"] == name].groupby("n_train")[metric]
            mean, low, high = points.mean(), points.min(), points.max()
            width = 2.6 if name in bold else 1.2
            axes.plot(mean.index, mean, marker=".", color=colour[name], lw=width, label=name)
            axes.fill_between(mean.index, low, high, color=colour[name], alpha=0.12, lw=0)
        axes.set(xscale="log", yscale="log", title=dataset, ylabel=label)
        axes.set_xlabel("training and validation compounds")
        axes.yaxis.set_major_formatter(plt.FuncFormatter(lambda v, _: f"{v:g}"))
        axes.yaxis.set_minor_formatter(plt.FuncFormatter(lambda v, _: f"{v:.3g}"))
        axes.tick_params(axis="y", which="minor", labelsize=8)
    handles, labels = np.atleast_1d(panels)[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def parity(predictions: dict[str, tuple[np.ndarray, np.ndarray]], units: dict[str, str]) -> Figure:
    """Predicted against true values of the test compounds, darker where many lie.

    Parameters
    ----------
    predictions : data set -> (true, predicted), (n,) arrays each
    units : data set -> the quantity with its unit
    """
    figure, panels = plt.subplots(1, len(predictions), figsize=(3.8 * len(predictions), 3.9))
    for axes, (dataset, (y, predicted)) in zip(
        np.atleast_1d(panels), predictions.items(), strict=True
    ):
        ends = min(y.min(), predicted.min()), max(y.max(), predicted.max())
        axes.hexbin(
            y, predicted, gridsize=45, extent=(*ends, *ends), bins="log", mincnt=1, cmap="viridis_r"
        )
        axes.plot(ends, ends, color="k", linewidth=0.8)
        axes.set(title=dataset, xlabel=f"true {units[dataset]}", ylabel="predicted")
        axes.set_aspect("equal", adjustable="box")
    return figure
