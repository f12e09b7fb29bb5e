"""Reconstruction: another image with the texture of a given two-phase image.

A network reads the image; the mean products of its channels (Gram matrices) are its texture. A new
image, noise at first, is changed until it has the same (Li et al., Sci. Rep. 8, 13461, 2018, after
Gatys et al. 2015). Grey levels become phases by 2-means, and the share of the second phase that of
the image. Controls: Gaussian fields of the same two-point statistics, and random weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from scipy import fft
from scipy.optimize import minimize
from scipy.stats import norm
from torch import Tensor
from torch.nn import functional

from matgan.microstructure.generation import Morphology, highest, microstructure
from matgan.microstructure.statistics import lineal_path, two_point

_BLOCKS = (2, 2, 4, 4, 4)  # convolutions of VGG19; the image is halved after each block
_CHANNELS = (64, 128, 256, 512, 512)
NAMES = tuple(f"conv{b + 1}_{i + 1}" for b, n in enumerate(_BLOCKS) for i in range(n))
TEXTURE = ("conv1_1", "conv2_1", "conv3_1")  # layers whose Gram matrices are matched
SOFTENED = 50  # evaluations after which a synthesis goes on from less black and white

Convolutions = Sequence[tuple[np.ndarray, np.ndarray]]


def random_convolutions(seed: int, depth: int = 5) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights of VGG19's shapes, normal with variance 2 / inputs (He et al. 2015); no biases.

    Parameters
    ----------
    seed : of the weights
    depth : how many convolutions; 5 reach the last layer of `TEXTURE`
    """
    widths = [out for number, out in zip(_BLOCKS, _CHANNELS, strict=True) for _ in range(number)]
    rng, layers = np.random.default_rng([seed, 0, 1]), []  # another stream than the samples'
    for before, out in pairwise([3, *widths[:depth]]):
        weights = rng.standard_normal((out, before, 3, 3), np.float32)
        scale = np.float32((2 / (9 * before)) ** 0.5)
        layers.append((scale * weights, np.zeros(out, np.float32)))
    return layers


class TextureNetwork:
    """VGG19's convolutions up to the last layer that is asked for: Gram matrices of images.

    Images are periodic, so the convolutions go round the edges; blocks end with a mean over two by
    two pixels, as in Gatys et al. 2015.

    Parameters
    ----------
    convolutions : (weights (out, in, 3, 3), biases (out,)) in the order of the network
    mean : (3,) colour, from 0 to 255, that is subtracted from the image
    layers : of `NAMES`, after whose rectifiers the matrices are taken
    device : "cpu" or "cuda", where images are read

    Raises
    ------
    ValueError
        A layer that VGG19 does not have, or that is deeper than the convolutions that are given.
    """

    def __init__(
        self,
        convolutions: Convolutions,
        mean: np.ndarray,
        layers: Sequence[str] = TEXTURE,
        device: str = "cpu",
    ):
        if odd := [name for name in layers if name not in NAMES]:
            raise ValueError(f"VGG19 has no layer {odd[0]!r}; it has {', '.join(NAMES)}")
        self.layers = tuple(layers)
        self.depth = 1 + max(map(NAMES.index, layers))
        if self.depth > len(convolutions):
            deepest, there = NAMES[self.depth - 1], len(convolutions)
            raise ValueError(f"{deepest} is convolution {self.depth} of VGG19; there are {there}")
        self.convolutions = [
            (torch.tensor(weights, device=device), torch.tensor(biases, device=device))
            for weights, biases in convolutions[: self.depth]
        ]
        colour = torch.tensor(np.asarray(mean, np.float32), device=device)
        self.mean, self.device = colour[None, :, None, None], device

    def grams(self, image: Tensor) -> list[Tensor]:
        """(C, C) mean over pixels of products of channels, for each of the layers.

        Parameters
        ----------
        image : (n, n) grey levels from 0 to 1; n divisible by the halvings on the way
        """
        x, found = 255 * image[None, None] - self.mean, []
        for name, (weights, biases) in zip(NAMES, self.convolutions, strict=False):
            if name.endswith("_1") and name != NAMES[0]:
                x = functional.avg_pool2d(x, 2)
            around = functional.pad(x, (1, 1, 1, 1), mode="circular")
            x = functional.relu(functional.conv2d(around, weights, biases))
            if name in self.layers:
                channels = x.flatten(2)[0]
                found.append(channels @ channels.T / channels.shape[1])
        return found

    def loss(self, image: Tensor, target: Sequence[Tensor]) -> Tensor:
        """Mean over layers of the squared distance of the Gram matrices over the target's square.

        Parameters
        ----------
        image : (n, n)
        target : what `grams` gave for the image to be matched
        """
        pairs = zip(self.grams(image), target, strict=True)
        return torch.stack([(a - b).square().sum() / b.square().sum() for a, b in pairs]).mean()


