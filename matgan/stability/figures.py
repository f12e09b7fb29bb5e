"""Phase diagrams, calculated and predicted ones side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from matgan.chemistry.composition import formulas
from matgan.stability.diagrams import Diagram

_APART = 0.055  # of a binary figure's width: labels beside each other
_FOUND, _MISSED, _FALSE, _REST = "#0173b2", "#de8f05", "#cc3311", "0.65"
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])


def subscripted(formula: str) -> str:
    """A formula as matplotlib writes it with subscripts: TiO$_{2}$."""
    return re.sub(r"(\d+(?:\.\d+)?)", r"$_{\1}$", formula)


def binary_hulls(diagrams: Mapping[str, Diagram]) -> Figure:
    """Formation energy over composition with the hull, a panel for each diagram of one system.

    Parameters
    ----------
    diagrams : title -> diagram of two elements, all of the same compounds; the first is the true
        one, and the others show which of its stable compounds they find
    """
    figure, panels = _panels(diagrams, (5.2, 4.2), sharey=True)
    truth = next(iter(diagrams.values()))
    depth = -min(d.energies.min(initial=-0.1) for d in diagrams.values())
    for axes, (title, diagram) in zip(panels, diagrams.items(), strict=True):
        x = diagram.shares[:, 1]
        order = np.argsort(x[diagram.stable])
        corner_x = np.concatenate([[0], x[diagram.stable][order], [1]])
        corner_y = np.concatenate([[0], diagram.energies[diagram.stable][order], [0]])
        axes.plot(corner_x, corner_y, color="0.2", lw=1.2, zorder=1)
        for name, (rows, style) in _kinds(truth, diagram).items():
            axes.scatter(x[rows], diagram.energies[rows], label=name, **style)
        axes.set(title=title, xlabel=f"atomic fraction of {diagram.elements[1]}", xlim=(0, 1))
        _label_below(axes, diagram, depth)
        axes.set_ylim(-1.3 * depth, None)
    panels[0].set_ylabel("formation energy (eV/atom)")
    panels[-1].legend(fontsize=8, loc="upper center")
    return figure


def ternary_diagrams(diagrams: Mapping[str, Diagram], largest: float = 0.3) -> Figure:
    """Ternary phase diagrams with their tie triangles, a panel for each diagram of one system.

    Parameters
    ----------
    diagrams : title -> diagram of three elements, all of the same compounds; the first is the true
        one, and the others show which of its stable compounds they find
    largest : energy above the hull in eV/atom at which the colour of unstable compounds ends
    """
    figure, panels = _panels(diagrams, (5.2, 4.4))
    truth, above = next(iter(diagrams.values())), None
    for axes, (title, diagram) in zip(panels, diagrams.items(), strict=True):
        places = diagram.shares @ _CORNERS
        for tie in diagram.ties():
            ends = np.array([places[r] if r >= 0 else _CORNERS[-1 - r] for r in tie])
            for a, b in pairwise([*ends, ends[0]]):
                axes.plot(*zip(a, b, strict=True), color="0.55", lw=0.8, zorder=1)
        rest = ~diagram.stable
        above = axes.scatter(
            *places[rest].T, c=diagram.distance[rest], s=26, vmin=0, vmax=largest,
            cmap="viridis_r", marker="s", zorder=2,
        )  # fmt: skip
        for name, (rows, style) in _kinds(truth, diagram).items():
            if name != "not stable":
                axes.scatter(*places[rows].T, label=name, **style)
        for corner, symbol, way in zip(
            _CORNERS, diagram.elements, ("right", "left", "center"), strict=True
        ):
            up = (0, 5) if way == "center" else (-5 if way == "right" else 5, -4)
            axes.annotate(symbol, corner, up, textcoords="offset points", ha=way, weight="bold")
        _label_beside(axes, diagram, places)
        axes.set(title=title, aspect="equal", xlim=(-0.12, 1.12), ylim=(-0.08, 0.95))
        axes.axis("off")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, loc="upper left", frameon=False)
    label = "energy above the hull (eV/atom)"
    figure.colorbar(above, ax=panels, label=label, shrink=0.7, extend="max")
    return figure


def _panels(diagrams: Mapping[str, Diagram], size: tuple[float, float], **options):
    wide, high = size
    figure, panels = plt.subplots(
        1, len(diagrams), figsize=(wide * len(diagrams), high), squeeze=False, **options
    )
    return figure, list(panels[0])


def _kinds(truth: Diagram, diagram: Diagram) -> dict[str, tuple[np.ndarray, dict]]:
    """Compounds of a panel by what is said of them: name -> rows and style of their points."""
    own, true = diagram.stable, truth.stable
    big = {"s": 46, "zorder": 4}
    hollow = big | {"facecolors": "white", "linewidths": 1.6}
    rest = ~own if truth is diagram else ~own & ~true
    small = {"s": 16, "color": _REST, "zorder": 2}
    if truth is diagram:
        return {"not stable": (rest, small), "stable": (own, big | {"color": _FOUND})}
    return {
        "not stable": (rest, small),
        "stable, found": (own & true, big | {"color": _FOUND}),
        "stable, missed": (~own & true, hollow | {"edgecolors": _MISSED}),
        "falsely stable": (own & ~true, big | {"color": _FALSE, "marker": "X"}),
    }


def _named(diagram: Diagram) -> tuple[np.ndarray, list[str]]:
    """Rows of the stable compounds, those first that lie furthest below the others, and texts."""
    rows = np.flatnonzero(diagram.stable)
    rows = rows[np.argsort(diagram.distance[rows])]
    return rows, [subscripted(text) for text in formulas(diagram.amounts[rows])]


def _label_below(axes: Axes, diagram: Diagram, depth: float) -> None:
    """Formulas of the stable compounds of a binary system, below their points, moved apart."""
    rows, texts = _named(diagram)
    x = diagram.shares[rows, 1]
    order = np.argsort(x)
    at = np.sort(x)
    for _ in range(200):  # push neighbours apart until each has its place
        overlap = np.maximum(_APART - np.diff(at), 0) / 2
        at[:-1] -= overlap
        at[1:] += overlap
    for place, here in zip(np.clip(at, 0.03, 0.97), order, strict=True):
        point = x[here], diagram.energies[rows[here]]
        axes.annotate(
            texts[here], point, (place, point[1] - 0.07 * depth), rotation=90, fontsize=8,
            ha="center", va="top", arrowprops={"arrowstyle": "-", "lw": 0.6, "color": "0.5"},
        )  # fmt: skip


def _label_beside(axes: Axes, diagram: Diagram, places: np.ndarray) -> None:
    """Formulas of the stable compounds of a ternary system; of neighbours, the more stable one."""
    rows, texts = _named(diagram)
    kept: list[np.ndarray] = []
    for row, text in zip(rows, texts, strict=True):
        near = [abs(places[row] - other) < (0.17, 0.045) for other in kept]
        if not any(both.all() for both in near):
            kept.append(places[row])
            axes.annotate(
                text, places[row], (6, 3), textcoords="offset points", fontsize=8, zorder=5,
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )  # fmt: skip
