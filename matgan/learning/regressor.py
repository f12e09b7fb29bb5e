"""Scaling of a network's inputs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, check_X_y, validate_data

from matgan.learning.compute import device
from matgan.learning.perceptron import CHUNK, Scaling, Training, forward, train
from matgan.learning.statistics import scores

INPUT_SCALINGS = (None, "standard", "max-abs", "robust", "common")
LIMIT = 5.0  # no training value of a "standard" or "robust" column lies further out


def input_scale(X: np.ndarray, how: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Shift and scale of each column, so that (X - shift) * scale suits a network.

    Parameters
    ----------
    X : (n, d) array, the training part
    how : {None, "standard", "max-abs", "robust", "common"}
        None: as it is; "standard": mean 0, standard deviation 1; "max-abs": largest absolute value
        1; "robust": median 0, distance of the quartiles 1; "common": one factor for all columns,
        which keeps their proportions: root mean square of the whole matrix 1.

    Returns
    -------
    shift, scale : (d,) float64 arrays

    Raises
    ------
    ValueError
        An unknown `how`.

    Notes
    -----
    A one-hot column of an element that few training compounds hold has a tiny standard deviation
    and quartiles of 0: scaled by them, its values would lie dozens of units out. "standard" and
    "robust" therefore shrink such a column until its training values lie within 5. A column that
    does not vary gets the scale 0 (but not with None or "common"): the network could learn nothing
    from it, so nothing must reach it where a test value differs.
    """
    if how not in INPUT_SCALINGS:
        raise ValueError(f"input_scaling must be one of {INPUT_SCALINGS}, not {how!r}")
    shift, scale = np.zeros(X.shape[1]), np.ones(X.shape[1])
    if how is None:
        return shift, scale
    if how == "common":
        size = np.sqrt(np.mean(np.square(X, dtype=float)))
        return shift, scale / size if size > 0 else scale
    low, high = X.min(axis=0).astype(float), X.max(axis=0).astype(float)
    if how == "max-abs":
        unit = np.maximum(np.abs(low), np.abs(high))
    else:
        if how == "standard":
            shift, unit = X.mean(axis=0, dtype=float), X.std(axis=0, dtype=float)
        else:
            first, shift, third = np.percentile(X, [25, 50, 75], axis=0)
            unit = third - first
        unit = np.maximum(unit, np.maximum(high - shift, shift - low) / LIMIT)
    varies = (high > low) & (unit > 0)
    return shift, np.where(varies, 1 / np.where(varies, unit, 1), 0)


__all__ = ["FullyConnectedRegressor", "fit_repeats", "input_scale", "scores"]


