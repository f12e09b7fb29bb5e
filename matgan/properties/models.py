"""Networks that predict a property of a composition, with an interval that is calibrated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional

from matgan import files
from matgan.chemistry.elements import N_ELEMENTS
from matgan.learning.checkpoint import check_finite, check_fit, from_arrays
from matgan.learning.fit import outputs
from matgan.representation.encoder.network import CompositionNetwork, Tokens
from matgan.representation.features import Magpie, OneHot

COVERAGE = 0.9  # of the intervals
_PART = 8192  # compositions at a time: some 30 MB of features


@dataclass(frozen=True)
class PredictedProperty:
    """A property of compositions: what its columns are called and what is known of its values.

    Attributes
    ----------
    name : of the columns
    title, unit : for people
    gate : the probability that there is such a value at all (no metal; a superconductor), or ""
    log : whether the logarithm of 1 + value is learned: errors that grow with the value
    least : no value is smaller
    """

    name: str
    title: str
    unit: str
    gate: str = ""
    log: bool = False
    least: float = -np.inf

    @property
    def file(self) -> Path:
        """Where its pretrained model lies."""
        return files.PRETRAINED / f"predict-{self.name.replace('_', '-')}.safetensors"


PROPERTIES = {
    one.name: one
    for one in (
        PredictedProperty("formation_energy", "formation energy", "eV/atom"),
        PredictedProperty("band_gap", "band gap (PBE)", "eV", gate="nonmetal", least=0.0),
        PredictedProperty(
            "critical_temperature", "critical temperature", "K", "superconductor", True, least=0.0
        ),
    )
}


def inputs(amounts: np.ndarray) -> np.ndarray:
    """What fully connected networks see: (n, 217) float32.

    85 atomic fractions and Magpie's 132 numbers.
    """
    fractions = OneHot(fractions=True, dtype=np.float32).fit_transform(amounts)
    return np.hstack([fractions, Magpie(dtype=np.float32).fit_transform(amounts)])


class PropertyNetwork(nn.Module):
    """A fully connected network with the median and the scale of a Laplace distribution.

    Parameters
    ----------
    hidden : units of its layers
    gate : whether a third output is the logit of having a value at all
    dropout : share of the hidden units left out in training
    """

    mean: Tensor  # of the inputs in training
    deviation: Tensor

    def __init__(self, hidden: Sequence[int], gate: bool, dropout: float = 0.0):
        super().__init__()
        widths = [N_ELEMENTS + 132, *hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.SiLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 3 if gate else 2))
        self.register_buffer("mean", torch.zeros(widths[0]))
        self.register_buffer("deviation", torch.ones(widths[0]))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Median, log of the scale, and logit (zeros without a gate): (n, 1) each."""
        # an element that training hardly saw must not give inputs of a hundred deviations
        out = self.layers(((x - self.mean) / self.deviation).clamp(-10, 10))
        logit = out[:, 2:] if out.shape[1] > 2 else torch.zeros_like(out[:, :1])
        return {"median": out[:, :1], "log_scale": out[:, 1:2].clamp(-6, 6), "logit": logit}


def laplace_loss(output: dict[str, Tensor], targets: Tensor, inputs) -> Tensor:
    """Absolute error, the Laplace likelihood of its scale, and the cross-entropy of the gate.

    The median learns from the absolute error alone: in the likelihood, which divides it by the
    scale, a compound that is hard to predict would count for less. The targets are (n, 2): value,
    and 1 where there is one, else 0.
    """
    value, there = targets[:, :1], targets[:, 1:]
    scale, error = output["log_scale"], (value - output["median"]).abs()
    of_values = error + error.detach() * torch.exp(-scale) + scale
    gate = functional.binary_cross_entropy_with_logits(output["logit"], there)
    return (of_values * there).sum() / there.sum().clamp(min=1) + gate


Network = PropertyNetwork | CompositionNetwork
Learned = TypeVar("Learned", bound=nn.Module)


def answers(networks: Sequence[Network], amounts: np.ndarray) -> np.ndarray:
    """Median, log of the scale, and logit by each network, standardised: (3, networks, n).

    Networks over the elements have no gate, and the logit 0.
    """
    said, tokens, x = np.zeros((3, len(networks), len(amounts))), None, None
    for member, network in enumerate(networks):
        if isinstance(network, CompositionNetwork):
            tokens = tokens or Tokens(amounts, np.zeros((len(amounts), 1), dtype=np.float32))
            found = outputs(network, tokens, batch_size=1024)
            said[:2, member] = found["value"][:, 0], found["log_scale"][:, 0]
            continue
        x = torch.from_numpy(inputs(amounts)) if x is None else x
        with torch.inference_mode():
            output = network(x)
        for head, name in enumerate(("median", "log_scale", "logit")):
            said[head, member] = output[name][:, 0].numpy()
    return said


