"""Which element sits on a site: a variational autoencoder, a sigmoid and a softmax classifier.

After Ryan, Lengyel and Shatruk (J. Am. Chem. Soc. 140, 10158, 2018), as the review tells it: an
autoencoder learns a representation of 64 numbers, from which a sigmoid classifier says for each
element how likely it is on such a site; a softmax classifier with batch normalisation reads these
likelihoods and decides for one. Theirs are 42 convolutional and twice five dense layers; these are
dense and few, and learn together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from matgan.crystals.prototypes import N_Z
from matgan.crystals.sites.fingerprints import LENGTHS, MAX_SPECIES, WIDTH, Sites
from matgan.learning.compute import device
from matgan.learning.fit import ArrayExamples, Fit, train

LATENT = 64  # as theirs
OWN = 0  # column of the element that is asked for, where it is hidden


@dataclass(frozen=True)
class View:
    """What is seen of a site.

    Attributes
    ----------
    name : in tables
    shape, lengths : whether these are seen
    elements : which elements are seen in the near and the wide window: "none"; "others": those of
        the site's own element are marked as such, without saying which; "all": these too, so that
        periodic images of the site itself tell the answer
    composition : whether the shares of the other elements in the crystal, and the own one, are seen
    """

    name: str
    shape: bool = True
    lengths: bool = False
    elements: str = "none"
    composition: bool = False

    @property
    def width(self) -> int:
        """Numbers of a site."""
        parts = WIDTH * self.shape + len(LENGTHS) * self.lengths + N_Z * self.composition
        return parts + 2 * N_Z * (self.elements != "none")


SHAPE = View("shape")
SIZED = View("shape and lengths", lengths=True)
BESIDE = View("shape and other elements", elements="others")
SIZED_BESIDE = View("shape, lengths and other elements", lengths=True, elements="others")
COPIES = View("shape and all elements, its own too", elements="all")
COMPOSITION = View("composition, no site", shape=False, composition=True)
SITE_VIEWS = {v.name: v for v in (SHAPE, SIZED, BESIDE, SIZED_BESIDE, COPIES, COMPOSITION)}


def site_inputs(
    sites: Sites, view: View, numbers: np.ndarray | None = None, species: np.ndarray | None = None
) -> np.ndarray:
    """(m, view.width) float32, what a view shows of each site.

    Parameters
    ----------
    sites, view : what is seen
    numbers : (m,) elements of the sites where they are replaced
    species : (m, MAX_SPECIES) what the elements of each site's structure are replaced by
    """
    numbers = sites.number if numbers is None else numbers
    species = sites.species[sites.structure] if species is None else species
    parts = [sites.shape] if view.shape else []
    if view.lengths:
        parts.append(sites.lengths)
    columns, rows = species.astype(np.int64), np.arange(len(sites))
    if view.elements != "all":
        columns = np.where(columns == numbers[:, None], OWN, columns)
    if view.elements != "none":
        seen = np.zeros((len(sites), 2, N_Z), np.float32)
        for k in range(MAX_SPECIES):
            seen[rows, :, columns[:, k]] += sites.share[:, :, k]
        parts.append(seen.reshape(len(sites), -1))
    if view.composition:
        counts = sites.counts[sites.structure].astype(np.float32)
        held = np.zeros((len(sites), N_Z), np.float32)
        for k in range(MAX_SPECIES):
            held[rows, columns[:, k]] += counts[:, k] / counts.sum(1)
        parts.append(held)
    return np.concatenate(parts, axis=1)


class SiteNetwork(nn.Module):
    """Autoencoder and the two classifiers; `forward` gives {head: (B, outputs)}.

    Parameters
    ----------
    width : of the input
    occurring : (N_Z,) bool, elements of the training sites; the softmax gives the others no share
    hidden : units of each hidden layer
    autoencoder : False: nothing is drawn and nothing rebuilt, as a control
    """

    occurring: Tensor

    def __init__(
        self, width: int, occurring: np.ndarray, hidden: int = 160, autoencoder: bool = True
    ):
        super().__init__()

        def two_layers(n_in: int, n_out: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(n_in, hidden), nn.SiLU(), nn.Linear(hidden, n_out))

        self.autoencoder = autoencoder
        self.encoder = nn.Sequential(nn.Linear(width, hidden), nn.SiLU())
        self.encoder.extend(two_layers(hidden, 2 * LATENT))
        self.decoder = two_layers(LATENT, width)
        self.sigmoid = two_layers(LATENT, N_Z)
        self.softmax = nn.Sequential(
            nn.Linear(N_Z, hidden), nn.BatchNorm1d(hidden), nn.SiLU(), nn.Linear(hidden, N_Z)
        )
        self.register_buffer("occurring", torch.from_numpy(occurring))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Latent mean and log variance, rebuilt input, logits of the sigmoids and the softmax."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        log_variance = log_variance.clamp(-10, 4)
        code = mean
        if self.training and self.autoencoder:
            code = mean + torch.randn_like(mean) * torch.exp(log_variance / 2)
        each = self.sigmoid(code)
        one = self.softmax(each).masked_fill(~self.occurring, -torch.inf)
        found = {"mean": mean, "log_variance": log_variance, "each": each, "one": one}
        if self.training and self.autoencoder:
            found["rebuilt"] = self.decoder(code)
        return found

    def element_vectors(self) -> np.ndarray:
        """(N_Z, hidden) weights of the sigmoid classifier's last layer, a row for each element."""
        last = self.sigmoid[-1]
        assert isinstance(last, nn.Linear)
        return last.weight.numpy(force=True)


