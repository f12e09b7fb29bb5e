import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock, Timeout

from matgan.study import run as runs
from matgan.study.jobs import runner
from matgan.study.jobs.pieces import LOCK, do_piece
from matgan.study.jobs.runner import Job
from matgan.study.run import LONG, PROJECT, RunError


def square(number, folder):
    """A piece: one row; it says how often it ran."""
    with (folder / "calls").open("a") as file:
        file.write("x")
    return [{"number": number, "square": number**2, "third": number / 3}]


def pieces(n=4):
    return {f"{number:02}": partial(square, number) for number in range(n)}


JOB = Job("squares", "numbers and their squares", 0.1, pieces)


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "WORK", tmp_path / "work")
    monkeypatch.setattr(runner, "LONG", tmp_path / "long")
    return tmp_path


def calls(folder, key):
    return len((folder / "work" / "squares" / key / "calls").read_text())


def test_a_job_leaves_its_table_and_how_it_was_made(folders):
    assert runner.state(JOB) == ("missing", 0, 4)
    assert runner.run_job(JOB)
    table = pd.read_csv(folders / "long" / "squares.csv", float_precision="round_trip")
    assert table["square"].tolist() == [0, 1, 4, 9]
    assert table["third"].tolist() == [0, 1 / 3, 2 / 3, 1]
    said = json.loads((folders / "long" / "squares.json").read_text())
    assert said["complete"]
    assert said["command"] == "python -m matgan jobs run squares"
    assert set(said["pieces"]) == {"00", "01", "02", "03"}
    assert {"commit", "seconds", "device", "threads", "finished"} <= set(said["pieces"]["00"])
    assert said["packages"]["numpy"]
    assert len(said["data"]["supercon.csv"]) == 64
    assert runner.state(JOB) == ("done", 4, 4)


def test_what_is_done_is_not_done_again_and_fresh_forgets(folders):
    runner.run_job(JOB)
    (folders / "work" / "squares" / "02" / "done.json").unlink()
    runner.run_job(JOB)
    assert [calls(folders, key) for key in pieces()] == [1, 1, 2, 1]
    runner.run_job(JOB, fresh=True)
    assert [calls(folders, key) for key in pieces()] == [1, 1, 1, 1]


def uneven(number, folder):
    """A piece: as many rows as its number; not all with the same columns, one text like a gap."""
    return [{"number": number, **({"x": i / 3} if i else {"name": "NaN"})} for i in range(number)]


UNEVEN = Job(
    "uneven", "rows", 0.1, lambda: {f"{n}": partial(uneven, n) for n in (2, 0, 3)} | pieces(1)
)


def test_a_fresh_clone_goes_on_from_the_table(folders, capsys):
    runner.run_job(UNEVEN)
    kept = [(folders / "long" / f"uneven.{end}").read_text() for end in ("csv", "json")]
    assert [len(p) for p in kept] > [0, 0]
    shutil.rmtree(folders / "work")
    runner.run_job(UNEVEN)  # nothing is left to do
    assert "4 pieces taken from" in capsys.readouterr().out
    assert not (folders / "work" / "uneven" / "00" / "calls").exists()
    assert kept == [(folders / "long" / f"uneven.{end}").read_text() for end in ("csv", "json")]
    shutil.rmtree(folders / "work")
    runner.run_job(UNEVEN, fresh=True)
    assert (folders / "work" / "uneven" / "00" / "calls").exists()


def test_pieces_that_the_table_lacks_are_done_and_others_are_kept(folders):
    runner.run_job(Job("squares", "", 0.1, partial(pieces, 2)))
    shutil.rmtree(folders / "work")
    runner.run_job(JOB)
    assert [(folders / "work" / "squares" / key / "calls").exists() for key in pieces()] == [
        False,
        False,
        True,
        True,
    ]
    assert pd.read_csv(folders / "long" / "squares.csv")["number"].tolist() == [0, 1, 2, 3]


def test_a_folder_that_another_job_made_does_not_count_as_begun(folders):
    """Some jobs keep what a piece of another could use where that piece would."""
    runner.run_job(JOB)
    shutil.rmtree(folders / "work")
    (folders / "work" / "squares" / "01").mkdir(parents=True)
    (folders / "work" / "squares" / "02").mkdir()
    (folders / "work" / "squares" / "02" / LOCK).touch()  # begun here, and stopped
    assert runner.take_over(JOB) == ["00", "01", "03"]


