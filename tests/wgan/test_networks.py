import math

import numpy as np
import pytest
import torch
from torch import nn

from matgan.chemistry.composition import amounts, amounts_matrix, count_matrix
from matgan.chemistry.elements import ELEMENT_INDEX
from matgan.wgan.config import LEARNING, PAPER, PEER, PUBLISHED_CODE
from matgan.wgan.networks import (
    Critic,
    DeconvolutionGenerator,
    SlotGenerator,
    _row_by_row,
    build_critic,
    build_generator,
    effective_rank,
    gumbel_one_hot,
    to_amounts,
)


def test_the_generator_has_the_layers_of_table_3():
    generator = DeconvolutionGenerator(PAPER)
    shapes = []
    for layer in (generator.dense, *generator.deconvolutions[:-1]):
        layer.register_forward_hook(lambda _, args, out: shapes.append(tuple(out.shape[1:])))
    out = generator(torch.randn(3, 128))
    assert shapes == [(2560,), (64, 11, 8), (32, 22, 8), (16, 43, 8)]
    assert out.shape == (3, 85, 8)
    kernels = [tuple(layer.weight.shape) for layer in generator.deconvolutions]
    assert kernels == [(128, 64, 5, 5), (64, 32, 3, 3), (32, 16, 3, 3), (16, 1, 3, 3)]
    assert ((out > 0) & (out < 1)).all()  # a sigmoid


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_the_last_layer_as_a_matrix_product_is_the_transposed_convolution(channels_last, bias):
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(16, 1, 3, (2, 1), 1, bias=bias)
    x = torch.randn(5, 16, 43, 8, requires_grad=True)
    given = x.to(memory_format=torch.channels_last) if channels_last else x
    expected, got = layer(x).squeeze(1), _row_by_row(layer, given)
    assert got.shape == (5, 85, 8)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    for parameter in (x, *layer.parameters()):
        ours, theirs = (
            torch.autograd.grad(out.square().sum(), parameter, retain_graph=True)[0]
            for out in (got, expected)
        )
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("config", [PAPER, PUBLISHED_CODE], ids=["paper", "code"])
def test_the_generator_ends_with_the_transposed_convolution(config):
    torch.manual_seed(0)
    generator, maps = DeconvolutionGenerator(config).eval(), []
    generator.norms[-1].register_forward_hook(lambda _, args, out: maps.append(out.clone()))
    got = generator.logits(torch.randn(5, 128))
    expected = generator.deconvolutions[-1](torch.relu(maps[0])).squeeze(1)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_the_peer_of_dan_et_al_has_seven_convolutions_in_each_network():
    config = PEER
    generator, critic = build_generator(config), build_critic(config)
    assert len(generator.deconvolutions) == len(critic.convolutions) == 7
    X = generator(torch.randn(2, config.latent_dim))
    assert X.shape == (2, 85, 8) and ((X > 0) & (X < 1)).all()
    counts = torch.tensor(amounts_matrix(["KZn2Ru", "Fe2O3"])).to(torch.uint8)
    expected = torch.tensor(count_matrix(counts.numpy())).float()
    assert torch.equal(critic.of_counts(counts), expected)
    sizes = []
    for layer in critic.convolutions:
        layer.register_forward_hook(lambda _, args, out: sizes.append(tuple(out.shape[1:])))
    assert critic(expected).shape == (2,)
    assert sizes[0] == (8, 85, 8) and sizes[-1] == (128, 3, 1)


def test_spectral_normalisation_bounds_every_layer_of_the_critic_by_one():
    torch.manual_seed(0)
    critic = build_critic(LEARNING.replace(lipschitz="spectral-norm", initialisation="normal"))
    for _ in range(200):  # each pass is one step of the power iteration
        critic(torch.rand(2, 85))
    critic.eval()
    for layer in (critic.embedding, critic.head[0], critic.head[2], critic.head[4]):
        assert torch.linalg.matrix_norm(layer.weight.detach(), 2) == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(critic.T, critic.embedding.weight.T)


