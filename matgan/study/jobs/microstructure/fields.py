"""The images of notebook 43: thresholded Gaussian fields of many lengths, numbered."""

from __future__ import annotations

import numpy as np

from matgan.microstructure.generation import Morphology, microstructure

FIELD_RANGE = (2.0, 8.0)  # pixels: the shortest and the longest of the fields
SHARE = 0.5  # of the second phase, in every image


def field(number: int, size: int = 64, length: float = 0.0, seed: int = 0) -> np.ndarray:
    """A thresholded Gaussian field, one of a numbered series.

    Parameters
    ----------
    number : of the image
    size : pixels along an edge
    length : of the covariance, pixels; 0: drawn between `FIELD_RANGE`, evenly in its logarithm
    seed : of the series

    Returns
    -------
    (size, size) bool, half of it the second phase
    """
    if not length:
        length = float(
            np.exp(np.random.default_rng([seed, number, 0]).uniform(*np.log(FIELD_RANGE)))
        )
    morphology = Morphology("gaussian", (size, size), SHARE, (length, length))
    return microstructure(morphology, [seed, number, 1])


def fields(numbers, size: int = 64, length: float = 0.0, seed: int = 0) -> np.ndarray:
    """(n, size, size) bool: several of `field`."""
    return np.stack([field(int(number), size, length, seed) for number in numbers])
