"""Networks that read powder patterns: FCN, T-encoder, VAE, FCN joined with composition.

In the spirit of Lee et al. (Adv. Intell. Syst. 2022), of which only the abstract was at hand:
what it does not say (depth, widths, patches) is our choice. All take patterns as (B, n) tensors
of intensities from 0 to 1 and begin with the square root, which brings weak reflections up.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

STRIDE = 4  # of the first convolution
LABELS = ("crystal_system", "extinction_group", "space_group")


class Halve(nn.Module):
    """The larger of each two neighbours: MaxPool1d(2), three times as fast on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, n) -> (B, channels, ⌊n / 2⌋)."""
        return _Larger.apply(x)


class _Larger(torch.autograd.Function):
    """`torch.maximum` of neighbours, whose own gradient shares ties out, in more passes."""

    @staticmethod
    def forward(ctx, x):
        first, second = _pairs(x)
        ctx.save_for_backward(first >= second)
        ctx.length = x.shape[2]
        return torch.maximum(first, second)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (is_first,) = ctx.saved_tensors
        given = gradient.new_zeros(*gradient.shape[:2], ctx.length)
        first, second = _pairs(given)
        torch.mul(gradient, is_first, out=first)
        torch.sub(gradient, first, out=second)
        return given


def _pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    """Views (B, channels, ⌊n / 2⌋) of each first and each second of two neighbours."""
    even = x[:, :, : x.shape[2] // 2 * 2]
    return even[:, :, ::2], even[:, :, 1::2]


class PatternNetwork(nn.Module):
    """What `Regressor` asks of a network for patterns."""

    n_points: int
    width: int

    def features(self, patterns: Tensor) -> Tensor:
        """(B, width) features of (B, n_points) patterns."""
        raise NotImplementedError

    def roots(self, patterns: Tensor) -> Tensor:
        """Square roots of patterns, which bring weak reflections up.

        Raises
        ------
        ValueError
            The patterns are on another grid.
        """
        if patterns.shape[1:] != (self.n_points,):
            raise ValueError(
                f"patterns of shape {tuple(patterns.shape)} for a network that reads "
                f"(B, {self.n_points}): they are on another grid"
            )
        return patterns.clamp_min(0).sqrt()


class FCN(PatternNetwork):
    """Fully convolutional network: blocks of convolution and pooling, no dense layer.

    The last convolution spans all places that are left, so that it knows where on the 2θ axis a
    feature lies; a 1×1 convolution for each label reads its channels.

    Parameters
    ----------
    n_points : length of a pattern
    classes : {label: number of classes}; one head each
    channels : output channels of the blocks; the first shortens the pattern by `STRIDE`, each
        other one by two
    last : channels of the last convolution
    """

    def __init__(
        self,
        n_points: int,
        classes: dict[str, int],
        channels: tuple[int, ...] = (32, 48, 64, 96, 128, 192),
        last: int = 384,
        dropout: float = 0.3,
    ):
        super().__init__()
        # the first kernel spans about a peak and passes over the pattern in steps of its quarter
        length = -(-n_points // STRIDE)
        before = channels[0]
        blocks = [
            nn.Conv1d(1, before, 4 * STRIDE - 1, STRIDE, padding=2 * STRIDE - 1),
            nn.BatchNorm1d(before),
            nn.ReLU(inplace=True),
        ]
        for after in channels[1:]:
            blocks += [
                nn.Conv1d(before, after, 5, padding=2),
                nn.BatchNorm1d(after),
                Halve(),  # before the ReLU, which changes no order and has half to do
                nn.ReLU(inplace=True),
            ]
            before, length = after, length // 2
        if length < 1:
            raise ValueError(f"{n_points} points are too few for {len(channels)} blocks")
        self.blocks = nn.Sequential(*blocks)
        self.span = nn.Sequential(
            nn.Conv1d(before, last, length), nn.BatchNorm1d(last), nn.ReLU(), nn.Dropout(dropout)
        )
        self.heads = nn.ModuleDict({name: nn.Conv1d(last, n, 1) for name, n in classes.items()})
        self.n_points, self.width = n_points, last

    def features(self, patterns: Tensor) -> Tensor:
        """(B, last) what the heads read."""
        x = self.roots(patterns)[:, None]  # (B, 1, n)
        return self.span(self.blocks(x))[:, :, 0]  # (B, channels, length) -> (B, last)

    def forward(self, patterns: Tensor) -> dict[str, Tensor]:
        """{label: (B, classes) logits}."""
        x = self.features(patterns)[:, :, None]
        return {name: head(x)[:, :, 0] for name, head in self.heads.items()}


class TEncoder(PatternNetwork):
    """Transformer encoder over patches of the pattern (Vaswani et al. 2017, encoder only).

    A patch of neighbouring points is a token; a learned vector says where it lies; the mean over
    the tokens goes to the heads.
    """

    def __init__(
        self,
        n_points: int,
        classes: dict[str, int],
        patch: int = 34,
        width: int = 96,
        layers: int = 3,
        heads: int = 4,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.patch = patch
        n_tokens = -(-n_points // patch)
        self.embed = nn.Linear(patch, width)
        self.place = nn.Parameter(0.02 * torch.randn(n_tokens, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(
            layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.heads = nn.ModuleDict({name: nn.Linear(width, n) for name, n in classes.items()})
        self.n_points, self.width = n_points, width

    def features(self, patterns: Tensor) -> Tensor:
        """(B, width) mean of the encoded tokens."""
        x = self.roots(patterns)
        x = functional.pad(x, (0, len(self.place) * self.patch - x.shape[1]))
        tokens = x.unflatten(1, (-1, self.patch))  # (B, tokens, patch)
        return self.encoder(self.embed(tokens) + self.place).mean(1)  # (B, width)

    def forward(self, patterns: Tensor) -> dict[str, Tensor]:
        """{label: (B, classes) logits}."""
        x = self.features(patterns)
        return {name: head(x) for name, head in self.heads.items()}


class Regressor(nn.Module):
    """Properties from a pattern, a composition, or both: the abstract's FCN with an MLP.

    Parameters
    ----------
    pattern_network : a network with `features` and `width`, or None for composition alone
    n_composition : length of the composition vector; 0 leaves the composition out
    n_targets : how many properties
    """

    def __init__(
        self,
        pattern_network: PatternNetwork | None,
        n_composition: int,
        n_targets: int = 1,
        hidden: int = 128,
    ):
        super().__init__()
        if pattern_network is None and not n_composition:
            raise ValueError("a regressor needs patterns, compositions or both")
        self.pattern_network = pattern_network
        self.composition = (
            nn.Sequential(
                nn.Linear(n_composition, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
            )
            if n_composition
            else None
        )
        width = (pattern_network.width if pattern_network else 0) + (hidden if n_composition else 0)
        self.head = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, n_targets))

    def forward(self, patterns: Tensor, composition: Tensor) -> dict[str, Tensor]:
        """{"value": (B, targets)} of (B, n) patterns and (B, n_composition) fractions."""
        parts = []
        if self.pattern_network is not None:
            parts.append(self.pattern_network.features(patterns))
        if self.composition is not None:
            parts.append(self.composition(composition))
        return {"value": self.head(torch.cat(parts, 1))}


class VAE(nn.Module):
    """Variational autoencoder of patterns (Kingma and Welling 2014), convolutional encoder.

    The decoder ends in a softplus on the scale of the square root, so patterns stay positive.
    """

    def __init__(self, n_points: int, latent: int = 2, hidden: int = 256):
        super().__init__()
        self.encoder = FCN(n_points, {"mean": latent, "log_variance": latent}, last=hidden)
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden), nn.ReLU(),
            nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, n_points), nn.Softplus(),
        )  # fmt: skip

    def forward(self, patterns: Tensor) -> dict[str, Tensor]:
        """Reconstruction (B, n) of the root of the pattern, latent mean and log-variance."""
        encoded = self.encoder(patterns)
        mean, log_variance = encoded["mean"], encoded["log_variance"].clamp(-10, 10)
        latent = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return {"root": self.decoder(latent), "mean": mean, "log_variance": log_variance}


def vae_loss(output: dict[str, Tensor], targets: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
    """Squared error of the root of the pattern, summed over its points, and the divergence.

    The reconstruction counts as Gaussian with a standard deviation of 0.1, a tenth of the scale.
    """
    mean, log_variance = output["mean"], output["log_variance"]
    error = (output["root"] - inputs[0].clamp_min(0).sqrt()).square().sum(1) / (2 * 0.1**2)
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
    return (error + divergence).mean()