def test_the_critic_sees_the_stoichiometry_without_its_elements():
    critic = build_critic(LEARNING.replace(stoichiometry=4))
    with torch.no_grad():
        critic.head[0].weight[:, : LEARNING.embedding_dim] = 0  # blind to C
    vectors = torch.tensor(amounts_matrix(["KZn2Ru", "CaTi2O", "CaTiO3"])).float()
    one, same_pattern, other_pattern = critic(vectors).tolist()
    assert one == pytest.approx(same_pattern, abs=1e-6)
    assert one != pytest.approx(other_pattern, abs=1e-4)


@pytest.mark.parametrize(("slots", "outcomes"), [(2, 12), (3, 20)])
def test_the_log_probability_of_a_draw_is_that_of_its_frequency(slots, outcomes):
    config = LEARNING.replace(slots=slots, hidden=(8,), latent_dim=1)
    torch.manual_seed(0)
    generator = SlotGenerator(config)
    with torch.no_grad():  # three elements that matter, to see every outcome often
        generator.to_element.bias.fill_(-50)
        generator.to_element.bias[:3] = torch.tensor([0.0, 1.0, 0.5])
        generator.to_element.bias[-1] = 0.8  # a third slot may stay empty
        generator.to_count.bias.fill_(-50)
        generator.to_count.bias[:2] = torch.tensor([0.3, 0.0])
    rng = torch.Generator().manual_seed(1)
    matrix, log_p = generator.draw(torch.zeros(40_000, 1), rng)
    # the order of the slots is part of a draw, not of a composition, so probabilities of one
    # composition differ; the sum over the distinct draws is the composition's frequency
    _, composition, size = to_amounts(matrix).unique(dim=0, return_inverse=True, return_counts=True)
    for which, seen in enumerate(size):
        p = log_p[composition == which].exp().unique(sorted=True)
        distinct = p[torch.cat([torch.tensor([True]), p.diff() > 1e-6])]
        assert seen.item() / 40_000 == pytest.approx(distinct.sum().item(), abs=0.012)
        # one for each order of the elements: what an empty slot draws as its count is no part of it
        first = matrix[composition == which][0]
        assert len(distinct) == math.factorial(int((first.sum(1) > 0).sum()))
    assert len(size) == outcomes  # three pairs of elements, and the triple; two counts each


def test_both_ways_to_draw_give_the_same_distribution():
    torch.manual_seed(0)
    generator = build_generator(LEARNING.replace(initialisation="scaled"))
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        z = torch.randn(20_000, LEARNING.latent_dim, generator=rng)
        by_softmax, (by_race, _) = to_amounts(generator(z, rng)), generator.draw(z, rng)
    assert by_softmax.mean(0).sub(to_amounts(by_race).mean(0)).abs().max() < 0.06  # 5 sigma
    n_elements = [(x > 0).sum(1).float().mean().item() for x in (by_softmax, to_amounts(by_race))]
    assert n_elements[0] == pytest.approx(n_elements[1], abs=0.03)


def test_the_published_code_starts_from_a_map_of_six_rows():
    generator = DeconvolutionGenerator(PUBLISHED_CODE)
    assert generator.dense.out_features == 6 * 4 * 128
    assert generator(torch.randn(2, 128)).shape == (2, 85, 8)


def test_equation_5_by_hand_for_KZn2Ru():
    critic = Critic(PAPER)
    T = critic.T
    K, Zn, Ru = (T[ELEMENT_INDEX[symbol]] for symbol in ("K", "Zn", "Ru"))
    C = critic.characterize(torch.tensor(amounts("KZn2Ru")).float()[None])
    torch.testing.assert_close(C[0], K + 2 * Zn + Ru)


