import numpy as np
import pytest

from matgan.crystals.sites.explanation import explain_sites
from matgan.crystals.sites.fingerprints import site_fingerprints


def test_strontium_titanate_in_a_chemists_words(crystals):
    """Cubic SrTiO3: titanium has six oxygens at 1.97 Å, strontium twelve at √2 of that."""
    row = int(np.flatnonzero(crystals.table["id"] == "mp-5229")[0])
    table = explain_sites(site_fingerprints(crystals.take([row]))).set_index("element")
    assert table["atoms"].to_dict() == {"Sr": 1, "Ti": 1, "O": 3}
    titanium, strontium = table.loc["Ti"], table.loc["Sr"]
    assert titanium["coordination"] == pytest.approx(6, abs=0.05)
    assert titanium["nearest (Å)"] == pytest.approx(1.97, abs=0.02)
    assert strontium["nearest (Å)"] == pytest.approx(titanium["nearest (Å)"] * 2**0.5, rel=1e-3)
    # twelve oxygens, and eight titaniums at 1.22 times their distance, where the window closes
    assert strontium["coordination"] == pytest.approx(12 + 8 / (1 + np.exp(-0.025 / 0.04)), abs=0.5)
    assert titanium["beside"] == "O 100%" and titanium["angle (°)"] == pytest.approx(90, abs=1)
    assert titanium["Q4"] == pytest.approx(0.764, abs=0.005)
