"""Ways from a task's compounds to predictions, with and without what was learned elsewhere.

Every way learns from the training part alone and stops, or chooses its threshold, by the validation
part. Their combination is chosen by the validation part, too; the test part is only predicted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from matgan.chemistry.elements import N_ELEMENTS
from matgan.data.tasks import FOLD_PARTS
from matgan.representation.encoder.estimator import CompositionEncoder, load_encoder
from matgan.representation.encoder.sources import read_amounts
from matgan.representation.encoder.trees import GatedTrees
from matgan.representation.features import Magpie, OneHot, PooledEmbedding

TREES_RATE = 0.06  # learning rate of the trees: as on the leaderboards, in half the time of 0.03
PICKS = 20  # models that a combination is made of, beside one of each


@dataclass(frozen=True)
class Compounds:
    """The compounds of one fold of a task that the 85 elements can write.

    Attributes
    ----------
    amounts : (n, 85)
    target : (n,)
    rows : {"train", "val", "test": rows of that part}
    lost_target : of the test compounds that hold another element
    """

    amounts: np.ndarray
    target: np.ndarray
    rows: dict[str, np.ndarray]
    lost_target: np.ndarray

    def error(self, predicted: np.ndarray, part: str) -> float:
        """Mean absolute error of a part; a lost test compound gets the training part's median."""
        error = np.abs(predicted[self.rows[part]] - self.target[self.rows[part]])
        if part == "test":
            median = np.median(self.target[self.rows["train"]])
            error = np.append(error, np.abs(self.lost_target - median))
        return float(error.mean())

    def fewer(self, labels: int, seed: int) -> Compounds:
        """The same test part, and so many labels of the others, drawn at random: a fifth validates.

        A smaller number of the same seed takes some of the same labels.
        """
        known = np.concatenate([self.rows["train"], self.rows["val"]])
        if not 5 <= labels <= len(known):
            raise ValueError(f"labels must be from 5 to {len(known)}, all there are, not {labels}")
        drawn = np.random.default_rng(seed).permutation(known)[:labels]
        val, train = np.sort(drawn[: labels // 5]), np.sort(drawn[labels // 5 :])
        return replace(self, rows=self.rows | {"train": train, "val": val})


def read_compounds(fold: pd.DataFrame) -> Compounds:
    """Compounds of a fold as `matgan.data.tasks.load_task_fold` gives it."""
    amounts, there = read_amounts(fold["formula"].tolist())
    split, target = fold["split"].to_numpy(str), fold["target"].to_numpy(float)
    rows = {part: np.flatnonzero(split[there] == part) for part in FOLD_PARTS}
    return Compounds(amounts, target[there], rows, target[~there & (split == "test")])


def plain_features(amounts: np.ndarray) -> np.ndarray:
    """(n, 218) float32: atomic fractions, Magpie's statistics, atoms of the formula as written."""
    parts = [OneHot(fractions=True, dtype=np.float32), Magpie(dtype=np.float32)]
    columns = [part.fit_transform(amounts) for part in parts]
    return np.hstack([*columns, amounts.sum(axis=1, keepdims=True)]).astype(np.float32)


def source_features(source: CompositionEncoder, amounts: np.ndarray) -> np.ndarray:
    """(n, 2 m + width) float32: what an encoder predicts, how sure it is, and its vectors."""
    value, scale = source.predict(amounts, return_scale=True)
    many = [part.reshape(len(amounts), -1) for part in (value, scale)]
    return np.hstack([*many, source.transform(amounts)]).astype(np.float32)


def permuted(source: CompositionEncoder, path: Path, seed: int = 0) -> CompositionEncoder:
    """The same encoder with its elements mixed up, written to a file, too: the matched control.

    Every weight is there, none belongs to the element that it was learned for.
    """
    source.save(path)
    mixed = load_encoder(path)
    (table,) = (part for part in mixed.network_.modules() if isinstance(part, nn.Embedding))
    order = np.random.default_rng(seed).permutation(N_ELEMENTS)
    with torch.no_grad():
        table.weight.copy_(table.weight[order])
    mixed.save(path)
    return mixed


def with_table(amounts: np.ndarray, table: pd.DataFrame) -> np.ndarray:
    """(n, 218 + d) float32: beside `plain_features` the mean of an element table (85, d)."""
    pooled = PooledEmbedding(table, pool="mean", dtype=np.float32).fit_transform(amounts)
    return np.hstack([plain_features(amounts), pooled])


def by_trees(
    compounds: Compounds, features: np.ndarray, seed: int, rate: float = TREES_RATE
) -> np.ndarray:
    """(n,) predictions of boosted trees, at a learning rate, for all compounds of the fold."""
    rows = compounds.rows
    parts = (data[rows[part]] for part in ("train", "val") for data in (features, compounds.target))
    trees = GatedTrees(learning_rate=rate, random_state=seed)
    return trees.fit(*parts).predict(features)


def by_encoder(compounds: Compounds, encoder: CompositionEncoder) -> np.ndarray:
    """(n,) predictions of an encoder, which learns here, for all compounds of the fold."""
    rows = compounds.rows["train"]
    encoder.fit(compounds.amounts[rows], compounds.target[rows])
    return encoder.predict(compounds.amounts)


def combination(validated: np.ndarray, target: np.ndarray, picks: int = PICKS) -> np.ndarray:
    """Weights (m,) of m models, from their predictions (m, n) of a validation part.

    Each model counts once; then, some times over, the one is added whose addition makes the mean's
    absolute error lowest (Caruana et al. 2004, begun with all models so that a small part decides
    little).
    """
    taken = np.ones(len(validated))
    for _ in range(picks):
        total = taken @ validated
        means = (total + validated) / (taken.sum() + 1)
        taken[np.abs(means - target).mean(axis=1).argmin()] += 1
    return taken / taken.sum()
