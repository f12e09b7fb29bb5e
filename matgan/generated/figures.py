"""Figures of generated compositions, beside real ones and controls, and of the trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from matgan.generated.models import (
    CODE,
    DATA_SETS,
    INDEPENDENT,
    MATGAN,
    OURS,
    PRINTED,
    REAL,
    SHUFFLED,
)
from matgan.generated.pairs import ELEMENT_GROUPS


def by_model(
    summary: pd.DataFrame,
    measures: Sequence[str],
    label: str,
    lines: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Measures of every model as points with their intervals, a panel for each data set.

    Parameters
    ----------
    summary : as `matgan.generated.measures.over_seeds` gives it
    measures : those that share the horizontal axis
    label : of that axis, with the unit
    lines : data set -> one or two texts -> where a dashed line bears the text
    """
    models, sets = (list(dict.fromkeys(summary[column])) for column in ("model", "data"))
    size = (6.5 * len(sets), 0.42 * len(models) + 1.6)
    figure, panels = plt.subplots(1, len(sets), figsize=size, sharey=True, squeeze=False)
    floor = len(models) - (0.5 if lines is None else 0)
    for axes, data in zip(panels[0], sets, strict=True):
        for j, measure in enumerate(measures):
            part = summary[(summary["data"] == data) & (summary["measure"] == measure)]
            place = np.array([models.index(model) for model in part["model"]])
            height = place + 0.22 * (j - (len(measures) - 1) / 2)
            half = np.nan_to_num(part["high"] - part["mean"])
            style = {"fmt": "osD^"[j], "color": f"C{j}", "markersize": 6, "capsize": 3}
            axes.errorbar(part["mean"], height, xerr=half, label=measure, **style)
        axes.set(title=DATA_SETS[data], xlabel=label, yticks=range(len(models)), yticklabels=models)
        labelled = (lines or {}).get(data, {})
        for index, (text, value) in enumerate(labelled.items()):
            axes.axvline(value, color="k", linestyle="--", linewidth=1, zorder=1)
            text_style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8}
            text_style["ha"], apart = ("right", -3) if index < len(labelled) - 1 else ("left", 3)
            axes.annotate(text, (value, floor), (apart, 3), **text_style)
    axes.set_ylim(floor, -0.5)
    if len(measures) > 1:
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(measures), fontsize=9)
    return figure


_GREY, _BLUE, _DARK = "#b9bec6", "#0173b2", "#3c4654"
_BARS = {  # model -> what it is to somebody who reads nothing else, and its colour
    SHUFFLED: ("real stoichiometries,\nelements shuffled", _GREY),
    INDEPENDENT: ("each element's count\ndrawn on its own", _GREY),
    OURS: ("written by our\ngenerator", _BLUE),
    REAL: ("real compounds", _DARK),
}


def neutral_and_balanced(summary: pd.DataFrame, data: str = "mp") -> Figure:
    """Shares of compositions that obey both rules: two controls, our generator, real compounds.

    Parameters
    ----------
    summary : as `matgan.generated.measures.over_seeds` gives it, with the measure "balanced"
    data : the data set
    """
    of = summary[(summary["data"] == data) & (summary["measure"] == "balanced")].set_index("model")
    of = of.loc[[model for model in _BARS if model in of.index]]
    figure, axes = plt.subplots(figsize=(8, 0.74 * len(of) + 1.5))
    for place, (model, rate) in enumerate(of.iterrows()):
        name, colour = _BARS[model]
        half = np.nan_to_num(rate["high"] - rate["mean"])
        whisker: dict[str, Any] = {
            "ecolor": "k",
            "capsize": 4 if half else 0,
            "error_kw": {"elinewidth": 1.2},
        }
        axes.barh(place, rate["mean"], 0.68, color=colour, xerr=half, **whisker)
        text: dict[str, Any] = {"textcoords": "offset points", "va": "center"}
        axes.annotate(name, (0, place), (-8, 0), ha="right", fontsize=11, **text)
        text |= {"color": "#6b727c" if colour == _GREY else colour, "fontweight": "bold"}
        axes.annotate(f"{rate['mean']:.0%}", (rate["mean"] + half, place), (8, 0), size=16, **text)
    axes.set(xlim=(0, 0.85), ylim=(len(of) - 0.5, -0.5))
    axes.axis("off")
    said = [f"{of['mean'][m]:.0%} of {word}" for m, word in _WORDS.items() if m in of.index]
    title = (
        f"Which {DATA_SETS[data]} compositions obey the rules of charge?\n{', '.join(said)} ones"
    )
    figure.suptitle(title, x=0.02, ha="left", fontweight="bold", fontsize=14)
    figure.supxlabel(
        "Shares that are charge-neutral with every anion more electronegative than every cation; "
        "95% intervals.",
        x=0.02,
        ha="left",
        fontsize=9,
        color="#555555",
    )
    return figure


