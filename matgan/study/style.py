"""One look for all figures of the study."""

import matplotlib.pyplot as plt
import seaborn as sns


def style() -> None:
    """One look for all figures: call it once at the top of a notebook."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind")
    plt.rcParams.update({"figure.figsize": (7, 4), "figure.constrained_layout.use": True})
