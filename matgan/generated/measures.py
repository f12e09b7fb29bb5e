"""How good generated compositions are: the measures of the field.

Each takes compositions of whole amounts, counts (n, 85) or any other form that
`matgan.chemistry.composition.amounts_matrix` takes. A row that is none is an error: a share of the
others would be another measure. Leave it out beforehand, with `amounts_matrix(…, "drop")`.

A divergence or an AUC is no grade by itself: real compositions that were held out have one too,
and it depends on how many there are. Compare with theirs, and with those of `generated.controls`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from matgan.chemistry.composition import LARGEST_COUNT, among, keys, whole_counts
from matgan.chemistry.elements import N_ELEMENTS
from matgan.chemistry.metallicity import all_metal
from matgan.chemistry.validity import charge_neutral, electronegativity_balanced
from matgan.generated.pairs import element_pairs
from matgan.learning.statistics import holm, jensen_shannon, mean_interval, welch_p

# what the trees of the two-sample test see -> argument of `two_sample_auc`
AUC_SEEN = {"counts": False, "counts and stoichiometry": True}


def no_wider(counts: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The rows of counts that have no more elements than any of the known compositions.

    A saturated sigmoid sets every element once: a matrix that reads as a formula of 85 elements.
    """
    return counts[(counts > 0).sum(1) <= (known > 0).sum(1).max()]


def uniqueness(counts: Iterable) -> float:
    """Share of distinct compositions (Dan et al., npj Comput. Mater. 2020, 6, 84). Falls with n."""
    drawn = keys(counts)
    return len(np.unique(drawn)) / len(drawn)


def novelty(counts: Iterable, known: Iterable) -> float:
    """Share of the distinct compositions that are not among the known ones (Dan et al. 2020)."""
    distinct = np.unique(keys(counts))
    return float((~among(distinct, known)).mean())


def recovery(counts: Iterable, held_out: Iterable, sizes: Sequence[int]) -> list[float]:
    """Share of held-out compounds found among the first samples (Dan et al. 2020).

    Parameters
    ----------
    counts : n samples in the order in which they were drawn
    held_out : m compounds that were not trained on
    sizes : numbers of samples, at most n

    Returns
    -------
    list of float, one for each size

    Raises
    ------
    ValueError
        A size above n.
    """
    samples = keys(counts)
    if max(sizes) > len(samples):
        raise ValueError(f"there are {len(samples)} samples, but sizes go to {max(sizes)}")
    wanted = np.unique(keys(held_out))
    drawn, first = np.unique(samples, return_index=True)
    found = first[among(drawn, wanted)]
    return [float((found < size).sum() / len(wanted)) for size in sizes]


def element_divergence(counts: Iterable, real: Iterable) -> float:
    """Jensen-Shannon divergence of how often each element occurs, in bits."""
    return jensen_shannon(*((_counts(part) > 0).sum(axis=0) for part in (counts, real)))


def stoichiometry_divergence(counts: Iterable, real: Iterable) -> float:
    """Jensen-Shannon divergence of how often each stoichiometry (A, AB, AB2, AB2C, …) occurs."""
    patterns = [keys(np.sort(_counts(part), axis=1)) for part in (counts, real)]
    _, pattern = np.unique(np.concatenate(patterns), return_inverse=True)
    ours, theirs = pattern[: len(patterns[0])], pattern[len(patterns[0]) :]
    n = pattern.max() + 1
    return jensen_shannon(np.bincount(ours, minlength=n), np.bincount(theirs, minlength=n))


def pair_divergence(counts: Iterable, real: Iterable) -> float:
    """Jensen-Shannon divergence of how often each pair of elements occurs together, in bits."""
    upper = np.triu_indices(N_ELEMENTS, 1)
    return jensen_shannon(element_pairs(counts)[upper], element_pairs(real)[upper])


