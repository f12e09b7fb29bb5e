"""Fetching: real files, and every way in which a file can fail to arrive, with a local server."""

import errno
import hashlib
import http.server
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pooch
import pytest

from matgan.data import sources
from matgan.data.compounds import sources as provenance
from matgan.data.derived import DERIVED
from matgan.data.sources import Source, SourceCorrupt, SourceUnavailable, fetch, read_csv
from matgan.data.tasks import PREDICTED_ENERGIES

GOOD = b"formula,target\nTiO2,1.5\nNaN,-2\n" + b"MgO,0.25\n" * 5000
GOOD_SHA256 = hashlib.sha256(GOOD).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Answers every request as `behaviour(handler)` does, and counts the requests."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour = send(GOOD)
        self.requests = 0
        self.address = f"http://127.0.0.1:{self.server_address[1]}/table.csv"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests += 1
        self.server.behaviour(self)

    def log_message(self, *args):
        pass


def send(content: bytes, length: int | None = None, before=lambda: None):
    """Behaviour: sends the content, after promising `length` bytes."""

    def behaviour(handler):
        before()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        handler.end_headers()
        handler.wfile.write(content)
        handler.wfile.flush()

    return behaviour


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, no MATGAN_DATA, no proxy, no waiting between two tries."""
    monkeypatch.setenv("MATGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MATGAN_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(pooch.core, "time", SimpleNamespace(sleep=lambda seconds: None))
    return tmp_path / "cache"


def register(monkeypatch, address: str, sha256: str = GOOD_SHA256, file: str = "table.csv"):
    source = Source("fake", file, sha256, address, "none", "nobody")
    monkeypatch.setitem(sources.SOURCES, "fake", source)


def files_in(folder: Path) -> list[str]:
    """Names of the files there, without the empty one that orders several processes."""
    files = folder.iterdir() if folder.is_dir() else []
    return sorted(path.name for path in files if not path.name.endswith(".lock"))


# --- the real sources ---------------------------------------------------------------------------


# read only to make derived files, or by jobs whose tables are there
BEHIND = (
    "jarvis_split",
    "jarvis_gaps",
    "jarvis_supercon",
    "vgg19",
    *PREDICTED_ENERGIES.values(),
)


STUDY = [name for name in sources.SOURCES if name not in BEHIND]


@pytest.mark.parametrize(
    "name", [*STUDY, *(pytest.param(name, marks=pytest.mark.slow) for name in BEHIND)]
)
def test_real_files_have_their_hash(name):
    try:
        path = fetch(name)
    except SourceUnavailable as error:
        pytest.skip("the study does not need it" if name in BEHIND else f"not run: {error}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found == sources.SOURCES[name].sha256
    assert path.name == sources.SOURCES[name].file


REAL = "test_real_files_have_their_hash[rruff_measured]"


@pytest.mark.parametrize("required", ["", "1"])
def test_missing_data_fail_where_they_are_required(tmp_path, required):
    """As in CI and before a release; else they are skipped."""
    nowhere = {"MATGAN_DATA": str(tmp_path), "MATGAN_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{__file__}::{REAL}"],
        env={**os.environ, "MATGAN_REQUIRE_DATA": required, **nowhere},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == bool(required), done.stdout
    assert ("MATGAN_REQUIRE_DATA is set. Skipped: not run" in done.stdout) == bool(required)


def test_provenance_is_complete():
    table = provenance().set_index("name")
    assert set(table.index[table["address"] == ""]) == set(DERIVED)
    fetched = {"crabnet", "supercon", *BEHIND}
    fetched |= {f"hu2020_{name}" for name in ("oqmd", "mp_gap", "supercon")}
    assert set(table.index) == fetched | set(DERIVED)
    assert table["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    for column in ("file", "licence", "citation"):
        assert table[column].str.len().gt(3).all()
    assert table["address"].str.match("https://|pip:|$").all()


def test_without_a_home_the_cache_must_be_named(monkeypatch):
    """As in a container, whose user has no name."""
    monkeypatch.delenv("MATGAN_CACHE", raising=False)
    monkeypatch.setenv("MATGAN_DATA", "")

    def homeless(_):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(sources.platformdirs, "user_cache_dir", homeless)
    with pytest.raises(SourceUnavailable, match="let MATGAN_CACHE name a folder for the data"):
        fetch("crabnet")


def test_an_unknown_source_names_the_known_ones():
    with pytest.raises(ValueError, match="unknown source 'oqdm'; the sources are crabnet, super"):
        fetch("oqdm")


# --- MATGAN_DATA ----------------------------------------------------------------------------------


def test_matgan_data_comes_first(cache, tmp_path, server, monkeypatch):
    register(monkeypatch, server.address)
    cache.mkdir()
    (cache / "table.csv").write_bytes(GOOD)
    assert fetch("fake") == cache / "table.csv"
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setenv("MATGAN_DATA", str(data))
    assert fetch("fake") == cache / "table.csv"  # not in the folder: the cache serves
    (data / "table.csv").write_bytes(GOOD)
    assert fetch("fake") == data / "table.csv"
    assert server.requests == 0


def test_a_wrong_file_in_matgan_data_is_named_and_left_alone(cache, tmp_path, server, monkeypatch):
    register(monkeypatch, server.address)
    monkeypatch.setenv("MATGAN_DATA", str(tmp_path))
    (tmp_path / "table.csv").write_bytes(GOOD[:-1])
    with pytest.raises(SourceCorrupt) as caught:
        fetch("fake")
    found = hashlib.sha256(GOOD[:-1]).hexdigest()
    for part in (str(tmp_path / "table.csv"), found, GOOD_SHA256):
        assert part in str(caught.value)
    assert (tmp_path / "table.csv").read_bytes() == GOOD[:-1]
    assert server.requests == 0
    assert files_in(cache) == []


# --- downloads ------------------------------------------------------------------------------------


def test_a_file_is_downloaded_once(cache, server, monkeypatch):
    folder = cache / "not" / "yet" / "there"
    monkeypatch.setenv("MATGAN_CACHE", str(folder))
    register(monkeypatch, server.address)
    assert fetch("fake") == folder / "table.csv"
    assert (folder / "table.csv").read_bytes() == GOOD
    assert fetch("fake") == folder / "table.csv"
    assert server.requests == 1
    assert files_in(folder) == ["table.csv"]


@pytest.mark.parametrize("damage", [b"", GOOD[:1000], b"X" + GOOD[1:], GOOD + b"\n"])
def test_a_damaged_file_in_the_cache_is_named_and_healed(
    damage, cache, server, monkeypatch, caplog
):
    register(monkeypatch, server.address)
    cache.mkdir()
    (cache / "table.csv").write_bytes(damage)
    assert fetch("fake").read_bytes() == GOOD
    assert f"{cache / 'table.csv'} is damaged" in caplog.text
    assert files_in(cache) == ["table.csv"]


def test_a_damaged_file_is_kept_where_it_cannot_be_fetched_again(cache, monkeypatch):
    register(monkeypatch, "http://127.0.0.1:1/table.csv")
    cache.mkdir()
    (cache / "table.csv").write_bytes(GOOD[:1000])
    with pytest.raises(SourceUnavailable):
        fetch("fake")
    assert files_in(cache) == ["table.csv"]
    register(monkeypatch, "")
    with pytest.raises(
        SourceCorrupt, match="wrong SHA-256: `python -m matgan rebuild fake` replaces it"
    ):
        fetch("fake")


def test_a_source_without_an_address_says_where_to_put_it(cache, monkeypatch):
    register(monkeypatch, "")
    message = "`python -m matgan rebuild fake` makes it, or put it into the folder MATGAN_DATA"
    with pytest.raises(SourceUnavailable, match=message):
        fetch("fake")


def test_a_download_cut_in_the_middle_is_tried_again(cache, server, monkeypatch):
    register(monkeypatch, server.address)
    cut, whole = send(GOOD[:1000], length=len(GOOD)), send(GOOD)
    server.behaviour = lambda handler: (cut if server.requests == 1 else whole)(handler)
    assert fetch("fake").read_bytes() == GOOD
    assert server.requests == 2
    assert files_in(cache) == ["table.csv"]


def assert_helpful(error: Exception, cache: Path, *parts: str):
    """One readable line that says why, and where to put the file."""
    message = str(error)
    assert "\n" not in message
    assert len(message) < 400
    for part in ("could not be had from", f"save it as {cache}/", "MATGAN_DATA", *parts):
        assert part in message
    assert "HTTPConnectionPool" not in message


def test_a_server_that_always_cuts(cache, server, monkeypatch):
    register(monkeypatch, server.address)
    server.behaviour = send(GOOD[:1000], length=len(GOOD))
    with pytest.raises(SourceUnavailable) as caught:
        fetch("fake")
    assert_helpful(caught.value, cache, server.address, "1000 bytes read")
    assert server.requests == 3
    assert files_in(cache) == []


def test_a_server_that_hangs_up(cache, server, monkeypatch):
    register(monkeypatch, server.address)
    server.behaviour = lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)
    with pytest.raises(SourceUnavailable) as caught:
        fetch("fake")
    assert_helpful(caught.value, cache, server.address)
    assert files_in(cache) == []


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_server_that_refuses(status, cache, server, monkeypatch):
    register(monkeypatch, server.address)
    server.behaviour = lambda handler: handler.send_error(status)
    with pytest.raises(SourceUnavailable) as caught:
        fetch("fake")
    assert_helpful(caught.value, cache, str(status))
    assert files_in(cache) == []


def test_nobody_listens(cache, monkeypatch):
    with socket.socket() as taken:  # bound, not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        register(monkeypatch, f"http://127.0.0.1:{taken.getsockname()[1]}/table.csv")
        with pytest.raises(SourceUnavailable) as caught:
            fetch("fake")
    assert_helpful(caught.value, cache, "refused")
    assert files_in(cache) == []


@pytest.mark.parametrize("content", [b"", b"<html>log in first</html>", GOOD[:-1] + b"!"])
def test_a_wrong_file_from_the_server_leaves_nothing(content, cache, server, monkeypatch):
    register(monkeypatch, server.address)
    server.behaviour = send(content)
    with pytest.raises(SourceCorrupt) as caught:
        fetch("fake")
    found = hashlib.sha256(content).hexdigest()
    for part in (f"{server.address} sent a wrong file", "table.csv", found, GOOD_SHA256):
        assert part in str(caught.value)
    assert files_in(cache) == []


FETCH = """
import sys
from matgan.data import sources
address, sha256 = sys.argv[1:]
sources.SOURCES["fake"] = sources.Source("fake", "table.csv", sha256, address, "", "")
print("fetching", flush=True)
print(sources.fetch("fake"))
"""


def fetch_elsewhere(server) -> subprocess.Popen:
    command = [sys.executable, "-c", FETCH, server.address, GOOD_SHA256]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_fetch_at_once_and_one_downloads(cache, server):
    asked, second_runs = threading.Event(), threading.Event()

    def slow(handler):
        asked.set()
        second_runs.wait(60)
        time.sleep(0.5)  # the other process asks for the file meanwhile
        send(GOOD)(handler)

    server.behaviour = slow
    processes = [fetch_elsewhere(server)]
    assert asked.wait(60)
    processes.append(fetch_elsewhere(server))
    assert processes[1].stdout.readline() == "fetching\n"
    second_runs.set()
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out.splitlines()[-1] == str(cache / "table.csv")
    assert server.requests == 1
    assert (cache / "table.csv").read_bytes() == GOOD
    assert files_in(cache) == ["table.csv"]


def test_a_process_killed_in_a_download_leaves_no_half_file(cache, server, monkeypatch):
    register(monkeypatch, server.address)
    asked, killed = threading.Event(), threading.Event()

    def stall(handler):
        send(GOOD[:20_000], length=len(GOOD))(handler)
        asked.set()
        killed.wait(60)

    server.behaviour = stall
    process = fetch_elsewhere(server)
    assert asked.wait(60)
    process.kill()
    process.communicate()
    killed.set()
    assert files_in(cache) == [".table.csv.part"]
    server.behaviour = send(GOOD)
    assert fetch("fake").read_bytes() == GOOD
    assert files_in(cache) == ["table.csv"]


# --- the cache folder ---------------------------------------------------------------------------


def assert_names_folder(error: Exception, folder: Path, reason: str):
    message = str(error)
    assert f"the cache folder {folder} cannot be written" in message
    assert reason in message
    assert "let MATGAN_CACHE name another folder" in message
    assert "\n" not in message


def test_a_file_in_place_of_the_cache_folder(cache, server, monkeypatch):
    register(monkeypatch, server.address)
    cache.write_text("a file")
    for folder in (cache, cache / "deeper"):
        monkeypatch.setenv("MATGAN_CACHE", str(folder))
        with pytest.raises(SourceUnavailable) as caught:
            fetch("fake")
        assert_names_folder(caught.value, folder, "Errno")
    assert server.requests == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_read_only_cache_folder(cache, server, monkeypatch):
    register(monkeypatch, server.address)
    cache.mkdir(mode=0o500)
    with pytest.raises(SourceUnavailable) as caught:
        fetch("fake")
    assert_names_folder(caught.value, cache, "Permission denied")


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_cache_folder_that_takes_no_file(code, cache, server, monkeypatch):
    register(monkeypatch, server.address)

    def refuse(*args, **options):
        raise OSError(code, os.strerror(code), str(cache))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(SourceUnavailable) as caught:
        fetch("fake")
    assert_names_folder(caught.value, cache, os.strerror(code))
    assert server.requests == 0


def test_a_disk_that_fills_during_the_download(cache, server, monkeypatch):
    register(monkeypatch, server.address)

    def fill(*args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **options: fill)
    with pytest.raises(SourceUnavailable) as caught:
        fetch("fake")
    assert_helpful(caught.value, cache, "No space left on device")
    assert files_in(cache) == []


# --- pip ------------------------------------------------------------------------------------------


def write_wheel(path: Path, members: dict[str, str]) -> str:
    """A small wheel that only an old Python may install; returns its SHA-256."""
    info = f"{path.name.removesuffix('-py3-none-any.whl')}.dist-info"
    name, version = path.name.split("-")[:2]
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: <3.9\n"
    tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    extra = {f"{info}/METADATA": head, f"{info}/WHEEL": tag, f"{info}/RECORD": ""}
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in (members | extra).items():
            wheel.writestr(member, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder in place of the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_wheel_comes_by_pip_whatever_python_it_wants(cache, index, monkeypatch):
    wheel = index / "matgan_fake-1.0-py3-none-any.whl"
    sha256 = write_wheel(wheel, {"fake/a.csv": "formula\nTiO2\n"})
    register(monkeypatch, "pip:matgan-fake==1.0", sha256, wheel.name)
    assert fetch("fake") == cache / wheel.name
    assert (cache / wheel.name).read_bytes() == wheel.read_bytes()
    assert read_csv("fake", "fake/a.csv", {"formula": "str"})["formula"].tolist() == ["TiO2"]
    assert files_in(cache) == [wheel.name]


def test_a_wrong_wheel_from_pip(cache, index, monkeypatch):
    wheel = index / "matgan_fake-1.0-py3-none-any.whl"
    write_wheel(wheel, {})
    register(monkeypatch, "pip:matgan-fake==1.0", GOOD_SHA256, wheel.name)
    with pytest.raises(SourceCorrupt, match=r"pip:matgan-fake==1\.0 sent a wrong file"):
        fetch("fake")
    assert files_in(cache) == []


def test_a_package_that_pip_does_not_find(cache, index, monkeypatch):
    register(monkeypatch, "pip:matgan-fake==1.0")
    with pytest.raises(SourceUnavailable) as caught:
        fetch("fake")
    assert_helpful(caught.value, cache, "pip download failed", "No matching distribution")
    assert files_in(cache) == []


def test_pip_without_a_network(cache, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{taken.getsockname()[1]}/simple")
        monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
        register(monkeypatch, "pip:matgan-fake==1.0", file="matgan_fake-1.0-py3-none-any.whl")
        with pytest.raises(SourceUnavailable) as caught:
            fetch("fake")
    assert_helpful(caught.value, cache, "pip:matgan-fake==1.0", "refused")
    assert files_in(cache) == []


def test_a_python_without_pip(cache, monkeypatch):
    register(monkeypatch, "pip:matgan-fake==1.0", file="matgan_fake-1.0-py3-none-any.whl")
    nothing = [sys.executable, "-I", "-c", "raise SystemExit('No module named pip')"]
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **options: run(nothing, **options))
    with pytest.raises(SourceUnavailable) as caught:
        fetch("fake")
    assert_helpful(caught.value, cache, "pip download failed: No module named pip")


# --- tables ---------------------------------------------------------------------------------------

COLUMNS = {"formula": "str", "target": "float"}


def put(monkeypatch, tmp_path: Path, content: bytes, file: str = "table.csv"):
    monkeypatch.setenv("MATGAN_DATA", str(tmp_path))
    (tmp_path / file).write_bytes(content)
    register(monkeypatch, "", hashlib.sha256(content).hexdigest(), file)


def test_read_csv_keeps_the_formula_nan_and_only_the_columns_asked_for(tmp_path, monkeypatch):
    put(monkeypatch, tmp_path, b"x,target,formula\n1,1.5,NaN\n2,-2e-1,Na\n3,0,None\n")
    table = read_csv("fake", None, COLUMNS)
    assert list(table.columns) == ["formula", "target"]
    assert table["formula"].tolist() == ["NaN", "Na", "None"]
    assert table["target"].tolist() == [1.5, -0.2, 0.0]


OQMD, GAP = "benchmark_data/OQMD_Formation_Enthalpy", "matbench_cv/mp_gap"
READ = [  # every table of the package, and its rows
    (sources.wheel_table, (f"{OQMD}/train",), 239_190),
    (sources.wheel_table, (f"{OQMD}/val",), 51_255),
    (sources.wheel_table, (f"{OQMD}/test",), 51_255),
    (sources.wheel_table, ("matbench/mp_gap",), 106_113),
    (sources.wheel_table, ("matbench/mp_e_form",), 132_752),
    *(
        (sources.wheel_table, (f"{GAP}/{part}{fold}",), None)
        for part in ("train", "val", "test")
        for fold in range(5)
    ),
    (read_csv, ("supercon", None, {"name": "str", "Tc": "float"}), 16_414),
    (read_csv, ("supercon_split", None, {"row": "int", "part": "str"}), 16_414),
]


@pytest.mark.parametrize(("read", "arguments", "rows"), READ)
def test_the_published_tables_are_whole(read, arguments, rows):
    """What no reader checks again: their SHA-256 is fixed."""
    try:
        table = read(*arguments)
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")
    assert len(table) == (rows or len(table)) > 5000
    assert isinstance(table.index, pd.RangeIndex)
    for column in table:
        cells = table[column]
        assert np.isfinite(cells).all() if cells.dtype != object else (cells != "").all()
    if "part" in table:  # each row of SuperCon once
        assert sorted(table["row"]) == list(range(rows))
        assert set(table["part"]) == {"train", "test"}


def test_a_member_that_climbs_out_of_its_folder_is_never_unpacked(tmp_path, monkeypatch):
    outside, inside = tmp_path / "outside", tmp_path / "outside" / "deep" / "data"
    inside.mkdir(parents=True)
    wheel = inside / sources.SOURCES["crabnet"].file
    climbing = f"{sources.WHEEL_DATA}element_properties/../../../../climbed.csv"
    members = {
        climbing: "formula,target\nTiO2,1\n",
        "../climbed.csv": "formula,target\nTiO2,1\n",
        str(outside / "climbed.csv"): "formula,target\nTiO2,1\n",
        f"{sources.WHEEL_DATA}matbench/mp_gap.csv": "formula,target\nMgO,7\n",
    }
    sha256 = write_wheel(wheel, members)
    fake = Source("crabnet", wheel.name, sha256, "", "", "")
    monkeypatch.setitem(sources.SOURCES, "crabnet", fake)
    monkeypatch.setenv("MATGAN_DATA", str(inside))
    monkeypatch.chdir(inside)
    assert sources.wheel_table("matbench/mp_gap")["formula"].tolist() == ["MgO"]
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [wheel]
