"""Figures of crystal graph networks: errors, and what elements contribute on their sites."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from matgan.chemistry.elements import PLACE


def errors_beside(summary: pd.DataFrame, lines: dict[str, float], unit: str = "eV/atom") -> Figure:
    """Errors of models on one data set, lowest first, with their intervals.

    Parameters
    ----------
    summary : features, mae, mae_low and mae_high, as from `matgan.learning.statistics.summarise`
    lines : label -> an error that others report, drawn as a line
    unit : of the errors
    """
    table = summary.sort_values("mae", ascending=False)
    figure, axes = plt.subplots(figsize=(8, 0.35 * len(table) + 1.6))
    mae, low, high = table[["mae", "mae_low", "mae_high"]].to_numpy(float).T
    ends = np.nan_to_num([mae - low, high - mae])
    axes.errorbar(mae, range(len(table)), xerr=ends, fmt="o", ms=5, capsize=3)
    axes.set_yticks(range(len(table)), table["features"])
    for i, (label, value) in enumerate(lines.items()):
        axes.axvline(value, color="0.4", linestyle=("--", ":", "-.")[i % 3], label=label)
    axes.set(xlabel=f"MAE ({unit})", xlim=(0, 1.25 * max([*mae, *lines.values()])))
    if lines:
        axes.legend(bbox_to_anchor=(0.5, 1.01), loc="lower center", ncols=2)
    return figure


def two_sites_on_table(contributions: pd.DataFrame, label: str) -> Figure:
    """Periodic table whose squares are cut in two: the element on A above, on B below.

    Parameters
    ----------
    contributions : index element, columns A and B
    label : what the colour bar says, with the unit
    """
    largest = float(np.nanmax(np.abs(contributions[["A", "B"]].to_numpy())))
    norm, colours = Normalize(-largest, largest), plt.get_cmap("RdBu_r")
    figure, axes = plt.subplots(figsize=(11, 5.6))
    for symbol, (column, row) in PLACE.items():
        x, y, size = column, row + 0.4 * (row > 6), 0.94
        corners = {
            "A": [(x, y), (x + size, y), (x, y + size)],
            "B": [(x + size, y + size), (x + size, y), (x, y + size)],
        }
        known = symbol in contributions.index
        for site, points in corners.items():
            value = contributions.loc[symbol, site] if known else np.nan
            fill = colours(norm(value)) if np.isfinite(value) else "white"
            axes.add_patch(plt.Polygon(points, facecolor=fill, edgecolor="0.8", linewidth=0.4))
        ink = "black" if known else "0.7"
        text = axes.text(x + size / 2, y + size / 2, symbol, ha="center", va="center", color=ink)
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    axes.set(xlim=(-0.1, 18.1), ylim=(9.6, -0.1), aspect="equal")
    axes.axis("off")
    axes.text(4.2, 0.9, "upper left: on A; lower right: on B", fontsize=10)
    bar = figure.colorbar(plt.cm.ScalarMappable(norm, colours), ax=axes, shrink=0.6, pad=0.01)
    bar.set_label(label)
    return figure


def contributions_beside(one: pd.DataFrame, other: pd.DataFrame, names: Sequence[str]) -> Figure:
    """Contributions by two models, element by element: a panel for each site.

    Parameters
    ----------
    one, other : index element, columns A and B, eV/atom
    names : of the two models
    """
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.6))
    for axes, site in zip(panels, ("A", "B"), strict=True):
        both = pd.concat([one[site], other[site]], axis=1, keys=("x", "y")).dropna()
        axes.axline((0, 0), slope=1, color="0.6", linewidth=1)
        for symbol, (x, y) in both.iterrows():
            axes.text(x, y, str(symbol), ha="center", va="center", fontsize=8)
        axes.set(title=f"on {site}", xlabel=f"{names[0]} (eV/atom)")
        low, high = both.min(), both.max()
        edge = 0.08 * (high - low)
        axes.set(xlim=(low["x"] - edge["x"], high["x"] + edge["x"]))
        axes.set(ylim=(low["y"] - edge["y"], high["y"] + edge["y"]))
    panels[0].set_ylabel(f"{names[1]} (eV/atom)")
    return figure


def error_curve(rows: pd.DataFrame, lines: dict[str, float]) -> Figure:
    """Errors over the number of compounds learned from, both on log scales.

    Parameters
    ----------
    rows : features, n_train, mae; one row for each training
    lines : label -> an error that others report
    """
    figure, axes = plt.subplots(figsize=(6.5, 4))
    for name, part in rows.groupby("features", sort=False):
        mean = part.groupby("n_train")["mae"].mean()
        (drawn,) = axes.plot(mean.index, mean, label=name)
        axes.plot(part["n_train"], part["mae"], "o", ms=4, color=drawn.get_color())
    for i, (label, value) in enumerate(lines.items()):
        axes.axhline(value, color="0.4", linestyle=("--", ":")[i % 2], label=label)
    axes.set(xscale="log", yscale="log", xlabel="perovskites learned from", ylabel="MAE (eV/atom)")
    axes.legend(fontsize=8)
    return figure