def site_loss(found: dict[str, Tensor], numbers: Tensor, given: tuple[Tensor, ...]) -> Tensor:
    """Cross-entropies of both classifiers, and a tenth of the autoencoder's bound on a number."""
    classes = functional.one_hot(numbers, N_Z).to(found["each"].dtype)
    each = functional.binary_cross_entropy_with_logits(found["each"], classes, reduction="none")
    loss = functional.cross_entropy(found["one"], numbers) + each.sum(1).mean()
    if "rebuilt" in found:
        mean, log_variance = found["mean"], found["log_variance"]
        apart = (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2
        rebuilt = functional.mse_loss(found["rebuilt"], given[0])
        loss = loss + 0.1 * rebuilt + 0.01 * apart / LATENT
    return loss


@dataclass(frozen=True)
class SiteModel:
    """A trained network with the scale of its inputs."""

    network: SiteNetwork
    view: View
    mean: np.ndarray
    deviation: np.ndarray

    def log_likelihood(
        self,
        sites: Sites,
        numbers: np.ndarray | None = None,
        species: np.ndarray | None = None,
        at_once: int = 8192,
    ) -> np.ndarray:
        """(m, N_Z) float32, log of the likelihood of each element on each site, -inf for some.

        Parameters
        ----------
        sites, numbers, species : see `site_inputs`
        at_once : sites
        """
        rows = [np.arange(a, min(a + at_once, len(sites))) for a in range(0, len(sites), at_once)]
        where = next(self.network.parameters()).device
        found = []
        for part in rows:
            replaced = [None if a is None else a[part] for a in (numbers, species)]
            X = (site_inputs(sites.take(part), self.view, *replaced) - self.mean) / self.deviation
            with torch.no_grad():
                logits = self.network(torch.from_numpy(X).to(where))["one"]
                found.append(torch.log_softmax(logits, 1).cpu().numpy())
        return np.concatenate(found) if found else np.zeros((0, N_Z), np.float32)


def learn_sites(
    sites: Sites,
    view: View,
    fit: Fit,
    checkpoint: Path | None = None,
    progress: Callable[[int, int, float], None] | None = None,
    **options,
) -> SiteModel:
    """Train the network on some sites.

    Parameters
    ----------
    sites : to learn from
    view : what is seen of them
    fit, checkpoint, progress : see `matgan.learning.fit.train`
    options : of `SiteNetwork`: hidden, autoencoder
    """
    X = site_inputs(sites, view)
    numbers_seen = view.width - N_Z * (view.composition + 2 * (view.elements != "none"))
    mean, deviation = np.zeros(view.width, np.float32), np.full(view.width, 0.3, np.float32)
    mean[:numbers_seen] = X[:, :numbers_seen].mean(0)
    deviation[:numbers_seen] = X[:, :numbers_seen].std(0) + 1e-3
    occurring = np.bincount(sites.number, minlength=N_Z) > 0
    torch.manual_seed(fit.seed)
    network = SiteNetwork(view.width, occurring, **options)
    source = ArrayExamples((X - mean) / deviation, sites.number.astype(np.int64))
    train(network, source, site_loss, fit, checkpoint, progress, device(), same_shapes=True)
    network.eval()
    return SiteModel(network, view, mean, deviation)
