"""Figures of powder patterns and of what is read from them."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from matgan.learning.statistics import calibration_error, share_interval


def stacked_patterns(two_theta: np.ndarray, patterns: dict[str, np.ndarray]) -> Figure:
    """Patterns above each other, each scaled to 1, on one axis of angles (degrees)."""
    figure, axes = plt.subplots(figsize=(9, 1.1 * len(patterns) + 1))
    for i, (name, intensity) in enumerate(patterns.items()):
        base = len(patterns) - 1 - i
        axes.plot(two_theta, 0.9 * intensity / intensity.max() + base, lw=0.8)
        axes.text(two_theta[-1], base + 0.6, name, ha="right", fontsize=10)
    axes.set(xlabel="2θ (degrees, Cu Kα)", ylabel="intensity, shifted", yticks=[])
    return figure


def confusion(truth: np.ndarray, found: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """Share of each true class (row) that was given each class (column), with its number."""
    counts = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(counts, (truth, found), 1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(7, 5.6))
    rows = [f"{name} ({n})" for name, n in zip(names, counts.sum(1), strict=True)]
    sns.heatmap(
        pd.DataFrame(shares, rows, names), vmin=0, vmax=1, annot=True, fmt=".2f", cmap="Blues",
        cbar_kws={"label": "share of the true class"}, ax=axes,
    )  # fmt: skip
    axes.set(xlabel="found", ylabel="true (number)", title=title)
    axes.tick_params(axis="x", rotation=40)
    return figure


def accuracy_bars(table: pd.DataFrame, hue: str, title: str) -> Figure:
    """Top-1 accuracy of every model, a group of bars for each label."""
    figure, axes = plt.subplots(figsize=(9, 4))
    named = table.assign(label=table["label"].str.replace("_", " "))
    sns.barplot(named, x="label", y="top1", hue=hue, ax=axes)
    axes.set(ylabel="share right (top 1)", xlabel="", ylim=(0, 1), title=title)
    axes.legend(title="", bbox_to_anchor=(1.01, 1), loc="upper left")
    return figure


def reliability(table: pd.DataFrame, bins: int = 5) -> Figure:
    """Share right over stated probability, a panel for each label, a line for each temperature.

    Parameters
    ----------
    table : columns temperature, label, stated and correct: `matgan.powder.minerals.calibration`
    bins : of equally many patterns; bars are 95% intervals of the shares (Wilson)
    """
    labels = list(dict.fromkeys(table["label"]))
    figure, all_axes = plt.subplots(
        1, len(labels), figsize=(4.2 * len(labels), 4.2), sharey=True, squeeze=False
    )
    temperatures = sorted(table["temperature"].unique())
    for axes, label in zip(all_axes.flat, labels, strict=True):
        axes.plot([0, 1], [0, 1], color="0.6", lw=1, ls=":", label="calibrated")
        part = table[table["label"] == label]
        for temperature, own in part.sort_values("stated").groupby("temperature"):
            groups = [own.iloc[rows] for rows in np.array_split(np.arange(len(own)), bins)]
            stated = [group["stated"].mean() for group in groups]
            share = np.array([group["correct"].mean() for group in groups])
            ends = np.array([share_interval(group["correct"].to_numpy()) for group in groups])
            error = calibration_error(own["stated"], own["correct"])
            axes.errorbar(
                stated, share, np.abs(ends.T - share), fmt="o-", ms=5, lw=1.2, capsize=2,
                color=f"C{temperatures.index(temperature)}",
                label=f"temperature {temperature:.2f}: error {error:.3f}",
            )  # fmt: skip
        title = f"{label.replace('_', ' ')} ({len(own)} patterns)"
        axes.set(xlabel="stated probability", xlim=(0, 1), ylim=(0, 1), title=title)
        axes.legend(fontsize=8, loc="lower right")
    all_axes.flat[0].set_ylabel("share right")
    return figure


def property_errors(
    table: pd.DataFrame, targets: dict[str, str], published: dict[str, dict[str, float]]
) -> Figure:
    """Mean absolute error of each training, a panel for each property.

    Parameters
    ----------
    table : columns model, property and mae
    targets : {property: what it is, with its unit}
    published : {method: {property: error}}, drawn as vertical lines
    """
    n_models = table["model"].nunique()
    figure, all_axes = plt.subplots(
        1, len(targets), figsize=(5 * len(targets) + 1, 0.5 * n_models + 2), sharey=True,
        squeeze=False,
    )  # fmt: skip
    for axes, (name, label) in zip(all_axes.flat, targets.items(), strict=True):
        part = table[table["property"] == name]
        sns.stripplot(part, x="mae", y="model", hue="model", jitter=False, size=7, ax=axes)
        for i, (method, errors) in enumerate(published.items()):
            colour = f"{0.15 + 0.25 * i:.2f}"  # shades of grey
            axes.axvline(errors[name], ls=":", color=colour, label=method)
        axes.set(xlabel=f"mean absolute error of the {label}", ylabel="", xlim=(0, None))
    handles = all_axes.flat[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=max(1, len(published)), fontsize=9)
    return figure


def latent_maps(
    maps: dict[str, np.ndarray], values: np.ndarray, label: str | Sequence[str]
) -> Figure:
    """Points of several two-dimensional spaces, two panels a row, coloured alike.

    Parameters
    ----------
    maps : {title: (n, 2) array}
    values : (n,) classes or numbers
    label : all classes in order, or what the numbers are, with the unit
    """
    n_rows = -(-len(maps) // 2)
    figure, all_axes = plt.subplots(n_rows, 2, figsize=(10, 4.2 * n_rows), squeeze=False)
    for axes in all_axes.flat[len(maps) :]:
        axes.axis("off")
    drawn = zip(maps.items(), all_axes.flat[: len(maps)], strict=True)
    for (title, points), axes in drawn:
        if isinstance(label, str):
            low, high = np.quantile(values, [0.02, 0.98])  # a few extremes would take all colours
            marks = axes.scatter(*points.T, c=values, s=7, vmin=low, vmax=high, cmap="viridis")
        else:
            for name, colour in zip(label, sns.color_palette("tab10"), strict=False):
                own = values == name
                axes.scatter(*points[own].T, s=7, color=colour, label=name, alpha=0.7)
        axes.set(title=title, xlabel="first dimension", ylabel="second dimension")
    if isinstance(label, str):
        figure.colorbar(marks, ax=all_axes, label=label, shrink=0.7, extend="both")
    else:
        handles = all_axes.flat[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside right upper", markerscale=2)
    return figure


def cell_errors(table: pd.DataFrame, measure: str, label: str) -> Figure:
    """A measure of predicted cells by crystal system, a bar for each method.

    Parameters
    ----------
    table : columns system, method and the measure; several rows of a method are its trainings
    measure, label : column, and what it is
    """
    figure, axes = plt.subplots(figsize=(9, 3.6))
    sns.barplot(table, x="system", y=measure, hue="method", errorbar=("pi", 100), ax=axes)
    axes.set(xlabel="", ylabel=label)
    axes.legend(fontsize=8)
    return figure


def indexed_by_start(table: pd.DataFrame) -> Figure:
    """Share of patterns indexed against the error of the guess, by crystal system.

    Parameters
    ----------
    table : columns start (relative error of a guessed cell), tries, system and indexed
    """
    tries = sorted(table["tries"].unique())
    figure, all_axes = plt.subplots(
        1, len(tries), figsize=(4.5 * len(tries) + 2, 3.6), sharey=True, squeeze=False
    )
    for axes, n in zip(all_axes.flat, tries, strict=True):
        own = table[table["tries"] == n].assign(percent=100 * table["start"])
        sns.lineplot(
            own, x="percent", y="indexed", hue="system", style="system", markers=True,
            dashes=False, ax=axes, legend="brief" if n == tries[-1] else False,
        )  # fmt: skip
        title = "one guess" if n == 1 else f"{n} guesses around it"
        axes.set(xlabel="error of the guess (%)", ylabel="share indexed", ylim=(0, 1.03))
        axes.set_title(title)
    sns.move_legend(all_axes.flat[-1], "upper left", bbox_to_anchor=(1, 1), title="")
    return figure