@dataclass(frozen=True)
class Prediction:
    """What a model says of n compositions; arrays (n,) in the unit of the property.

    Attributes
    ----------
    value : median, of those that have a value where there is a gate
    low, high : the calibrated 90% interval of it
    probability : of having a value; ones without a gate
    outside : whether the composition lies outside of what was learned
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    probability: np.ndarray
    outside: np.ndarray


@dataclass(frozen=True)
class Calibration:
    """What turns the outputs of the networks into values, intervals and probabilities.

    Attributes
    ----------
    mean, deviation : of the values (or their logarithms) in training
    factors : half the interval is the scale times the first for compositions of one or two
        elements, the second for three, the third for more: covers 90% of each in the calibration
        part
    slope, shift : the probability has the logit slope · logit + shift (Platt 1999)
    stability : slope and shift of the logit of being stable, of a formation energy, against the
        inverse hyperbolic sine of its distance below the hull in scales
    few_elements, few_pairs : an element, and a pair of elements, must come in so many training
        compositions that have a value
    """

    mean: float
    deviation: float
    factors: tuple[float, float, float] = (1.0, 1.0, 1.0)
    slope: float = 1.0
    shift: float = 0.0
    stability: tuple[float, float] = (1.0, 0.0)
    few_elements: int = 20
    few_pairs: int = 1


class PropertyModel:
    """Several networks of one property, whose interval and probability are calibrated.

    The value is the mean of their medians; the scale, the mean of their scales plus the deviation
    of their medians. The interval reaches some scales to both sides (split conformal
    prediction with a normalised score: Papadopoulos et al. 2008; Lei et al. 2018).

    Parameters
    ----------
    of : the property
    networks : trained with `laplace_loss`, or those of `CompositionEncoder`s of one target
    calibration : see there
    pairs : (85, 85) training compositions with a value that hold both elements; on the diagonal,
        that hold the element
    facts : what is written into the file's metadata beside them
    """

    def __init__(
        self,
        of: PredictedProperty,
        networks: Sequence[Network],
        calibration: Calibration,
        pairs: np.ndarray,
        facts: dict[str, str] | None = None,
    ):
        self.of, self.networks, self.calibration = of, list(networks), calibration
        self.pairs, self.facts = np.asarray(pairs, dtype=np.int32), facts or {}
        if len({str(_sizes(network)) for network in self.networks}) > 1:
            raise ValueError("the networks of a model must be of one kind and of the same sizes")
        for network in self.networks:
            network.eval()

    def predict(self, amounts: np.ndarray) -> Prediction:
        """Predictions for compositions, (n, 85) amounts."""
        median, scale, logit = self.raw(amounts)
        at = self.calibration
        half = np.take(at.factors, kinds(amounts)) * scale
        ends = (median, median - half, median + half)
        with np.errstate(over="ignore"):  # an interval may have no upper end
            value, low, high = (
                np.maximum(np.expm1(end) if self.of.log else end, self.of.least) for end in ends
            )
        probability = np.ones(len(value))
        if self.of.gate:
            probability = expit(at.slope * logit + at.shift)
        return Prediction(value, low, high, probability, self.outside(amounts))

    def raw(self, amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Median, scale and logit (n,), before calibration; of logarithms where these are learned.

        Fractions are taken of the amounts: Fe2O3 and Fe4O6 are one composition.
        """
        parts = [np.zeros((3, 0))]
        for start in range(0, len(amounts), _PART):
            medians, scales, logits = answers(self.networks, amounts[start : start + _PART])
            scale = np.exp(scales).mean(0) + medians.std(0)
            parts.append(np.stack([medians.mean(0), scale, logits.mean(0)]))
        median, scale, logit = np.concatenate(parts, axis=1)
        at = self.calibration
        return median * at.deviation + at.mean, scale * at.deviation, logit

    def outside(self, amounts: np.ndarray) -> np.ndarray:
        """Which compositions hold an element, or a pair of elements, that training lacked: (n,)."""
        present = (amounts > 0).astype(np.float32)
        at = self.calibration
        rare = np.diag(self.pairs) < at.few_elements
        never = self.pairs < at.few_pairs
        pairs = ((present @ never.astype(np.float32)) * present).sum(axis=1) > 0
        return pairs | (present[:, rare] > 0).any(axis=1)

    def save(self, path: str | Path) -> None:
        """Write the model; its weights in half precision, in which `rounded` puts them before."""
        tensors: dict[str, np.ndarray] = {"pairs": self.pairs}
        for i, network in enumerate(self.networks):
            learned = {name for name, _ in network.named_parameters()}
            for name, tensor in network.state_dict().items():
                array = tensor.numpy(force=True)
                tensors[f"{i}.{name}"] = array.astype(np.float16) if name in learned else array
        facts = {
            "property": self.of.name,
            "networks": str(len(self.networks)),
            "calibration": json.dumps(asdict(self.calibration)),
        }
        files.save(path, tensors, self.facts | _sizes(self.networks[0]) | facts)


