"""Nonsense for every parser: only the documented errors come out, and what is read is sound.

Two kinds: what hypothesis builds from pieces, and sound texts with a few edits, which come much
faster. `MATGAN_FUZZ=1000000 bash run_all.sh test tests/project/test_fuzz.py` tries a million.
"""

import json
import os
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from matgan import ELEMENTS, files
from matgan.chemistry.composition import CompositionError, amounts, amounts_matrix, formula
from matgan.wgan.config import LEARNING, PAPER, Config, ConfigError

BATCH = 40  # inputs in one example of hypothesis, which takes longer than most of the parsers
EDITED = int(os.environ.get("MATGAN_FUZZ", 16_000))
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=25,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink a whole batch takes minutes
)
fuzz = settings.get_profile("fuzz")


def batches(inputs):
    return st.lists(inputs, min_size=BATCH, max_size=BATCH)


def edited(texts, pieces, share):
    """Batches of sound texts, each with up to four places overwritten by a piece or by nothing.

    share : of all edited inputs; files take ten times as long as texts
    """
    rng = random.Random(0)
    for _ in range(round(EDITED * share / BATCH)):
        batch = []
        for _ in range(BATCH):
            text = rng.choice(texts)
            for _ in range(rng.randint(0, 4)):
                start = rng.randint(0, len(text))
                text = text[:start] + rng.choice(pieces) + text[start + rng.randint(0, 3) :]
            batch.append(text)
        yield batch


# --- formulas -------------------------------------------------------------------------------------

PIECES = [*ELEMENTS, "Kr", "Xx", "D", "e", *"0123456789", "0.5", "1e5", "00", ".", "..", "-1"]
PIECES += ["(", ")", "[", "]", "{", "}", " ", "\n", "₂", "²", "٣", "·", "+", ",", "nan", "\x00"]
PIECES += [
    ".5H2O",
    "·2H2O",
    "*",
    "x",
    "½",
    "3+",
    "2-",
    "^{2-}",
    "⁺",
    "(III)",
    "II",
    "(I)",
    "D",
    "@",
]
PIECES += [
    "_2",
    "$",
    r"\mathrm{",
    r"\cdot",
    "<sub>",
    "</sub>",
    "<sup>2+</sup>",
    "&middot;",
    '"',
    "δ",
]
FORMULAS = st.lists(st.sampled_from(PIECES), max_size=7).map("".join) | st.text(max_size=8)


def check_formulas(texts):
    good = []
    for text in texts:
        try:
            found = amounts(text)
        except CompositionError as error:
            assert error.formula == text and error.reason
        else:
            good.append(found)
            assert found.shape == (85,)
            assert np.isfinite(found).all() and (found >= 0).all() and found.any()
            shown = formula(found) if found.max() < 1e15 else ""
            if shown:
                again = amounts(shown)
                np.testing.assert_array_equal(again, amounts(shown, "allow"))
                np.testing.assert_allclose(again / again.sum(), found / found.sum(), rtol=1e-9)
    matrix, bad = amounts_matrix(texts, on_error="drop", report=True)
    np.testing.assert_array_equal(matrix, np.reshape(good, (len(good), 85)))
    assert len(bad) == len(texts) - len(good)


@fuzz
@given(batches(FORMULAS))
def test_formulas(texts):
    check_formulas(texts)


def test_edited_formulas():
    sound = [
        "TiO2",
        "Ba0.4K0.6Fe2As2",
        "Ca(OH)2",
        "[Fe(CN)6]K4",
        "CuSO4·5H2O",
        "SO4^{2-}",
        "YBa2Cu3O6.95",
        "Fe2(SO4)3",
        "U",
    ]
    for texts in edited(sound, ["", *PIECES], 0.5):
        check_formulas(texts)


# --- configurations -----------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=3), SCALARS)
FIELDS = st.sampled_from([*vars(PAPER), "no_such_field"])
KNOWN = st.sampled_from(list(vars(LEARNING).items()))
CONFIGS = (
    st.builds(dict, st.lists(KNOWN | st.tuples(FIELDS, VALUES), max_size=4)).map(json.dumps)
    | VALUES.map(json.dumps)
    | st.builds(lambda text, at: text[:at], st.just(PAPER.to_json()), st.integers(0, 900))
    | st.text(max_size=20)
)


def check_configurations(texts):
    for text in texts:
        try:
            config = Config.from_json(text)
        except ConfigError:
            continue
        assert Config.from_json(config.to_json()) == config


@fuzz
@given(batches(CONFIGS))
def test_configurations(texts):
    check_configurations(texts)


JSON = [*'"09[]{},:', "", "-1", "2.5", "1e999", "NaN", "null", "true", '"x"', "[1, 2]", "1" * 400]
JSON += ["\\", "\\ud800", "é", "\x00"]


def test_edited_configurations():
    for texts in edited([PAPER.to_json(), LEARNING.to_json()], [*JSON, *vars(PAPER)], 0.4):
        check_configurations(texts)


# --- weights --------------------------------------------------------------------------------------

ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "U8", "F8", 3, None]),
        "shape": st.lists(st.integers(-2, 9) | st.floats() | st.just(2**70), max_size=3) | SCALARS,
        "data_offsets": st.lists(st.integers(-9, 40) | st.just(2**70), max_size=3) | SCALARS,
    },
)
HEADERS = st.dictionaries(
    st.sampled_from(["T", "generator.0", "__metadata__", ""]), ENTRIES | VALUES, max_size=3
)
SOUND = st.sampled_from(
    [{"T": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}, "__metadata__": {"a": "b"}}]
)


def file_of(header, length, data, cut):
    text = header.encode() if isinstance(header, str) else json.dumps(header).encode()
    size = len(text) if length is None else length % 2**64
    whole = size.to_bytes(8, "little") + text + data
    return whole[: len(whole) - cut]


FILES = st.builds(
    file_of,
    HEADERS | SOUND | VALUES,
    st.none() | st.integers(0, 80) | st.just(2**63),
    st.binary(max_size=24),
    st.sampled_from([0, 0, 0, 1, 5, 30]),
) | st.binary(max_size=40)


def check_weights(folder, contents):
    path = folder / "fuzz.safetensors"
    for content in contents:
        path.write_bytes(content)
        try:
            tensors, metadata = files.load(path)
        except files.WeightsError as error:
            assert "fuzz.safetensors" in str(error)
        else:
            assert all(isinstance(array, np.ndarray) for array in tensors.values())
            assert isinstance(metadata, dict)
            assert sum(array.nbytes for array in tensors.values()) <= 3 * len(content)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@fuzz
@given(batches(FILES))
def test_weights(folder, contents):
    check_weights(folder, contents)


def test_edited_weights(folder):
    """The header is edited; its length, written before it, is right."""
    entry = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    sound = [json.dumps({"T": entry, "__metadata__": {"config": "x"}}), json.dumps({"T": entry})]
    for texts in edited(sound, [*JSON, "F64", "U8", "BF16", "I8", "16", "32", "__metadata__"], 0.1):
        check_weights(folder, [file_of(text, None, bytes(16), 0) for text in texts])
