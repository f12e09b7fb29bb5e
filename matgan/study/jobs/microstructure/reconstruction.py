"""The job of notebook 44: images with the texture of a sample, by VGG19 and by plain controls."""

from __future__ import annotations

import base64
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from matgan.data.weights import vgg19_convolutions
from matgan.learning.compute import device
from matgan.learning.evaluation import CHANGE, SHARE
from matgan.learning.statistics import mean_interval
from matgan.microstructure import reconstruction
from matgan.microstructure.generation import highest
from matgan.microstructure.reconstruction import SAMPLES, TextureNetwork, sample
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job

VGG, RANDOM = "VGG19", "random weights"
GAUSSIAN, SURROGATE = "Gaussian field", "Gaussian field, phases only"
OTHER_SAMPLE = "another sample"
METHODS = (VGG, RANDOM, GAUSSIAN, SURROGATE, OTHER_SAMPLE)
SIZE = 48
REPEATS = 10
EVALUATIONS = {VGG: 400, RANDOM: 800}  # each until twice as many change little
SLOW = ("ring",)  # samples that need twice as many
ANOTHER = 1000  # added to the seed of a sample
MEAN = np.full(3, 127.5, np.float32)  # that random weights subtract


def error_row(found: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Errors of the statistics of an image, and how far it is a copy of the sample.

    Parameters
    ----------
    found, true : (n, n) bool, the image and the sample

    Returns
    -------
    dict: two_point and lineal_path in %, see `matgan.microstructure.reconstruction`; copy: the
    largest correlation of image and sample over all periodic shifts, 1 for a shifted copy
    """
    waves = np.fft.rfft2(found - found.mean()) * np.fft.rfft2(true - true.mean()).conj()
    together = np.fft.irfft2(waves, s=true.shape) / (true.size * found.std() * true.std())
    return {
        "two_point": reconstruction.two_point_error(found, true),
        "lineal_path": reconstruction.lineal_path_error(found, true),
        "copy": float(together.max()),
    }


def synthesis_rows(
    network: TextureNetwork, kind: str, seed: int, evaluations: tuple[int, ...], size: int = SIZE
) -> Rows:
    """Reconstruct one sample: a row for each number of evaluations.

    Image and loss are those of the lowest loss so far.

    Parameters
    ----------
    network : whose texture is matched
    kind, seed, size : of the sample
    evaluations : rising

    Returns
    -------
    rows with the errors, the fraction that 2-means gives, the loss, and the image as text
    """
    true = sample(kind, size, seed)
    noise = _stream(kind, seed, 2)
    images, losses = reconstruction.synthesised(network, true, evaluations, noise)
    rows: Rows = []
    for number, grey in zip(evaluations, images, strict=True):
        found = highest(grey, float(true.mean()))
        clustered = float(reconstruction.two_means(grey).mean())
        row = {"evaluations": number, **error_row(found, true), "fraction": float(true.mean())}
        row |= {"clustered": clustered, "loss": float(losses[:number].min())}
        rows.append(row | {"image": packed_text(found), "losses": _thinned(losses[:number])})
    return rows


def control_rows(kind: str, seed: int, size: int = SIZE) -> Rows:
    """Gaussian fields of the sample's two-point statistics, and another sample: a row each.

    The two fields are of the same noise; that of random phases alone (`SURROGATE`) is free of the
    chance that amplitudes add, so that it is nearer to the sample.

    Parameters
    ----------
    kind, seed, size : of the sample
    """
    true, noise = sample(kind, size, seed), _stream(kind, seed, 3)
    found = {
        GAUSSIAN: reconstruction.matched_gaussian(true, noise),
        SURROGATE: reconstruction.matched_gaussian(true, noise, random_amplitudes=False),
        OTHER_SAMPLE: sample(kind, size, seed + ANOTHER),
    }
    return [
        {"method": method, "evaluations": 0, **error_row(image, true)}
        | {"fraction": float(image.mean()), "image": packed_text(image)}
        for method, image in found.items()
    ]


def _stream(kind: str, seed: int, purpose: int) -> list[int]:
    """Seed of a random stream that no sample (purpose 0) and no weights (1) are drawn from.

    The noise that a sample was filtered from would lead a synthesis straight back to it.
    """
    return [seed, SAMPLES.index(kind), purpose]


def packed_text(phases: np.ndarray) -> str:
    """A square two-phase image, eight pixels a byte, in base 64."""
    return base64.b64encode(np.packbits(phases).tobytes()).decode()


def image_of_text(text: str) -> np.ndarray:
    """The (n, n) bool image of `packed_text`; n² must be divisible by eight."""
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8)).astype(bool)
    return bits.reshape(2 * (round(len(bits) ** 0.5),))


def _thinned(losses: np.ndarray) -> str:
    """Lowest loss so far after 1, 2, 5, 10, … evaluations, and after all."""
    steps = {base * 10**power for power in range(4) for base in (1, 2, 5)}
    shown = sorted({n for n in steps if n < len(losses)} | {len(losses)})
    return " ".join(f"{n}:{losses[:n].min():.3g}" for n in shown)


def loss_curve(text: str) -> pd.Series:
    """Lowest loss so far by evaluation, from the column losses."""
    pairs = [pair.split(":") for pair in text.split()]
    return pd.Series({int(n): float(loss) for n, loss in pairs})


def shorter(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that are compared: without those of syntheses that went on for twice as long."""
    fewest = table.groupby(["method", "kind"])["evaluations"].transform("min")
    return table[table["evaluations"] == fewest]


def difference_by_kind(table: pd.DataFrame, score: str, *controls: str) -> dict[str, np.ndarray]:
    """VGG19's error minus a control's on the same samples: an array over repeats for each kind.

    Parameters
    ----------
    table : of the job; the `shorter` syntheses count
    score : the column
    controls : a method, or several: then the one with the lowest mean error on that kind

    Returns
    -------
    NaN where VGG19 or one of the controls is missing
    """
    wide = shorter(table).pivot_table(score, ["kind", "seed"], "method")
    found = {}
    for kind in dict.fromkeys(table["kind"]):
        part = wide.loc[kind].reindex(columns=[VGG, *controls])
        # a control with a gap comes first, so that nothing is said without it
        means = part[list(controls)].mean(skipna=False).fillna(-np.inf)
        found[kind] = (part[VGG] - part[means.idxmin()]).to_numpy()
    return found


def settled_by_kind(table: pd.DataFrame, score: str, *controls: str) -> dict[str, bool]:
    """Whether longer syntheses could not change what is said of VGG19 and a kind of sample.

    Twice the evaluations change the errors of VGG19 and of the controls that are synthesised by
    less than 2%, and VGG19's by less than half of the lead; or the interval of the difference holds
    0 with either.

    Parameters
    ----------
    table, score, controls : as `difference_by_kind` takes them

    Returns
    -------
    False for each kind where nothing was synthesised for twice as long
    """
    usual = shorter(table)
    twice = table.drop(usual.index[usual["evaluations"] > 0])
    once, later = (difference_by_kind(of, score, *controls) for of in (usual, twice))
    synthesised = {method: changes_when_longer(table, method, score) for method in (VGG, *controls)}
    own = usual[usual["method"] == VGG].groupby("kind")[score].mean()
    found = {}
    for kind, difference in once.items():
        changes = {m: abs(of[kind]) for m, of in synthesised.items() if kind in of}
        whole = [of[kind] for of in (once, later) if np.isfinite(of[kind]).all()]
        ends = [mean_interval(list(values)) for values in whole]
        small = all(change < CHANGE for change in changes.values())
        lead = abs(float(np.mean(difference)))
        found[kind] = VGG in changes and bool(
            (small and changes[VGG] * own[kind] < SHARE * lead)
            or (len(ends) == 2 and all(one.low < 0 < one.high for one in ends))
        )
    return found


def changes_when_longer(table: pd.DataFrame, method: str, score: str) -> pd.Series:
    """Relative change of a method's mean error with twice the evaluations, by kind of sample.

    Parameters
    ----------
    table : of the job
    method, score : whose error, and the column

    Returns
    -------
    empty where nothing was synthesised for twice as long
    """
    part = table[table["method"] == method]
    ends = part.sort_values("evaluations").groupby(["kind", "seed"])[score].agg(list)
    both = pd.DataFrame(ends[ends.str.len() == 2].to_dict(), index=["once", "twice"]).T
    means = both.groupby(level=0).mean()
    return means["twice"] / means["once"] - 1


def texture_network(method: str, seed: int) -> TextureNetwork:
    """VGG19 with its weights, which may be downloaded, or with random ones.

    Parameters
    ----------
    method : `VGG` or `RANDOM`
    seed : of random weights
    """
    if method == VGG:
        return TextureNetwork(*vgg19_convolutions(), device=device())
    return TextureNetwork(reconstruction.random_convolutions(seed), MEAN, device=device())


def evaluations_of(method: str, kind: str) -> int:
    """After how many evaluations an image of a method is compared; it goes on for as many."""
    return EVALUATIONS[method] * (2 if kind in SLOW else 1)


def synthesis_piece(method: str, kind: str, folder: Path) -> Rows:
    """All repeats of one kind of sample; each goes on for twice as long, to see if it moves."""
    rows, network, number = [], texture_network(method, 0), evaluations_of(method, kind)
    for seed in range(REPEATS):
        if method == RANDOM:
            network = texture_network(method, seed)
        found = synthesis_rows(network, kind, seed, (number, 2 * number))
        rows += [{"kind": kind, "method": method, "seed": seed, **row} for row in found]
    return _slim(rows)


def control_piece(kind: str, folder: Path) -> Rows:
    """All repeats of one kind of sample, by the methods without a network."""
    rows = [
        {"kind": kind, "seed": seed, **row}
        for seed in range(REPEATS)
        for row in control_rows(kind, seed)
    ]
    return _slim(rows)


def _slim(rows: Rows) -> Rows:
    """Images and losses of the first repeat only."""
    for row in rows:
        if row["seed"]:
            row.pop("image"), row.pop("losses", None)
    return rows


def _pieces() -> dict[str, Piece]:
    pieces: dict[str, Piece] = {
        f"controls-{kind}": partial(control_piece, kind) for kind in SAMPLES
    }
    for word, method in (("vgg", VGG), ("random", RANDOM)):
        for kind in SAMPLES:
            key = f"{word}-{kind}-{evaluations_of(method, kind)}"
            pieces[key] = partial(synthesis_piece, method, kind)
    return pieces


JOBS = [
    Job(
        "reconstruction",
        "images with the texture of five kinds of samples: VGG19, random weights, Gaussian fields",
        1.5,
        _pieces,
    )
]