def two_sample_auc(
    counts: Iterable,
    real: Iterable,
    seed: int = 0,
    n: int = 8000,
    folds: int = 5,
    stoichiometry: bool = True,
) -> float:
    """How well a classifier tells generated from real compositions: 0.5 not at all, 1 always.

    Classifier two-sample test (Lopez-Paz and Oquab, ICLR 2017), with the area under the ROC curve
    in place of the accuracy. Gradient-boosted trees, scored by cross-validation.

    Parameters
    ----------
    counts, real : compositions
    seed : of the choice of compositions, the folds and the trees
    n : compositions taken of each, less where there are less
    folds : of the cross-validation
    stoichiometry : the trees see more than the counts of the 85 elements: the number of elements
        and of atoms, and the counts in falling order. A stoichiometry that real compounds do not
        have (A5B7C) is hard to notice one element at a time, so this test is the stricter one.

    Raises
    ------
    ValueError
        Fewer than two compositions of each kind for a fold.
    """
    rng = np.random.default_rng(seed)
    counts, real = _counts(counts), _counts(real)
    n = min(n, len(counts), len(real))
    if n < 2 * folds:
        raise ValueError(f"a two-sample test needs {2 * folds} compositions of each kind, not {n}")
    parts = [part[rng.choice(len(part), n, replace=False)] for part in (counts, real)]
    X, y = np.concatenate(parts), np.repeat([0, 1], n)
    if stoichiometry:
        falling = -np.sort(-X.astype(int), axis=1)[:, :8]
        X = np.column_stack([X, (X > 0).sum(axis=1), X.sum(axis=1), falling])
    score = np.empty(2 * n)
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(X, y):
        # counts have few values: 64 bins hold them all, and save a quarter of the time of 255
        trees = HistGradientBoostingClassifier(max_bins=64, random_state=seed)
        trees.fit(X[train], y[train])
        score[test] = trees.predict_proba(X[test])[:, 1]
    return float(roc_auc_score(y, score))


def energy_distance(generated: np.ndarray, real: np.ndarray) -> float:
    """Wasserstein distance between two samples of predicted formation energies, in their unit.

    The measure 'd_E' of Xie et al. (CDVAE, ICLR 2022), with energies of compositions in place of
    densities or energies of structures; both must come from the same model.
    """
    return float(stats.wasserstein_distance(generated, real))


def validity_rates(counts: Iterable, oxidation_states: object = "smact14") -> dict[str, float]:
    """Shares of neutral and of balanced compositions, of all and of those that hold a non-metal.

    "balanced" means neutral and balanced. No exception is made for alloys (see
    `matgan.chemistry.validity.charge_neutral`). A share of nothing is NaN.
    """
    counts = _counts(counts)
    neutral = charge_neutral(counts, oxidation_states)
    balanced = electronegativity_balanced(counts, oxidation_states)
    mixed = ~all_metal(counts)
    return {
        "neutral": _mean(neutral),
        "balanced": _mean(balanced),
        "not all metal": _mean(mixed),
        "neutral, not all metal": _mean(neutral[mixed]),
        "balanced, not all metal": _mean(balanced[mixed]),
    }


def _counts(compositions: Iterable) -> np.ndarray:
    return whole_counts(compositions, LARGEST_COUNT)


def _mean(flags: np.ndarray) -> float:
    return float(flags.mean()) if len(flags) else float("nan")