_WORDS = {SHUFFLED: "shuffled", OURS: "generated", REAL: "real"}


def elements_per_formula(sizes: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """How many elements the formulas hold, a panel for each data set.

    sizes : data set -> model -> elements of each formula (n,) int, 0 where there is none
    """
    figure, panels = plt.subplots(
        1, len(sizes), figsize=(6.5 * len(sizes), 3.8), sharey=True, squeeze=False
    )
    ticks = [0, 1, 2, 3, 4, 5, 10, 20, 40, 85]
    for axes, (data, of) in zip(panels[0], sizes.items(), strict=True):
        for marker, (model, size) in zip(cycle("so^vDPX"), of.items(), strict=False):
            share = np.bincount(size) / len(size)
            axes.plot(share, marker=marker, markersize=4, alpha=0.8, label=model)
        axes.set(
            title=DATA_SETS[data], xlabel="elements in the formula (0: nothing)", xscale="symlog"
        )
        axes.set_xticks(ticks, ticks)
        axes.minorticks_off()
        axes.legend(fontsize=8)
    panels[0, 0].set_ylabel("share of samples")
    return figure


_LINES = {PRINTED: "--", CODE: "-.", MATGAN: ":"}  # of trained generators that are not ours


def recovery_curves(table: pd.DataFrame) -> Figure:
    """Share of held-out compounds found against the number of samples, both logarithmic.

    table : as `matgan.generated.validation.recovery_table` gives it
    """
    models, sets = (list(dict.fromkeys(table[column])) for column in ("model", "data"))
    size = (6 * len(sets) + 2, 4.4)
    figure, panels = plt.subplots(1, len(sets), figsize=size, sharey=True, squeeze=False)
    for axes, data in zip(panels[0], sets, strict=True):
        for index, model in enumerate(models):
            part = table[(table["data"] == data) & (table["model"] == model)]
            network = model.startswith(("WGAN", "MatGAN"))
            style: dict[str, Any] = {"color": "k" if network else f"C{index}"}
            style["linewidth"] = 2.4 if network else 1.4
            style["linestyle"] = _LINES.get(model, "-")
            marker = "so^vD<>p*Xdh"[index % 12]
            found = part[part["recovered"] > 0]
            axes.plot(found["samples"], found["recovered"], marker=marker, label=model, **style)
            low, high = found["low"].clip(lower=1e-6), found["high"]
            axes.fill_between(found["samples"], low, high, color=style["color"], alpha=0.12)
        axes.set(xscale="log", yscale="log", title=DATA_SETS[data], xlabel="samples drawn")
    panels[0, 0].set_ylabel("share of held-out compounds found")
    panels[0, 0].set_ylim(bottom=table.loc[table["recovered"] > 0, "recovered"].min() / 2)
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


def pair_maps(maps: Mapping[tuple[str, str], np.ndarray], models: Sequence[str]) -> Figure:
    """`pair_map` for each data set (rows) and some models (columns).

    Parameters
    ----------
    maps : (data set, model) -> map
    models : in this order; one without a map is named as not run
    """
    sets = list(dict.fromkeys(data for data, _ in maps))
    size = (5.6 * len(models), 5.7 * len(sets))
    figure, panels = plt.subplots(
        len(sets), len(models), figsize=size, sharex=True, sharey=True, squeeze=False
    )
    for row, data in zip(panels, sets, strict=True):
        for axes, model in zip(row, models, strict=True):
            title = f"{DATA_SETS[data]}: {model}"
            if (data, model) in maps:
                pair_map(maps[data, model], axes, title, bar=model == models[-1])
            else:
                axes.set(title=f"{title}: not run")
    return figure


def screened(
    kept: Mapping[str, pd.DataFrame],
    quantity: str,
    edges: np.ndarray,
    checked: pd.DataFrame,
    title: str,
    most: int = 300,
) -> Figure:
    """What is predicted for the candidates of each model, and how predictions fare on known ones.

    Parameters
    ----------
    kept : model -> table of `matgan.generated.screening.screen`
    quantity : what is predicted, with its unit
    edges : of the histogram's bins
    checked : target, predicted, half (of the interval)
    title : of the panel that shows these
    most : points drawn, chosen at random
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.4))
    for index, (model, table) in enumerate(kept.items(), 1):
        style: dict[str, Any] = {"histtype": "step", "density": True}
        bold = {REAL: _DARK, OURS: _BLUE}
        style |= {"color": bold.get(model, f"C{index}"), "linewidth": 2.4 if model in bold else 1}
        left.hist(table["predicted"], edges, label=model, **style)
    left.set(xlabel=f"predicted {quantity}", ylabel="density", title="what is kept")
    left.legend(fontsize=8)
    some = checked.sample(min(most, len(checked)), random_state=0)
    style = {"fmt": ".", "alpha": 0.5, "elinewidth": 0.6}
    right.errorbar(some["target"], some["predicted"], yerr=some["half"], **style)
    right.axline((0, 0), slope=1, color="k", linewidth=1)
    right.set(xlabel=f"{quantity}, known", ylabel="predicted, with 90% interval", title=title)
    return figure


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


# --- a training -----------------------------------------------------------------------------------


def loss_curves(
    histories: Mapping[str, pd.DataFrame],
    column: str = "test_total_loss",
    reference: tuple[str, float] | None = None,
) -> Figure:
    """A loss on the test set against the iteration, both logarithmic (Hu et al. 2020, Figure 4a).

    Parameters
    ----------
    histories : label -> history with the columns iteration and `column`
    reference : text and value of a dashed line
    """
    figure, axes = plt.subplots()
    for label, history in histories.items():
        # iteration 0, the untrained networks, has no place on a logarithmic axis: draw it at 0.5
        iteration = history["iteration"].clip(lower=0.5)
        axes.plot(iteration, history[column].abs(), marker=".", label=label)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="generator updates (0.5: before the first)",
        ylabel="total critic loss on the test set",
    )
    if reference:
        text, value = reference
        axes.axhline(value, color="k", linestyle="--", linewidth=1)
        place: dict[str, Any] = {
            "transform": axes.get_yaxis_transform(),
            "ha": "right",
            "va": "bottom",
        }
        axes.text(0.99, value, text, fontsize=8, **place)
    axes.legend(fontsize=8)
    return figure


_WATCHED = {
    "test_total_loss": "total critic loss on the test set",
    "effective_rank": "effective rank of T",
    "mean_amount_generated": "atoms in a generated matrix, mean",
}


def training_curves(
    histories: Mapping[str, Sequence[pd.DataFrame]], loss: float | None = None
) -> Figure:
    """Loss, rank of T and size of what is drawn against the update, a colour for each setting.

    Parameters
    ----------
    histories : setting -> the history of each of its trainings
    loss : of a dashed line in the first panel
    """
    figure, panels = plt.subplots(1, len(_WATCHED), figsize=(14, 3.8))
    for axes, (column, label) in zip(panels, _WATCHED.items(), strict=True):
        for index, (setting, trainings) in enumerate(histories.items()):
            for history in trainings:
                named = setting if history is trainings[0] else None
                updates = history["iteration"].clip(lower=0.5)  # 0 has no place on the axis
                axes.plot(updates, history[column], color=f"C{index}", linewidth=1, label=named)
        axes.set(xscale="log", xlabel="generator updates (0.5: before the first)", ylabel=label)
        if column != "effective_rank":
            axes.set_yscale("log")
    if loss is not None:
        panels[0].axhline(loss, color="k", linestyle="--", linewidth=1)
    panels[0].legend(fontsize=8)
    return figure


def singular_values(snapshots: Mapping[str, dict[str, np.ndarray]]) -> Figure:
    """Singular values of T over their largest, a panel for each run, a curve for each moment.

    Parameters
    ----------
    snapshots : title -> as in `TrainedRun.snapshots`: "T" (m, 85, d) and "iteration" (m,)
    """
    size = (4.3 * len(snapshots), 3.8)
    figure, panels = plt.subplots(1, len(snapshots), figsize=size, sharey=True, squeeze=False)
    for axes, (title, watched) in zip(panels[0], snapshots.items(), strict=True):
        moments = watched["iteration"]
        shown = sorted({round(part * (len(moments) - 1)) for part in (0, 0.25, 0.5, 0.75, 1)})
        for colour, index in zip(sns.color_palette("viridis", len(shown)), shown, strict=True):
            values = np.linalg.svd(watched["T"][index], compute_uv=False)
            label = f"{moments[index]:,}"
            axes.plot(np.arange(1, len(values) + 1), values / values[0], color=colour, label=label)
        axes.set(yscale="log", ylim=(1e-3, 1.5), title=title, xlabel="singular value of T")
        axes.legend(title="iteration", fontsize=7, title_fontsize=7)
    panels[0, 0].set_ylabel("over the largest")
    return figure
