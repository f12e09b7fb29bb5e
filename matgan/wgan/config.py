"""Every choice of a WGAN training run, with its source; the published setting is the default."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

_ONE_OF = {
    "architecture": ("deconvolution", "slots", "convolution"),
    "generator_gradient": ("straight-through", "score-function"),
    "output": ("sigmoid", "gumbel"),
    "embedding_activation": ("none", "tanh"),
    "lipschitz": ("clip", "gradient-penalty", "spectral-norm"),
    "critic_schedule": ("constant", "reference"),
    "optimizer": ("rmsprop", "adam"),
    "initialisation": ("normal", "scaled"),
    "schedule": ("constant", "linear"),
    "keep": ("best", "last"),
}


class ConfigError(ValueError):
    """A field of the configuration that is unknown or out of range; names it."""


@dataclass(frozen=True)
class Config:
    """Configuration of a training run.

    'Paper' is Hu et al., Symmetry 2020, 12, 1889. 'Open' marks what it does not say; 'code' is
    what its authors published (github.com/Chilitiantian/code at cf345b0f), where it speaks.
    """

    # Training
    seed: int = 0
    iterations: int = 100_000  # generator updates; paper: Figure 4a
    batch_size: int = 256  # paper
    critic_steps: int = 5  # critic updates per generator update; open, code: 5
    critic_schedule: str = "constant"  # "reference": 100 steps for each of the first 25 generator
    # updates and for every 500th, as in the code of Arjovsky et al. 2017
    generator_batch: int = 0  # samples of a generator update; 0: batch_size
    generator_gradient: str = "straight-through"  # through the output and the critic, as the paper
    # has it; "score-function": of the log-probability, weighted by the critic (Williams 1992)
    optimizer: str = "rmsprop"  # paper: RMSProp; "adam" uses betas 0.5, 0.9 (code)
    generator_lr: float = 1e-2  # paper; code: 1e-4
    critic_lr: float = 1e-2  # paper; code: 1e-4
    schedule: str = "constant"  # of the learning rates; "linear": down to zero at the end
    lipschitz: str = "clip"  # paper: weight clipping; code: gradient penalty; "spectral-norm":
    # of every layer of the critic (Miyato et al. 2018)
    clip: float = 0.01  # bound of every critic weight; open, code (unused there): 0.01
    penalty: float = 10.0  # weight of the gradient penalty (Gulrajani et al. 2017); code: 10
    initialisation: str = "normal"  # N(0, 1), as its first loss implies and the code has;
    # "scaled" is torch's default (uniform, by fan-in)
    # Generator
    architecture: str = (
        "deconvolution"  # paper: Table 3; "slots": ours, see networks.SlotGenerator;
    )
    # "convolution": generator and critic in the manner of Dan et al. 2020
    latent_dim: int = 128  # paper: Table 3
    first_height: int = 5  # rows of the first feature map, to reach Table 3's 11 x 8; code: 6
    output: str = "sigmoid"  # paper: Table 3; "gumbel": a count of 0 to 8 drawn for each element
    hidden: tuple[int, ...] = (256, 256)  # hidden units of the slot generator
    slots: int = 5  # elements per formula at most (OQMD has up to 7, but 0.03% above 5)
    temperature: float = 1.0  # of the Gumbel-softmax, at the start
    final_temperature: float = 1.0  # at the end; geometric in between (Jang et al. 2017)
    # Critic
    embedding_dim: int = 128  # d, the width of T; open, code: 128
    embedding_activation: str = "none"  # paper: T = E W (Equation 6); code: T = tanh(E W + b)
    head: tuple[int, ...] = ()  # hidden units of the final layer; open, code: 128, 64, 32
    stoichiometry: int = 0  # largest amounts that the final layer sees beside C, in falling order
    # What is kept and watched
    average: float = 0.0  # decay of the moving average of the generator's weights; 0: none
    keep: str = "best"  # paper: the lowest total critic loss on the test set; or the last state
    test_every: int = 1000  # iterations between two looks at the test set; code: 10
    test_batches: int = 0  # batches of the test set that are looked at; 0: all of it (paper)

    def __post_init__(self):
        for name, allowed in _ONE_OF.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}"
                )
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type in ("int", "float"):
                if not isinstance(value, int if field.type == "int" else int | float):
                    kind = "a whole number" if field.type == "int" else "a number"
                    raise ConfigError(f"{field.name} must be {kind}, not {value!r}")
            elif field.type != "str":  # a tuple, which comes back from JSON as a list
                if not isinstance(value, list | tuple) or not all(
                    isinstance(units, int) and units > 0 for units in value
                ):
                    raise ConfigError(f"{field.name} must list whole numbers above 0: {value!r}")
                object.__setattr__(self, field.name, tuple(value))
        at_least = {
            "iterations": 1, "batch_size": 2, "critic_steps": 1, "clip": 0, "penalty": 0,
            "latent_dim": 1, "slots": 2, "embedding_dim": 1, "test_every": 1, "test_batches": 0,
            "seed": 0, "generator_lr": 0, "critic_lr": 0, "temperature": 1e-3,
            "final_temperature": 1e-3, "average": 0, "generator_batch": 0, "stoichiometry": 0,
        }  # fmt: skip
        for name, low in at_least.items():
            if not getattr(self, name) >= low:
                raise ConfigError(f"{name} must be at least {low}, not {getattr(self, name)!r}")
        if self.first_height not in (5, 6):
            raise ConfigError(f"first_height must be 5 or 6, not {self.first_height!r}")
        if self.average >= 1:
            raise ConfigError(f"average must be below 1, not {self.average!r}")
        if self.architecture == "slots" and self.output != "gumbel":
            raise ConfigError("output must be 'gumbel' with architecture 'slots'")
        if self.generator_gradient == "score-function" and self.architecture != "slots":
            raise ConfigError("generator_gradient 'score-function' needs architecture 'slots'")
        if self.stoichiometry > 85:
            raise ConfigError(f"stoichiometry must be at most 85, not {self.stoichiometry!r}")

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


# As the paper is printed.
PAPER = Config()

# As its authors' published code runs, which differs from the paper's text in the penalty, the
# optimiser, the learning rates, the tanh of the embedding and the hidden units of the critic.
PUBLISHED_CODE = PAPER.replace(
    optimizer="adam",
    generator_lr=1e-4,
    critic_lr=1e-4,
    lipschitz="gradient-penalty",
    first_height=6,
    embedding_activation="tanh",
    head=(128, 64, 32),
)

# Ours: discrete output, gradient penalty, a critic that is not linear in the amounts.
LEARNING = PAPER.replace(
    architecture="slots",
    output="gumbel",
    generator_gradient="score-function",
    generator_batch=512,
    optimizer="adam",
    generator_lr=1e-3,
    critic_lr=2e-3,
    schedule="linear",
    lipschitz="gradient-penalty",
    penalty=1.0,
    initialisation="scaled",
    hidden=(256,),
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
