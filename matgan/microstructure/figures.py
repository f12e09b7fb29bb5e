"""Figures of microstructures, their stiffness and their strains."""

from __future__ import annotations

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from matgan.microstructure.mechanics import Isotropic
from matgan.microstructure.statistics import voigt_reuss

_PHASES = "Greys"  # the second, stiff phase is dark


def volume_slices(volumes: dict[str, np.ndarray]) -> Figure:
    """The first plane of each volume, in the plane of the first two axes; the load goes up."""
    figure, axes = plt.subplots(1, len(volumes), figsize=(2.3 * len(volumes), 2.6), squeeze=False)
    for one, (name, phases) in zip(axes.flat, volumes.items(), strict=True):
        one.imshow(phases[:, :, 0], cmap=_PHASES, vmin=-0.2, vmax=1.2, origin="lower")
        one.set(title=name, xticks=[], yticks=[])
    return figure


def stiffness_by_fraction(
    fraction: np.ndarray, c11: np.ndarray, kinds: np.ndarray, materials: tuple[Isotropic, Isotropic]
) -> Figure:
    """C11 over the volume fraction, a colour for each kind, with the bounds of Voigt and Reuss."""
    figure, axes = plt.subplots()
    grid = np.linspace(0, 1, 101)
    upper, lower = voigt_reuss(grid, materials)
    axes.plot(grid, upper, "k--", lw=1, label="Voigt (rule of mixtures)")
    axes.plot(grid, lower, "k:", lw=1, label="Reuss")
    for kind in dict.fromkeys(kinds):
        axes.plot(fraction[kinds == kind], c11[kinds == kind], "o", ms=4, alpha=0.7, label=kind)
    axes.set(
        xlabel="volume fraction of the stiff phase", ylabel="C11 / Young's modulus, soft phase"
    )
    axes.legend(frameon=False)
    return figure


def method_errors(
    table: pd.DataFrame, score: str, label: str, published: dict[str, float]
) -> Figure:
    """An error for each method: a dot a repeat, its mean as a line; the review's as diamonds.

    Parameters
    ----------
    table : columns method and the score
    score, label : the column, and what the axis says
    published : method -> the review's number
    """
    figure, axes, names = _a_row_a_method(table, score, label)
    for place, name in enumerate(names):
        if name in published:
            axes.plot(published[name], place, "D", ms=6, color="C1")
    axes.plot([], [], "o", color="C0", label="here, a repeat each")
    axes.plot([], [], "D", color="C1", label="the review")
    axes.set(xscale="log")
    axes.legend(frameon=False)
    return figure


def _a_row_a_method(table: pd.DataFrame, score: str, label: str) -> tuple[Figure, Axes, list[str]]:
    """A row of dots for each method with its mean as a line; and the methods from the top."""
    names = list(dict.fromkeys(table["method"]))
    figure, axes = plt.subplots(figsize=(7, 0.45 * len(names) + 1.2))
    for place, name in enumerate(names):
        found = table.loc[table["method"] == name, score]
        axes.plot(found, np.full(len(found), place), "o", ms=5, alpha=0.6, color="C0")
        axes.plot(found.mean(), place, "|", ms=18, color="C0")
    axes.set(xlabel=label, yticks=range(len(names)), yticklabels=names)
    axes.invert_yaxis()
    return figure, axes, names


def strain_slices(phases: np.ndarray, fields: dict[str, np.ndarray]) -> Figure:
    """The phases of one volume and its strains along the load, true and predicted; the load up.

    Parameters
    ----------
    phases : (n, n, n) bool
    fields : name -> (n, n, n); the first sets the colours
    """
    figure, axes = plt.subplots(1, len(fields) + 1, figsize=(2.6 * (len(fields) + 1), 2.9))
    axes[0].imshow(phases[:, :, 0], cmap=_PHASES, vmin=-0.2, vmax=1.2, origin="lower")
    axes[0].set_title("phases")
    low, high = np.percentile(next(iter(fields.values())), [1, 99])
    for one, (name, field) in zip(axes[1:], fields.items(), strict=True):
        image = one.imshow(field[:, :, 0], vmin=low, vmax=high, origin="lower", cmap="viridis")
        one.set_title(name)
    figure.colorbar(image, ax=axes, shrink=0.8, label="strain / mean strain")
    for one in axes:
        one.set(xticks=[], yticks=[])
    return figure