def test_a_table_holds_what_another_call_has_finished_since(folders, monkeypatch):
    """Two calls that finish a piece at the same time."""
    runner.run_job(JOB)
    read = runner.finished

    def locked(job):
        with pytest.raises(Timeout):
            FileLock(folders / "work" / ".squares.lock", timeout=0).acquire()
        return read(job)

    monkeypatch.setattr(runner, "finished", locked)
    runner._write(JOB)


def test_a_piece_whose_file_others_need_is_done_again(folders):
    job = Job("squares", "", 0.1, pieces, leaves_files=True)
    runner.run_job(job)
    shutil.rmtree(folders / "work")
    runner.run_job(job)
    assert calls(folders, "00") == 1


def test_of_pieces_whose_files_nobody_needs_the_rows_are_taken_over(folders):
    job = Job("squares", "", 0.1, pieces, leaves_files=frozenset({"02"}))
    runner.run_job(job)
    shutil.rmtree(folders / "work")
    runner.run_job(job)
    again = [key for key in pieces() if (folders / "work" / "squares" / key / "calls").exists()]
    assert again == ["02"]
    assert pd.read_csv(folders / "long" / "squares.csv")["number"].tolist() == [0, 1, 2, 3]


def test_a_table_that_lost_rows_is_not_taken_over(folders):
    runner.run_job(JOB)
    shutil.rmtree(folders / "work")
    table = folders / "long" / "squares.csv"
    table.write_text("".join(table.read_text().splitlines(True)[:-1]))
    before = table.read_text()
    with pytest.raises(RunError, match=r"squares.csv has 3 rows, its pieces left 4: restore"):
        runner.run_job(JOB)
    assert table.read_text() == before


def counted() -> list[Path]:
    """Provenance of the kept tables whose pieces count their rows; older ones do not."""
    pieces = {path: json.loads(path.read_text()).get("pieces") for path in LONG.glob("*.json")}
    return [
        path
        for path, facts in sorted(pieces.items())
        if facts and all("rows" in piece for piece in facts.values())
    ]


@pytest.mark.parametrize("path", counted(), ids=lambda path: path.stem)
def test_every_kept_table_is_written_again_as_it_is(path, folders, monkeypatch):
    pieces = json.loads(path.read_text())["pieces"]
    monkeypatch.setattr(runner, "LONG", LONG)
    job = Job(path.stem, "", 0.1, lambda: dict.fromkeys(pieces, square))
    assert len(runner.take_over(job)) == len(pieces)
    monkeypatch.setattr(runner, "LONG", folders / "long")
    runner.run_job(job)
    again = (folders / "long" / f"{path.stem}.csv").read_bytes()
    assert again == path.with_suffix(".csv").read_bytes()


def test_changed_code_is_said_and_nothing_is_thrown_away(folders, monkeypatch):
    runner.run_job(JOB)
    monkeypatch.setattr(runner, "digest", lambda modules: "other")
    assert runner.state(JOB) == ("stale", 4, 4)
    runner.run_job(JOB)
    assert calls(folders, "00") == 1
    assert runner.state(JOB) == ("stale", 4, 4)  # nothing was computed again
    runner.run_job(JOB, fresh=True)
    assert runner.state(JOB) == ("done", 4, 4)


def test_another_table_of_a_search_makes_a_job_stale(folders, monkeypatch):
    monkeypatch.setattr(runs, "LONG", folders / "long")
    job = Job("squares", "", 0.1, pieces, reads=("rates",))
    runner.run_job(job)
    assert runner.state(job) == ("done", 4, 4)
    (folders / "long" / "rates.csv").write_text("rate\n1\n")
    assert runner.state(job) == ("stale", 4, 4)


def test_pieces_of_other_code_keep_a_job_stale(folders, monkeypatch):
    runner.run_job(Job("squares", "", 0.1, partial(pieces, 2)))
    code = runner.digest
    monkeypatch.setattr(runner, "digest", lambda modules: "other")
    assert runner.run_job(JOB)
    assert runner.state(JOB) == ("stale", 4, 4)
    said = json.loads((folders / "long" / "squares.json").read_text())
    assert said["fingerprint"] == "several"
    assert [piece["fingerprint"] == "other" for piece in said["pieces"].values()] == [0, 0, 1, 1]
    shutil.rmtree(folders / "work")
    monkeypatch.setattr(runner, "digest", code)
    assert runner.run_job(JOB) and runner.state(JOB) == ("stale", 4, 4)  # from the table, as well


