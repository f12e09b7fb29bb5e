"""Figures of embeddings: maps of materials and of elements, similarities, intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from matgan.chemistry.elements import BLOCKS, ELEMENT_INDEX, by_block, periodic_table

# The palette "colorblind" of seaborn, as in the other figures
COLOURS = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#949494")
# of superconductors, as in Figure 4b of Hu et al. 2020: red, blue, black
FAMILY_COLOURS = {"iron-based": "#c81414", "cuprate": "#1452d2", "other": "#000000"}


def colours_of(labels: Iterable[str]) -> dict[str, str]:
    """A colour for each label, in alphabetical order; families of superconductors as published.

    Raises
    ------
    ValueError
        More labels than colours.
    """
    classes = sorted({str(label) for label in labels})
    if len(classes) > len(COLOURS):
        raise ValueError(f"{len(classes)} labels, but only {len(COLOURS)} colours")
    return dict(zip(classes, COLOURS, strict=False)) | {
        label: FAMILY_COLOURS[label] for label in classes if label in FAMILY_COLOURS
    }


def family_maps(maps: dict[str, np.ndarray], labels: Sequence[str]) -> Figure:
    """Maps of the same points from several representations, side by side, with one legend.

    Without ticks: the units of a t-SNE map have no meaning.

    Parameters
    ----------
    maps : title -> (n, 2) array
    labels : (n,) labels
    """
    n_columns = min(3, len(maps))
    n_rows = -(-len(maps) // n_columns)
    size = (4.6 * n_columns, 4.3 * n_rows)
    figure, panels = plt.subplots(n_rows, n_columns, figsize=size, squeeze=False)
    colour = colours_of(labels)
    shuffled = np.random.default_rng(0).permutation(len(labels))  # no label always on top
    spots = [colour[str(label)] for label in np.asarray(labels)[shuffled]]
    for axes, (title, points) in zip(panels.flat, maps.items(), strict=False):
        axes.scatter(*points[shuffled].T, c=spots, s=9, linewidth=0, alpha=0.6, rasterized=True)
        axes.set(title=title, xticks=[], yticks=[])
    keys = _keys(colour)
    spare = panels.flat[len(maps) :]
    for axes in spare:
        axes.axis("off")
    if len(spare):
        spare[0].legend(handles=keys, loc="center", title="t-SNE, axes without unit")
    else:
        figure.legend(handles=keys, loc="outside lower center", ncols=len(keys))
    return figure


def element_maps(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray | None]],
    columns: int,
    join: Sequence[str] = (),
) -> Figure:
    """The elements as their symbols, coloured by block of the periodic table, a panel each.

    Parameters
    ----------
    panels : title -> (85, 2) points, and the share of the variance along both axes, as from
        `matgan.representation.probes.principal_components`; None: axes without unit
    columns : panels in a row
    join : symbols that a line connects in this order
    """
    rows = -(-len(panels) // columns)
    size = (5 * columns, 4.6 * rows)
    figure, places = plt.subplots(rows, columns, figsize=size, squeeze=False)
    colour = dict(zip(BLOCKS, COLOURS, strict=False))
    for axes, (title, (points, explained)) in zip(places.flat, panels.items(), strict=True):
        _element_map(points, axes, colour)
        axes.plot(*points[[ELEMENT_INDEX[symbol] for symbol in join]].T, color="k", lw=1, zorder=0)
        if explained is None:
            axes.set(title=title, xticks=[], yticks=[])
        else:
            x, y = (f"component {i + 1} ({explained[i]:.0%} of the variance)" for i in range(2))
            axes.set(title=title, xlabel=x, ylabel=y)
    figure.legend(handles=_keys(colour), loc="outside lower center", ncols=4, title="block")
    return figure


def _keys(colour: Mapping[str, str]) -> list[plt.Line2D]:
    return [plt.Line2D([], [], marker="o", ls="", color=c, label=n) for n, c in colour.items()]


def _element_map(points: np.ndarray, axes: Axes, colour: Mapping[str, str]) -> None:
    for (symbol, block), (x, y) in zip(periodic_table()["block"].items(), points, strict=True):
        place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7, "weight": "bold"}
        text = axes.text(x, y, symbol, color=colour[block], **place)
        text.set_in_layout(False)  # 85 texts would make the layout of the figure slow
    spread = np.ptp(points, axis=0) * 0.06 + 1e-12
    low, high = points.min(axis=0) - spread, points.max(axis=0) + spread
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def similarity_maps(tables: dict[str, pd.DataFrame]) -> Figure:
    """Cosine similarity of every two elements, ordered by block, then group, one panel a table.

    The colours of each panel reach as far as its similarities do, since a weak pattern is one too;
    the diagonal, always 1, is left out.

    Parameters
    ----------
    tables : title -> elements by dimensions, indexed by symbol
    """
    order = by_block()
    blocks = periodic_table().loc[order, "block"].to_numpy()
    edges = np.flatnonzero(blocks[1:] != blocks[:-1]) + 1
    size = (5 * len(tables), 6)
    figure, panels = plt.subplots(1, len(tables), figsize=size, squeeze=False)
    for axes, (title, table) in zip(panels[0], tables.items(), strict=True):
        rows = table.loc[order].to_numpy(dtype=float)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        similarity = rows @ rows.T
        np.fill_diagonal(similarity, np.nan)
        most = np.nanmax(np.abs(similarity))
        image = axes.imshow(similarity, cmap="RdBu_r", vmin=-most, vmax=most)
        figure.colorbar(image, ax=axes, shrink=0.6, label="cosine similarity", location="bottom")
        for edge in edges:
            axes.axhline(edge - 0.5, color="k", linewidth=0.7)
            axes.axvline(edge - 0.5, color="k", linewidth=0.7)
        middles = (np.concatenate([[0], edges]) + np.concatenate([edges, [len(order)]])) / 2 - 0.5
        axes.set_xticks(middles, [f"{block} block" for block in BLOCKS])
        axes.set_yticks(middles, [f"{b} block" for b in BLOCKS], rotation=90, va="center")
        axes.set(title=title)
        axes.grid(False)
    return figure


def with_intervals(table: pd.DataFrame, value: str, by: str, hue: str, axes: Axes) -> None:
    """Means with intervals, one row for each `by`, one colour for each `hue`.

    Parameters
    ----------
    table : with the columns `by`, `hue` and `value`, and value_low and value_high (maybe NaN)
    axes : where to draw; horizontal
    """
    rows, hues = list(dict.fromkeys(table[by])), list(dict.fromkeys(table[hue]))
    for i, name in enumerate(hues):
        part = table[table[hue] == name].set_index(by)
        place = np.array([rows.index(row) for row in part.index])
        place = place + (i - (len(hues) - 1) / 2) * 0.7 / len(hues)
        middle = part[value].to_numpy()
        bars = np.array([middle - part[f"{value}_low"], part[f"{value}_high"] - middle])
        bars = np.nan_to_num(bars).clip(min=0)
        axes.errorbar(middle, place, xerr=bars, fmt="o", ms=5, capsize=3, label=name)
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    axes.legend(fontsize=8)


def agreement_curves(agreements: pd.DataFrame) -> Figure:
    """Share of an element's neighbours in its group, or period, against their number.

    agreements : rows of `matgan.representation.maps.purity_test`, with table, same and k; the grey
        band is what 95% of random labels give
    """
    kinds = list(dict.fromkeys(agreements["same"]))
    figure, panels = plt.subplots(1, len(kinds), figsize=(6 * len(kinds), 4.2), squeeze=False)
    for axes, kind in zip(panels[0], kinds, strict=True):
        part = agreements[agreements["same"] == kind]
        sns.lineplot(part, x="k", y="purity", hue="table", marker="o", ax=axes)
        band = part.groupby("k")[["low", "high"]].mean()
        axes.fill_between(band.index, band["low"], band["high"], color="0.8", label="chance, 95%")
        axes.set(xlabel="nearest neighbours", ylabel=f"share in the same {kind}")
        axes.legend(fontsize=7)
    return figure


def two_kinds(planes: dict[str, np.ndarray], first: np.ndarray, names: tuple[str, str]) -> Figure:
    """Principal components of points of two kinds, a panel for each representation.

    Parameters
    ----------
    planes : title -> (n, 2) points
    first : (n,) bool, true for points of the first kind
    names : of the two kinds
    """
    size = (4.6 * len(planes), 4.6)
    figure, panels = plt.subplots(1, len(planes), figsize=size, squeeze=False)
    shuffled = np.random.default_rng(0).permutation(len(first))  # neither kind always on top
    spots = np.where(first, *COLOURS[:2])[shuffled]
    for axes, (title, points) in zip(panels[0], planes.items(), strict=True):
        axes.scatter(*points[shuffled].T, c=spots, s=8, linewidth=0, rasterized=True)
        axes.set(title=title, xlabel="component 1", ylabel="component 2")
    keys = _keys(dict(zip(names, COLOURS, strict=False)))
    figure.legend(handles=keys, loc="outside lower center", ncols=2)
    return figure


# --- benchmark ------------------------------------------------------------------------------------


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
    room_of_names = 0.09 * max(map(len, names))
    size = (max(3.6 * len(units), 3.6 + room_of_names), 0.38 * len(names) + 1.6)
    figure, panels = plt.subplots(1, len(units), figsize=size, sharey=True)
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
        room = 0.25 * (high - low)
        axes.set_xlim(low - room if metric == "r2" else max(0, low - room), high + room)
    np.atleast_1d(panels)[0].set_yticks(range(len(names)), names)
    marks: dict[str, Artist] = {}  # one of each kind
    for axes in np.atleast_1d(panels):
        handles, labels = axes.get_legend_handles_labels()
        marks |= dict(zip(labels, handles, strict=True))
    columns = len(marks) if len(units) > 2 else 1
    figure.legend(list(marks.values()), list(marks), loc="outside lower center", ncols=columns)
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
    Lines are means over the repeats, bands their smallest and largest values. Of a data set with
    one number of compounds, points and bars stand side by side.
    """
    names = list(curves["features"].unique())
    colour = dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))
    figure, panels = plt.subplots(1, len(units), figsize=(4.8 * len(units), 4.6))
    for axes, (dataset, label) in zip(np.atleast_1d(panels), units.items(), strict=True):
        part = curves[curves["dataset"] == dataset]
        sizes = part["n_train"].unique()
        for place, name in enumerate(names):
            points = part[part["features"] == name].groupby("n_train")[metric]
            mean, low, high = points.mean(), points.min(), points.max()
            given = {"marker": ".", "color": colour[name], "label": name}
            given["lw"] = 2.6 if name in bold else 1.2
            if len(sizes) == 1:
                spread = np.array([mean - low, high - mean])
                axes.errorbar([place] * len(mean), mean.to_numpy(), spread, ls="", **given)
                continue
            axes.plot(mean.index, mean, **given)
            axes.fill_between(mean.index, low, high, color=colour[name], alpha=0.12, lw=0)
        axes.set(yscale="log", title=dataset, ylabel=label)
        axes.set_xlabel("training and validation compounds")
        if len(sizes) == 1:
            axes.set_xticks([(len(names) - 1) / 2], [f"{sizes[0]:,}"])
        else:
            axes.set_xscale("log")
        axes.yaxis.set_major_formatter(plt.FuncFormatter(lambda v, _: f"{v:g}"))
        axes.yaxis.set_minor_formatter(plt.FuncFormatter(lambda v, _: f"{v:.3g}"))
        axes.tick_params(axis="y", which="minor", labelsize=8)
    handles, labels = np.atleast_1d(panels)[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def effects_by_size(effects: pd.DataFrame, a: str) -> Figure:
    """By how much the error is lower with a than with others, over the number of labels.

    Parameters
    ----------
    effects : data, a, b, labels, lower, low, high (shares)
    a : what is compared with every b; a panel for each data
    """
    part = effects[effects["a"] == a]
    panels = list(part["data"].unique())
    figure, all_axes = plt.subplots(1, len(panels), figsize=(4.8 * len(panels), 4), sharey=True)
    for axes, data in zip(np.atleast_1d(all_axes), panels, strict=True):
        here = part[part["data"] == data]
        for shift, (b, rows) in enumerate(here.groupby("b", sort=False)):
            x = rows["labels"] * 1.06**shift  # side by side
            ends = np.abs(rows[["low", "high"]].T - rows["lower"])
            axes.errorbar(x, rows["lower"], ends, fmt="o-", ms=5, capsize=2, label=f"beside {b}")
        axes.axhline(0, color="k", lw=1, ls="--")
        axes.set(xscale="log", title=data, xlabel="labels")
        axes.set_xticks(sizes := here["labels"].unique(), [f"{n:,}" for n in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    np.atleast_1d(all_axes)[0].set_ylabel(f"error lower with {a} compositions by")
    handles, labels = np.atleast_1d(all_axes)[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def standings(table: pd.DataFrame, units: dict[str, str]) -> Figure:
    """Errors on the splits of others, the lowest on top, coloured by where a row comes from.

    Parameters
    ----------
    table : dataset, features, mae, mae_low, mae_high (NaN: no interval), kind
    units : data set -> label of its axis
    """
    kinds = list(table["kind"].unique())
    height = 0.3 * table.groupby("dataset").size().max() + 1.4
    figure, panels = plt.subplots(1, len(units), figsize=(5.2 * len(units), height), squeeze=False)
    for axes, (dataset, label) in zip(panels[0], units.items(), strict=True):
        part = table[table["dataset"] == dataset].sort_values("mae", ascending=False)
        part = part.assign(half=(part["mae_high"] - part["mae"]).fillna(0), y=range(len(part)))
        for i, kind in enumerate(kinds):
            x, y, half = part.loc[part["kind"] == kind, ["mae", "y", "half"]].to_numpy().T
            axes.errorbar(x, y, xerr=half, fmt=f"oC{i}", ms=5, capsize=2, label=kind)
        axes.set_yticks(part["y"], part["features"], fontsize=9)
        axes.set(title=dataset, xlabel=label, xlim=(0, None))
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def parity(predictions: dict[str, tuple[np.ndarray, np.ndarray]], units: dict[str, str]) -> Figure:
    """Predicted against true values of the test compounds, darker where many lie.

    Parameters
    ----------
    predictions : data set -> (true, predicted), (n,) arrays each
    units : data set -> the quantity with its unit
    """
    size = (3.8 * len(predictions), 3.9)
    figure, panels = plt.subplots(1, len(predictions), figsize=size, squeeze=False)
    for axes, (dataset, (y, predicted)) in zip(panels[0], predictions.items(), strict=True):
        ends = min(y.min(), predicted.min()), max(y.max(), predicted.max())
        axes.hexbin(
            y, predicted, gridsize=45, extent=(*ends, *ends), bins="log", mincnt=1, cmap="viridis_r"
        )
        axes.plot(ends, ends, color="k", linewidth=0.8)
        axes.set(title=dataset, xlabel=f"true {units[dataset]}", ylabel="predicted")
        axes.set_aspect("equal", adjustable="box")
    return figure
