"""Figures of embeddings: maps of materials and of elements, similarities, intervals."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from matgan.chemistry.periodic_table import BLOCKS, by_block, periodic_table


def family_maps(maps: dict[str, np.ndarray], labels: pd.Series) -> Figure:
    """Maps of the same points from several representations, side by side, coloured by label.

    Parameters
    ----------
    maps : title -> (n, 2) array
    labels : (n,) labels
    """
    n_columns = min(3, len(maps))
    n_rows = -(-len(maps) // n_columns)
    size = (4.6 * n_columns, 4.3 * n_rows)
    figure, panels = plt.subplots(n_rows, n_columns, figsize=size, squeeze=False)
    order = sorted(set(labels))
    shuffled = np.random.default_rng(0).permutation(len(labels))  # no label always on top
    for axes, (title, points) in zip(panels.flat, maps.items(), strict=False):
        x, y = points[shuffled].T
        hue = np.asarray(labels)[shuffled]
        sns.scatterplot(
            x=x,
            y=y,
            hue=hue,
            hue_order=order,
            s=9,
            linewidth=0,
            alpha=0.7,
            rasterized=True,
            ax=axes,
        )
        axes.set(title=title, xlabel="t-SNE 1 (arbitrary unit)", ylabel="t-SNE 2 (arbitrary unit)")
        axes.legend(fontsize=8, markerscale=2)
    for axes in panels.flat[len(maps) :]:
        axes.axis("off")
    return figure


def element_map(points: np.ndarray, axes: Axes, title: str, names: tuple[str, str]) -> None:
    """Elements as their symbols, coloured by block of the periodic table.

    Parameters
    ----------
    points : (85, 2) array
    axes, title : where to draw, and above it
    names : labels of the two axes
    """
    colours = dict(zip(BLOCKS, sns.color_palette("colorblind", len(BLOCKS)), strict=True))
    for (symbol, block), (x, y) in zip(periodic_table()["block"].items(), points, strict=True):
        place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7, "weight": "bold"}
        text = axes.text(x, y, symbol, color=colours[block], **place)
        text.set_in_layout(False)  # 85 texts would make the layout of the figure slow
    for block, colour in colours.items():
        axes.scatter([], [], color=colour, label=f"{block} block", s=12)
    spread = np.ptp(points, axis=0) * 0.06 + 1e-12
    low, high = points.min(axis=0) - spread, points.max(axis=0) + spread
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), title=title)
    axes.set(xlabel=names[0], ylabel=names[1])
    axes.legend(fontsize=6, loc="upper right")  # looking for the best place takes seconds


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
    table : DataFrame with the columns `by`, `hue`, `value`, and `value`_low and _high (maybe NaN)
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
