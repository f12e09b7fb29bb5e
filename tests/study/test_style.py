import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.colors import to_hex

from matgan.study.style import style


def test_figures_of_one_style_fit_their_labels():
    with mpl.rc_context():
        style()
        assert plt.rcParams["figure.constrained_layout.use"]
        colours = [entry["color"] for entry in plt.rcParams["axes.prop_cycle"]]
    # the colour-blind palette of seaborn
    assert [to_hex(colour) for colour in colours[:2]] == ["#0173b2", "#de8f05"]
    assert len(set(colours)) == len(colours)
