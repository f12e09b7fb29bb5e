"""Figures of a training run: its losses, the singular values of T."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure


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
