"""The generator of Table 3, our slot generator, the critic of Equations 5 and 6, and a peer's."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from matgan.chemistry.elements import N_ELEMENTS
from matgan.wgan.config import Config

_NEVER = -1e9  # a logit; minus infinity would make 0 x infinity of it
N_COUNTS = 8  # the paper's matrix holds 1 to 8 atoms of each element
COUNTS = torch.arange(1.0, N_COUNTS + 1)

# First map (height, width, channels), then kernel, stride, channels out and size out of each
# transposed convolution. "deconvolution": Table 3; Config.first_height replaces its height of 5.
# "convolution": seven of them, the number of Dan et al. 2020; their sizes are our choice.
_MAPS: dict[str, tuple[tuple, ...]] = {
    "deconvolution": (
        (5, 4, 128),
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
    return matrix @ COUNTS.to(matrix)


class DeconvolutionGenerator(nn.Module):
    """Generator of Hu et al. 2020, Table 3; with more layers, in the manner of Dan et al. 2020.

    Noise (B, 128) -> fully connected, 5 x 4 maps of 128 channels -> four transposed convolutions
    with batch normalisation and ReLU, 11 x 8 x 64, 22 x 8 x 32, 43 x 8 x 16 -> 85 x 8.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.output = config.output
        (height, wide, channels), *layers = _MAPS[config.architecture]
        if config.architecture == "deconvolution":
            height = config.first_height
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
        del self.norms[-1]

    def logits(self, z: Tensor) -> Tensor:
        """(B, latent_dim) noise to the (B, 85, 8) entries before the output function."""
        x = F.relu(self.dense_norm(self.dense(z)), inplace=True)
        x = x.view(len(z), *self.first_map)  # (B, 128, 5, 4)
        for deconvolution, norm in zip(self.deconvolutions, self.norms, strict=False):
            x = F.relu(norm(deconvolution(x)), inplace=True)  # (B, 64, 11, 8) ... (B, 16, 43, 8)
        last = self.deconvolutions[-1]
        if isinstance(last, nn.ConvTranspose2d) and last.stride == (2, 1):
            return _row_by_row(last, x)  # (B, 85, 8)
        return last(x).squeeze(1)

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


class SlotGenerator(nn.Module):
    """Ours: fills the places of a formula one after the other, each with an element and a count.

    Each slot knows the noise and what the earlier slots hold. The first two slots always hold an
    element; a later one may stay empty, and no element comes twice, so every output decodes to a
    formula.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.slots = config.slots
        widths = [config.latent_dim, *config.hidden]
        layers: list[nn.Module] = []
        for wide, narrow in itertools.pairwise(widths):
            layers += [nn.Linear(wide, narrow), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        width = widths[-1]
        self.start = nn.Parameter(torch.zeros(self.slots, width))  # tells the slots apart
        self.seen_element = nn.Linear(N_ELEMENTS + 1, width, bias=False)
        self.seen_count = nn.Linear(N_COUNTS, width, bias=False)
        self.mix = nn.Linear(width, width)
        self.to_element = nn.Linear(width, N_ELEMENTS + 1)  # the last class: none
        self.to_count = nn.Linear(width, N_COUNTS)

    def forward(self, z: Tensor, rng: torch.Generator | None = None, temperature: float = 1.0):
        """(B, latent_dim) noise to a (B, 85, 8) one-hot count matrix.

        Its gradient is that of the straight-through Gumbel-softmax (Jang et al. 2017).
        """

        def draw(logits: Tensor) -> tuple[Tensor, None]:
            return gumbel_one_hot(logits, rng, temperature), None

        return self._fill(z, draw)[0]

    def draw(self, z: Tensor, rng: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """(B, latent_dim) noise to a drawn (B, 85, 8) count matrix and its log-probability (B,).

        The matrix carries no gradient, the log-probability does: what the score-function
        estimator needs (Williams 1992).
        """

        def draw(logits: Tensor) -> tuple[Tensor, Tensor]:
            log_p = torch.log_softmax(logits, dim=-1)
            with torch.no_grad():  # the largest of log p + Gumbel noise is a draw from p
                race = log_p - torch.empty_like(log_p).exponential_(generator=rng).log()
                drawn = F.one_hot(race.argmax(dim=-1), logits.shape[-1]).to(log_p)
            return drawn, (drawn * log_p).sum(-1)

        return self._fill(z, draw)

    def _fill(self, z: Tensor, draw: Callable) -> tuple[Tensor, Tensor]:
        """Count matrix, and the sum of what `draw` gives as the log-probability of each draw.

        Where it gives None, the sum is 0.
        """
        memory = self.body(z)  # (B, hidden): the noise, and later what was drawn
        is_element = torch.arange(N_ELEMENTS + 1, device=z.device) < N_ELEMENTS
        taken = (~is_element).expand(len(z), -1)  # (B, 86): the first two slots are not "none"
        matrix, log_p = z.new_zeros(len(z), N_ELEMENTS, N_COUNTS), z.new_zeros(len(z))
        for slot in range(self.slots):
            if slot == 2:
                taken = taken & is_element  # from now on a slot may stay empty
            state = F.relu(self.mix(F.relu(memory + self.start[slot])))
            element, log_p_element = draw(self.to_element(state).masked_fill(taken, _NEVER))
            filled = 1 - element[:, -1:]  # (B, 1)
            memory = memory + self.seen_element(element)
            count, log_p_count = draw(self.to_count(F.relu(memory)))
            memory = memory + filled * self.seen_count(count)
            taken = taken | (element.detach() > 0) & is_element
            matrix = matrix + element[:, :-1, None] * count[:, None]  # (B, 85, 8)
            if log_p_element is not None:
                log_p = log_p + log_p_element + filled[:, 0] * log_p_count
        return matrix, log_p


def gumbel_one_hot(logits: Tensor, rng: torch.Generator | None, temperature: float) -> Tensor:
    """One-hot draw along the last axis, with the gradient of the softmax (Jang et al. 2017)."""
    uniform = torch.rand(logits.shape, generator=rng, device=logits.device)
    noise = -(-uniform.clamp_(1e-10, 1 - 1e-7).log()).log()  # Gumbel variates
    soft = torch.softmax((logits + noise) / temperature, dim=-1)
    hard = F.one_hot(soft.argmax(dim=-1), logits.shape[-1]).to(soft)
    return hard + (soft - soft.detach())  # the difference is exactly zero


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
        return (counts[..., None] == COUNTS.to(counts)).float()

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
