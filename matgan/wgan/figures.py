"""Figures of a training run: its losses, the singular values of T."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def loss_curves(histories: dict[str, pd.DataFrame], column: str = "test_total_loss") -> Figure:
    """A loss on the test set against the iteration, both logarithmic (Hu et al. 2020, Figure 4a).

    Parameters
    ----------
    histories : label -> history with the columns iteration and `column`
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
    axes.legend(fontsize=8)
    return figure


def singular_values(snapshots: dict[str, np.ndarray], axes: Axes, title: str) -> None:
    """Singular values of T, each curve one moment of the training, over their largest.

    Parameters
    ----------
    snapshots : as in `TrainedRun.snapshots`: "T" (m, 85, d) and "iteration" (m,)
    axes : where to draw
    title : of the axes
    """
    moments = snapshots["iteration"]
    shown = sorted(
        {0, len(moments) // 4, len(moments) // 2, 3 * len(moments) // 4, len(moments) - 1}
    )
    for colour, index in zip(sns.color_palette("viridis", len(shown)), shown, strict=True):
        values = np.linalg.svd(snapshots["T"][index], compute_uv=False)
        label = f"{moments[index]:,}"
        axes.plot(np.arange(1, len(values) + 1), values / values[0], color=colour, label=label)
    axes.set(yscale="log", ylim=(1e-3, 1.5), title=title, xlabel="singular value of T")
    axes.set_ylabel("over the largest")
    axes.legend(title="iteration", fontsize=7, title_fontsize=7)
