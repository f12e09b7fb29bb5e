"""Screening of generated compositions: predict a property with its uncertainty, and rank.

The paper proposes this as the use of its generator. What it can't tell: a composition with a low
formation energy need not be stable, since its competitors may lie lower still.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin, TransformerMixin, clone

from matgan.chemistry.composition import (
    LARGEST_COUNT,
    among,
    amounts_matrix,
    formulas,
    fractions,
    keys,
    reduced,
    whole_counts,
)
from matgan.chemistry.inputs import Compositions
from matgan.chemistry.validity import electronegativity_balanced
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.representation.benchmark import (
    FOREST,
    SYSTEM,
    chosen_settings,
    feature_sets,
    random_forest,
)

WITHOUT_NOTEBOOK_4 = "one-hot fractions"  # features where nothing says which are best

_TREES = 50  # of each forest of an ensemble


@dataclass(frozen=True)
class Choice:
    """Features and an unfitted regressor, and why these."""

    features: str
    transformer: TransformerMixin
    model: RegressorMixin
    reason: str


def best_regressor(
    scores: pd.DataFrame | None,
    searches: pd.DataFrame | None,
    dataset: str,
    model: FullyConnectedRegressor,
    split: str = SYSTEM,
) -> Choice:
    """The features and the regressor with the lowest mean absolute error in notebook 4.

    Counted are those that can be fitted anew: the feature sets of the network, and the random
    forest. The look-up of the nearest compositions is not among them, since an ensemble of it would
    have no spread.

    Parameters
    ----------
    scores, searches : tables table4 and table4_search of notebook 4; None where it has not run
    dataset : as in these tables
    model : unfitted; its epochs, batch size and random state are kept, its scaling and learning
        rate replaced by those that notebook 4 chose
    split : whose errors decide. Most new compositions are of new chemical systems.
    """
    makers = feature_sets(model.random_state)
    if scores is not None:
        part = scores[(scores["dataset"] == dataset) & (scores["split"] == split)]
        mae = part.groupby("features", sort=False)["mae"].mean().dropna()
        mae = mae[[name in makers or name == FOREST for name in mae.index]]
    if scores is None or mae.empty:
        reason = f"not chosen: notebook 4 has not run here on {dataset}"
        transformer = makers[WITHOUT_NOTEBOOK_4]()
        return Choice(WITHOUT_NOTEBOOK_4, transformer, clone(model), reason)
    best = str(mae.idxmin())
    reason = f"lowest error of {len(mae)} in notebook 4, {mae.min():.3g} ({dataset}, {split})"
    if best == FOREST:
        return Choice(best, makers["Magpie"](), random_forest(model.random_state, _TREES), reason)
    if searches is not None:
        model = chosen_settings(searches, dataset, best, model)
    return Choice(best, makers[best](), clone(model), reason)


@dataclass
class Ensemble:
    """Regressors that differ in their random state and in the compounds they learned from.

    Their spread tells where they disagree (Lakshminarayanan et al., NeurIPS 2017), in no unit that
    could be read as an error until `calibrate` sets one.

    Attributes
    ----------
    members : regressors fitted to features (n, d)
    transformer : makes the features of n compositions
    factor : half width of an interval over the spread; NaN until calibrated
    floor : added to the spread, so that members that agree by chance promise no certainty; the
        median spread, once calibrated
    """

    members: Sequence[RegressorMixin]
    transformer: TransformerMixin
    factor: float = float("nan")
    floor: float = 0.0

    def predict(
        self, compounds: Iterable, on_error: str = "raise", suspicious: str = "raise"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and half width of the interval for each of n compositions: (n,), (n,).

        Compositions, on_error and suspicious as in `matgan.chemistry.composition.amounts_matrix`.
        """
        given = Compositions(compounds, on_error, suspicious)
        mean, half = np.empty(len(given)), np.empty(len(given))
        rows, amounts = given.read()
        mean[rows], spread = self._mean_and_spread(amounts)
        half[rows] = self.factor * (spread + self.floor)
        return given.finish(mean), given.finish(half)

    def bounds(self, compounds: Iterable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, low and high end of the interval, (n,) each: a `matgan.wgan.wishes.Property`."""
        mean, half = self.predict(compounds)
        return mean, mean - half, mean + half

    def calibrate(self, compounds: Iterable, targets: np.ndarray, level: float = 0.9) -> None:
        """Set `factor`, so that a share `level` of these intervals hold the target.

        Locally weighted split conformal prediction (Lei et al., J. Am. Stat. Assoc. 2018, 113,
        1094): the share holds for other compositions drawn like these, and for no others.

        Parameters
        ----------
        compounds, targets : n compositions and (n,), not trained on
        level : of the intervals, between 0 and 1

        Raises
        ------
        ValueError
            A level that is no share, too few compositions for it, or targets that do not fit them.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, not {level}")
        amounts = amounts_matrix(compounds)
        targets = _finite(targets, len(amounts))
        rank = int(np.ceil((len(targets) + 1) * level))
        if rank > len(targets):
            raise ValueError(f"{len(targets)} compositions are too few for the level {level}")
        mean, spread = self._mean_and_spread(amounts)
        floor = float(np.median(spread))
        ratio = np.sort(np.abs(targets - mean) / (spread + floor))
        self.floor, self.factor = floor, float(ratio[rank - 1])

    def _mean_and_spread(self, amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not len(amounts):  # which regressors refuse
            return np.zeros(0), np.zeros(0)
        X = self.transformer.transform(amounts)
        predicted = np.stack([member.predict(X) for member in self.members])
        return predicted.mean(axis=0), predicted.std(axis=0)


def fit_ensemble(
    choice: Choice,
    compounds: Iterable,
    targets: np.ndarray,
    n_members: int = 4,
    n_rows: int = 0,
) -> Ensemble:
    """Fit copies of a regressor with the random states s, s + 1, …

    Parameters
    ----------
    choice : its regressor has an integer random_state s
    compounds, targets : n compositions and (n,)
    n_members : at least two
    n_rows : compounds that each member learns from, its own choice of them; 0: two thirds

    Raises
    ------
    ValueError
        Fewer than two members, a negative n_rows, or targets that do not fit the compounds.
    """
    if n_members < 2:
        raise ValueError(f"an ensemble has two members or more, not {n_members}")
    if n_rows < 0:
        raise ValueError(f"n_rows must not be negative: {n_rows}")
    amounts = amounts_matrix(compounds)
    targets = _finite(targets, len(amounts))
    transformer, members = choice.transformer.fit(amounts), []
    first, n_rows = choice.model.random_state, n_rows or max(1, 2 * len(targets) // 3)
    for seed in range(first, first + n_members):
        rows = np.random.default_rng(seed).permutation(len(targets))[:n_rows]
        member = clone(choice.model).set_params(random_state=seed)
        members.append(member.fit(transformer.transform(amounts[rows]), targets[rows]))
    return Ensemble(members, transformer)


def _finite(targets: np.ndarray, n: int) -> np.ndarray:
    """The targets of n compositions as numbers; ValueError where one is missing or no number."""
    targets = np.asarray(targets, dtype=float)
    if targets.shape != (n,):
        raise ValueError(f"{n} compositions have {n} targets, not an array {targets.shape}")
    if not np.isfinite(targets).all():
        row = int(np.argmin(np.isfinite(targets)))
        raise ValueError(f"the target of row {row} is {targets[row]}")
    return targets


def new_compositions(counts: Iterable, known: Iterable) -> tuple[np.ndarray, np.ndarray]:
    """The distinct compositions that are not among the known ones, those drawn most often first.

    Parameters
    ----------
    counts : n generated compositions as drawn, in any form that `amounts_matrix` takes
    known : compositions, or their `matgan.chemistry.composition.keys`

    Returns
    -------
    distinct : (m, 85) uint8
    drawn : (m,) int, how often
    """
    counts = whole_counts(counts, LARGEST_COUNT)
    _, first, drawn = np.unique(keys(counts), return_index=True, return_counts=True)
    new = ~among(counts[first], known)
    first, drawn = first[new], drawn[new]
    order = np.lexsort([first, -drawn])
    return counts[first[order]], drawn[order]


def screen(
    counts: Iterable, known: Iterable, ensemble: Ensemble, highest: bool = False
) -> pd.DataFrame:
    """The new compositions that are neutral and balanced, those sure to be low (or high) first.

    Parameters
    ----------
    counts, known : as in `new_compositions`
    ensemble : calibrated
    highest : high values are wanted, not low ones

    Returns
    -------
    DataFrame: formula, times drawn, predicted, low and high end of the interval; sorted by the
    end on the unwanted side, so that a good prediction counts for little where the ensemble is
    unsure

    Raises
    ------
    ValueError
        The ensemble is not calibrated: it has no intervals to sort by.
    """
    if not np.isfinite(ensemble.factor):
        raise ValueError("the ensemble has no intervals yet: calibrate it on compounds held out")
    distinct, drawn = new_compositions(counts, known)
    valid = electronegativity_balanced(distinct)
    candidates = reduced(distinct[valid])
    mean, half = ensemble.predict(candidates)
    table = pd.DataFrame(
        {
            "formula": formulas(candidates),
            "times drawn": drawn[valid],
            "predicted": mean,
            "low": mean - half,
            "high": mean + half,
        }
    )
    if highest:
        return table.sort_values(["low", "formula"], ascending=[False, True], ignore_index=True)
    return table.sort_values(["high", "formula"], ignore_index=True)


def nearest_known(
    compounds: Iterable,
    known: pd.DataFrame,
    on_error: str = "raise",
    suspicious: str = "raise",
) -> pd.DataFrame:
    """The known compound whose composition is nearest to each of some others.

    Parameters
    ----------
    compounds : n compositions
    known : formula, target
    on_error, suspicious : as in `matgan.chemistry.composition.amounts_matrix`

    Returns
    -------
    DataFrame: nearest (formula), its target, distance Σ|x_e - x'_e| of the atomic fractions x,
    from 0 to 2; n rows, with the index of the compounds where they have one

    Raises
    ------
    ValueError
        There are no known compounds.
    CompositionError
        With on_error="raise": the first row that is no composition.
    """
    given = Compositions(compounds, on_error, suspicious)
    if known.empty:
        raise ValueError("there are no known compounds")
    theirs = fractions(known["formula"])
    at, distance = np.zeros(len(given), dtype=int), np.empty(len(given))
    rows, amounts = given.read()
    for row, ours in zip(rows, fractions(amounts), strict=True):
        apart = np.abs(theirs - ours).sum(axis=1)
        at[row] = apart.argmin()
        distance[row] = apart[at[row]]
    table = known.iloc[at][["formula", "target"]].rename(columns={"formula": "nearest"})
    table = table.assign(distance=distance)
    table = table.set_axis(pd.RangeIndex(len(given)) if given.index is None else given.index)
    if on_error == "nan":
        return table.where(np.broadcast_to(given.good[:, None], table.shape))
    return table[given.good]
