"""Figures of elements and of formulas."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from matgan.chemistry.composition import MAX_COUNT, amounts, count_matrix
from matgan.chemistry.elements import ELEMENTS, PLACE


def on_periodic_table(values: pd.Series, label: str, log: bool = False) -> Figure:
    """Colour each element by a value.

    Parameters
    ----------
    values : Series indexed by element symbol; elements without a value stay white
    label : what the colour bar says, with the unit
    log : logarithmic colours
    """
    figure, axes = plt.subplots(figsize=(11, 5.6))
    low, high = values.min(), values.max()
    norm = LogNorm(low, high) if log else Normalize(low, high)
    colours = sns.color_palette("viridis", as_cmap=True)
    for symbol, (column, row) in PLACE.items():
        value = values.get(symbol)
        known = value is not None and np.isfinite(value)
        y = row + 0.4 * (row > 6)  # a gap above the f block
        fill = colours(norm(value)) if known else "white"
        axes.add_patch(plt.Rectangle((column, y), 0.94, 0.94, facecolor=fill, edgecolor="0.7"))
        dark = known and norm(value) < 0.6
        ink = "white" if dark else "black" if known else "0.7"
        axes.text(column + 0.47, y + 0.38, symbol, ha="center", va="center", color=ink)
        if known:
            text = f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2g}"
            place = (column + 0.47, y + 0.75)
            axes.text(*place, text, ha="center", va="center", fontsize=6.5, color=ink)
    axes.set(xlim=(-0.1, 18.1), ylim=(9.6, -0.1), aspect="equal")
    axes.axis("off")
    bar = figure.colorbar(plt.cm.ScalarMappable(norm, colours), ax=axes, shrink=0.6, pad=0.01)
    bar.set_label(label)
    return figure


def sizes_and_energies(counts: np.ndarray, energies: pd.Series, n_sigma: float = 5) -> Figure:
    """How large formulas are, and how their energies are spread, three counts on log scales.

    Parameters
    ----------
    counts : (n, 85) atoms of each element
    energies : formation energies in eV/atom, before the cut at n_sigma standard deviations, whose
        two ends are dashed; drawn from -8 to 8, what lies beyond at these ends
    """
    figure, (elements, atoms, spread) = plt.subplots(1, 3, figsize=(13, 3.8))
    sns.countplot(x=(counts > 0).sum(1), ax=elements, color="C0")
    elements.set(xlabel="elements in the compound", ylabel="compounds", yscale="log")
    sns.countplot(x=counts[counts > 0], ax=atoms, color="C1")
    atoms.set(xlabel="atoms of an element per formula unit", ylabel="occurrences", yscale="log")
    sns.histplot(energies.clip(-8, 8), bins=120, ax=spread, color="C2", element="step")
    for edge in energies.mean() + np.array([-n_sigma, n_sigma]) * energies.std():
        spread.axvline(edge, color="k", linestyle="--")
    spread.set(xlabel="formation energy (eV/atom; beyond ±8 at ±8)", ylabel="entries", yscale="log")
    spread.set_title(f"dashed: mean ± {n_sigma:g} standard deviations", fontsize=9)
    return figure


def count_matrix_of(formula: str) -> Figure:
    """The 85 x 8 matrix of one formula, elements along the long side (Hu et al. 2020, Figure 1)."""
    matrix = count_matrix(amounts(formula))
    figure, axes = plt.subplots(figsize=(12, 2.6))
    axes.pcolormesh(matrix.T, cmap="Blues", edgecolors="0.85", linewidth=0.4)
    axes.set_xticks(np.arange(len(ELEMENTS)) + 0.5, ELEMENTS, fontsize=5.5, rotation=90)
    counts = [str(count) for count in range(1, MAX_COUNT + 1)]
    axes.set_yticks(np.arange(MAX_COUNT) + 0.5, counts, fontsize=8)
    axes.set(ylabel="atoms of the element", title=f"{formula} as the networks see it")
    axes.grid(False)
    for element, count in np.argwhere(matrix):
        place = (element + 0.5, count + 0.5)
        axes.text(*place, ELEMENTS[element], ha="center", va="center", color="white", fontsize=6)
    return figure
