"""Faults caused for real: full and read-only disks, kills, no network. README.md has the table.

Disks and networks are made in namespaces of their own (`unshare`), so that nothing is left behind.
"""

import os
import pickle
import queue
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

from matgan import files
from matgan.__main__ import main
from matgan.chemistry.elements import ELEMENTS
from matgan.data.training_set import TrainingData, save_training_data
from matgan.study.execute import main as execute
from matgan.study.run import PROJECT, read_manifest
from matgan.wgan import training
from matgan.wgan.config import LEARNING

RUN = """
import sys, pathlib
from matgan.study.execute import main
sys.exit(main(sys.argv[2:], pathlib.Path(sys.argv[1])))
"""
# the loopback network, by which the kernels speak, is down in a new network namespace
LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
request = struct.pack("16sh", b"lo", 1)
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, request)
os.execvp(sys.argv[1], sys.argv[1:])
"""
NEW_SPACE = ["unshare", "--user", "--map-root-user"]


def can_unshare(*options):
    command = [*NEW_SPACE, *options, "true"]
    return shutil.which("unshare") and not subprocess.run(command, capture_output=True).returncode


needs_mounts = pytest.mark.skipif(not can_unshare("--mount"), reason="no disk can be mounted here")
needs_networks = pytest.mark.skipif(not can_unshare("--net"), reason="no network can be made here")


def run(*command, timeout=600, **environment):
    """Run a command; its standard output and error together."""
    return subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "MATGAN_DEVICE": "cpu", "PYTHONPATH": str(PROJECT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )


def on_a_disk(folder, size, script, *words, **environment):
    """Run a shell script with a fresh disk of that size at `folder` ($0); the words are $1, …"""
    folder.mkdir()
    mount = f'mount -t tmpfs -o size={size} none "$0" || exit 99\n'
    return run(*NEW_SPACE, "--mount", "sh", "-c", mount + script, folder, *words, **environment)


# --- the cache ------------------------------------------------------------------------------------

FETCH = """
import functools, http.server, pathlib, sys, threading
from matgan.data import sources
folder, size = sys.argv[1:]
(pathlib.Path(folder) / "table.csv").write_bytes(bytes(int(size)))
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_): pass
handler = functools.partial(Quiet, directory=folder)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
sha256 = sources.files.sha256(f"{folder}/table.csv")
address = f"http://127.0.0.1:{server.server_address[1]}/table.csv"
sources.SOURCES["fake"] = sources.Source("fake", "table.csv", sha256, address, "", "")
try:
    print("FETCHED", sources.fetch("fake").stat().st_size)
except sources.SourceUnavailable as error:
    print("UNAVAILABLE", error)