# on a GPU convolutions of 10 bits would end the line searches early
@torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
def synthesised(
    network: TextureNetwork, phases: np.ndarray, evaluations: Sequence[int], seed: Sequence[int]
) -> tuple[list[np.ndarray], np.ndarray]:
    """Grey images with the texture of a two-phase image: L-BFGS from noise.

    The variables are Fourier coefficients, the larger the longer their wave, of what a logistic
    function takes to 0 to 1: long waves are found as fast as short ones. Where that function is
    flat hardly anything moves, so that each `SOFTENED` evaluations L-BFGS starts anew from the best
    image with its levels kept from 0 and 1. After 400 evaluations that left a quarter less loss
    (VGG19, mean over 40 samples of the job `reconstruction`).

    Parameters
    ----------
    network : whose texture is matched
    phases : (n, n) bool
    evaluations : of the loss and its gradient, after which an image is kept; rising
    seed : of the noise, as `numpy.random.default_rng` takes it

    Returns
    -------
    for each of `evaluations` the (n, n) float32 image of the lowest loss so far, and the loss at
    each evaluation
    """
    n, where = len(phases), network.device
    with torch.no_grad():
        target = network.grams(torch.tensor(phases.astype(np.float32), device=where))
    waves = np.hypot(fft.fftfreq(n)[:, None], fft.fftfreq(n))
    weight = 1 / np.maximum(waves, 1 / n)
    scale = torch.tensor((weight / np.sqrt((weight**2).mean()))[:, : n // 2 + 1]).float().to(where)
    losses: list[float] = []
    kept: dict[int, np.ndarray] = {}
    best = np.empty((n, n), np.float32)

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal best
        variables = torch.tensor(
            flat.reshape(n, n), dtype=torch.float32, device=where, requires_grad=True
        )
        image = torch.sigmoid(torch.fft.irfft2(torch.fft.rfft2(variables) * scale, s=(n, n)))
        loss = network.loss(image, target)
        loss.backward()
        losses.append(loss.item())
        if losses[-1] == min(losses):
            best = image.numpy(force=True)
        if len(losses) in evaluations:
            kept[len(losses)] = best
        assert variables.grad is not None
        return 1e3 * losses[-1], 1e3 * variables.grad.numpy(force=True).astype(float).ravel()

    last = evaluations[-1]
    flat = np.random.default_rng(seed).standard_normal(n * n)
    while len(losses) < last:
        more, before = min(SOFTENED, last - len(losses)), len(losses)
        options = {"maxfun": more, "maxiter": more, "maxcor": 20, "ftol": 0.0, "gtol": 0.0}
        minimize(value, flat, jac=True, method="L-BFGS-B", options=options)
        if len(losses) - before < 2:
            break
        grey = np.clip(best.astype(float), 0.05, 0.95)
        waves = fft.rfft2(np.log(grey / (1 - grey))) / scale.numpy(force=True)
        flat = fft.irfft2(waves, s=(n, n)).ravel()
    return [kept.get(number, best) for number in evaluations], np.array(losses[:last])


def two_means(grey: np.ndarray) -> np.ndarray:
    """Grey levels in two groups (k-means with k = 2): bool, True for the brighter one."""
    threshold = float(grey.mean())
    while True:
        bright = grey > threshold
        if bright.all() or not bright.any():
            return bright
        middle = float((grey[bright].mean() + grey[~bright].mean()) / 2)
        if abs(middle - threshold) < 1e-7:
            return bright
        threshold = middle


# --- the control: a Gaussian field of the same two-point statistics ------------------------------


def gaussian_correlation(two: np.ndarray, fraction: float) -> np.ndarray:
    """Correlation of a Gaussian field whose highest part has given two-point statistics.

    Two normal variables of correlation sin θ are both above t with a chance whose derivative by θ
    is exp(-t² / (1 + sin θ)) / 2π (Plackett 1954; for random media Teubner 1991).

    Parameters
    ----------
    two : chances that both ends of a vector are in the second phase
    fraction : of the second phase, above 0 and below 1

    Returns
    -------
    array of the shape of `two`, from -1 to 1
    """
    threshold = norm.isf(fraction)
    angle = np.linspace(-np.pi / 2, np.pi / 2, 4001)[1:]
    slope = np.exp(-(threshold**2) / (1 + np.sin(angle))) / (2 * np.pi)
    steps = (slope[1:] + slope[:-1]) / 2 * np.diff(angle)
    chance = fraction - np.concatenate([np.cumsum(steps[::-1])[::-1], [0.0]])  # θ = π/2: all
    return np.sin(np.interp(two, chance, angle))


def nearest_spectrum(correlation: np.ndarray, reach: float) -> np.ndarray:
    """The power spectrum, nowhere negative, whose correlation is nearest to a given one.

    Least squares, with a weight that falls from short vectors to long ones. Leaving the negative
    powers out instead would add white noise to the field, and rough edges to its phases.

    Parameters
    ----------
    correlation : (n, n), place 0 is the vector 0; not always that of any field
    reach : pixels, over which the weight falls to 1/e; a tenth of the first stays

    Returns
    -------
    (n, n), at least 0
    """
    n = len(correlation)
    away = fft.fftfreq(n, 1 / n)
    weight = np.exp(-(away[:, None] ** 2 + away**2) / reach**2) + 0.1
    weight[0, 0] *= 50  # the variance

    def distance(flat: np.ndarray) -> tuple[float, np.ndarray]:
        error = fft.fft2(flat.reshape(n, n)).real / n**2 - correlation
        slope = fft.fft2(2 * weight * error).real / n**2
        return 100 * float((weight * error**2).sum()), 100 * slope.ravel()

    start = np.maximum(fft.fft2(correlation).real, 0).ravel()
    bounds = [(0, None)] * n**2
    options = {"maxiter": 200}
    found = minimize(distance, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return found.x.reshape(n, n)


def matched_gaussian(
    phases: np.ndarray, seed: Sequence[int], random_amplitudes: bool = True
) -> np.ndarray:
    """The highest part of a Gaussian field with the two-point statistics and fraction of an image.

    Where no Gaussian field has these, the nearest one: see `nearest_spectrum`. The textbook's draw
    filters white noise: the amplitude of each wave is random (Rayleigh), right on average over
    draws only. With random phases of the waves alone every draw has the spectrum itself, as
    surrogates of a series have (Theiler et al., Physica D 58, 77, 1992).

    Parameters
    ----------
    phases : (n, n) bool, periodic; with both phases
    seed : of the field
    random_amplitudes : False: random are only the phases of the waves

    Returns
    -------
    (n, n) bool
    """
    correlation = gaussian_correlation(two_point(phases), float(phases.mean()))
    power = nearest_spectrum(correlation, len(phases) / 6)
    noise = fft.fft2(np.random.default_rng(seed).standard_normal(phases.shape))
    if not random_amplitudes:
        noise /= np.abs(noise)
    return highest(fft.ifft2(noise * np.sqrt(power)).real, float(phases.mean()))


# --- samples and errors --------------------------------------------------------------------------

SAMPLES = ("gaussian", "layers", "ring", "discs", "cells")


def sample(kind: str, size: int, seed: int) -> np.ndarray:
    """(size, size) bool, one of five kinds: three thresholded Gaussian fields, two that are not.

    Parameters
    ----------
    kind : of `SAMPLES`: isotropic, drawn out along the first axis, with one wavelength, discs that
        may overlap, and what is left between large ones
    size : pixels along an edge
    seed : of the sample; another seed is another sample of the same process

    Raises
    ------
    ValueError
        A kind that is not there.
    """
    shape, centres = (size, size), round(25 * (size / 64) ** 2)
    kinds = {
        "gaussian": Morphology("gaussian", shape, 0.4, (3.0, 3.0)),
        "layers": Morphology("gaussian", shape, 0.4, (8.0, 2.0)),
        "ring": Morphology("ring", shape, 0.5, (10.0, 10.0)),
        "discs": Morphology("spheres", shape, 0.35, centres=centres),
        "cells": Morphology("spheres", shape, 0.7, centres=centres),
    }
    if kind not in kinds:
        raise ValueError(f"kind must be one of {', '.join(SAMPLES)}, not {kind!r}")
    drawn = microstructure(kinds[kind], [seed, SAMPLES.index(kind), 0])
    return ~drawn if kind == "cells" else drawn


def two_point_error(found: np.ndarray, true: np.ndarray) -> float:
    """Mean distance of two-point statistics, in % of f (1 - f): vectors of up to a quarter edge.

    Parameters
    ----------
    found, true : (n, n) bool; f is the fraction of the second
    """
    near = len(true) // 4
    away = np.r_[-near : near + 1]
    difference = np.abs(two_point(found) - two_point(true))[np.ix_(away, away)]
    fraction = true.mean()
    return float(100 * difference.mean() / (fraction * (1 - fraction)))


def lineal_path_error(found: np.ndarray, true: np.ndarray) -> float:
    """Distance of the lineal paths of both phases along both axes, in % of their sum.

    Parameters
    ----------
    found, true : (n, n) bool; lines of up to half an edge
    """
    distance = total = 0.0
    for axis in (0, 1):
        for one, other in ((found, true), (~found, ~true)):
            paths = [lineal_path(phases, axis, len(true) // 2) for phases in (one, other)]
            distance += float(np.abs(paths[0] - paths[1]).sum())
            total += float(paths[1].sum())
    return 100 * distance / total