def evaluate_compositions(
    counts: Iterable,
    train: Iterable,
    held_out: Iterable,
    *,
    seed: int = 0,
    known: Iterable | None = None,
    n_raw: int | None = None,
    sizes: Sequence[int] = (1_000, 10_000, 100_000),
    oxidation_states: object = "smact14",
    auc_samples: int = 8000,
    auc_folds: int = 5,
) -> dict[str, float]:
    """All measures of one sample.

    Parameters
    ----------
    counts : n generated compositions, each with at least two elements, as drawn
    train : what the generator was trained on; or its `matgan.chemistry.composition.keys`
    held_out : real compositions that it was not trained on
    seed : of the two-sample test
    known : all compounds that are known, or their `keys`; novelty against them too
    n_raw : how many samples were drawn to get these n, if some decoded to nothing
    sizes : numbers of samples at which the recovery is taken; those above n are left out
    oxidation_states : as in `matgan.chemistry.validity.charge_neutral`
    auc_samples, auc_folds : n and folds of `two_sample_auc`

    Returns
    -------
    dict from measure to value, NaN where a sample is too small for it
    """
    counts, held_out = _counts(counts), _counts(held_out)
    n = len(counts)
    out = {"decodable": n / (n if n_raw is None else n_raw) if n or n_raw else float("nan")}
    out |= validity_rates(counts, oxidation_states)
    nothing = float("nan")
    out["unique"] = uniqueness(counts) if n else nothing
    out["novel"] = novelty(counts, train) if n else nothing
    if known is not None:
        out["novel, all known"] = novelty(counts, known) if n else nothing
    if enough := [size for size in sizes if size <= n]:
        shares = recovery(counts, held_out, enough)
        out |= {f"recovered in {s:,}": share for s, share in zip(enough, shares, strict=True)}
    for name, divergence in {
        "element divergence (bits)": element_divergence,
        "stoichiometry divergence (bits)": stoichiometry_divergence,
        "element-pair divergence (bits)": pair_divergence,
    }.items():
        out[name] = divergence(counts, held_out) if n else nothing
    for seen, stoichiometry in AUC_SEEN.items():
        test = (seed, auc_samples, auc_folds, stoichiometry)
        auc = two_sample_auc(counts, held_out, *test) if n >= 100 else nothing
        out[f"two-sample AUC ({seen})"] = auc
    return out


def over_seeds(table: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Mean and interval of each data set, measure and model, in the order of the table.

    Where a model was trained several times, the samples of one network are averaged first, and the
    interval is that over the networks: samples of one network say nothing about another training.

    Parameters
    ----------
    table : columns data, measure, model, weights, seed, value; rows without a value are left out.
        "weights" names the network that drew a sample, "" where there is none.
    level : of the interval, by Student's t; NaN for one value

    Returns
    -------
    DataFrame with the columns data, measure, model, mean, low, high, interval over ("networks" or
    "samples") and n, how many of these there are
    """
    groups = table.dropna(subset="value").groupby(["data", "measure", "model"], sort=False)
    rows = []
    for names, part in groups:
        values, over = _independent(part)
        found = mean_interval(values, level=level)
        rows.append((*names, found.mean, found.low, found.high, over, len(values)))
    columns = ["data", "measure", "model", "mean", "low", "high", "interval over", "n"]
    return pd.DataFrame(rows, columns=columns)


def _independent(part: pd.DataFrame) -> tuple[pd.Series, str]:
    """Values of one model that count as independent, and over what: networks or samples."""
    networks = part.groupby("weights", dropna=False)["value"].mean()
    return (networks, "networks") if len(networks) > 1 else (part["value"], "samples")


def differences(table: pd.DataFrame, model: str, others: Sequence[str]) -> pd.DataFrame:
    """Is one model better or worse than others, or only by chance? Welch's t-test over seeds.

    Biometrika 1947, 34, 28: the two sets of values may vary unequally. p values by Holm over the
    others of one data set and measure.

    Parameters
    ----------
    table : as for `over_seeds`
    model, others : models of the table; left out are those that are not in it, or only once

    Returns
    -------
    DataFrame: data, measure, other, difference (mean of the model minus that of the other), p_holm
    """
    rows = []
    for names, part in table.dropna(subset="value").groupby(["data", "measure"], sort=False):
        values = {name: _independent(of)[0] for name, of in part.groupby("model")}
        values = {name: some for name, some in values.items() if len(some) > 1}
        found = [other for other in others if other in values] if model in values else []
        p = [welch_p(values[model], values[other]) for other in found]
        for other, adjusted in zip(found, holm(p), strict=True):
            rows.append((*names, other, values[model].mean() - values[other].mean(), adjusted))
    return pd.DataFrame(rows, columns=["data", "measure", "other", "difference", "p_holm"])