"""


@needs_mounts
def test_a_disk_that_is_too_small_for_a_download(tmp_path):
    """The message names the reason, nothing is left, and with room the same call succeeds."""
    script = """
    "$1" -c "$2" "$3" 3000000
    echo "LEFT $(ls -A "$0" | grep -v lock)"
    mount -o remount,size=8m "$0"
    "$1" -c "$2" "$3" 3000000
    """
    (served := tmp_path / "served").mkdir()
    cache = tmp_path / "cache"
    words = (cache, "1m", script, sys.executable, FETCH, served)
    done = on_a_disk(*words, MATGAN_CACHE=str(cache), MATGAN_DATA="", NO_PROXY="127.0.0.1")
    first, left, last = [line for line in done.stdout.splitlines() if line.strip()]
    assert first.startswith("UNAVAILABLE table.csv could not be had")
    assert "No space left on device" in first
    assert f"save it as {cache}/table.csv" in first
    assert left == "LEFT "
    assert last == "FETCHED 3000000"


PATTERNS = """
import numpy as np, pandas as pd
from matgan.crystals.structures import Structures
from matgan.powder.patterns import patterns
n = 200
table = pd.DataFrame({"id": range(n), "split": "train", "space_group": 225})
cells, places = np.tile([4.0, 4, 4, 90, 90, 90], (n, 1)), np.zeros((n, 3))
crystals = Structures(cells, np.arange(n + 1), np.full(n, 26, np.uint8), places, table)
print("PATTERNS", patterns(crystals).shape)
"""


@needs_mounts
def test_a_disk_that_is_too_small_for_patterns(tmp_path):
    """200 patterns take 850 kB: an error with the path, no signal, and nothing is left."""
    script = """
    "$1" -c "$2"; echo "STATUS $?"; echo "LEFT $(find "$0" -type f)"
    mount -o remount,size=8m "$0"; "$1" -c "$2"
    """
    cache = tmp_path / "cache"
    words = (cache, "300k", script, sys.executable, PATTERNS)
    done = on_a_disk(*words, MATGAN_CACHE=str(cache))
    broken, mended = done.stdout.split("STATUS 1\n")
    error = broken.splitlines()[-1]
    assert error.startswith(f"OSError: [Errno 28] No space left on device: '{cache}/patterns/")
    assert mended == "LEFT \nPATTERNS (200, 4250)\n"


@needs_mounts
def test_a_cache_on_a_read_only_disk(tmp_path):
    (served := tmp_path / "served").mkdir()
    cache = tmp_path / "cache"
    script = 'mount -o remount,ro "$0"; "$1" -c "$2" "$3" 10'
    words = (cache, "1m", script, sys.executable, FETCH, served)
    done = on_a_disk(*words, MATGAN_CACHE=str(cache), MATGAN_DATA="", NO_PROXY="127.0.0.1")
    assert done.stdout.startswith(
        f"UNAVAILABLE table.csv cannot be stored: the cache folder {cache}"
    )
    assert "Read-only file system" in done.stdout
    assert "let MATGAN_CACHE name another folder" in done.stdout


@needs_networks
def test_no_network_and_an_empty_cache(tmp_path):
    """The study cannot start without OQMD: exit 1, what is missing and where to put it."""
    command = [*NEW_SPACE, "--net", sys.executable, "-c", LOOPBACK_UP, sys.executable, "-c", RUN]
    options = ["--profile", "smoke", "--only", "01", "--run-dir", tmp_path / "run"]
    cache = tmp_path / "cache"
    done = run(*command, PROJECT, *options, MATGAN_DATA="", MATGAN_CACHE=str(cache))
    assert done.returncode == 1, done.stdout
    assert "01_data_curation failed in cell In [" in done.stdout
    assert "SourceUnavailable: crabnet-2.0.8-py3-none-any.whl could not be had" in done.stdout
    assert "in the folder that MATGAN_DATA names" in done.stdout
    assert [file for file in cache.iterdir() if file.suffix != ".lock"] == []


# --- the run directory --------------------------------------------------------------------------

TABLES = """\
import pandas as pd
from matgan.study.run import open_run
run = open_run(run_dir, "01_first")
for i in range(n):
    run.table(pd.DataFrame({"x": range(100_000)}), f"t{i}")
"""
WAIT = """\
import pathlib, time, os
pathlib.Path(run_dir, "part").write_text(str(os.getpid()))
pathlib.Path(run_dir, "part").rename(pathlib.Path(run_dir, "pid"))
end = time.monotonic() + wait
while time.monotonic() < end and not pathlib.Path(run_dir, "go").exists():
    time.sleep(0.1)