def _sizes(network: Network) -> dict[str, str]:
    """What `_blank` makes such a network from."""
    if isinstance(network, CompositionNetwork):
        sizes = {"width": network.norm.normalized_shape[0], "layers": len(network.layers)}
        return {"encoder": json.dumps(sizes | {"heads": len(network.power)})}
    linear = [layer for layer in network.layers if isinstance(layer, nn.Linear)]
    return {"hidden": json.dumps([layer.out_features for layer in linear[:-1]])}


def _blank(facts: dict[str, str], gate: bool, most_layers: int) -> Network:
    """A network as a file states it; ValueError where that cannot be."""
    if "encoder" not in facts:
        return PropertyNetwork([int(units) for units in json.loads(facts["hidden"])], gate)
    sizes = {name: int(n) for name, n in json.loads(facts["encoder"]).items()}
    width, layers, heads = (sizes[name] for name in ("width", "layers", "heads"))
    if gate or not 1 <= layers <= most_layers or heads < 1 or width % heads:
        raise ValueError(f"{layers} layers, {heads} heads, {width} wide")
    return CompositionNetwork(1, width, layers, heads, dropout=0.0)


def rounded(network: Learned) -> Learned:
    """The same network with its weights rounded to half precision, in place."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half().float())
    return network


def load_model(path: str | Path) -> PropertyModel:
    """A model that `PropertyModel.save` wrote.

    Raises
    ------
    FileNotFoundError
    matgan.files.WeightsError
        The file is damaged or holds something else.
    """
    tensors, facts = files.load(path)
    try:
        of = PROPERTIES[facts["property"]]
        n, stated = int(facts["networks"]), json.loads(facts["calibration"])
        first, second, third = map(float, stated.pop("factors"))
        slope, shift = map(float, stated.pop("stability", (1.0, 0.0)))
        few = {k: int(stated.pop(k)) for k in ("few_elements", "few_pairs") if k in stated}
        numbers = {name: float(number) for name, number in stated.items()}
        if not np.isfinite([first, second, third, slope, shift, *numbers.values()]).all():
            raise ValueError("a number of the calibration is not finite")
        calibration = Calibration(
            numbers.pop("mean"), numbers.pop("deviation"), (first, second, third),
            numbers.pop("slope", 1.0), numbers.pop("shift", 0.0), (slope, shift), **few,
        )  # fmt: skip
        if numbers:
            raise ValueError(f"the calibration has {', '.join(numbers)}, too")
        pairs = tensors.pop("pairs")
        if pairs.shape != (N_ELEMENTS, N_ELEMENTS) or pairs.dtype.kind != "i" or not 1 <= n <= 100:
            raise ValueError(f"{n} networks, pairs {pairs.shape} of {pairs.dtype}")
        blank = partial(_blank, facts, bool(of.gate), len(tensors))
        with torch.device("meta"):  # a small file that asks for a huge network is refused
            asked = {str(i): blank() for i in range(n)}
    except (
        KeyError, ValueError, TypeError, AttributeError, OverflowError, RuntimeError
    ) as error:  # fmt: skip
        raise files.WeightsError(f"{path} holds no model of a property: {error!r}") from None
    arrays = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
    check_finite(arrays, path)
    check_fit(asked, arrays, path)
    networks = [blank() for _ in range(n)]
    from_arrays({str(i): network for i, network in enumerate(networks)}, arrays, path)
    return PropertyModel(of, networks, calibration, pairs, facts)


@lru_cache(maxsize=len(PROPERTIES))
def pretrained(name: str) -> PropertyModel:
    """The model of a property that comes with the package.

    Raises
    ------
    ValueError
        No such property; lists those that there are.
    """
    if name not in PROPERTIES:
        raise ValueError(f"the properties are {', '.join(PROPERTIES)}, not {name!r}")
    return load_model(PROPERTIES[name].file)


def kinds(amounts: np.ndarray) -> np.ndarray:
    """0 for compositions of one or two elements, 1 for three, 2 for more: (n,) int."""
    return np.clip((amounts > 0).sum(axis=1), 2, 4) - 2


def pair_counts(amounts: np.ndarray) -> np.ndarray:
    """(85, 85) compositions that hold both elements; on the diagonal, that hold the element."""
    present = (amounts > 0).astype(np.float32)
    return (present.T @ present).astype(np.int32)
