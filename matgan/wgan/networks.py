"""The generator of Table 3, the critic of Equations 5 and 6, and those of a peer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from matgan.chemistry.elements import N_ELEMENTS
from matgan.wgan.config import Config
from matgan.wgan.slots import N_COUNTS, SlotGenerator, gumbel_one_hot

# First map (height, width, channels), then kernel, stride, channels out and size out of each
# transposed convolution. "printed": Table 3. "code": what the paper's authors published.
# "convolution": seven of them, the number of Dan et al. 2020; their sizes are our choice.
_MAPS: dict[str, tuple[tuple, ...]] = {
    "printed": (
        (5, 4, 256),
        (5, (2, 2), 128, (11, 8)),
        (3, (2, 1), 64, (22, 8)),
        (3, (2, 1), 32, (43, 8)),
        (3, (2, 1), 1, (N_ELEMENTS, N_COUNTS)),
    ),
    "code": (
        (6, 4, 128),
        (5, (2, 2), 64, (11, 8)),
        (3, (2, 1), 32, (22, 8)),
        (3, (2, 1), 16, (43, 8)),
        (3, (2, 1), 1, (N_ELEMENTS, N_COUNTS)),
    ),
    "convolution": (
        (3, 1, 128),
        (3, (2, 2), 64, (6, 2)),
        (3, (2, 2), 32, (11, 4)),
        (3, (2, 2), 16, (22, 8)),
        (3, (2, 1), 16, (43, 8)),
        (3, (1, 1), 8, (43, 8)),
        (3, (2, 1), 8, (N_ELEMENTS, N_COUNTS)),
        (3, (1, 1), 1, (N_ELEMENTS, N_COUNTS)),
    ),
}


def build_generator(config: Config) -> nn.Module:
    """The generator that a configuration asks for, initialised."""
    kind = SlotGenerator if config.architecture == "slots" else DeconvolutionGenerator
    generator = kind(config)
    _initialise(generator, config.initialisation)
    return generator


def build_critic(config: Config) -> Critic | ConvolutionalCritic:
    """The critic that a configuration asks for, initialised."""
    convolutional = config.architecture == "convolution"
    critic = ConvolutionalCritic(config) if convolutional else Critic(config)
    _initialise(critic, config.initialisation)
    if isinstance(critic, Critic):
        with torch.no_grad():
            critic.embedding.weight.mul_(config.embedding_scale)
    if config.lipschitz == "spectral-norm":
        for layer in critic.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                spectral_norm(layer)  # Miyato et al. 2018
    return critic


def _initialise(module: nn.Module, how: str) -> None:
    """N(0, 1) weights and zero biases for "normal"; torch's own for "scaled"."""
    if how == "normal":
        for layer in module.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)


def to_amounts(matrix: Tensor) -> Tensor:
    """(B, 85, 8) count matrix, soft or one-hot, to (B, 85) amounts: the sum of k X[e, k]."""
    # made on the device: a copy from the host cannot be part of a CUDA graph
    return matrix @ torch.arange(1, N_COUNTS + 1, dtype=matrix.dtype, device=matrix.device)


