"""Every choice of a WGAN training run, with its source; the published setting is the default."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

_MOST_LAYERS = 100


class ConfigError(ValueError):
    """A field of the configuration that is unknown or out of range; names it."""


def _number(default: Any, low: float, below: float = math.inf) -> Any:
    """A field with its bounds: low <= value < below."""
    return dataclasses.field(default=default, metadata={"low": low, "below": below})


@dataclass(frozen=True)
class Config:
    """Configuration of a training run.

    'Paper' is Hu et al., Symmetry 2020, 12, 1889. 'Open' marks what it does not say; 'code' is
    what its authors published (github.com/Chilitiantian/code at cf345b0f), where it speaks.
    """

    # Training
    seed: int = _number(0, low=0, below=2**32)  # torch's generator on the CPU keeps 32 bits
    iterations: int = _number(100_000, low=1)  # generator updates; paper: Figure 4a
    batch_size: int = _number(256, low=2)  # paper
    critic_steps: int = _number(5, low=1)  # critic updates per generator update; open, code: 5
    # "reference": 100 critic steps for each of the first 25 generator updates and for every 500th,
    # as in the code of Arjovsky et al. 2017
    critic_schedule: Literal["constant", "reference"] = "constant"
    generator_batch: int = _number(0, low=0)  # samples of a generator update; 0: batch_size
    # through the output and the critic, as the paper has it; "score-function": of the
    # log-probability, weighted by the critic (Williams 1992)
    generator_gradient: Literal["straight-through", "score-function"] = "straight-through"
    # ours: share of the critic's fakes that are real compositions with one element swapped
    negatives: float = _number(0.0, low=0, below=1)
    # ours: weight of the mean log-probability of real compositions, so many for each update
    likelihood: float = _number(0.0, low=0)
    likelihood_batch: int = _number(64, low=1)
    optimizer: Literal["rmsprop", "adam"] = "rmsprop"  # paper; "adam" uses betas 0.5, 0.9 (code)
    generator_lr: float = _number(1e-2, low=0)  # paper; code: 1e-4
    critic_lr: float = _number(1e-2, low=0)  # paper; code: 1e-4
    schedule: Literal["constant", "linear"] = "constant"  # of both rates; "linear": down to zero
    # paper: weight clipping; code: gradient penalty; "spectral-norm": of every layer of the critic
    # (Miyato et al. 2018)
    lipschitz: Literal["clip", "gradient-penalty", "spectral-norm"] = "clip"
    clip: float = _number(0.01, low=0)  # bound of every critic weight; open, code (unused): 0.01
    penalty: float = _number(10.0, low=0)  # weight of the gradient penalty (Gulrajani et al. 2017)
    # N(0, 1), as the paper's first loss implies and the code has; "scaled": torch's default
    # (uniform, by fan-in)
    initialisation: Literal["normal", "scaled"] = "normal"
    # Generator
    # paper: Table 3; "slots": ours, see slots.SlotGenerator; "convolution": generator and critic
    # in the manner of Dan et al. 2020
    architecture: Literal["deconvolution", "slots", "convolution"] = "deconvolution"
    latent_dim: int = _number(128, low=1)  # paper: Table 3
    # channels of the deconvolutions, and where they are normalised: paper, Table 3; "code": half as
    # many, a first map of 6 rows, no normalisation after the last
    widths: Literal["printed", "code"] = "printed"
    # paper: Table 3; "gumbel": a count of 0 to 8 drawn for each element
    output: Literal["sigmoid", "gumbel"] = "sigmoid"
    hidden: tuple[int, ...] = (256, 256)  # hidden units of the slot generator
    # between what a slot generator knows and what it draws: one layer, for the element alone, or a
    # residual block of two (He et al. 2016) for the element and for its count
    mixing: Literal["single", "residual"] = "single"
    slots: int = _number(5, low=2)  # elements per formula at most (OQMD: up to 7, 0.03% above 5)
    temperature: float = _number(1.0, low=1e-3)  # of the Gumbel-softmax, at the start
    # at the end; geometric in between (Jang et al. 2017)
    final_temperature: float = _number(1.0, low=1e-3)
    # Critic
    embedding_dim: int = _number(128, low=1)  # d, the width of T; open, code: 128
    # factor of T's initial weights; ours is small, so that T holds what was learned, not what was
    # drawn at the start
    embedding_scale: float = _number(1.0, low=0)
    # paper: T = E W (Equation 6); code: T = tanh(E W + b)
    embedding_activation: Literal["none", "tanh"] = "none"
    head: tuple[int, ...] = ()  # hidden units of the final layer; open, code: 128, 64, 32
    # largest amounts that the final layer sees beside C, in falling order
    stoichiometry: int = _number(0, low=0, below=86)
    # What is kept and watched
    # decay of the moving average of the generator's weights; 0: none
    average: float = _number(0.0, low=0, below=1)
    keep: Literal["best", "last"] = "best"  # paper: the lowest total critic loss on the test set
    test_every: int = _number(1000, low=1)  # iterations between two looks at the test set; code: 10
    test_batches: int = _number(0, low=0)  # batches of the test set looked at; 0: all of it (paper)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _checked(field, getattr(self, field.name)))
        if self.architecture == "slots" and self.output != "gumbel":
            raise ConfigError("output must be 'gumbel' with architecture 'slots'")
        if self.generator_gradient == "score-function" and self.architecture != "slots":
            raise ConfigError("generator_gradient 'score-function' needs architecture 'slots'")
        if self.likelihood and self.architecture != "slots":
            raise ConfigError("likelihood needs architecture 'slots': others have none")

    def replace(self, **changes) -> Config:
        """A copy with some fields changed; an unknown name is a ConfigError."""
        unknown = set(changes) - {field.name for field in dataclasses.fields(self)}
        if unknown:
            raise ConfigError(f"unknown configuration field(s): {', '.join(sorted(unknown))}")
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        """Every field as JSON, in the order of the names; `from_json` reads it."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Config:
        """The inverse of `to_json`; ConfigError for anything else."""
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"a configuration must be a JSON object: {error}") from None
        if not isinstance(fields, dict):
            raise ConfigError(f"a configuration must be a JSON object, not {fields!r}")
        return cls().replace(**fields)


