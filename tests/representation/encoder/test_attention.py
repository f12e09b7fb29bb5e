"""The compiled attention beside the same sums by torch, in twice the digits."""

import pytest
import torch

from matgan.representation.encoder.attention import (
    attention_by_tensors,
    attention_in_sets,
    means_by_tensors,
    means_of_sets,
)

WIDTH, HEADS = 12, 3
GROUPS = [(1, 2), (2, 3), (5, 2), (11, 1)]  # members, sets
N = sum(members * sets for members, sets in GROUPS)


def given(width, hidden=False):
    torch.manual_seed(0)
    rows, logits = torch.randn(N, width), 2 * torch.randn(N, HEADS)
    if hidden:
        logits[3], logits[9:12] = -torch.inf, -torch.inf  # never a whole set
    return rows, logits


def one_by_one(rows, logits, of_set):
    """float64, each set by itself."""
    parts, start = [], 0
    for members, sets in GROUPS:
        for _ in range(sets):
            at = slice(start, start + members)
            parts.append(of_set(rows[at], logits[at]))
            start += members
    return torch.cat(parts)


def attention_of_one(qkv, bias):
    q, k, v = (part.unflatten(1, (HEADS, -1)).transpose(0, 1) for part in qkv.chunk(3, dim=1))
    weights = torch.softmax(q @ k.mT / (WIDTH / HEADS) ** 0.5 + bias.T[:, None], dim=2)
    return (weights @ v).transpose(0, 1).flatten(1)


def mean_of_one(x, logits):
    weights = logits.softmax(dim=0)[..., None]
    return (weights * x.unflatten(1, (HEADS, -1))).sum(0).flatten()[None]


CASES = {
    "attention": (attention_in_sets, attention_of_one, 3 * WIDTH),
    "attention, by tensors": (attention_by_tensors, attention_of_one, 3 * WIDTH),
    "means": (means_of_sets, mean_of_one, WIDTH),
    "means, by tensors": (means_by_tensors, mean_of_one, WIDTH),
}


@pytest.mark.parametrize("hidden", [False, True], ids=["all seen", "some hidden"])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_each_set_alone(case, hidden):
    function, of_set, width = CASES[case]
    parts = [t.requires_grad_() for t in given(width, hidden)]
    exact = [t.detach().double().requires_grad_() for t in parts]
    found = function(*parts, torch.tensor(GROUPS))
    expected = one_by_one(*exact, of_set)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    factors = torch.linspace(-1, 1, found.numel()).reshape(found.shape)
    (found * factors).sum().backward()
    (expected * factors.double()).sum().backward()
    for one, other in zip(parts, exact, strict=True):
        torch.testing.assert_close(one.grad.double(), other.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "function, width", [(attention_in_sets, 3 * WIDTH), (means_of_sets, WIDTH)]
)
def test_bfloat16_and_strides_are_taken_and_the_same_gives_the_same_bits(function, width):
    rows, logits = given(width)
    groups = torch.tensor(GROUPS)
    strided = torch.stack([rows, rows], dim=2)[..., 0]
    assert not strided.is_contiguous()
    plain = function(rows, logits, groups)
    assert torch.equal(function(strided, logits, groups), plain)
    coarse = function(rows.bfloat16(), logits, groups)
    torch.testing.assert_close(coarse, function(rows.bfloat16().float(), logits, groups))


def test_no_set_is_no_row():
    none = torch.empty(0, 2, dtype=torch.long)
    assert attention_in_sets(torch.empty(0, 9), torch.empty(0, 3), none).shape == (0, 3)
    assert means_of_sets(torch.empty(0, 3), torch.empty(0, 3), none).shape == (0, 3)
