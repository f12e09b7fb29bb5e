"""Figures of sites: what is seen of them, how well it tells their elements, and rankings."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from matgan.crystals.sites.fingerprints import ANGLES, SHAPE_NAMES, SHELLS, WINDOWS, Sites
from matgan.crystals.sites.neighbours import REACH


def fingerprints(sites: Sites, labels: Sequence[str]) -> Figure:
    """Shells and angles of some sites, in four panels; a line each.

    Parameters
    ----------
    sites : few of them
    labels : one for each
    """
    figure, panels = plt.subplots(1, 4, figsize=(12, 2.8))
    start = SHAPE_NAMES.index("shell 1")
    away = 0.4 + (REACH - 0.4) * np.arange(SHELLS) / SHELLS
    for row, label in zip(sites.shape, labels, strict=True):
        panels[0].plot(away, row[start : start + SHELLS], label=label)
    panels[0].set(xlabel="distance (lengths of the site)", ylabel="neighbours", title="shells")
    angles = np.linspace(-1, 1, ANGLES)
    for k, (axes, window) in enumerate(zip(panels[1:], WINDOWS, strict=True)):
        first = SHAPE_NAMES.index("angle 1") + k * ANGLES
        for row in sites.shape:
            axes.plot(angles, row[first : first + ANGLES])
        axes.set(xlabel="cosine of the angle", title=f"pairs of neighbours, {window}")
    figure.legend(loc="outside lower center", ncols=len(labels))
    return figure


def site_errors(rows: pd.DataFrame, said: float) -> Figure:
    """Mean top-1 error of each view with the lowest and highest seed, a marker for each split.

    Parameters
    ----------
    rows : columns view, held out, error
    said : the review's error, drawn as a line
    """
    views, held = list(rows["view"].unique())[::-1], list(rows["held out"].unique())
    figure, axes = plt.subplots(figsize=(7, 0.42 * len(views) + 1.5))
    for i, what in enumerate(held):
        found = rows[rows["held out"] == what].groupby("view")["error"].agg(["mean", "min", "max"])
        height = [views.index(view) + 0.2 * (1 - i) for view in found.index]
        ends = [found["mean"] - found["min"], found["max"] - found["mean"]]
        axes.errorbar(found["mean"], height, xerr=ends, fmt="osD"[i], ms=5, label=what)
    axes.axvline(said, color="0.5", ls="--", label="the review")
    axes.set_yticks(range(len(views)), views)
    axes.set(xlabel="error (share of the sites)", xlim=(0, None))
    axes.legend(title="held out", loc="lower left", fontsize=8)
    return figure


def reasonable_errors(rows: pd.DataFrame, kinds: Sequence[str]) -> Figure:
    """Share of the errors that stay inside a group or block, beside shuffled answers.

    Parameters
    ----------
    rows : columns view, and for each kind "KIND, share" and "KIND, expected"
    kinds : see `matgan.crystals.sites.errors.KINDS`
    """
    found = rows.groupby("view", sort=False).mean(numeric_only=True)
    figure, panels = plt.subplots(1, len(kinds), figsize=(3 * len(kinds) + 2, 2.8), sharey=True)
    for axes, kind in zip(np.atleast_1d(panels), kinds, strict=True):
        for name, mark in (("share", "o"), ("expected", "x")):
            label = "this network" if name == "share" else "the same answers, shuffled"
            axes.plot(found[f"{kind}, {name}"], found.index, mark, label=label)
        axes.set(xlabel="share of the errors", title=f"the same {kind}", xlim=(0, None))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def rankings(rows: pd.DataFrame, said: tuple[float, float]) -> Figure:
    """Share of the compositions whose structure type comes first, and is among ten.

    Parameters
    ----------
    rows : columns method, top_1 and top_10, a row for each seed
    said : the review's two shares, drawn as lines
    """
    names = list(rows["method"].unique())[::-1]
    figure, panels = plt.subplots(1, 2, figsize=(9, 0.36 * len(names) + 1.3), sharey=True)
    for axes, k, value in zip(panels, (1, 10), said, strict=True):
        found = rows.groupby("method")[f"top_{k}"].agg(["mean", "min", "max"]).loc[names]
        ends = [found["mean"] - found["min"], found["max"] - found["mean"]]
        axes.errorbar(found["mean"], range(len(names)), xerr=ends, fmt="o", ms=5)
        axes.axvline(value, color="0.5", ls="--", label="the review")
        axes.set(xlabel=f"among the first {k}" if k > 1 else "first", xlim=(0, 1))
    panels[0].set_yticks(range(len(names)), names)
    panels[0].legend(loc="lower right", fontsize=8)
    return figure
