import os
import pickle

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from matgan import files

TENSORS = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "scalar": np.array(7, dtype=np.int64),
    "bytes": np.array([1, 2, 255], dtype=np.uint8),
    "empty": np.zeros((0, 4)),
}


def equal(left, right):
    assert left.keys() == right.keys()
    for name, array in left.items():
        assert array.dtype == right[name].dtype and array.shape == right[name].shape
        np.testing.assert_array_equal(array, right[name])


def test_the_safetensors_package_reads_what_we_write(tmp_path):
    path = tmp_path / "a.safetensors"
    files.save(path, TENSORS, {"config": '{"d": 128}'})
    with safe_open(path, framework="numpy") as file:
        equal({name: file.get_tensor(name) for name in file.keys()}, TENSORS)  # noqa: SIM118
        assert file.metadata() == {"config": '{"d": 128}'}


def test_we_read_what_the_safetensors_package_writes(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file(TENSORS, path, metadata={"seed": "3"})
    tensors, metadata = files.load(path)
    equal(tensors, TENSORS)
    assert metadata == {"seed": "3"}


@pytest.mark.parametrize("keep", [0, 5, 8, 60, -1])
def test_a_truncated_file_is_named(tmp_path, keep):
    path = tmp_path / "cut.safetensors"
    files.save(path, TENSORS, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(files.WeightsError, match=r"cut\.safetensors"):
        files.load(path)


def test_a_pickle_in_disguise_is_refused_and_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    path = tmp_path / "bomb.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(files.WeightsError, match="no safetensors file"):
        files.load(path)
    assert not (tmp_path / "exploded").exists()


def test_a_header_that_points_outside_the_file_is_refused(tmp_path):
    path = tmp_path / "far.safetensors"
    header = b'{"T":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 8)
    with pytest.raises(files.WeightsError, match="tensor T lies beyond its end"):
        files.load(path)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.safetensors"
    files.save(path, TENSORS, {"version": "old"})
    with pytest.raises(ZeroDivisionError), files.atomic_file(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert files.load(path)[1] == {"version": "old"}
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_an_unsupported_type_is_named(tmp_path):
    with pytest.raises(files.WeightsError, match="tensor z has the unsupported type complex128"):
        files.save(tmp_path / "a", {"z": np.zeros(2, dtype=complex)}, {})
    assert not os.listdir(tmp_path)