"""


@pytest.fixture
def project(tmp_path):
    """A project of two notebooks: tables of 0.6 MB each, and a wait."""
    notebooks = tmp_path / "project" / "notebooks"
    notebooks.mkdir(parents=True)
    (notebooks / "profiles.yaml").write_text("smoke: {all: {}}\n")
    kernel = {"name": "python3", "display_name": "Python 3"}
    start = "run_dir: str = ''\nprofile: str = ''\n"
    for name, declared, source in (
        ("01_first", "n: int = 1\ntext: str = ''", TABLES),
        ("02_second", "wait: float = 0.0", WAIT),
    ):
        notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
        tags = {"tags": ["parameters"]}
        notebook.cells = [
            nbformat.v4.new_code_cell(start + declared, metadata=tags),
            nbformat.v4.new_code_cell(source),
        ]
        nbformat.write(notebook, notebooks / f"{name}.ipynb")
    return notebooks.parent


@pytest.fixture
def kernels(monkeypatch):
    """Kernels that this process starts find the package, and no CUDA device."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("MATGAN_DEVICE", "cpu")


def half_written(folder):
    """What a broken write would leave in a run directory."""
    names = [path.name for path in folder.rglob("*") if path.is_file()]
    return [name for name in names if name.endswith((".tmp", ".part", ".running.ipynb"))]


@needs_mounts
def test_a_run_on_a_full_disk_says_so_and_goes_on_with_room(tmp_path, project):
    script = """
    "$1" -c "$2" "$3" --profile smoke --only 01 -p n 8 --run-dir "$0"; echo "STATUS $?"
    echo "LEFT $(find "$0" -name '*.tmp')"; echo "WHOLE $(cat "$0"/tables/* | tail -1)"
    mount -o remount,size=64m "$0"
    "$1" -c "$2" "$3" --profile smoke --only 01 -p n 8 --run-dir "$0"; echo "STATUS $?"
    ls "$0"/tables | wc -l
    """
    done = on_a_disk(tmp_path / "disk", "3m", script, sys.executable, RUN, project)
    broken, mended = done.stdout.split("STATUS 1\n")
    assert "No space left on device" in broken
    assert "LEFT \n" in mended
    assert "WHOLE 99999\n" in mended
    assert mended.endswith("STATUS 0\n8\n")


@needs_mounts
def test_a_run_directory_on_a_read_only_disk(tmp_path, project):
    script = 'mount -o remount,ro "$0"; "$1" -c "$2" "$3" --profile smoke --run-dir "$0/run"'
    done = on_a_disk(tmp_path / "disk", "3m", script, sys.executable, RUN, project)
    assert done.returncode == 1
    assert done.stdout.startswith("The run cannot go on: [Errno 30] Read-only file system")
    assert str(tmp_path / "disk" / "run") in done.stdout
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.slow
@needs_mounts
def test_notebooks_run_from_a_checkout_that_is_read_only(tmp_path, project):
    """Nothing but the run directory is written to, as far as the study itself goes."""
    script = """
    cp -r "$3" "$0"/project; mount -o remount,ro "$0"
    "$1" -c "$2" "$0"/project --profile smoke --run-dir "$4"
    """
    run_dir = tmp_path / "run"
    done = on_a_disk(tmp_path / "disk", "3m", script, sys.executable, RUN, project, run_dir)
    assert done.returncode == 0, done.stdout
    assert {path.name for path in run_dir.glob("*.ipynb")} == {"01_first.ipynb", "02_second.ipynb"}


def start(project, *options):
    command = [sys.executable, "-c", RUN, project, "--profile", "smoke", *options]
    environment = {**os.environ, "MATGAN_DEVICE": "cpu", "PYTHONPATH": str(PROJECT)}
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=environment, start_new_session=True, **pipe)


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def executed(project, capsys, *options):
    """Status and output of a run from this process, which has loaded the study already."""
    status = execute(["--profile", "smoke", *options], project)
    return status, "".join(capsys.readouterr())


