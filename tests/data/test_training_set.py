"""Training data: a round trip, and every way in which a file can be no training data."""

import os
import pickle
import warnings

import numpy as np
import pytest

from matgan.chemistry.composition import MAX_COUNT, amounts_matrix
from matgan.chemistry.elements import ELEMENTS
from matgan.data import training_set
from matgan.data.training_set import TrainingData, load_training_data, save_training_data
from matgan.files import ArraysError
from matgan.wgan.slots import N_COUNTS

TRAIN = amounts_matrix(["TiO2", "NaCl", "Fe2O3", "BaTiO3"]).astype(np.uint8)
TEST = amounts_matrix(["MgO", "CaF2"]).astype(np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "odd.npz"


def test_it_comes_back_as_it_was(path):
    data = TrainingData(TRAIN, TEST)
    save_training_data(path, data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = load_training_data(path)
    np.testing.assert_array_equal(again.train, TRAIN)
    np.testing.assert_array_equal(again.test, TEST)
    assert again.train.dtype == np.uint8
    assert again.hash == data.hash
    assert [p.name for p in path.parent.iterdir()] == ["odd.npz"]


def test_the_hash_tells_both_parts_and_their_order_apart():
    hashes = {
        TrainingData(train, test).hash
        for train, test in [
            (TRAIN, TEST), (TEST, TRAIN), (TRAIN[::-1], TEST), (TRAIN[1:], TEST), (TRAIN, TEST[1:]),
        ]
    }  # fmt: skip
    assert len(hashes) == 5
    assert TrainingData(np.asfortranarray(TRAIN), TEST).hash == TrainingData(TRAIN, TEST).hash


@pytest.mark.parametrize("kind", [np.int64, np.float32, float, ">i4"])
def test_whole_numbers_of_another_type_are_the_same_data(kind):
    eight = amounts_matrix(["Fe8O"])  # the largest amount
    np.testing.assert_array_equal(TrainingData(TRAIN, eight.astype(kind)).test, eight)
    data = TrainingData(TRAIN.astype(kind), TEST)
    assert data.train.dtype == np.uint8
    assert data.hash == TrainingData(TRAIN, TEST).hash


def changed(value, row=2, element="O", kind=float):
    array = TRAIN.astype(kind)
    array[row, ELEMENTS.index(element)] = value
    return array


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (0.5 * TRAIN, r"train, row 0: Ti has the amount 0\.5; whole numbers from 0 to 8"),
        (changed(-1), "train, row 2: O has the amount -1"),
        (changed(9), "train, row 2: O has the amount 9"),
        (changed(200, kind=np.uint8), "train, row 2: O has the amount 200"),
        (changed(np.nan), "train, row 2: O has the amount nan"),
        (changed(np.inf), "train, row 2: O has the amount inf"),
        (np.vstack([TRAIN, 0 * TEST]), "train, row 4 holds no element"),
        (TRAIN[0], r"train has the shape \(85,\), \(n, 85\) is needed"),
        (TRAIN[:, :84], r"train has the shape \(4, 84\)"),
        (np.zeros(()), r"train has the shape \(\)"),
        (TRAIN.astype(str), "train holds <U3, not numbers"),
        (TRAIN > 0, "train holds bool, not numbers"),
        (TRAIN.astype(complex), "train holds complex128, not numbers"),
    ],
)
def test_what_is_no_training_data_is_named(path, train, message):
    with pytest.raises(ValueError, match=rf"^{message}"):
        TrainingData(train, TEST)
    with pytest.raises(ValueError, match=message.replace("train", "test", 1)):
        TrainingData(TRAIN, train)
    np.savez(path, train=train, test=TEST, elements=np.array(ELEMENTS))
    with pytest.raises(ArraysError, match=rf"odd\.npz: {message}"):
        load_training_data(path)


def test_a_test_set_that_was_trained_on_is_warned_of(path):
    data = TrainingData(TRAIN, np.vstack([TRAIN[:1], TEST, TRAIN[:1]]))
    assert data.shared() == 2
    save_training_data(path, data)
    with pytest.warns(UserWarning, match=r"odd\.npz: 2 of 4 test compositions are training"):
        load_training_data(path)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_damaged_or_foreign_file_is_named_and_nothing_in_it_is_run(path, tmp_path):
    save_training_data(path, TrainingData(TRAIN, TEST))
    whole, bomb = path.read_bytes(), Bomb(tmp_path / "exploded")
    flipped = bytearray(whole)
    flipped[60] ^= 1
    parts = {"test": TEST, "elements": np.array(ELEMENTS)}
    pickled = np.array([bomb], dtype=object)
    cases = {
        "truncated": lambda: path.write_bytes(whole[:-40]),
        "half": lambda: path.write_bytes(whole[: len(whole) // 2]),
        "a flipped bit": lambda: path.write_bytes(flipped),
        "empty": lambda: path.write_bytes(b""),
        "text": lambda: path.write_text("formula,target\n"),
        ".npy": lambda: np.save(path.open("wb"), TRAIN),
        "a pickle": lambda: path.write_bytes(pickle.dumps(bomb)),
        "a pickled array": lambda: np.savez(path, train=pickled, **parts),
        "one part": lambda: np.savez(path, train=TRAIN),
        "other elements": lambda: np.savez(path, **parts | {"elements": [1], "train": TRAIN}),
    }
    for make in cases.values():
        make()
        with pytest.raises(ArraysError, match=r"odd\.npz"):
            load_training_data(path)
    assert not (tmp_path / "exploded").exists()
    with pytest.raises(ArraysError, match="other elements"):
        load_training_data(path)
    with pytest.raises(FileNotFoundError, match="notebook 1 writes"):
        load_training_data(tmp_path / "nowhere.npz")


def test_the_largest_amount_is_one_number():
    assert training_set._MOST == MAX_COUNT == N_COUNTS