@pytest.mark.parametrize("known", [True, False], ids=["without rows", "without pieces"])
def test_a_whole_table_gives_way_to_a_whole_one_only(folders, known):
    """Tables of old do not say which of their rows a piece left."""
    runner.run_job(JOB)
    path = folders / "long" / "squares.json"
    said = json.loads(path.read_text())
    for piece in said["pieces"].values():
        del piece["rows"]
    if not known:
        del said["pieces"]
    path.write_text(json.dumps(said))
    kept = (folders / "long" / "squares.csv").read_bytes()
    shutil.rmtree(folders / "work")
    do_piece(folders / "work" / "squares", "01", pieces()["01"], float("inf"))
    assert not runner.run_job(JOB, hours=0)
    assert (folders / "long" / "squares.csv").read_bytes() == kept
    assert runner.run_job(JOB)
    assert len(json.loads(path.read_text())["pieces"]) == 4


def test_anew_keeps_the_published_table_until_it_can_be_replaced(folders):
    runner.run_job(JOB)
    path = folders / "long" / "squares.json"
    before = path.stat().st_mtime_ns
    assert not runner.run_job(JOB, hours=0, fresh=True)  # as if it was stopped at once
    assert path.stat().st_mtime_ns == before
    assert not runner.run_job(JOB, hours=0)  # takes nothing from the table that it will replace
    assert not (folders / "work" / "squares" / "00" / "done.json").exists()
    assert runner.run_job(JOB) and path.stat().st_mtime_ns > before
    shutil.rmtree(folders / "work" / "squares" / "00")
    assert runner.run_job(JOB, hours=0)  # and now it does


def test_pieces_that_are_called_otherwise_replace_no_table_early(folders):
    runner.run_job(JOB)
    path = folders / "long" / "squares.csv"
    kept = path.read_bytes()
    shutil.rmtree(folders / "work")
    named = {**dict(list(pieces().items())[:2]), "2 anew": partial(square, 2)}
    named["3 anew"] = partial(square, 3)
    renamed = Job("squares", JOB.what, 0.1, lambda: named)
    assert not runner.run_job(renamed, hours=0)  # two are taken over
    do_piece(folders / "work" / "squares", "2 anew", named["2 anew"], float("inf"))
    assert not runner.run_job(renamed, hours=0) and path.read_bytes() == kept
    assert runner.run_job(renamed) and path.read_bytes() == kept  # the rows are the same
    assert set(json.loads(path.with_suffix(".json").read_text())["pieces"]) == named.keys()
    fewer = Job("squares", JOB.what, 0.1, lambda: {"all": partial(square, 9)})
    assert runner.run_job(fewer) and len(pd.read_csv(path)) == 1  # fewer than the table holds


def test_a_table_from_before_the_job_is_stale(folders):
    (folders / "long").mkdir()
    (folders / "long" / "squares.json").write_text('{"command": "by hand"}')
    assert runner.state(JOB) == ("stale", 0, 4)


def test_after_its_hours_nothing_starts_and_the_table_holds_what_is_done(folders):
    work = folders / "work" / "squares"
    do_piece(work, "01", pieces()["01"], float("inf"), JOB.fingerprint)
    assert not runner.run_job(JOB, hours=0)
    assert pd.read_csv(folders / "long" / "squares.csv")["number"].tolist() == [1]
    assert not json.loads((folders / "long" / "squares.json").read_text())["complete"]
    assert runner.state(JOB) == ("partly", 1, 4)


def test_a_piece_that_another_process_has_is_left_to_it(folders):
    folder = folders / "work" / "squares" / "00"
    folder.mkdir(parents=True)
    with runner.FileLock(folder / LOCK):
        assert not runner.run_job(JOB)
    assert not (folder / "calls").exists()
    assert runner.run_job(JOB)


def gathered(folder):
    """Needs what the other pieces leave."""
    return [{"number": sum((folder.parent / key / "calls").exists() for key in pieces())}]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_piece_that_needs_the_others_waits_for_them(folders, workers):
    job = Job("all", "", 0.1, lambda: {"sum": gathered} | pieces(), last=frozenset({"sum"}))
    runner.run_job(job, workers)
    assert pd.read_csv(folders / "long" / "all.csv")["number"].tolist() == [4, 0, 1, 2, 3]


