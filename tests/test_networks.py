import numpy as np
import pytest
import torch

from matgan.composition import amounts, amounts_matrix, count_matrix
from matgan.config import LEARNING, PAPER, PUBLISHED_CODE, Config, ConfigError
from matgan.elements import ELEMENT_INDEX
from matgan.networks import (
    Critic,
    DeconvolutionGenerator,
    SlotGenerator,
    build_critic,
    build_generator,
    effective_rank,
    gumbel_one_hot,
    to_amounts,
)


def test_the_generator_has_the_layers_of_table_3():
    generator = DeconvolutionGenerator(PAPER)
    shapes = []
    for layer in (generator.dense, *generator.deconvolutions):
        layer.register_forward_hook(lambda _, args, out: shapes.append(tuple(out.shape[1:])))
    out = generator(torch.randn(3, 128))
    assert shapes == [(2560,), (64, 11, 8), (32, 22, 8), (16, 43, 8), (1, 85, 8)]
    assert out.shape == (3, 85, 8)
    kernels = [tuple(layer.weight.shape) for layer in generator.deconvolutions]
    assert kernels == [(128, 64, 5, 5), (64, 32, 3, 3), (32, 16, 3, 3), (16, 1, 3, 3)]
    assert ((out > 0) & (out < 1)).all()  # a sigmoid


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


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"lipschitz": "spectral"}, "lipschitz"),
        ({"batch_size": 1}, "batch_size"),
        ({"critic_lr": "fast"}, "critic_lr"),
        ({"generator_lr": float("nan")}, "generator_lr"),
        ({"width": 3}, "width"),
        ({"architecture": "slots"}, "output"),
        ({"first_height": 7}, "first_height"),
    ],
)
def test_a_bad_configuration_names_the_field(changes, word):
    with pytest.raises(ConfigError, match=word):
        PAPER.replace(**changes)


def test_a_configuration_survives_json():
    for config in (PAPER, PUBLISHED_CODE, LEARNING):
        assert Config.from_json(config.to_json()) == config
