"""Files: whole or not at all, checked against their hash, read without running code."""

import gzip
import hashlib
import json
import multiprocessing
import os
import pickle
import stat
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from matgan import files
from matgan.files import ArraysError, WeightsError, atomic_file

# --- writing --------------------------------------------------------------------------------------


def test_a_file_appears_at_the_end_with_its_folders_and_the_users_rights(tmp_path):
    path = tmp_path / "not" / "yet" / "a.csv"
    before = os.umask(0o027)
    try:
        with atomic_file(path) as file:
            file.write(b"half")
            assert os.listdir(path.parent) == [f".a.csv.{os.getpid()}.tmp"]
            file.write(b" whole")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"half whole"
    assert os.listdir(path.parent) == ["a.csv"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, OSError("disk full")])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises((ZeroDivisionError, KeyboardInterrupt, OSError)), atomic_file(path) as file:
        file.write(b"half")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.csv"]


def test_a_full_disk_is_an_error_with_the_path(tmp_path):
    with (
        pytest.raises(OSError, match=r"No space left on device: '.*/a\.npy'"),
        atomic_file(tmp_path / "a.npy"),
        open("/dev/full", "wb") as full,
    ):
        full.write(bytes(100_000))
    assert os.listdir(tmp_path) == []


KILLED = """
import os, signal, sys
from matgan.files import atomic_file
with atomic_file(sys.argv[1]) as file:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_only_what_a_killed_process_left_is_half_written(tmp_path):
    path = tmp_path / "deep" / "a.csv"
    assert subprocess.run([sys.executable, "-c", KILLED, path]).returncode == -9
    (left,) = path.parent.iterdir()
    others = [".env", ".gitignore", ".x.tmp", "a.7.tmp", ".a.csv.7.tmp.txt", ".a.csv.-7.tmp"]
    others += [f".a.csv.{os.getpid()}.tmp", ".a.csv.1.tmp"]  # of processes that live
    for name in others:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".folder.99999999.tmp").mkdir()
    assert files.half_written(tmp_path) == [left]


def test_a_folder_is_written_by_one_process_at_a_time(tmp_path):
    folder = tmp_path / "out"
    with files.locked(folder):
        second = files.locked(folder)
        with pytest.raises(files.BusyError, match=f"another process is writing into {folder}"):
            second.__enter__()
        with files.locked(tmp_path / "other"):
            pass
    with files.locked(folder):
        assert os.listdir(folder) == []


SHARE = """
import sys
from pathlib import Path
from matgan import files
files.share(Path(sys.argv[1]))
files.share(Path(sys.argv[1]))  # once more is nothing
print("shared", flush=True)
input()
"""


@pytest.mark.parametrize("locks_folders", [True, False])
def test_those_who_share_a_folder_keep_out_who_wants_it_alone(tmp_path, locks_folders):
    """On a network disk, which locks no folders, too: there by a file."""
    code = SHARE
    if not locks_folders:
        code = NO_FOLDER_LOCKS + SHARE
    command = [sys.executable, "-c", code, tmp_path]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    assert [process.stdout.readline() for process in both] == ["shared\n"] * 2
    alone = "from matgan import files\nfrom pathlib import Path\nimport sys\n"
    alone += "with files.locked(Path(sys.argv[1])): print('alone')"
    command[2] = alone if locks_folders else NO_FOLDER_LOCKS + alone
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"BusyError: another process is writing into {tmp_path}" in refused.stderr
    for process in both:
        process.communicate("\n")
    free = subprocess.run(command, capture_output=True, text=True, check=False)
    assert free.stdout == "alone\n", free.stderr
    assert (tmp_path / ".lock").exists() != locks_folders


NO_FOLDER_LOCKS = """
import errno, fcntl, os, stat
flock = fcntl.flock
def of_files(descriptor, kind):
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise OSError(errno.EBADF, "no folder is locked here")
    flock(descriptor, kind)