def test_a_run_refuses_a_second_one_and_goes_on_after_a_kill(project, capsys, kernels):
    """The second changes nothing; of the killed one no kernel is left."""
    results = project / "runs" / "smoke"
    first = start(project, "-p", "wait", "600.0")
    wait_for(results / "pid", first)
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    assert executed(project, capsys) == (
        2,
        f"Another run is using {results}, or JupyterLab has a notebook of it open: wait for it, "
        "shut its kernel down, or choose another --run-dir.\n",
    )
    assert {path: path.read_bytes() for path in before} == before and first.poll() is None
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    kernel = int((results / "pid").read_text())
    deadline = time.monotonic() + 600
    while Path(f"/proc/{kernel}").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not Path(f"/proc/{kernel}").exists(), "the kernel outlives its run"
    assert read_manifest(results)["notebooks"]["02_second"]["status"] == "started"
    status, output = executed(project, capsys)
    assert status == 0, output
    assert "01_first                         skipped (already done)" in output
    assert half_written(results) == []


def test_a_parameter_is_never_code(project, tmp_path, capsys, kernels):
    text = "'; __import__('os').mkdir('x'); '\n$(touch x) `touch x` {run_dir} \\"
    status, output = executed(project, capsys, "--only", "01", "-p", "text", text)
    assert status == 0, output
    executed_one = nbformat.read(project / "runs" / "smoke" / "01_first.ipynb", as_version=4)
    tagged = "injected-parameters"
    (injected,) = [c for c in executed_one.cells if tagged in c.metadata.get("tags")]
    values = {}
    exec(injected.source, values)
    assert values["text"] == text
    assert not list(tmp_path.rglob("x"))


@pytest.mark.slow
def test_a_smoke_run_killed_in_every_notebook_gives_the_same_tables(tmp_path):
    """Kill -9 at a random moment of each notebook; the tables are those of an undisturbed run."""
    command = [sys.executable, "-c", RUN, PROJECT, "--profile", "smoke", "--run-dir"]
    whole = run(*command, tmp_path / "whole", timeout=3600)
    assert whole.returncode == 0, whole.stdout
    seconds = {
        name: entry["wall_seconds"]
        for name, entry in read_manifest(tmp_path / "whole")["notebooks"].items()
    }
    results = tmp_path / "killed"
    for name, duration in seconds.items():
        process = start(PROJECT, "--run-dir", str(results))
        while read_manifest(results)["notebooks"].get(name, {}).get("status") != "started":
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.2)
        time.sleep(random.uniform(0, 0.9 * duration))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    again = run(*command, results, timeout=3600)
    assert again.returncode == 0, again.stdout
    tables = contents(tmp_path / "whole" / "tables")
    assert len(tables) > 20
    assert contents(results / "tables") == tables
    assert half_written(results) == []


# --- training -------------------------------------------------------------------------------------

OPTIONS = ["--preset", "learning", "--device", "cpu", "--batch-size", "8", "--test-every", "10"]
OPTIONS += ["--hidden", "8", "--head", "8", "--embedding-dim", "4"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """File of a small training set."""
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 9, (80, 85)) * (rng.random((80, 85)) < 0.1)
    path = tmp_path_factory.mktemp("data") / "small.npz"
    save_training_data(path, TrainingData(counts[:60].astype("u1"), counts[60:].astype("u1")))
    return path


def train(data, out, *options):
    """The training command in this process; returns its exit status."""
    return main(["train", str(data), "--out", str(out), *OPTIONS, *map(str, options)])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


REPEATS = [0, *(pytest.param(i, marks=pytest.mark.slow) for i in range(1, 20))]


@pytest.mark.parametrize("repeat", REPEATS)
def test_a_training_killed_at_a_random_iteration_goes_on_bit_for_bit(data, tmp_path, repeat):
    options = ["--iterations", "120"]
    assert train(data, tmp_path / "whole", *options) == 0
    checkpoint = tmp_path / "killed" / "checkpoint.safetensors"
    command = [sys.executable, "-m", "matgan", "train", data, "--out", checkpoint.parent]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([*command, *OPTIONS, *options], env=environment, **quiet)
    wait_for(checkpoint, process)
    time.sleep(random.uniform(0, 0.3))
    process.kill()
    process.communicate()
    assert checkpoint.exists(), "the kill came too late"
    iteration = files.load(checkpoint)[1]["iteration"]
    assert train(data, tmp_path / "killed", *options) == 0
    killed = contents(tmp_path / "killed")
    left = [name for name in killed if name.startswith(".")]  # of a kill while a file was written
    assert contents(tmp_path / "whole") == {k: v for k, v in killed.items() if k not in left}, (
        f"killed after iteration {iteration}"
    )


