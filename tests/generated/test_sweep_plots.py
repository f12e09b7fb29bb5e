import matplotlib
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from matgan.generated.sweep_plots import ablation_bars, search_map

matplotlib.use("Agg")


def test_the_map_shows_each_value_at_its_learning_rate_and_batch_size():
    rows = [
        {
            "learning rate": rate, "batch size": size, "lowest test loss": rate * size,
            "decodable": 0.5, "effective rank": size, "small-data error (eV)": 1.0,
        }
        for rate in (0.1, 0.01)
        for size in (32, 64, 128)
    ]  # fmt: skip
    figure = search_map(pd.DataFrame(rows))
    first, *_ = figure.axes
    assert [t.get_text() for t in first.get_xticklabels()] == ["32", "64", "128"]
    assert [t.get_text() for t in first.get_yticklabels()] == ["0.01", "0.1"]
    assert [t.get_text() for t in first.texts][:3] == ["0.32", "0.64", "1.3"]
    plt.close(figure)


def test_a_bar_that_was_not_measured_says_so_and_the_control_is_a_line():
    table = pd.DataFrame(
        {
            "change": ["paper as printed", "slots"],
            "decodable": [0.01, 1.0],
            **{name: [np.nan, 0.9] for name in ("unique", "neutral", "balanced", "AUC, counts")},
            **{f"{name}, shuffled": 0.6 for name in ("neutral", "balanced", "AUC, counts")},
        }
    )
    figure = ablation_bars(table)
    by_title = {axes.get_title(): axes for axes in figure.axes}
    assert [t.get_text() for t in by_title["neutral"].texts] == ["too few decode"]
    assert by_title["neutral"].lines[0].get_xdata()[0] == 0.6
    assert not by_title["decodable"].texts
    assert [bar.get_width() for bar in by_title["unique"].patches] == [0, 0.9]
    plt.close(figure)
