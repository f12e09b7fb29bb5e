import numpy as np
import pytest
import torch

from matgan.chemistry.composition import amounts_matrix
from matgan.chemistry.elements import ELEMENT_INDEX
from matgan.representation.encoder.network import (
    CompositionNetwork,
    ElementAttention,
    Tokens,
    known_targets_loss,
)

FORMULAS = ["NaCl", "Fe2O3", "YBa2Cu3O7", "Fe4O6", "Si", "LiFePO4", "GaN", "CaTiO3", "Na0.1WO3"]


@pytest.fixture(scope="module")
def tokens():
    return Tokens(amounts_matrix(FORMULAS), np.zeros((len(FORMULAS), 2)))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = CompositionNetwork(targets=2, width=16, layers=2, heads=4, dropout=0.5)
    with torch.no_grad():  # the powers start at 1: let each be another
        for layer in network.layers:
            layer.attention.power.copy_(torch.tensor([0.5, 1.0, 1.5, 2.0]))
    return network.eval()


def values(network, tokens, rows):
    inputs, _ = tokens.batch(np.asarray(rows), [0])
    with torch.no_grad():
        return network(*inputs)


def test_tokens_are_the_elements_and_their_fractions_and_nothing_else(tokens):
    (elements, shares, groups, place), _ = tokens.batch(np.array([2, 0, 1]), [0])
    index = [ELEMENT_INDEX[symbol] for symbol in "Na Cl O Fe O Cu Y Ba".split()]
    assert elements.tolist() == index
    expected = [1 / 2, 1 / 2, 3 / 5, 2 / 5, 7 / 13, 3 / 13, 1 / 13, 2 / 13]
    np.testing.assert_allclose(shares, expected, rtol=1e-6)
    assert groups.tolist() == [[2, 2], [4, 1]]
    assert place.tolist() == [2, 0, 1]


def test_a_row_does_not_depend_on_those_beside_it(network, tokens):
    together = values(network, tokens, range(len(FORMULAS)))
    for row in range(len(FORMULAS)):
        alone = values(network, tokens, [row])
        for name, value in alone.items():
            torch.testing.assert_close(value[0], together[name][row], rtol=1e-4, atol=1e-5)
    assert len({tuple(row) for row in together["value"].numpy().round(5)}) == len(FORMULAS) - 1


def test_padding_changes_neither_answers_nor_gradients(network, tokens):
    rows, targets = np.array([2, 0, 4, 8, 1]), np.arange(2.0 * len(FORMULAS)).reshape(-1, 2)
    amounts = amounts_matrix(FORMULAS)
    found = []
    for padded in (False, True):
        inputs, wanted = Tokens(amounts, targets, padded).batch(rows, [0])
        network.zero_grad()
        output = network(*inputs)
        known_targets_loss(output, wanted, inputs).backward()
        found.append([*output.values(), wanted, *(p.grad.clone() for p in network.parameters())])
    assert [len(inputs), inputs[0].shape] == [2, (5, 4)]  # the widest has four elements
    for plain, padded in zip(*found, strict=True):
        torch.testing.assert_close(padded, plain, rtol=1e-4, atol=1e-6)


def test_the_scales_shape_no_vector(network, tokens):
    inputs, _ = tokens.batch(np.arange(3), [0])
    for name, moved in (("log_scale", {"scale.weight", "scale.bias"}), ("value", {"head.bias"})):
        network.zero_grad()
        network(*inputs)[name].sum().backward()
        learning = {key for key, p in network.named_parameters() if p.grad is not None}
        assert learning >= moved and ("embed.weight" in learning) == (name == "value")


def test_only_fractions_count_and_no_order_does(network, tokens):
    found = values(network, tokens, [FORMULAS.index("Fe2O3"), FORMULAS.index("Fe4O6")])["vector"]
    torch.testing.assert_close(found[0], found[1])
    (elements, shares, groups, place), _ = tokens.batch(np.array([2]), [0])
    with torch.no_grad():
        expected = network(elements, shares, groups, place)["vector"]
        turned = torch.tensor([2, 0, 3, 1])
        again = network(elements[turned], shares[turned], groups, place)["vector"]
        wrong = network(elements[turned], shares, groups, place)["vector"]
    torch.testing.assert_close(again, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(wrong, expected, atol=1e-3)


def test_attention_is_a_softmax_of_scaled_products_times_powers_of_the_fractions(tokens):
    torch.manual_seed(0)
    attention = ElementAttention(width=6, heads=2)
    with torch.no_grad():
        attention.power.copy_(torch.tensor([0.5, 2.0]))
    rows = np.array([1, 2, 5])  # two, four and four elements
    (elements, shares, groups, _), _ = tokens.batch(rows, [0])
    x = torch.randn(len(elements), 6)
    with torch.no_grad():
        found = attention(x, shares.log(), groups)
        mixed, start = [], 0
        for k in (2, 4, 4):  # each composition by itself, head by head
            own, share = x[start : start + k], shares[start : start + k].double()
            q, k_, v = attention.to_qkv(own).double().split(6, dim=1)
            heads = []
            for head, power in enumerate((0.5, 2.0)):
                cut = slice(3 * head, 3 * head + 3)
                weights = torch.exp(q[:, cut] @ k_[:, cut].T / 3**0.5) * share**power
                heads.append(weights / weights.sum(1, keepdim=True) @ v[:, cut])
            mixed.append(torch.cat(heads, dim=1))
            start += k
        expected = attention.out(torch.cat(mixed).float())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_table_of_elements_stands_for_them():
    torch.manual_seed(0)
    table = np.zeros((85, 3))
    table[[ELEMENT_INDEX["Na"], ELEMENT_INDEX["K"]]] = 1.0  # alike, and unlike the others
    network = CompositionNetwork(width=8, heads=2, elements=table).eval()
    tokens = Tokens(amounts_matrix(["NaCl", "KCl", "LiCl"]), np.zeros((3, 1)))
    found = values(network, tokens, [0, 1, 2])["value"]
    torch.testing.assert_close(found[0], found[1])
    assert abs(found[0] - found[2]) > 1e-4
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {"embed.0.weight"}


def test_the_loss_is_of_what_is_known():
    value = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    log_scale = torch.tensor([[0.0, 0.5], [np.log(2.0), 0.0]], requires_grad=True)
    targets = torch.tensor([[2.0, np.nan], [1.0, 4.5]])
    loss = known_targets_loss({"value": value, "log_scale": log_scale}, targets, ())
    first = ((1 + 1 / 1 + 0) + (2 + 2 / 2 + np.log(2))) / 2
    second = 0.5 + 0.5 / 1 + 0
    assert loss.item() == pytest.approx((first + second) / 2)
    loss.backward()
    assert value.grad[0, 1] == 0 and log_scale.grad[0, 1] == 0
    # the median learns from the absolute error alone: half the mean of signs
    torch.testing.assert_close(value.grad, torch.tensor([[-0.25, 0.0], [0.25, -0.5]]))
    # at a scale that is the error, the likelihood is at its best
    assert log_scale.grad[1, 0] == pytest.approx(0)
