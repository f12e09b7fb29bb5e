"""Configurations: what the paper and its code say, what is refused, and the way through JSON."""

import dataclasses
import json

import pytest

from matgan.wgan.config import (
    LEARNING,
    PAPER,
    PEER,
    PRESETS,
    PUBLISHED_CODE,
    Config,
    ConfigError,
    field_types,
)


def test_the_default_is_the_paper():
    """Table 3 and Section 2.3 of Hu et al. 2020, and the two that it names elsewhere."""
    assert Config() == PAPER
    assert (PAPER.batch_size, PAPER.optimizer) == (256, "rmsprop")
    assert PAPER.generator_lr == PAPER.critic_lr == 0.01
    assert (PAPER.lipschitz, PAPER.output, PAPER.latent_dim) == ("clip", "sigmoid", 128)


def test_the_published_code_differs_where_it_is_said():
    changed = {
        field.name
        for field in dataclasses.fields(Config)
        if getattr(PAPER, field.name) != getattr(PUBLISHED_CODE, field.name)
    }
    assert changed == {
        "optimizer", "generator_lr", "critic_lr", "lipschitz", "widths",
        "embedding_activation", "head",
    }  # fmt: skip


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_a_configuration_survives_json(config):
    text = config.to_json()
    assert Config.from_json(text) == config
    assert list(json.loads(text)) == sorted(vars(config))
    # what an older version wrote, before a field was there: the field's default
    less = {name: value for name, value in json.loads(text).items() if name != "seed"}
    assert Config.from_json(json.dumps(less)) == config.replace(seed=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lipschitz": "spectral"}, "lipschitz must be one of clip, gradient-penalty, spectral-n"),
        ({"lipschitz": ["clip"]}, "lipschitz must be one of"),
        ({"widths": "paper"}, "widths must be one of printed, code, not 'paper'"),
        ({"widths": 5}, "widths must be one of printed, code, not 5"),
        ({"likelihood": 0.1}, "likelihood needs architecture 'slots'"),
        ({"batch_size": 1}, "batch_size must be at least 2, not 1"),
        ({"batch_size": 8.0}, r"batch_size must be a whole number, not 8\.0"),
        ({"batch_size": True}, "batch_size must be a whole number, not True"),
        ({"iterations": 0}, "iterations must be at least 1"),
        ({"critic_lr": "fast"}, "critic_lr must be a number, not 'fast'"),
        ({"critic_lr": None}, "critic_lr must be a number"),
        ({"generator_lr": float("nan")}, "generator_lr must be at least 0, not nan"),
        ({"generator_lr": float("inf")}, "generator_lr must be at least 0, not inf"),
        ({"penalty": -1}, "penalty must be at least 0"),
        ({"average": 1.0}, r"average must be at least 0 and below 1, not 1\.0"),
        ({"stoichiometry": 86}, "stoichiometry must be at least 0 and below 86"),
        ({"seed": -1}, "seed must be at least 0 and below 4294967296"),
        ({"seed": 2**32}, "seed must be at least 0 and below 4294967296"),
        ({"hidden": (8, 0)}, r"hidden must list whole numbers above 0, not \(8, 0\)"),
        ({"hidden": 8}, "hidden must list"),
        ({"head": [1.5]}, "head must list"),
        ({"head": (8,) * 101}, "head lists 101 layers, 100 are the most"),
        ({"width": 3}, "unknown configuration field.*: width"),
        ({"architecture": "slots"}, "output must be 'gumbel' with architecture 'slots'"),
        ({"generator_gradient": "score-function"}, "'score-function' needs architecture 'slots'"),
    ],
)
def test_what_cannot_be_is_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        PAPER.replace(**changes)
    if "nan" not in message and "inf" not in message:
        fields = json.loads(PAPER.to_json()) | changes
        with pytest.raises(ConfigError, match=message.replace(r"\(8, 0\)", r"\[8, 0\]")):
            Config.from_json(json.dumps(fields))


@pytest.mark.parametrize("text", ["", "[]", "3", "null", "{", '{"seed": 1e400}', "[" * 100_000])
def test_other_texts_are_no_configuration(text):
    with pytest.raises(ConfigError):
        Config.from_json(text)


def test_the_bounds_themselves_are_allowed():
    for field in dataclasses.fields(Config):
        if "low" in field.metadata:
            low = field_types()[field.name](field.metadata["low"])
            assert getattr(PAPER.replace(**{field.name: low}), field.name) == low
    assert LEARNING.replace(head=[4, 2]).head == (4, 2)  # as it comes from JSON
    assert PEER.replace(critic_lr=1).critic_lr == 1