fcntl.flock = of_files
"""


# --- hashes ---------------------------------------------------------------------------------------


def test_a_seal_is_what_sha256sum_writes_and_breaks_with_the_file(tmp_path):
    path = tmp_path / "a.npy"
    assert not files.is_sealed(path)
    path.write_bytes(b"content")
    assert not files.is_sealed(path)  # nobody has seen it
    files.seal(path)
    found = hashlib.sha256(b"content").hexdigest()
    assert files.sha256(path) == found
    assert (tmp_path / "a.npy.sha256").read_text() == f"{found}  a.npy\n"
    assert files.is_sealed(path)
    for damage in (b"Content", b"", b"content."):
        path.write_bytes(damage)
        assert not files.is_sealed(path)
    path.write_bytes(b"content")
    for damage in (b"", b"\xff\xfe", b"0" * 64):
        (tmp_path / "a.npy.sha256").write_bytes(damage)
        assert not files.is_sealed(path)
    path.unlink()
    assert not files.is_sealed(path)


# --- tensors --------------------------------------------------------------------------------------

TENSORS = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "scalar": np.array(7, dtype=np.int64),
    "bytes": np.array([1, 2, 255], dtype=np.uint8),
    "empty": np.zeros((0, 4)),
    "turned": np.arange(12.0).reshape(3, 4).T,  # not as it lies in memory
    "every second": np.arange(9, dtype=np.float16)[::2],
    "big end first": np.arange(3, dtype=">i4"),
}


def equal(left, right):
    assert left.keys() == right.keys()
    for name, array in left.items():
        assert array.shape == right[name].shape
        assert array.dtype == right[name].dtype.newbyteorder("=")
        np.testing.assert_array_equal(array, right[name])


def test_the_safetensors_package_reads_what_we_write(tmp_path):
    path = tmp_path / "a.safetensors"
    files.save(path, TENSORS, {"config": '{"d": 128}'})
    with safe_open(path, framework="numpy") as file:
        equal({name: file.get_tensor(name) for name in file.keys()}, TENSORS)  # noqa: SIM118
        assert file.metadata() == {"config": '{"d": 128}'}


def test_we_read_what_the_safetensors_package_writes(tmp_path):
    path = tmp_path / "a.safetensors"
    plain = {"a": TENSORS["matrix"], "b": TENSORS["scalar"]}
    save_file(plain, path, metadata={"seed": "3"})
    tensors, metadata = files.load(path)
    equal(tensors, plain)
    assert metadata == {"seed": "3"}
    tensors["a"][0] = 1  # a copy that may be changed
    save_file(plain, path)
    assert files.load(path)[1] == {}


METADATA = {name: f"{name}, 'é\"" for name in "config data iteration elements best history".split()}


def write(path):
    files.save(path, TENSORS, METADATA)


def test_two_processes_write_the_same_bytes(tmp_path):
    """The library by itself writes the metadata in random order."""
    context = multiprocessing.get_context("spawn")
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        process = context.Process(target=write, args=(path,))
        process.start()
        process.join()
    files.save(tmp_path / "c", TENSORS, dict(reversed(METADATA.items())))
    assert paths[0].read_bytes() == paths[1].read_bytes() == (tmp_path / "c").read_bytes()
    assert files.load(tmp_path / "c")[1] == METADATA


@pytest.mark.parametrize("keep", [0, 5, 8, 60, -1])
def test_a_truncated_file_is_named(tmp_path, keep):
    path = tmp_path / "cut.safetensors"
    files.save(path, TENSORS, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=r"cut\.safetensors is no safetensors file, or is cut"):
        files.load(path)


def test_a_pickle_in_disguise_is_refused_and_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    path = tmp_path / "bomb.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(WeightsError, match="no safetensors file"):
        files.load(path)
    assert not (tmp_path / "exploded").exists()


ONE = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"a": ONE}, 8),  # beyond the end
        ({"a": ONE}, 20),  # bytes left over
        ({"a": ONE, "b": ONE}, 16),  # two on the same bytes
        ({"a": ONE, "b": ONE | {"data_offsets": [20, 36]}}, 36),  # a gap
        ({"a": ONE | {"shape": [2**62, 4]}}, 16),
        ({"a": ONE | {"shape": [0, 2**60, 2**60], "data_offsets": [0, 0]}}, 0),
        ({"a": ONE | {"shape": [1] * 100, "data_offsets": [0, 4]}}, 4),
        ({"a": ONE | {"dtype": "BF16", "data_offsets": [0, 8]}}, 8),  # not NumPy's
        ({"a": ONE | {"dtype": "F8_E4M3", "data_offsets": [0, 4]}}, 4),
        ({"a": ONE, "__metadata__": {"x": 3}}, 16),
        ([], 0),
    ],
)
def test_a_header_that_does_not_fit_is_refused(tmp_path, header, data):
    path = tmp_path / "odd.safetensors"
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(data))
    with pytest.raises(WeightsError, match=r"odd\.safetensors is no safetensors file"):
        files.load(path)


def test_a_header_above_ten_megabytes_is_not_read(tmp_path):
    path = tmp_path / "long.safetensors"
    text = b'{"__metadata__":{"x":"' + b"x" * 10_000_000 + b'"}}'
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(WeightsError, match="its header would have 10,000,025 bytes"):
        files.load(path)


@pytest.mark.parametrize("kind", [complex, object, str])
def test_an_unsupported_type_is_named(tmp_path, kind):
    with pytest.raises(WeightsError, match="a cannot be written: Unknown dtype"):
        files.save(tmp_path / "a", {"z": np.zeros(2, dtype=kind)}, {})
    assert not os.listdir(tmp_path)


# --- arrays ---------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.arange(5000), y=np.array(["H", "He"]))
    return path


def test_arrays_of_a_sound_archive(archive):
    arrays = files.load_arrays(archive, ["y", "x"])
    assert list(arrays) == ["y", "x"]
    np.testing.assert_array_equal(arrays["x"], np.arange(5000))
    with pytest.raises(ArraysError, match=r"a\.npz is no sound \.npz file: it lacks z"):
        files.load_arrays(archive, ["x", "z"])
    with pytest.raises(FileNotFoundError):
        files.load_arrays(archive.with_name("b.npz"), ["x"])


@pytest.mark.parametrize("keep", [0, 1, 20, 300, -1])
def test_a_truncated_archive_is_named(archive, keep):
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(ArraysError, match=r"a\.npz is no sound"):
        files.load_arrays(archive, ["x", "y"])


def test_a_flipped_bit_is_found_or_does_no_harm(archive):
    """Every byte but those of zip's own book-keeping counts in a checksum."""
    content, refused = archive.read_bytes(), 0
    whole = files.load_arrays(archive, ["x", "y"])
    for place in range(0, len(content), 29):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        archive.write_bytes(damaged)
        try:
            found = files.load_arrays(archive, ["x", "y"])
        except ArraysError as error:
            assert "a.npz" in str(error)
            refused += 1
        else:
            assert all(np.array_equal(found[name], whole[name]) for name in whole)
    assert refused > 0.5 * len(content) / 29


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_other_files_are_refused_and_nothing_in_them_is_run(tmp_path):
    path, exploded = tmp_path / "odd.npz", tmp_path / "exploded"
    bomb = np.array([Bomb(exploded)], dtype=object)

    def archive_of(header):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("x.npy", header)

    cases = {
        "text": lambda: path.write_text("formula,target"),
        "one array": lambda: np.save(path.open("wb"), np.zeros(3)),
        "a pickle": lambda: path.write_bytes(pickle.dumps(Bomb(exploded))),
        "a pickled array": lambda: np.savez(path, x=bomb),
        "a member that is no array": lambda: archive_of(b"no array"),
        "a header that is code": lambda: archive_of(b"\x93NUMPY\x01\x00\x10\x00__import__('os')"),
        "a huge shape": lambda: archive_of(
            b"\x93NUMPY\x01\x00\x46\x00"
            + b"{'descr': '<f8', 'fortran_order': False, 'shape': (9000000000000000,)}"
        ),
    }
    for make in cases.values():
        make()
        with pytest.raises(ArraysError, match=r"odd\.npz is no sound"):
            files.load_arrays(path, ["x"])
    assert not exploded.exists()