@cache
def field_types() -> dict[str, Any]:
    """Type of each field: int, float, a Literal of its choices, or tuple[int, ...]."""
    return get_type_hints(Config)


def _checked(field: dataclasses.Field, value: Any) -> Any:
    """The value of a field; ConfigError, with its name, where it is none."""
    name, kind = field.name, field_types()[field.name]
    if get_origin(kind) is Literal:
        if not any(type(value) is type(one) and value == one for one in get_args(kind)):
            allowed = ", ".join(map(str, get_args(kind)))
            raise ConfigError(f"{name} must be one of {allowed}, not {value!r}")
        return value
    if get_origin(kind) is tuple:  # it comes back from JSON as a list
        if not isinstance(value, list | tuple) or not all(
            type(units) is int and units > 0 for units in value
        ):
            raise ConfigError(f"{name} must list whole numbers above 0, not {value!r}")
        if len(value) > _MOST_LAYERS:
            raise ConfigError(f"{name} lists {len(value)} layers, {_MOST_LAYERS} are the most")
        return tuple(value)
    if type(value) not in ((int,) if kind is int else (int, float)):
        what = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{name} must be {what}, not {value!r}")
    low, below = field.metadata["low"], field.metadata["below"]
    if not low <= value < below:  # nor is NaN or infinity
        bound = "" if below == math.inf else f" and below {below}"
        raise ConfigError(f"{name} must be at least {low}{bound}, not {value!r}")
    return value


# As the paper is printed.
PAPER = Config()

# As its authors' published code runs, which differs from the paper's text in the generator's widths
# and normalisation, the penalty, the optimiser, the learning rates, the tanh of the embedding and
# the hidden units of the critic.
PUBLISHED_CODE = PAPER.replace(
    optimizer="adam",
    generator_lr=1e-4,
    critic_lr=1e-4,
    lipschitz="gradient-penalty",
    widths="code",
    embedding_activation="tanh",
    head=(128, 64, 32),
)

# Ours: discrete output, gradient penalty, a critic that is not linear in the amounts.
LEARNING = PAPER.replace(
    architecture="slots",
    output="gumbel",
    critic_steps=2,
    generator_gradient="score-function",
    negatives=0.5,
    likelihood=0.1,
    optimizer="adam",
    generator_lr=1e-3,
    critic_lr=2e-3,
    schedule="linear",
    lipschitz="gradient-penalty",
    penalty=1.0,
    initialisation="scaled",
    hidden=(256,),
    mixing="residual",
    embedding_scale=0.01,
    head=(256, 256),
    stoichiometry=6,
    average=0.99,
    keep="last",
)

# A peer: MatGAN in the manner of Dan et al., npj Comput. Mater. 2020, 6, 84. From the paper: one
# fully connected layer and seven deconvolutions with batch normalisation and ReLU, sigmoid output,
# seven convolutions and one layer in the critic. Sizes, penalty and optimiser are our choice.
PEER = PAPER.replace(
    architecture="convolution",
    batch_size=64,
    optimizer="adam",
    generator_lr=1e-3,
    critic_lr=1e-3,
    lipschitz="gradient-penalty",
    initialisation="scaled",
    keep="last",
)

PRESETS = {"paper": PAPER, "published-code": PUBLISHED_CODE, "learning": LEARNING, "peer": PEER}
