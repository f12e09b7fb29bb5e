"""The figures of notebook 5: generated compositions beside real ones and beside the controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from matgan.chemistry.elements import ELEMENT_INDEX

_MEMBERS = {
    "H": "H",
    "alkali": "Li Na K Rb Cs",
    "alkaline earth": "Be Mg Ca Sr Ba",
    "rare earth": "Sc Y La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu",
    "actinide": "Ac Th Pa U Np Pu",
    "Ti to W": "Ti Zr Hf V Nb Ta Cr Mo W",
    "Mn to Pt": "Mn Tc Re Fe Ru Os Co Rh Ir Ni Pd Pt",
    "Cu to Hg": "Cu Ag Au Zn Cd Hg",
    "p-block metal": "Al Ga In Tl Sn Pb Bi",
    "metalloid": "B Si Ge As Sb Te",
    "C N P": "C N P",
    "O S Se": "O S Se",
    "halogen": "F Cl Br I",
    "Xe": "Xe",
}
ELEMENT_GROUPS = {
    name: np.array([ELEMENT_INDEX[symbol] for symbol in symbols.split()])
    for name, symbols in _MEMBERS.items()
}


def by_model(
    summary: pd.DataFrame, titles: dict[str, str], measures: Sequence[str], label: str
) -> Figure:
    """Measures of every model as points with their intervals, a panel for each data set.

    Parameters
    ----------
    summary : as `matgan.generated.measures.over_seeds` gives it
    titles : data set -> title of its panel
    measures : those that share the horizontal axis
    label : of that axis, with the unit
    """
    models = list(dict.fromkeys(summary["model"]))
    figure, panels = plt.subplots(
        1, len(titles), figsize=(6.5 * len(titles), 0.42 * len(models) + 1.4), sharey=True
    )
    for axes, (data, title) in zip(np.atleast_1d(panels), titles.items(), strict=True):
        for j, measure in enumerate(measures):
            part = summary[(summary["data"] == data) & (summary["measure"] == measure)]
            place = np.array([models.index(model) for model in part["model"]])
            height = place + 0.22 * (j - (len(measures) - 1) / 2)
            half = np.nan_to_num(part["high"] - part["mean"])
            style = {"fmt": "osD^"[j], "color": f"C{j}", "markersize": 6, "capsize": 3}
            axes.errorbar(part["mean"], height, xerr=half, label=measure, **style)
        axes.set(title=title, xlabel=label, yticks=range(len(models)), yticklabels=models)
    axes.set_ylim(len(models) - 0.5, -0.5)
    if len(measures) > 1:
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(measures), fontsize=9)
    return figure


def recovery_curves(table: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """Share of held-out compounds found against the number of samples, both logarithmic.

    Parameters
    ----------
    table : columns data, model, samples, recovered
    titles : data set -> title of its panel
    """
    figure, panels = plt.subplots(1, len(titles), figsize=(6 * len(titles) + 2, 4.4), sharey=True)
    models = list(dict.fromkeys(table["model"]))
    for axes, (data, title) in zip(np.atleast_1d(panels), titles.items(), strict=True):
        for index, model in enumerate(models):
            part = table[(table["data"] == data) & (table["model"] == model)]
            network = model.startswith(("WGAN", "MatGAN"))
            style: dict[str, Any] = {"color": "k" if network else f"C{index}"}
            style["linewidth"] = 2.4 if network else 1.4
            style["linestyle"] = (
                "--" if "printed" in model else ":" if model.startswith("MatGAN") else "-"
            )
            marker = "so^vD<>p*Xdh"[index % 12]
            found = part[part["recovered"] > 0]
            axes.plot(found["samples"], found["recovered"], marker=marker, label=model, **style)
        axes.set(xscale="log", yscale="log", title=title, xlabel="samples drawn")
    np.atleast_1d(panels)[0].set_ylabel("share of held-out compounds found")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    return figure


def pair_map(enrichment: np.ndarray, axes: Axes, title: str, bar: bool = False) -> None:
    """Which groups of elements seek and avoid each other, as a heat map.

    Parameters
    ----------
    enrichment : (14, 14), log2 of observed over expected pairs, of `ELEMENT_GROUPS`
    axes : where to draw
    title : of the axes
    bar : also draw the colour bar
    """
    image = axes.imshow(enrichment, cmap="RdBu_r", vmin=-3, vmax=3)
    places, names = range(len(ELEMENT_GROUPS)), list(ELEMENT_GROUPS)
    axes.set_xticks(places, names, rotation=90, fontsize=8)
    axes.set_yticks(places, names, fontsize=8)
    axes.grid(False)
    axes.set_facecolor("0.8")  # too few pairs to tell
    axes.set_title(title)
    if bar:
        label = "pairs, log2 (observed / by chance)"
        axes.figure.colorbar(image, ax=axes, label=label, shrink=0.7)


# --- sweeps ---------------------------------------------------------------------------------------


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