def explicit(critic: Critic, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equations 5 and 6 with every matrix written out, in float64."""
    E = np.eye(85)
    W = critic.embedding.weight.detach().double().numpy().T
    T = E @ W  # Equation 6
    A = np.repeat(np.arange(1, 9)[:, None], T.shape[1], axis=1)  # row k holds k
    C = np.stack([((X.T @ T) * A).sum(0) for X in matrix])  # Equation 5
    (final,) = critic.head
    score = C @ final.weight.detach().double().numpy()[0] + final.bias.item()
    return C, score


def test_equation_5_with_explicit_matrices_on_random_compositions():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, (50, 85)) * (rng.random((50, 85)) < 0.05)
    critic = build_critic(PAPER.replace(initialisation="scaled"))
    C, score = explicit(critic, count_matrix(counts))
    given = torch.from_numpy(counts).float()
    np.testing.assert_allclose(critic.characterize(given).detach().numpy(), C, atol=1e-5)
    np.testing.assert_allclose(critic(given).detach().numpy(), score, atol=1e-5)


def test_a_soft_matrix_goes_through_equation_5_too():
    matrix = np.random.default_rng(1).random((20, 85, 8))
    critic = build_critic(PAPER.replace(initialisation="scaled"))
    C, _ = explicit(critic, matrix)
    given = to_amounts(torch.from_numpy(matrix).float())
    np.testing.assert_allclose(critic.characterize(given).detach().numpy(), C, rtol=1e-4, atol=1e-3)


def test_fractional_amounts_are_characterized_in_proportion():
    critic = Critic(PAPER)
    given = torch.tensor(amounts_matrix(["Ba0.4K0.6Fe2As2", "Ba2K3Fe10As10"])).float()
    half, whole = critic.characterize(given)
    torch.testing.assert_close(5 * half, whole)


def test_the_published_codes_embedding_is_a_tanh():
    critic = Critic(PUBLISHED_CODE)
    W, b = critic.embedding.weight.detach(), critic.embedding.bias.detach()
    torch.testing.assert_close(critic.T, torch.tanh(W.T + b))
    assert [layer.out_features for layer in critic.head if hasattr(layer, "out_features")] == [
        128, 64, 32, 1,
    ]  # fmt: skip


def test_normal_initialisation_is_standard_normal():
    torch.manual_seed(0)
    for module in (build_generator(PAPER), build_critic(PAPER)):
        for name, value in module.named_parameters():
            if "norm" in name:
                continue
            if name.endswith("bias"):
                assert (value == 0).all()
            elif value.numel() > 1000:
                assert abs(value.mean()) < 0.1 and abs(value.std() - 1) < 0.1


def test_slots_hold_two_to_five_different_elements_with_one_count_each():
    torch.manual_seed(0)
    matrix = SlotGenerator(LEARNING)(torch.randn(500, 128))
    assert set(matrix.unique().tolist()) <= {0.0, 1.0}
    per_element = matrix.sum(2)
    assert per_element.max() == 1  # never two counts for one element
    n_elements = per_element.sum(1)
    assert n_elements.min() >= 2 and n_elements.max() == 5


def test_the_gumbel_draw_follows_the_softmax_and_passes_its_gradient():
    logits = torch.tensor([0.0, 1.0, -torch.inf, 2.0])
    rng = torch.Generator().manual_seed(0)
    drawn = gumbel_one_hot(logits.expand(40_000, 4), rng, temperature=0.7)
    assert torch.equal(drawn.sum(1), torch.ones(40_000))
    torch.testing.assert_close(drawn.mean(0), torch.softmax(logits, 0), atol=0.01, rtol=0)
    leaf = torch.zeros(1, 3, requires_grad=True)
    (gumbel_one_hot(leaf, rng, 1.0) @ torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert leaf.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "config", [PAPER, PUBLISHED_CODE, LEARNING, PAPER.replace(output="gumbel")]
)
def test_gradients_reach_every_weight_of_the_generator(config):
    torch.manual_seed(0)
    generator = build_generator(config.replace(initialisation="scaled"))
    critic = build_critic(config.replace(initialisation="scaled"))
    critic(to_amounts(generator(torch.randn(64, 128)))).sum().backward()
    for name, value in generator.named_parameters():
        if "deconvolutions" in name and name.endswith("bias"):
            continue  # batch normalisation takes the mean out again
        assert value.grad is not None and value.grad.abs().sum() > 0, name


def test_effective_rank_of_known_matrices():
    assert effective_rank(torch.eye(85)) == pytest.approx(85, rel=1e-3)
    one = torch.outer(torch.arange(1.0, 86), torch.ones(128))
    assert effective_rank(one) == pytest.approx(1, rel=1e-3)
    assert effective_rank(torch.diag(torch.tensor([2.0, 1.0]))) == pytest.approx(9 / 5)