def kernel_slices(kernels: np.ndarray, title: str, columns: int = 6) -> Figure:
    """The middle planes of small kernels, red where the stiff phase adds, blue where it takes."""
    rows = -(-len(kernels) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.3 * columns, 1.4 * rows), squeeze=False)
    for one in axes.flat:
        one.axis("off")
    for one, kernel in zip(axes.flat, kernels, strict=False):
        largest = np.abs(kernel).max()
        middle = kernel[:, :, kernel.shape[2] // 2]
        one.imshow(middle, cmap="RdBu_r", vmin=-largest, vmax=largest, origin="lower")
    figure.suptitle(title)
    return figure


def shell_lines(shells: dict[str, np.ndarray]) -> Figure:
    """Influence of a voxel by its shell, each line divided by its first value."""
    figure, axes = plt.subplots(figsize=(6, 3.6))
    for name, values in shells.items():
        axes.plot(values / values[0], "o-", label=name)
    axes.set(xlabel="shell (voxels from the middle)", ylabel="influence / that of the voxel itself")
    axes.set_yscale("log")
    axes.legend(frameon=False)
    return figure


# --- images that are designed -------------------------------------------------------------------


def source_rows(images: dict[str, np.ndarray], columns: int = 6) -> Figure:
    """A row of images for each source, the second phase dark.

    Parameters
    ----------
    images : name -> (n, size, size) bool; larger images are drawn larger
    columns : images in a row, at most
    """
    columns = max(min(columns, len(drawn)) for drawn in images.values())
    heights = [len(drawn[0]) for drawn in images.values()]
    figure, axes = plt.subplots(
        len(images), columns, figsize=(1.4 * columns, 1.55 * len(images)), squeeze=False,
        height_ratios=[max(1, h / min(heights)) ** 0.5 for h in heights],
    )  # fmt: skip
    for one in axes.flat:
        one.axis("off")
    for row, (name, drawn) in zip(axes, images.items(), strict=True):
        for one, phases in zip(row, drawn, strict=False):
            one.imshow(phases, cmap=_PHASES, vmin=-0.2, vmax=1.2, interpolation="nearest")
        row[0].set_title(name, loc="left", fontsize=9)
    return figure


def statistics_curves(table: pd.DataFrame, functions: tuple[str, ...]) -> Figure:
    """Functions of several sources over the distance: the mean, and a band of one deviation.

    Parameters
    ----------
    table : columns what (the function), source, distance (pixels), mean, spread
    functions : a panel each
    """
    figure, axes = plt.subplots(1, len(functions), figsize=(5 * len(functions), 3.6), squeeze=False)
    for one, function in zip(axes.flat, functions, strict=True):
        part = table[table["what"] == function]
        for i, (source, curve) in enumerate(part.groupby("source", sort=False)):
            low, high = curve["mean"] - curve["spread"], curve["mean"] + curve["spread"]
            one.plot(curve["distance"], curve["mean"], f"C{i}", label=source)
            one.fill_between(curve["distance"], low, high, color=f"C{i}", alpha=0.12, lw=0)
        one.set(xlabel="distance (pixels)", ylabel=function, xlim=(0, None))
    axes[0, 0].legend(frameon=False)
    return figure


def absorption_figure(lengths: pd.DataFrame, orders: pd.DataFrame) -> Figure:
    """Absorption over the length of the fields, a dot each; and over the orders, a line each.

    Parameters
    ----------
    lengths : columns length (pixels) and absorbed
    orders : columns length, number, orders and absorbed
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
    left.plot(lengths["length"], lengths["absorbed"], "o", ms=4, alpha=0.4)
    means = lengths.groupby("length")["absorbed"].mean()
    left.plot(means.index, means, "k-", label="mean")
    left.set(xlabel="length of the field (pixels)", ylabel="absorbed share")
    left.legend(frameon=False)
    for i, (length, part) in enumerate(orders.groupby("length")):
        for j, (_, line) in enumerate(part.groupby("number")):
            label = f"length {length:g}" if j == 0 else None
            right.plot(line["orders"], line["absorbed"], "o-", color=f"C{i}", ms=3, label=label)
    right.set(xlabel="orders of plane waves", ylabel="absorbed share")
    right.legend(frameon=False)
    return figure


def search_dots(table: pd.DataFrame, score: str, label: str, published: float) -> Figure:
    """What each search found: a dot a repeat, the mean as a line; the review's gain dashed.

    Parameters
    ----------
    table : columns method and the score
    score, label : the column, and what the axis says
    published : the review's number, in units of the score
    """
    figure, axes, _ = _a_row_a_method(table, score, label)
    axes.axvline(published, color="C1", ls="--", label="the review")
    axes.legend(frameon=False)
    return figure


def learning_lines(table: pd.DataFrame, across: str, score: str, labels: tuple[str, str]) -> Figure:
    """An error over the number of labels, a line each method: the mean, and its lowest and highest.

    Parameters
    ----------
    table : columns method, the number and the error
    across, score : these two columns
    labels : of the two axes
    """
    figure, axes = plt.subplots(figsize=(7.6, 3.8))
    for i, (method, part) in enumerate(table.groupby("method", sort=False)):
        by = part.groupby(across)[score].agg(["mean", "min", "max"])
        axes.plot(by.index, by["mean"], "o-", color=f"C{i}", ms=4, label=method)
        axes.fill_between(by.index, by["min"], by["max"], color=f"C{i}", alpha=0.12, lw=0)
    axes.set(xscale="log", yscale="log", xlabel=labels[0], ylabel=labels[1])
    numbers = sorted(table[across].unique())
    axes.set_xticks(numbers, [f"{n:,}" for n in numbers])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 4, 6, 8)))
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


# --- images that are made from another's texture -------------------------------------------------


def image_rows(rows: dict[str, dict[str, np.ndarray]]) -> Figure:
    """Two-phase or grey images, a row for each name, a column for each of its images.

    Parameters
    ----------
    rows : name -> title of the column -> (n, n), from 0 to 1
    """
    columns = max(map(len, rows.values()))
    size = (1.9 * columns, 1.75 * len(rows) + 0.4)
    figure, axes = plt.subplots(len(rows), columns, figsize=size, squeeze=False)
    for place, (name, images) in enumerate(rows.items()):
        axes[place, 0].set_ylabel(textwrap.fill(name, 16))  # no longer than the row is high
        for one, (title, image) in zip(axes[place], images.items(), strict=False):
            one.imshow(image, cmap=_PHASES, vmin=-0.2, vmax=1.2, interpolation="nearest")
            if not place:
                one.set_title(title)
    for one in axes.flat:
        one.set(xticks=[], yticks=[])
    return figure


def errors_by_kind(table: pd.DataFrame, score: str, label: str) -> Figure:
    """An error for each kind of sample and method: a dot a sample, a line the mean.

    Parameters
    ----------
    table : columns kind, method and the score
    score, label : the column, and what the axis says
    """
    kinds, methods = (list(dict.fromkeys(table[name])) for name in ("kind", "method"))
    figure, axes = plt.subplots(figsize=(8, 3.6))
    for number, method in enumerate(methods):
        for place, kind in enumerate(kinds):
            found = table.loc[(table["kind"] == kind) & (table["method"] == method), score]
            x = place + 0.18 * (number - (len(methods) - 1) / 2)
            axes.plot(np.full(len(found), x), found, "o", ms=4, alpha=0.5, color=f"C{number}")
            axes.plot(x, found.mean(), "_", ms=14, mew=2, color=f"C{number}")
        axes.plot([], [], "o", color=f"C{number}", label=method)
    axes.set(yscale="log", ylabel=label, xticks=range(len(kinds)), xticklabels=kinds)
    wide = min(3, len(methods))  # more would be wider than the axes
    axes.legend(frameon=False, ncols=wide, loc="lower center", bbox_to_anchor=(0.5, 1))
    return figure


def synthesis_losses(curves: dict[str, dict[str, pd.Series]]) -> Figure:
    """Losses by evaluation on logarithmic axes, a panel for each method; dotted: half of the way.

    Parameters
    ----------
    curves : method -> name of the line -> loss by number of evaluations
    """
    figure, axes = plt.subplots(1, len(curves), figsize=(4.5 * len(curves), 3.4), squeeze=False)
    for one, (method, lines) in zip(axes.flat, curves.items(), strict=True):
        for name, line in lines.items():
            one.plot(line.index, line, "o-", ms=3, label=name)
        for half in {line.index.max() / 2 for line in lines.values()}:
            one.axvline(half, color="k", ls=":", lw=1)
        one.set(title=method, xscale="log", yscale="log", xlabel="evaluations", ylabel="loss")
    axes[0, -1].legend(frameon=False)
    return figure
