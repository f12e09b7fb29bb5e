import pytest
import torch

from matgan.powder.measured.conditions import UNVARIED, Variation, draw_conditions
from matgan.powder.patterns import CU_KA1


def test_every_range_is_drawn_from():
    variation = Variation(texture=0.1)
    taken = draw_conditions(4000, variation, torch.Generator().manual_seed(0))
    assert taken.width.min() >= 0.03 and taken.width.max() <= 0.35
    assert taken.strain.abs().max() <= 0.0301
    assert taken.strain.diagonal(dim1=1, dim2=2).mean() == pytest.approx(-0.01, abs=5e-4)
    assert torch.equal(taken.strain, taken.strain.mT)
    assert (taken.ka2 > 0).float().mean() == pytest.approx(0.6, abs=0.04)
    assert (taken.wavelength == CU_KA1).float().mean() == pytest.approx(0.85, abs=0.03)
    assert taken.r.log().std() == pytest.approx(0.1, rel=0.05)
    assert (taken.axis != 0).any(1).all()
    assert 90 < taken.counts.min() < taken.counts.max() < 1.1e5


def test_unvaried_conditions_change_nothing():
    taken = draw_conditions(50, UNVARIED, torch.Generator().manual_seed(0))
    none = ("strain", "ka2", "size", "micro", "flat", "spread", "zero", "displacement", "thermal")
    none += ("site", "impurity", "level", "slope", "humps", "electronic", "low")
    assert not any(getattr(taken, name).any() for name in none)
    assert (taken.r == 1).all() and (taken.high == 1).all() and taken.counts.isinf().all()
    assert (taken.wavelength == CU_KA1).all()
