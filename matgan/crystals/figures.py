"""Figures of models of crystals."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure


def model_errors(summary: pd.DataFrame, claimed: Mapping[str, tuple[float, float]]) -> Figure:
    """Errors of models with their intervals: a panel for each data set, a marker for each split.

    Parameters
    ----------
    summary : columns dataset, split, features, mae, mae_low and mae_high (eV/atom), as from
        `matgan.learning.statistics.summarise`
    claimed : data set -> the range of errors that a paper reports, drawn as a band
    """
    datasets, splits = (list(summary[name].unique()) for name in ("dataset", "split"))
    models = list(summary["features"].unique())[::-1]
    figure, panels = plt.subplots(
        1, len(datasets), figsize=(3.2 * len(datasets) + 2, 3), sharey=True, squeeze=False
    )
    for axes, dataset in zip(panels[0], datasets, strict=True):
        if dataset in claimed:
            axes.axvspan(*claimed[dataset], color="0.85", label="the review")
        for i, split in enumerate(splits):
            part = summary[(summary["dataset"] == dataset) & (summary["split"] == split)]
            height = [models.index(name) + 0.15 * (1 - 2 * i) for name in part["features"]]
            mae, low, high = part[["mae", "mae_low", "mae_high"]].to_numpy().T
            ends = [mae - low, high - mae]
            axes.errorbar(mae, height, xerr=ends, fmt="os"[i % 2], ms=5, label=split)
        axes.set(title=dataset.replace(", ", "\n"), xlabel="MAE (eV/atom)")
        axes.set_yticks(range(len(models)), models)
        axes.set_xlim(left=0)
    panels[0][-1].legend(bbox_to_anchor=(1.01, 1), loc="upper left")
    return figure