def test_a_second_training_in_the_same_folder_is_refused(data, tmp_path, capsys):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "matgan", "train", data, "--out", out, *OPTIONS]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True}
    first = subprocess.Popen(
        [*map(str, command), "--iterations", "1000000"], env=environment, **quiet
    )
    try:
        wait_for(out / "checkpoint.safetensors", first)
        assert train(data, out, "--iterations", 1_000_000) == 1
        assert f"BusyError: another process is writing into {out}" in capsys.readouterr().err
    finally:
        first.kill()
        first.communicate()
    with files.locked(out):  # a killed one gives it back
        pass


def test_a_cuda_device_that_is_not_there_is_named(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert train(data, tmp_path / "run", "--device", "cuda") == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("DeviceError: device is 'cuda', but torch finds no CUDA device")
    assert not (tmp_path / "run").exists()


@needs_mounts
def test_training_on_a_full_disk_keeps_its_last_state_and_goes_on(data, tmp_path):
    script = """
    "$@"; echo "STATUS $?"; ls -A "$0" | sort | xargs echo LEFT
    mount -o remount,size=8m "$0"; "$@"; echo "STATUS $?"; cp "$0"/* "$COPY"
    """
    (copy := tmp_path / "copy").mkdir()
    out = tmp_path / "disk"
    options = ["--iterations", "60", "--embedding-dim", "128"]
    command = [sys.executable, "-m", "matgan", "train", data, "--out", out, *OPTIONS, *options]
    done = on_a_disk(out, "100k", script, *command, COPY=str(copy))
    broken, mended = done.stdout.split("STATUS 1\n")
    full = f"OSError: [Errno 28] No space left on device: '{out / 'checkpoint.safetensors'}'"
    assert broken.splitlines()[-1] == full
    assert mended.startswith("LEFT history.csv\n")
    assert "STATUS 0\n" in mended
    assert train(data, tmp_path / "whole", *options) == 0
    assert contents(copy) == contents(tmp_path / "whole")


@pytest.fixture
def stopped(data, tmp_path, monkeypatch):
    """Folder with the checkpoint of a training that was stopped after 20 iterations or more."""
    step = training.Loop.step

    def stop_late(loop):
        if loop.state.iteration == 25:
            raise KeyboardInterrupt
        return step(loop)

    with monkeypatch.context() as patched:
        patched.setattr(training.Loop, "step", stop_late)
        assert train(data, tmp_path / "run", "--iterations", 40) == 130
    return tmp_path / "run"


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


@pytest.mark.parametrize("share", [0, 1e-4, 0.01, 0.3, 0.9, 0.9999])
def test_a_cut_checkpoint_is_named_and_left_alone(data, stopped, capsys, share):
    cut(stopped / "checkpoint.safetensors", share)
    before = contents(stopped)
    assert train(data, stopped, "--iterations", 40) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith(f"WeightsError: {stopped / 'checkpoint.safetensors'} is ")
    assert contents(stopped) == before


def test_a_pickle_in_place_of_a_checkpoint_is_refused_and_not_run(data, stopped, capsys):
    bomb = pickle.dumps(Bomb(stopped / "exploded"))
    (stopped / "checkpoint.safetensors").write_bytes(bomb)
    assert train(data, stopped, "--iterations", 40) == 1
    assert "WeightsError" in capsys.readouterr().err
    assert not (stopped / "exploded").exists()
    np.savez(stopped / "bomb.npz", train=np.array([Bomb(stopped / "exploded")], dtype=object),
             test=np.zeros(1), elements=np.array(ELEMENTS))  # fmt: skip
    assert train(stopped / "bomb.npz", stopped, "--iterations", 40) == 1
    message = capsys.readouterr().err
    assert f"ArraysError: {stopped / 'bomb.npz'} is no sound .npz file: Object arrays" in message
    assert not (stopped / "exploded").exists()


def test_a_checkpoint_of_another_configuration_is_refused(data, stopped, capsys):
    before = contents(stopped)
    assert train(data, stopped, "--iterations", 40, "--critic-lr", 0.5) == 1
    assert (
        f"belongs to another configuration: critic_lr = {LEARNING.critic_lr} there, 0.5 here"
        in (capsys.readouterr().err)
    )
    assert contents(stopped) == before


def test_a_loss_that_is_no_number_stops_the_training(data, tmp_path, capsys):
    options = ["--optimizer", "rmsprop", "--critic-lr", 1e30, "--iterations", 200]
    assert train(data, tmp_path, *options) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("Diverged: a loss became")
    assert "Lower the learning rates" in message


def test_memory_that_is_full_advises_a_smaller_batch(data, tmp_path, capsys, monkeypatch):
    def full(loop):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with monkeypatch.context() as patched:
        patched.setattr(training.Loop, "step", full)
        assert train(data, tmp_path, "--iterations", 20) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("OutOfMemoryError: the device's memory is full with batch_size = 8")
    assert "choose a smaller batch_size" in message
    assert "Tried to allocate 2.00 GiB" in message
    assert train(data, tmp_path, "--iterations", 20) == 0


def answer(client, asked):
    """Content of the reply to a cell."""
    while True:
        reply = client.get_shell_msg(timeout=600)
        if reply["parent_header"]["msg_id"] == asked:
            return reply["content"]


IN_JUPYTER = """
from pathlib import Path
from matgan.wgan.config import LEARNING
from matgan.wgan.training import train_wgan
from matgan.data.training_set import load_training_data
config = LEARNING.replace(iterations={n}, batch_size=8, hidden=(8,), head=(8,), embedding_dim=4)
train_wgan(config, load_training_data({data!r}), {out!r}, "cpu", lambda now: Path({sign!r}).touch())
"""


def wait_until(client, there, asked):
    """Until a file is there; a cell that ends before is a failure, however slow the machine is.

    A slow kernel is asked several times whether it is ready, and answers each time.
    """
    while not there.exists():
        try:
            reply = client.get_shell_msg(timeout=0.1)
        except queue.Empty:
            continue
        if reply["parent_header"]["msg_id"] == asked:
            pytest.fail(str(reply["content"]))


def test_the_stop_button_of_jupyter_saves_and_the_cell_goes_on(data, tmp_path):
    """JupyterLab's button interrupts the kernel, as here."""
    from jupyter_client.manager import start_new_kernel

    out, sign = tmp_path / "run", tmp_path / "runs"
    code = IN_JUPYTER.format(n=1_000_000, data=str(data), out=str(out), sign=str(sign))
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(PROJECT))
    try:
        # after an error a kernel may drop a request that comes at once, without this
        asked = client.execute(code, stop_on_error=False)
        wait_until(client, out / "checkpoint.safetensors", asked)
        manager.interrupt_kernel()
        reply = answer(client, asked)
        assert reply["ename"] == "KeyboardInterrupt"
        assert "run again to go on from there" in reply["evalue"]
        reached = int(files.load(out / "checkpoint.safetensors")[1]["iteration"])
        assert reached > 0
        sign.unlink()
        asked = client.execute(code)  # the kernel lives, and the cell goes on
        wait_until(client, sign, asked)
        manager.interrupt_kernel()
        assert answer(client, asked)["ename"] == "KeyboardInterrupt"
        assert int(files.load(out / "checkpoint.safetensors")[1]["iteration"]) > reached
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
