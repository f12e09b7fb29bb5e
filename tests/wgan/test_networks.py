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
    _row_by_row,
    build_critic,
    build_generator,
    effective_rank,
    to_amounts,
)


@pytest.mark.parametrize(
    ("config", "channels"),
    [(PAPER, (256, 128, 64, 32)), (PUBLISHED_CODE, (128, 64, 32, 16))],
    ids=["Table 3", "code"],
)
def test_the_generator_has_the_layers_of_its_source(config, channels):
    """Table 3 of Hu et al. 2020, and init/model.py of the published code."""
    generator = DeconvolutionGenerator(config)
    shapes = []
    for layer in (generator.dense, *generator.deconvolutions[:-1]):
        layer.register_forward_hook(lambda _, args, out: shapes.append(tuple(out.shape[1:])))
    out = generator(torch.randn(3, 128))
    height = 5 if config is PAPER else 6
    first, *others = channels
    maps = [(wide, *size) for wide, size in zip(others, ((11, 8), (22, 8), (43, 8)), strict=True)]
    assert shapes == [(first * height * 4,), *maps]
    assert out.shape == (3, 85, 8)
    kernels = [tuple(layer.weight.shape) for layer in generator.deconvolutions]
    sides = (5, 3, 3, 3)
    assert kernels == [
        (wide, narrow, side, side)
        for wide, narrow, side in zip(channels, (*others, 1), sides, strict=True)
    ]
    strides = [layer.stride for layer in generator.deconvolutions]
    assert strides == [(2, 2), (2, 1), (2, 1), (2, 1)]
    assert ((out > 0) & (out < 1)).all()  # a sigmoid
    # "each deconvolution layer is followed by a batch normalization layer"; the code's last is not
    assert len(generator.norms) == (4 if config is PAPER else 3)


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
    with torch.no_grad():
        for norm in generator.norms:  # so that it changes what goes through
            norm.running_mean.uniform_(-1, 1), norm.running_var.uniform_(0.5, 2)
    generator.norms[2].register_forward_hook(lambda _, args, out: maps.append(out.clone()))
    got = generator.logits(torch.randn(5, 128))
    expected = generator.deconvolutions[-1](torch.relu(maps[0]))
    for norm in generator.norms[3:]:
        expected = norm(expected)
    torch.testing.assert_close(got, expected.squeeze(1), atol=1e-5, rtol=1e-5)


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


def test_only_the_embedding_starts_from_smaller_weights():
    critics = []
    for scale in (1.0, 0.1):
        torch.manual_seed(0)
        critics.append(build_critic(LEARNING.replace(embedding_scale=scale)))
    plain, small = (dict(critic.named_parameters()) for critic in critics)
    for name, value in plain.items():
        torch.testing.assert_close(small[name], (0.1 if "embedding" in name else 1) * value)
    assert (small["embedding.weight"] != 0).all()


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
