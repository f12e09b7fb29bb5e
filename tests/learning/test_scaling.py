import numpy as np
import pytest

from matgan.learning.scaling import INPUT_SCALINGS, LIMIT, input_scale

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("how", INPUT_SCALINGS)
def test_scaling_against_its_definition(how):
    data = RNG.normal(size=(500, 3)) * [1, 10, 0.1] + [0, 5, -3]
    shift, scale = input_scale(data, how)
    scaled = (data - shift) * scale
    quartiles = np.percentile(scaled, [25, 50, 75], axis=0)
    holds = {
        None: (scaled == data).all(),
        "standard": np.allclose([scaled.mean(0), scaled.std(0)], [[0] * 3, [1] * 3]),
        "max-abs": np.allclose(np.abs(scaled).max(0), 1) and (shift == 0).all(),
        "robust": np.allclose(quartiles[1], 0) and np.allclose(quartiles[2] - quartiles[0], 1),
        "common": np.isclose(np.square(scaled).mean(), 1) and len(set(scale)) == 1,
    }
    assert holds[how]


@pytest.mark.parametrize("how", ["standard", "robust", "max-abs"])
def test_rare_and_constant_columns_do_not_blow_up(how):
    data = np.zeros((300, 2))
    data[7, 0] = 4  # one compound in 300 holds the element: 17 standard deviations
    shift, scale = input_scale(data, how)
    assert np.abs((data - shift) * scale).max() <= LIMIT + 1e-9
    assert scale[0] > 0 and scale[1] == 0


def test_an_unknown_scaling_is_named():
    with pytest.raises(ValueError, match="not 'none'"):
        input_scale(np.ones((3, 2)), "none")