class FullyConnectedRegressor(RegressorMixin, BaseEstimator):
    """The regressor of the paper: 256-128-64-32-1, ReLU (Hu et al. 2020).

    Trained by Adam on minibatches, the learning rate rising at first and falling to 0 along half a
    cosine. A part of the training data is held out; the weights of the epoch that predicts it best
    are kept.

    Parameters
    ----------
    hidden : widths of the hidden layers
    dropout : float, or one for each hidden layer
        Share of a layer's outputs set to 0 while training.
    input_scaling : {None, "standard", "max-abs", "robust", "common"}
        See `input_scale`.
    target_scaling : {None, "standard"}
        "standard": the network learns the target at mean 0 and standard deviation 1.
    loss : {"mae", "mse"}
    learning_rate : float, the largest of all steps
    epochs : int, at most
    batch_size : int
    patience : int
        Training ends after so many epochs without a lower validation loss.
    clip : bool
        Predictions are kept within the range of the targets trained on. Far from its training
        data a network can be wrong by any amount: with 300 superconductors one such compound can
        decide a test's R².
    validation_fraction : float
        Share of the rows that `fit` holds out; 0 trains on all rows for all epochs.
    device : {"auto", "cpu", "cuda"}
        See `matgan.learning.compute.device`.
    random_state : int, RandomState or None
        Of the held-out rows, the initial weights, the batches and the dropout.

    Attributes
    ----------
    coefs_, intercepts_ : lists of float32 arrays (inputs, outputs) and (outputs,), by layer
    shift_, scale_ : (d,) arrays of the input scaling
    middle_, spread_ : floats of the target scaling
    range_ : smallest and largest target trained on
    n_iter_ : the epoch whose weights these are; 0: none was better than the untrained network
    history_ : DataFrame: epoch, train_loss, validation_loss (in units of the scaled target)
    """

    def __init__(
        self,
        hidden: Sequence[int] = (256, 128, 64, 32),
        dropout: float | Sequence[float] = 0.0,
        input_scaling: str | None = "standard",
        target_scaling: str | None = "standard",
        loss: str = "mae",
        learning_rate: float = 1e-3,
        epochs: int = 100,
        batch_size: int = 256,
        patience: int = 20,
        clip: bool = True,
        validation_fraction: float = 0.1,
        device: str = "auto",
        random_state=0,
    ):
        self.hidden = hidden
        self.dropout = dropout
        self.input_scaling = input_scaling
        self.target_scaling = target_scaling
        self.loss = loss
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.patience = patience
        self.clip = clip
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

    def fit(self, X, y):
        """Train on X (n, d) and y (n,)."""
        X, y = validate_data(
            self, X, y, dtype=(np.float64, np.float32), y_numeric=True, ensure_min_samples=2
        )
        random = check_random_state(self.random_state)
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(
                f"validation_fraction must be in [0, 1), not {self.validation_fraction}"
            )
        rows, validation = np.arange(len(X)), None
        if self.validation_fraction:
            n = min(max(1, round(len(X) * self.validation_fraction)), len(X) - 1)
            rows = random.permutation(len(X))
            rows, validation = rows[n:], [rows[:n]]
        self._fit_all([self], X, y, [rows], validation, [random.randint(2**31)], None)
        return self

    def _fit_all(self, models, X, y, rows, validation, seeds, watch) -> None:
        """Train one network for each of `models`, side by side, with the settings of this one."""
        how, device = self._training(), self._device()
        y = np.asarray(y, dtype=float)
        inputs = [input_scale(X[r], self.input_scaling) for r in rows]
        targets = [(0.0, 1.0)] * len(rows)
        if self.target_scaling == "standard":
            targets = [(y[r].mean(), y[r].std() or 1.0) for r in rows]
        elif self.target_scaling is not None:
            raise ValueError(f"target_scaling must be None or 'standard': {self.target_scaling!r}")
        scaling = Scaling(*map(np.array, zip(*inputs, strict=True)), *np.array(targets).T)
        for r, model in enumerate(models):
            model.shift_, model.scale_ = inputs[r]
            model.middle_, model.spread_ = targets[r]
            model.range_ = y[rows[r]].min(), y[rows[r]].max()

        def report(r: int, out: np.ndarray) -> dict:
            errors = scores(y[watch[r]], models[r]._in_target_unit(out))
            return {f"watched_{name}": value for name, value in errors.items()}

        trained = train(X, y, rows, validation, scaling, how, seeds, device, watch, report)
        history = pd.DataFrame(trained.history)
        for r, model in enumerate(models):
            model.n_features_in_ = X.shape[1]
            model.coefs_ = [w[r] for w in trained.weights]
            model.intercepts_ = [b[r, 0] for b in trained.biases]
            model.n_iter_ = trained.best_epoch[r]
            mine = history[history["network"] == r]
            model.history_ = mine.drop(columns="network").reset_index(drop=True)
            if not np.isfinite(mine["train_loss"].iloc[-1]):
                warnings.warn(
                    f"training diverged (learning_rate={self.learning_rate}, "
                    f"input_scaling={self.input_scaling!r}): kept epoch {model.n_iter_}",
                    ConvergenceWarning,
                    stacklevel=3,
                )

    def _training(self) -> Training:
        hidden = tuple(self.hidden)
        dropout = tuple(np.atleast_1d(np.asarray(self.dropout, dtype=float)).tolist())
        if np.ndim(self.dropout) == 0:
            dropout *= len(hidden)
        if len(dropout) != len(hidden) or not all(0 <= p < 1 for p in dropout):
            raise ValueError(
                "dropout must be a number in [0, 1) or one for each of the "
                f"{len(hidden)} hidden layers, not {self.dropout!r}"
            )
        if self.loss not in ("mae", "mse"):
            raise ValueError(f"loss must be 'mae' or 'mse', not {self.loss!r}")
        for name in ("epochs", "batch_size", "patience"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)!r}")
        return Training(
            hidden,
            dropout,
            self.loss,
            self.learning_rate,
            self.epochs,
            self.batch_size,
            self.patience,
        )

    def _device(self) -> str:
        return device(self.device)

    @torch.no_grad()
    def activations(self, X, layer: int) -> np.ndarray:
        """Outputs of a layer after its ReLU: (n, width) float64 array.

        Parameters
        ----------
        X : (n, d) array
        layer : index into `hidden`, 0 for the first; -1 for the output, in the scaled unit

        Notes
        -----
        In float64, so that a row's result does not depend on the rows beside it.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        device = self._device()
        weights = [
            torch.as_tensor(w, dtype=torch.float64, device=device)[None] for w in self.coefs_
        ]
        biases = [
            torch.as_tensor(b, dtype=torch.float64, device=device)[None, None]
            for b in self.intercepts_
        ]
        step = max(1, CHUNK // max(X.shape[1], *(w.shape[2] for w in weights)))
        parts = []
        for start in range(0, len(X), step):
            x = (X[start : start + step] - self.shift_) * self.scale_
            x = torch.as_tensor(x, dtype=torch.float64, device=device)
            parts.append(forward(weights, biases, x[None])[layer][0].cpu().numpy())
        return np.concatenate(parts)

    def predict(self, X) -> np.ndarray:
        """Predictions for X (n, d): (n,) float64 array in the unit of the target."""
        return self._in_target_unit(self.activations(X, -1)[:, 0])

    def _in_target_unit(self, out: np.ndarray) -> np.ndarray:
        predicted = out.astype(float) * self.spread_ + self.middle_
        return np.clip(predicted, *self.range_) if self.clip else predicted


def fit_repeats(
    settings: FullyConnectedRegressor,
    X: np.ndarray,
    y: np.ndarray,
    rows: Sequence[np.ndarray],
    validation: Sequence[np.ndarray],
    watch: Sequence[np.ndarray] | None = None,
    together: bool = True,
) -> list[FullyConnectedRegressor]:
    """Fit one regressor for each of R splits of the same data.

    Parameters
    ----------
    settings : unfitted regressor with an integer random_state s; repeat r takes s + r
    X : (n, d) array
    y : (n,) array
    rows, validation : R arrays of row numbers to train on and to choose the epoch by
    watch : R arrays of row numbers, or None
        Scores on them go into the `history_` as watched_mae, watched_rmse and watched_r2 (in units
        of the target); nothing else depends on them.
    together : bool
        Train all side by side as one batched model, or one after the other, which is not faster
        on a CPU core either (`benchmarks/bench_regression.py`).

    Returns
    -------
    list of R fitted regressors
    """
    X, y = check_X_y(X, y, dtype=(np.float64, np.float32), y_numeric=True)
    seeds = [settings.random_state + r for r in range(len(rows))]
    models = [clone(settings).set_params(random_state=seed) for seed in seeds]
    if together:
        settings._fit_all(models, X, y, rows, validation, seeds, watch)
    else:
        for r, model in enumerate(models):
            watched = None if watch is None else [watch[r]]
            model._fit_all([model], X, y, [rows[r]], [validation[r]], [seeds[r]], watched)
    return models
