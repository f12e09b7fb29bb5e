"""The figure of small tasks: errors over those of a peer."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from matgan.representation.figures import COLOURS

_MARKS = "osD^vP"


def error_ratios(errors: pd.DataFrame, peers: pd.DataFrame, against: str) -> Figure:
    """Errors over those of one peer, a line for each task, the other peers in grey.

    Parameters
    ----------
    errors : index task (top to bottom), a column for each route; NaN: not there
    peers : the same tasks, a column for each peer
    against : column of `peers` whose error is 1; left of it is better
    """
    size = (7.5, 0.26 * len(errors) + 1.8)
    figure, axes = plt.subplots(figsize=size)
    y = range(len(errors))
    below = peers.div(peers[against], axis=0)
    for mark, name in zip(_MARKS, below.columns.drop(against), strict=False):
        axes.plot(below[name], y, mark, color="0.75", ms=4, label=name)
    ratios = errors.div(peers[against], axis=0)
    for i, name in enumerate(ratios.columns):
        axes.plot(ratios[name], y, _MARKS[i % len(_MARKS)], color=COLOURS[i % len(COLOURS)],
                  ms=6, label=name)  # fmt: skip
    axes.axvline(1, color="k", lw=1, ls="--")
    axes.set(xscale="log", xlabel=f"error over that of {against}", ylim=(len(errors) - 0.5, -0.5))
    axes.set_yticks(y, errors.index, fontsize=9)
    low, high = min(0.6, ratios.min(axis=None)), min(3.0, max(1.8, ratios.max(axis=None)))
    axes.set_xlim(low * 0.95, high * 1.05)
    axes.xaxis.set_minor_locator(NullLocator())
    ticks = [tick for tick in (0.5, 0.6, 0.8, 1, 1.25, 1.5, 2, 3) if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    return figure
