"""The generator of Table 3, our slot generator, and the critic of Equations 5 and 6."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from matgan.config import Config
from matgan.elements import N_ELEMENTS

N_COUNTS = 8  # the paper's matrix holds 1 to 8 atoms of each element
COUNTS = torch.arange(1.0, N_COUNTS + 1)

# Table 3: kernel, stride, channels out and size out of each deconvolution
_DECONVOLUTIONS = (
    (5, (2, 2), 64, (11, 8)),
    (3, (2, 1), 32, (22, 8)),
    (3, (2, 1), 16, (43, 8)),
    (3, (2, 1), 1, (N_ELEMENTS, N_COUNTS)),
)


def build_generator(config: Config) -> nn.Module:
    """The generator that a configuration asks for, initialised."""
    kind = {"deconvolution": DeconvolutionGenerator, "slots": SlotGenerator}[config.architecture]
    return _initialise(kind(config), config.initialisation)


def build_critic(config: Config) -> Critic:
    """The critic that a configuration asks for, initialised."""
    return _initialise(Critic(config), config.initialisation)


def _initialise(module: nn.Module, how: str) -> nn.Module:
    """N(0, 1) weights and zero biases for "normal"; torch's own for "scaled"."""
    if how == "normal":
        for layer in module.modules():
            if isinstance(layer, nn.Linear | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
    return module


def to_amounts(matrix: Tensor) -> Tensor:
    """(B, 85, 8) count matrix, soft or one-hot, to (B, 85) amounts: the sum of k X[e, k]."""
    return matrix @ COUNTS.to(matrix)


class DeconvolutionGenerator(nn.Module):
    """Generator of Hu et al. 2020, Table 3.

    Noise (B, 128) -> fully connected, 5 x 4 maps of 128 channels -> four transposed convolutions
    with batch normalisation and ReLU, 11 x 8 x 64, 22 x 8 x 32, 43 x 8 x 16 -> 85 x 8.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.output = config.output
        self.first_size = (config.first_height, 4)
        width = 128
        self.dense = nn.Linear(config.latent_dim, width * self.first_size[0] * self.first_size[1])
        self.dense_norm = nn.BatchNorm1d(self.dense.out_features)
        layers, norms, size = [], [], self.first_size
        for kernel, stride, channels, target in _DECONVOLUTIONS:
            fit = [
                _fit(*side, kernel) for side in zip(size, target, stride, strict=True)
            ]  # (padding, output padding) of each side
            padding, output_padding = zip(*fit, strict=True)
            layers.append(
                nn.ConvTranspose2d(width, channels, kernel, stride, padding, output_padding)
            )
            norms.append(nn.BatchNorm2d(channels))
            width, size = channels, target
        self.deconvolutions = nn.ModuleList(layers)
        self.norms = nn.ModuleList(norms[:-1])

    def logits(self, z: Tensor) -> Tensor:
        """(B, latent_dim) noise to the (B, 85, 8) entries before the output function."""
        x = F.relu(self.dense_norm(self.dense(z)))
        x = x.view(len(z), -1, *self.first_size)  # (B, 128, 5, 4)
        for deconvolution, norm in zip(self.deconvolutions, self.norms, strict=False):
            x = F.relu(norm(deconvolution(x)))  # (B, 64, 11, 8), (B, 32, 22, 8), (B, 16, 43, 8)
        return self.deconvolutions[-1](x).squeeze(1)  # (B, 85, 8)

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
    formula. Elements and counts are drawn with the straight-through Gumbel-softmax (Jang et al.
    2017).
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
        """(B, latent_dim) noise to a (B, 85, 8) one-hot count matrix."""
        memory = self.body(z)  # (B, hidden): the noise, and later what was drawn
        taken = F.one_hot(torch.full((len(z),), N_ELEMENTS, device=z.device))  # (B, 86): not "none"
        matrix = 0.0
        for slot in range(self.slots):
            if slot == 2:
                taken = taken * self._is_element  # from now on a slot may stay empty
            state = F.relu(self.mix(F.relu(memory + self.start[slot])))
            logits = self.to_element(state).masked_fill(taken > 0, -torch.inf)
            element = gumbel_one_hot(logits, rng, temperature)  # (B, 86)
            memory = memory + self.seen_element(element)
            count = gumbel_one_hot(self.to_count(F.relu(memory)), rng, temperature)  # (B, 8)
            memory = memory + self.seen_count(count)
            taken = taken + element.detach() * self._is_element
            matrix = matrix + element[:, :-1, None] * count[:, None]  # (B, 85, 8)
        return matrix

    @property
    def _is_element(self) -> Tensor:
        return torch.arange(N_ELEMENTS + 1, device=self.start.device) < N_ELEMENTS


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
    number.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.activation = config.embedding_activation
        self.embedding = nn.Linear(N_ELEMENTS, config.embedding_dim, self.activation == "tanh")
        layers: list[nn.Module] = []
        width = config.embedding_dim
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

    def forward(self, amounts: Tensor) -> Tensor:
        """(B, 85) amounts to (B,) scores, high for what looks real."""
        return self.head(self.characterize(amounts)).squeeze(1)


def effective_rank(T: Tensor) -> Tensor:
    """Squared sum of the singular values over the sum of their squares: 1 to min(85, d)."""
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