class DeconvolutionGenerator(nn.Module):
    """Generator of Hu et al. 2020, Table 3; with more layers, in the manner of Dan et al. 2020.

    Noise (B, 128) -> fully connected, 5 x 4 maps of 256 channels -> four transposed convolutions,
    each followed by batch normalisation, 11 x 8 x 128, 22 x 8 x 64, 43 x 8 x 32 -> 85 x 8. The
    published code has half the channels, first maps of 6 x 4, and no normalisation of the last.
    Whether the fully connected layer is normalised is not printed; it is, as in the code.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.output = config.output
        maps = config.widths if config.architecture == "deconvolution" else config.architecture
        (height, wide, channels), *layers = _MAPS[maps]
        self.first_map = (channels, height, wide)
        self.dense = nn.Linear(config.latent_dim, channels * height * wide)
        self.dense_norm = nn.BatchNorm1d(self.dense.out_features)
        self.deconvolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        size = (height, wide)
        for kernel, stride, channels_out, target in layers:
            fit = [
                _fit(*side, kernel) for side in zip(size, target, stride, strict=True)
            ]  # (padding, output padding) of each side
            padding, output_padding = zip(*fit, strict=True)
            self.deconvolutions.append(
                nn.ConvTranspose2d(channels, channels_out, kernel, stride, padding, output_padding)
            )
            self.norms.append(nn.BatchNorm2d(channels_out))
            channels, size = channels_out, target
        if maps != "printed":
            del self.norms[-1]

    def logits(self, z: Tensor) -> Tensor:
        """(B, latent_dim) noise to the (B, 85, 8) entries before the output function."""
        x = F.relu(self.dense_norm(self.dense(z)), inplace=True)
        x = x.view(len(z), *self.first_map)  # (B, 256, 5, 4)
        *hidden, last = self.deconvolutions
        for deconvolution, norm in zip(hidden, self.norms, strict=False):
            x = F.relu(norm(deconvolution(x)), inplace=True)  # (B, 128, 11, 8) ... (B, 32, 43, 8)
        if isinstance(last, nn.ConvTranspose2d) and last.stride == (2, 1):
            x = _row_by_row(last, x)  # (B, 85, 8)
        else:
            x = last(x).squeeze(1)
        if len(self.norms) > len(hidden):
            x = self.norms[-1](x[:, None]).squeeze(1)
        return x

    def forward(self, z: Tensor, rng: torch.Generator | None = None, temperature: float = 1.0):
        """(B, latent_dim) noise to a (B, 85, 8) count matrix: soft, or drawn if output="gumbel"."""
        logits = self.logits(z)
        if self.output == "sigmoid":
            return torch.sigmoid(logits)
        none = torch.zeros_like(logits[..., :1])  # the count 0 is the class of reference
        drawn = gumbel_one_hot(torch.cat([none, logits], dim=-1), rng, temperature)
        return drawn[..., 1:]


def _fit(size_in: int, size_out: int, stride: int, kernel: int) -> tuple[int, int]:
    """(padding, output padding) that make a transposed convolution reach size_out."""
    surplus = (size_in - 1) * stride + kernel - size_out
    padding = max(0, -(-surplus // 2))
    return padding, 2 * padding - surplus


class Critic(nn.Module):
    """Critic of Hu et al. 2020, Equations 5 and 6, Figure 3.

    T = E W with E the one-hot matrix of the elements (Equation 6), so T is W itself; a
    composition's vector is C = sum over the counts k of (X^T T) ⊙ A, with row k of A equal to k
    (Equation 5), which is the sum over the elements of n_e T_e. The network computes it so, from
    amounts (B, 85) and not from the (B, 85, 8) matrix. C goes through the final layer to one
    number. With `stoichiometry` (ours) the final layer also sees that many of the largest amounts,
    in falling order: the pattern of the formula without its elements.
    """

    # A gradient with respect to the (85, 8) matrix X has this many times the norm of the one with
    # respect to the amounts n_e = sum of k X[e, k]: the root of 1² + 2² + ... + 8².
    slope_scale = sum(k * k for k in range(1, N_COUNTS + 1)) ** 0.5

    def __init__(self, config: Config):
        super().__init__()
        self.activation = config.embedding_activation
        self.stoichiometry = config.stoichiometry
        self.embedding = nn.Linear(N_ELEMENTS, config.embedding_dim, self.activation == "tanh")
        layers: list[nn.Module] = []
        width = config.embedding_dim + self.stoichiometry
        for units in config.head:
            layers += [nn.Linear(width, units), nn.ReLU()]
            width = units
        self.head = nn.Sequential(*layers, nn.Linear(width, 1))

    @property
    def T(self) -> Tensor:
        """(85, d) embedding of the elements."""
        if self.activation == "none":
            return self.embedding.weight.T
        return torch.tanh(self.embedding.weight.T + self.embedding.bias)

    def characterize(self, amounts: Tensor) -> Tensor:
        """(B, 85) amounts, whole or fractional, to the (B, d) vectors C of Equation 5."""
        return amounts @ self.T

    def of_matrix(self, matrix: Tensor) -> Tensor:
        """What `forward` takes, of (B, 85, 8) count matrices, soft or one-hot: amounts."""
        return to_amounts(matrix)

    def of_counts(self, counts: Tensor) -> Tensor:
        """What `forward` takes, of (B, 85) integer amounts."""
        return counts.float()

    def forward(self, amounts: Tensor) -> Tensor:
        """(B, 85) amounts to (B,) scores, high for what looks real."""
        C = self.characterize(amounts)
        if self.stoichiometry:
            C = torch.cat([C, amounts.topk(self.stoichiometry, dim=1).values], dim=1)
        return self.head(C).squeeze(1)


class ConvolutionalCritic(nn.Module):
    """Critic in the manner of Dan et al. 2020: seven convolutions over the matrix, then one layer.

    Their paper also normalises by batches; a gradient penalty does not allow that, since it takes
    the gradient of each composition by itself (Gulrajani et al. 2017). The sizes of the layers
    mirror the generator's. It learns no embedding of the elements: T is (85, 0).
    """

    slope_scale = 1.0  # the penalty takes the gradient with respect to the matrix itself

    def __init__(self, config: Config):
        super().__init__()
        first, *layers = _MAPS[config.architecture]
        channels_after = [layer[2] for layer in layers[-2::-1]] + [first[2]]
        channels, self.convolutions = 1, nn.ModuleList()
        for (kernel, stride, *_), wide in zip(reversed(layers), channels_after, strict=True):
            self.convolutions.append(nn.Conv2d(channels, wide, kernel, stride, kernel // 2))
            channels = wide
        self.head = nn.Linear(channels * first[0] * first[1], 1)

    @property
    def T(self) -> Tensor:
        return self.head.weight.new_empty(N_ELEMENTS, 0)

    def of_matrix(self, matrix: Tensor) -> Tensor:
        """What `forward` takes, of (B, 85, 8) count matrices: themselves."""
        return matrix

    def of_counts(self, counts: Tensor) -> Tensor:
        """What `forward` takes, of (B, 85) integer amounts: one-hot matrices."""
        return (counts[..., None] == torch.arange(1, N_COUNTS + 1, device=counts.device)).float()

    def forward(self, matrix: Tensor) -> Tensor:
        """(B, 85, 8) count matrices to (B,) scores, high for what looks real."""
        x = matrix[:, None]
        for convolution in self.convolutions:
            x = F.relu(convolution(x))  # (B, 8, 85, 8) ... (B, 128, 3, 1)
        return self.head(x.flatten(1)).squeeze(1)


def effective_rank(T: Tensor) -> Tensor:
    """Squared sum of the singular values over the sum of their squares: 1 to min(85, d), or NaN."""
    singular = torch.linalg.svdvals(T.float())
    return singular.sum() ** 2 / (singular**2).sum()


def layer_table(network: nn.Module) -> list[dict]:
    """Layers with weights, in the order of the data's way.

    Returns
    -------
    list of dicts: layer, kind, weights (their shape), parameters (their number, with biases)
    """
    rows = []
    for name, layer in network.named_modules():
        own = list(layer.parameters(recurse=False))
        if own:
            shape = " × ".join(str(side) for side in own[0].shape)
            kind, total = type(layer).__name__, sum(p.numel() for p in own)
            rows.append({"layer": name, "kind": kind, "weights": shape, "parameters": total})
    return rows


# --- for speed only -------------------------------------------------------------------------------


def _row_by_row(layer: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """What the last layer of Table 3 gives, (B, c, h, w) to (B, 2 h - 1, w), as a matrix product.

    Each row of the map adds to three rows, linearly; the product is with the (w c, 3 w) responses
    to single pixels. Beside torch's own kernel for one channel a training step of the paper's
    networks takes 7 to 13% less processor time (one thread of a shared machine).
    """
    channels, height, wide = x.shape[1:]
    pixels = torch.eye(wide * channels, device=x.device, dtype=x.dtype)
    pixels = pixels.view(-1, 1, wide, channels).permute(0, 3, 1, 2)  # channels last, as x is
    response = F.conv_transpose2d(
        pixels, layer.weight, stride=layer.stride, padding=(0, int(layer.padding[1]))
    )  # (w c, 1, 3, w)
    rows = x.permute(0, 2, 3, 1).reshape(-1, wide * channels) @ response.flatten(1)
    above, same, below = rows.view(len(x), height, 3, wide).unbind(2)
    out = x.new_empty(len(x), 2 * height - 1, wide)
    out[:, 0::2] = same
    out[:, 1::2] = below[:, :-1] + above[:, 1:]
    return out if layer.bias is None else out + layer.bias
