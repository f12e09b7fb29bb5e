"""Networks and optimisers to arrays and back: the next steps are the same, bit for bit."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from matgan.files import WeightsError
from matgan.learning.checkpoint import check_finite, check_fit, from_arrays, to_arrays


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))


def steps(parts, n, seed):
    rng = torch.Generator().manual_seed(seed)
    for _ in range(n):
        parts["optimizer"].zero_grad()
        parts["network"](torch.randn(8, 3, generator=rng)).square().mean().backward()
        parts["optimizer"].step()


def made(kind=torch.optim.Adam, seed=0):
    torch.manual_seed(seed)
    parts = {"network": network()}
    return parts | {"optimizer": kind(parts["network"].parameters(), 0.01)}


def same(one, other):
    one, other = to_arrays(one), to_arrays(other)
    equal = [np.array_equal(array, other[name]) for name, array in one.items() if name in other]
    return one.keys() == other.keys() and all(equal)


KINDS = [torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.SGD]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_restored_goes_on_as_the_original(kind):
    original = made(kind)
    steps(original, 5, 0)
    arrays = {name: array.copy() for name, array in to_arrays(original).items()}
    restored = made(kind, seed=1)
    assert not same(original, restored)
    from_arrays(restored, arrays | {"another": np.zeros(2)}, "a file")
    assert same(original, restored)
    for parts in (original, restored):
        steps(parts, 5, 1)
    assert same(original, restored)
    assert not np.array_equal(arrays["network.0.weight"], to_arrays(original)["network.0.weight"])


def test_names_are_those_of_the_parts():
    parts = made()
    steps(parts, 1, 0)
    arrays = to_arrays(parts)
    assert {"network.0.weight", "network.1.running_mean", "optimizer.0.exp_avg"} < arrays.keys()
    assert arrays["optimizer.3.exp_avg_sq"].shape == (4,)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("network.0.weight", None, r"it lacks network\.0\.weight"),
        ("network.9.weight", np.zeros(1), r"holds the unknown network\.9\.weight"),
        ("network.0.bias", np.zeros(5, "f4"), r"network\.0\.bias has the shape \(5,\), \(4,\) is"),
        ("optimizer.0.exp_avg", np.zeros(5, "f4"), r"optimizer\.0\.exp_avg of the shape \(5,\)"),
        ("optimizer.99.exp_avg", np.zeros(4, "f4"), r"optimizer\.99\.exp_avg"),
        ("optimizer.x", np.zeros(4, "f4"), r"optimizer\.x"),
        ("optimizer.-1.step", np.zeros((), "f4"), r"optimizer\.-1\.step"),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(name, array, message):
    parts = made()
    steps(parts, 2, 0)
    before = copy.deepcopy(to_arrays(parts))
    arrays = to_arrays(made(seed=1)) | {name: array}
    arrays = {key: value for key, value in arrays.items() if value is not None}
    with pytest.raises(WeightsError, match=rf"here\.safetensors does not fit .*{message}"):
        from_arrays(parts, arrays, "here.safetensors")
    assert all(np.array_equal(before[key], value) for key, value in to_arrays(parts).items())


def test_a_huge_network_is_refused_before_it_is_built():
    with torch.device("meta"):
        huge = nn.Linear(10**6, 10**6)  # 4 TB
    with pytest.raises(WeightsError, match=r"net\.weight has the shape \(2, 2\), \(1000000, 10"):
        check_fit({"net": huge}, {"net.weight": np.zeros((2, 2)), "net.bias": np.zeros(2)}, "f")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_named(value):
    arrays = {"a": np.zeros(3), "n": np.array(7), "b": np.array([0, value], np.float16)}
    with pytest.raises(WeightsError, match="f holds NaN or infinite numbers in b"):
        check_finite(arrays, "f")
    check_finite({"a": arrays["a"], "n": arrays["n"]}, "f")