@pytest.mark.parametrize(
    "array",
    [
        np.array([0x110000, 65], dtype="<u4").view("<U1"),
        np.array([0xFFFFFFFF], dtype=">u4").view(">U1"),
        np.zeros(2, dtype=[("a", "<U2"), ("b", "f8")]),
    ],
    ids=["beyond Unicode", "other byte order", "a table"],
)
def test_text_that_is_none_is_refused(array, tmp_path):
    """Python's own error for such a character, when it is read, is a SystemError."""
    np.savez(tmp_path / "a.npz", x=array)
    with pytest.raises(ArraysError, match=r"a\.npz .* x holds what is neither numbers nor text"):
        files.load_arrays(tmp_path / "a.npz", ["x"])


def test_text_comes_back(tmp_path):
    words = np.array(["Ti", "é", "\U0010ffff", ""])
    np.savez(tmp_path / "a.npz", x=words, y=words.astype(">U3"), z=np.array("Ti"), none=words[:0])
    found = files.load_arrays(tmp_path / "a.npz", ["x", "y", "z", "none"])
    assert found["x"].tolist() == found["y"].tolist() == words.tolist()
    assert found["z"] == "Ti" and found["none"].shape == (0,)


def npz_whose_array_says(path, shape, data=bytes(80)):
    header = f"{{'descr':'<f8','fortran_order':False,'shape':{shape}}}\n".encode()
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", array)
    return path


