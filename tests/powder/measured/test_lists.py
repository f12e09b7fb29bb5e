import numpy as np
import pytest

from matgan import files
from matgan.powder.measured import lists as of_lists
from matgan.powder.measured.preparation import reflection_lists


@pytest.fixture(scope="module")
def lists(crystals):
    return reflection_lists(crystals.take(np.arange(0, 3000, 100)))


def test_what_is_written_is_read_again(lists, tmp_path):
    path = tmp_path / "lists.npz"
    of_lists.write_lists(path, lists)
    read = of_lists.read_lists(path)
    width = read.hkl.shape[1]
    for name in ("ids", "basis", "laue", "operations", "classes", "experimental", "members"):
        assert np.array_equal(getattr(read, name), getattr(lists, name)), name
    assert np.array_equal(read.hkl, lists.hkl[:, :width])
    assert not lists.strength[:, width:].any()
    there = lists.strength[:, :width] > 0
    assert np.array_equal(read.strength > 0, there)
    ratio = read.strength[there] / lists.strength[:, :width][there]
    assert np.abs(ratio - 1).max() < 0.0145  # half a step of 2.7%
    assert path.stat().st_size < 600 * len(lists)


def test_rows_are_taken_in_their_order(lists):
    some = lists.take(np.array([5, 2]))
    assert some.ids.tolist() == lists.ids[[5, 2]].tolist()
    assert np.array_equal(some.hkl[1], lists.hkl[2])
    assert some.members is lists.members


def test_a_damaged_file_is_refused(lists, tmp_path):
    path = tmp_path / "lists.npz"
    of_lists.write_lists(path, lists)
    arrays = files.load_arrays(path, None)
    np.savez(path, **(arrays | {"counts": arrays["counts"] + 1}))
    with pytest.raises(files.ArraysError, match="reflections are announced"):
        of_lists.read_lists(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(files.ArraysError):
        of_lists.read_lists(path)
