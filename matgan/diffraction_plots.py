"""Figures of powder patterns and of what is read from them."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure


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
    sns.barplot(table, x="label", y="top1", hue=hue, ax=axes)
    axes.set(ylabel="share right (top 1)", xlabel="", ylim=(0, 1), title=title)
    axes.legend(title="", bbox_to_anchor=(1.01, 1), loc="upper left")
    return figure
