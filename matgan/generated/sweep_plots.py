"""Figures of matgan.generated.sweep: the map of the search, the bars of the ablation."""

from __future__ import annotations

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure


def search_map(search: pd.DataFrame) -> Figure:
    """Heat maps over learning rate and batch size: the paper's criterion beside what matters.

    search : table of `matgan.generated.sweep`, part "search"
    """
    panels: dict[str, dict[str, Any]] = {
        "lowest test loss": {"norm": LogNorm(), "fmt": ".2g"},
        "decodable": {"vmin": 0, "vmax": 1, "fmt": ".2f"},
        "effective rank": {"fmt": ".0f"},
        "small-data error (eV)": {"fmt": ".2f"},
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(17, 3.6), sharey=True)
    for ax, (measure, style) in zip(axes, panels.items(), strict=True):
        grid = search.pivot_table(index="learning rate", columns="batch size", values=measure)
        sns.heatmap(grid, ax=ax, annot=True, annot_kws={"fontsize": 7}, cmap="viridis", **style)
        ax.set(title=measure, xlabel="batch size", ylabel="")
    axes[0].set_ylabel("learning rate")
    return figure


def ablation_bars(ablation: pd.DataFrame) -> Figure:
    """What each change adds, with the shuffled control as a line.

    ablation : table of `matgan.generated.sweep`, part "ablation"
    """
    panels = {
        "decodable": None,
        "unique": None,
        "neutral": "neutral, shuffled",
        "balanced": "balanced, shuffled",
        "AUC, counts": "AUC, counts, shuffled",
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(15, 3.6), sharey=True)
    places = range(len(ablation))
    for ax, (measure, control) in zip(axes, panels.items(), strict=True):
        ax.barh(places, ablation[measure].fillna(0))
        for place in ablation.index[ablation[measure].isna()]:
            ax.text(0.02, place, "too few decode", va="center", fontsize=7)
        if control:
            ax.axvline(ablation[control].iloc[0], color="k", linestyle="--", linewidth=1)
        ax.set(title=measure, xlim=(0, 1), xlabel="share" if measure[:3] != "AUC" else "area")
    axes[0].set_yticks(places, ablation["change"])
    axes[0].invert_yaxis()
    return figure