@pytest.mark.parametrize(
    "shape", ["(11,)", "(10000000000,)", "(9,)", "(2, 200000000)", f"({2**62}, {2**62})"]
)
def test_an_array_of_another_size_than_its_header_says_takes_no_memory(tmp_path, shape):
    path = npz_whose_array_says(tmp_path / "a.npz", shape)
    tracemalloc.start()
    with pytest.raises(files.ArraysError, match=r"a would have [\d,]+ bytes, but there are 80"):
        files.load_arrays(path, ["a"])
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()
    assert files.load_arrays(npz_whose_array_says(path, "(10,)"), ["a"])["a"].shape == (10,)


def test_arrays_of_more_than_the_limit_are_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_LARGEST_ARRAYS", 10_000_000)
    path = tmp_path / "zeros.npz"
    np.savez_compressed(path, a=np.zeros(1_000_000), b=np.zeros(1_000_000))
    assert path.stat().st_size < 30_000
    assert files.load_arrays(path, iter(["a"]))["a"].shape == (1_000_000,)
    with pytest.raises(files.ArraysError, match="its arrays would have 16,000,000 bytes"):
        files.load_arrays(path, ["a", "b"])


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_table_is_compressed_by_its_name_and_has_the_same_bytes(name, tmp_path):
    for folder in ("one", "two"):
        with files.csv_file(tmp_path / folder / name) as file:
            file.write(b"a,b\n1,2\n")
    one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
    assert one == two and (one[:2] == b"\x1f\x8b") == name.endswith(".gz")
    assert (gzip.decompress(one) if name.endswith(".gz") else one) == b"a,b\n1,2\n"


def test_a_table_of_another_ending_is_refused_and_not_begun(tmp_path):
    refused = pytest.raises(ValueError, match=r"as \.csv or \.csv\.gz, not as 'a\.txt'")
    with refused, files.csv_file(tmp_path / "new" / "a.txt"):
        pass
    assert not list(tmp_path.iterdir())