def test_a_piece_that_fails_leaves_the_others(folders):
    def broken(folder):
        raise ValueError("no luck")

    job = Job("squares", "", 0.1, lambda: {**pieces(2), "zz": broken})
    with pytest.raises(ValueError, match="no luck"):
        runner.run_job(job)
    assert pd.read_csv(folders / "long" / "squares.csv")["number"].tolist() == [0, 1]


SLOW = """
import sys, time
from functools import partial
from pathlib import Path
from matgan.study.jobs import runner

def slow(number, folder):
    (folder / "begun").touch()
    if number == 1 and not (folder / "resumed").exists():
        (folder / "resumed").touch()
        time.sleep(60)
    return [{"number": number}]

def pieces():
    return {str(number): partial(slow, number) for number in range(3)}

runner.WORK, runner.LONG = Path(sys.argv[1], "work"), Path(sys.argv[1], "long")
runner.run_job(runner.Job("slow", "", 0.1, pieces))
"""


def test_a_job_killed_in_a_piece_goes_on_with_it(folders):
    script = folders / "slow.py"
    script.write_text(SLOW)
    command = [sys.executable, script, folders]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    first = subprocess.Popen(command, env=environment)
    while not (folders / "work" / "slow" / "1" / "begun").exists():
        assert first.poll() is None
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert pd.read_csv(folders / "long" / "slow.csv")["number"].tolist() == [0]
    subprocess.run(command, env=environment, check=True)
    assert pd.read_csv(folders / "long" / "slow.csv")["number"].tolist() == [0, 1, 2]


def test_workers_end_with_a_job_that_was_killed(folders):
    script = folders / "slow.py"
    script.write_text(SLOW.replace("pieces))", "pieces), workers=2)"))
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    job = subprocess.Popen([sys.executable, script, folders], env=environment)
    piece = folders / "work" / "slow" / "1"
    while not (piece / "resumed").exists():
        assert job.poll() is None
        time.sleep(0.05)
    with pytest.raises(Timeout):
        FileLock(piece / LOCK, timeout=0).acquire()
    job.send_signal(signal.SIGKILL)
    job.wait()
    FileLock(piece / LOCK, timeout=20).acquire()  # the worker that had it is gone


INTERRUPTED = (
    SLOW.replace("runner.run_job(", "JOB = (")
    + """
from matgan import __main__ as door
runner.known_jobs = lambda: {"slow": JOB}
sys.exit(door.main(["jobs", "run", "slow", "--workers", sys.argv[2]]))
"""
)


def test_ctrl_c_keeps_the_pieces_that_are_done(folders):
    """A terminal sends it to all processes of the group."""
    script = folders / "slow.py"
    script.write_text(INTERRUPTED)
    command = [sys.executable, script, folders, "2"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    pipe = {"stderr": subprocess.PIPE, "text": True}
    first = subprocess.Popen(command, env=environment, start_new_session=True, **pipe)
    while not (folders / "work" / "slow" / "1" / "resumed").exists():
        assert first.poll() is None
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGINT)
    message = first.communicate()[1]
    assert first.returncode == 130, message
    assert message.splitlines()[-1] == "Interrupted. The same command goes on with what is missing."
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert pd.read_csv(folders / "long" / "slow.csv")["number"].tolist() == [0, 1, 2]


ROOTS = Job("roots", "", 0.1, lambda: {str(n): partial(root, n) for n in range(4)})


def root(number, folder):
    return [{"number": number, "root": number**0.5, "process": os.getpid()}]


def test_pieces_run_side_by_side(folders):
    assert runner.run_job(ROOTS, workers=2)
    table = pd.read_csv(folders / "long" / "roots.csv", float_precision="round_trip")
    assert table["root"].tolist() == [number**0.5 for number in range(4)]
    assert os.getpid() not in set(table["process"])


@pytest.mark.slow
def test_the_workers_of_a_dask_cluster_do_the_pieces(folders):
    distributed = pytest.importorskip("dask.distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        assert runner.run_job(ROOTS, scheduler=cluster.scheduler_address)
    table = pd.read_csv(folders / "long" / "roots.csv", float_precision="round_trip")
    assert table["root"].tolist() == [number**0.5 for number in range(4)]
    assert os.getpid() not in set(table["process"])
