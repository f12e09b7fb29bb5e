"""Figures of uncertainties, of active learning and of explanations."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_MARKS = "osD^v"


def _by_method(axes: Axes, rows: pd.DataFrame, score: str, names: list[str]) -> None:
    """Mean of a score with the lowest and highest repeat, a marker for each of the data."""
    data = list(rows["data"].unique())
    for i, (mark, one) in enumerate(zip(_MARKS, data, strict=False)):
        part = rows[rows["data"] == one].dropna(subset=score)
        found = part.groupby("name", sort=False)[score].agg(["mean", "min", "max"])
        height = [names.index(name) + 0.22 * (1 - i) for name in found.index]
        mean, low, high = found.to_numpy().T
        ends = [mean - low, high - mean]
        axes.errorbar(mean, height, xerr=ends, fmt=mark, ms=5, lw=1, label=one)
    axes.set_yticks(range(len(names)), names)


def coverages(rows: pd.DataFrame, level: float = 0.9) -> Figure:
    """Share of the test rows inside of the 90% intervals, a panel for each kind of split.

    Parameters
    ----------
    rows : columns data, split, method, intervals, coverage, a row for each repeat
    level : drawn as a line
    """
    rows = rows.assign(name=rows["method"] + ", " + rows["intervals"])
    names, splits = list(rows["name"].unique())[::-1], list(rows["split"].unique())
    size = (3.2 * len(splits) + 2, 0.4 * len(names) + 1.4)
    figure, panels = plt.subplots(1, len(splits), figsize=size, sharey=True, squeeze=False)
    for axes, split in zip(panels[0], splits, strict=True):
        _by_method(axes, rows[rows["split"] == split], "coverage", names)
        axes.axvline(level, color="0.5", ls="--")
        axes.set(title=split, xlabel="share inside of the 90% interval", xlim=(0, 1.02))
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def ranks(rows: pd.DataFrame) -> Figure:
    """Rank correlation of uncertainty and error, a panel for each kind of split.

    Parameters
    ----------
    rows : columns data, split, method, rank, a row for each repeat
    """
    rows = rows.dropna(subset="rank").assign(name=rows["method"])
    names, splits = list(rows["name"].unique())[::-1], list(rows["split"].unique())
    size = (3.2 * len(splits) + 2, 0.42 * len(names) + 1.4)
    figure, panels = plt.subplots(
        1, len(splits), figsize=size, sharex=True, sharey=True, squeeze=False
    )
    for axes, split in zip(panels[0], splits, strict=True):
        _by_method(axes, rows[rows["split"] == split], "rank", names)
        axes.axvline(0, color="0.5", ls="--")
        axes.set(title=split, xlabel="rank correlation with the error")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def label_curves(rows: pd.DataFrame, units: dict[str, str]) -> Figure:
    """Error and share of the best found over the number of labels; bands from lowest to highest.

    Parameters
    ----------
    rows : columns data, strategy, repeat, labels, mae, found
    units : of each of the data
    """
    data = list(rows["data"].unique())
    figure, panels = plt.subplots(2, len(data), figsize=(3.6 * len(data), 6), squeeze=False)
    for j, one in enumerate(data):
        for name, part in rows[rows["data"] == one].groupby("strategy", sort=False):
            for axes, score in zip(panels[:, j], ("mae", "found"), strict=True):
                wide = part.pivot_table(score, "labels", "repeat")
                axes.plot(wide.index, wide.mean(axis=1), label=name)
                axes.fill_between(wide.index, wide.min(axis=1), wide.max(axis=1), alpha=0.12)
        panels[0, j].set(title=one, ylabel=f"mean absolute error ({units[one]})")
        panels[1, j].set(xlabel="labels", ylabel="share of the best 1% found", ylim=(0, 1.02))
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def contributions(table: pd.DataFrame, unit: str, ways: dict[str, str]) -> Figure:
    """What each element of one compound adds, a bar for each way of asking.

    Parameters
    ----------
    table : column element, and one for each way
    unit : of the numbers
    ways : column -> label
    """
    figure, axes = plt.subplots(figsize=(6, 0.5 * len(table) + 1.6))
    place, height = np.arange(len(table))[::-1], 0.8 / len(ways)
    for i, (column, label) in enumerate(ways.items()):
        axes.barh(place + height * (len(ways) / 2 - i - 0.5), table[column], height, label=label)
    axes.axvline(0, color="0.3", lw=1)
    axes.set_yticks(place, table["element"])
    axes.set_xlabel(unit)
    axes.legend(fontsize=9)
    return figure
