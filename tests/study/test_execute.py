"""Headless runs: order, parameters, going on, failures, locks. Tiny notebooks, real kernels."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from matgan.data.sources import SourceUnavailable
from matgan.files import locked
from matgan.study import execute, plan
from matgan.study import run as runs
from matgan.study.run import NotYetMade, open_run, read_manifest

PARAMETERS = """\
run_dir: str = "../runs/laptop"
profile: str = "laptop"
seed: int = 0
"""
PROFILES = """\
smoke:
  all: {seed: 1}
  02_second: {steps: 3}
laptop:
  all: {seed: 2}
"""


def write_notebook(folder, name, parameters, *cells):
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    others = [nbformat.v4.new_code_cell(cell) for cell in cells]
    notebook.cells = [nbformat.v4.new_markdown_cell("# A question"), tagged, *others]
    nbformat.write(notebook, folder / f"{name}.ipynb")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with two notebooks, in a folder whose name is awkward, and a package of one file.

    02 stops with an error for rate = 13 and kills its kernel for rate = 9.
    """
    folder = tmp_path / "my {project}"
    notebooks = folder / "notebooks"
    notebooks.mkdir(parents=True)
    (notebooks / "profiles.yaml").write_text(PROFILES)
    save = "import json, os, sys\nfrom pathlib import Path\nfrom matgan.powder import figures\n"
    save += "facts = {'seed': seed, 'profile': profile, 'python': sys.executable}\n"
    save += "facts |= {'cwd': os.getcwd(), 'data': os.environ.get('MATGAN_DATA')}\n"
    save += "Path(run_dir, 'first.json').write_text(json.dumps(facts))"
    write_notebook(notebooks, "01_first", PARAMETERS, save)
    second = PARAMETERS + "steps: int = 7\nrate: float = 0.1\nname: str = 'a'\ndeep: bool = False\n"
    second += "finished: str = ''  # folder of trainings\n"
    risky = "# where it may stop; made_by='01_first'\n"
    risky += "if rate == 13:\n    raise ValueError('rate is bad')"
    risky += "\nif rate == 9:\n    import os\n    os.kill(os.getpid(), 9)"
    write_notebook(notebooks, "02_second", second, "answer = steps * 2", risky)
    monkeypatch.setattr(runs, "LONG", tmp_path)
    monkeypatch.setattr(runs, "PROJECT", tmp_path)
    monkeypatch.setenv("MATGAN_DEVICE", "cpu")
    for name in ("OMP_NUM_THREADS", "PYTHONPATH", "JUPYTER_PREFER_ENV_PATH"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # put back what a run sets
    return folder


SLOW = "slow"  # the job whose table the second notebook reads
# by each notebook, into folders that it hands on as a whole, too
WRITTEN = ("figures/{}.png", "tables/{}.csv", "data/{}.npz", "checkpoints/{}/a.safetensors")


@pytest.fixture
def executed(monkeypatch):
    """Names of the notebooks that papermill is asked to run; nothing is run."""
    names = []

    def pretend(source, result, parameters, **options):
        result = Path(result.replace("{{", "{").replace("}}", "}"))
        result.write_text("{}")
        name = result.name.removesuffix(".running.ipynb")
        # what a notebook does first
        run = open_run(parameters["run_dir"], name, parameters["seed"])
        for place in WRITTEN:
            run.path(place.format(name[:2])).write_text(f"{name}, seed {parameters['seed']}")
        if name == "02_second":
            with suppress(NotYetMade):
                run.kept(SLOW)
        names.append(name)

    monkeypatch.setattr(papermill, "execute_notebook", pretend)
    return names


def run(project, *arguments):
    return execute.main([str(a) for a in arguments], project)


# --- with real kernels ---------------------------------------------------------------------------


def test_notebooks_run_in_order_with_the_profiles_parameters(
    project, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MATGAN_DATA", "some data")
    assert run(project, "--profile", "smoke") == 0
    results = project / "runs" / "smoke"
    facts = json.loads((results / "first.json").read_text())
    assert (facts["seed"], facts["profile"]) == (1, "smoke")
    assert Path(facts["cwd"]) == project / "notebooks"
    assert facts["python"] == sys.executable
    assert facts["data"] == str(tmp_path / "some data")  # relative to where the command was given
    second = nbformat.read(results / "02_second.ipynb", as_version=4)
    injected = [c.source for c in second.cells if "injected-parameters" in c.metadata.get("tags")]
    assert "steps = 3" in injected[0]
    manifest = read_manifest(results)["notebooks"]
    assert [manifest[name]["status"] for name in ("01_first", "02_second")] == ["ok", "ok"]
    assert manifest["02_second"]["parameters"] == {"profile": "smoke", "seed": 1, "steps": 3}
    output = capsys.readouterr().out
    assert output.index("[1/2] 01_first") < output.index("[2/2] 02_second")
    assert str(results) in output


def test_a_failure_names_notebook_cell_error_and_file(project, capsys):
    write_notebook(project / "notebooks", "03_third", PARAMETERS, "1 / 0")
    assert run(project, "--only", "02", "03", "-p", "rate", "13") == 1
    output = capsys.readouterr().out
    result = project / "runs" / "laptop" / "02_second.ipynb"
    assert "02_second failed in cell In [4]:" in output  # papermill's own cell is In [2]
    assert "# where it may stop" in output
    assert "ValueError: rate is bad" in output
    assert str(result) in output
    assert "not run" in output.split("03_third")[1]
    errors = [o for c in nbformat.read(result, 4).cells for o in c.get("outputs", [])]
    assert errors[0].evalue == "rate is bad"
    assert read_manifest(result.parent)["notebooks"]["02_second"]["status"] == "failed"
    assert not list(result.parent.glob("*.running.ipynb"))


def test_a_dead_kernel_is_a_failure_that_names_the_cell(project, capsys):
    assert run(project, "--only", "02", "-p", "rate", "9") == 1
    output = capsys.readouterr().out
    assert "02_second failed in cell In [4]:" in output
    assert "The kernel died" in output


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_says_how_to_go_on_and_stops_the_kernel(project, workers):
    write_notebook(
        project / "notebooks",
        "01_first",
        PARAMETERS,
        "import os, pathlib, time\n"
        "part = pathlib.Path(run_dir, 'pid.part')\n"
        "part.write_text(str(os.getpid()))\n"
        "part.rename(part.with_name('pid'))\n"
        "time.sleep(3600)",
    )
    code = "import sys, pathlib; from matgan.study.execute import main\n"
    code += "sys.exit(main(['--profile', 'laptop', *sys.argv[2:]], pathlib.Path(sys.argv[1])))"
    started = subprocess.Popen(
        [sys.executable, "-c", code, project, "--workers", str(workers)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pid = project / "runs" / "laptop" / "pid"
    while not pid.exists() and started.poll() is None:
        time.sleep(0.2)
    kernel = int(pid.read_text())
    os.killpg(started.pid, signal.SIGINT)
    output, _ = started.communicate(timeout=600)  # it would sleep for an hour
    assert started.returncode == 130
    assert "Interrupted. The same command goes on" in output
    for _ in range(300 if workers > 1 else 1):  # a kernel looks every second for its parent
        if ended := not Path(f"/proc/{kernel}").exists():
            break
        time.sleep(0.1)
    assert ended
    assert read_manifest(pid.parent)["notebooks"]["01_first"].get("status") != "ok"


MEETS = """
import os, time
from pathlib import Path
Path(run_dir, f"{own}.here").touch()
for _ in range(1200):
    if Path(run_dir, f"{other}.here").exists():
        break
    time.sleep(0.1)
else:
    raise TimeoutError(f"{own} ran alone")
"""


def test_workers_run_side_by_side_what_does_not_wait_for_another(project, capsys):
    """01 and 03 end only while both run; 02 reads what 01 wrote."""
    notebooks = project / "notebooks"
    first, third = (f"own, other = {pair!r}" + MEETS for pair in (("01", "03"), ("03", "01")))
    write_notebook(notebooks, "01_first", PARAMETERS, first, "Path(run_dir, 'data').touch()")
    check = "from pathlib import Path\nassert Path(run_dir, 'data').exists()  # made_by='01_first'"
    write_notebook(notebooks, "02_second", PARAMETERS + "steps: int = 7\n", check)
    write_notebook(notebooks, "03_third", PARAMETERS, third)
    assert run(project, "--profile", "smoke", "--workers", "2") == 0
    output = capsys.readouterr().out
    places = [output.index(f"[{i}/3]") for i in (1, 3, 2)]
    assert places == sorted(places)
    names = [line.split()[0] for line in output.splitlines() if " ok " in line]
    assert names == ["01_first", "02_second", "03_third"]
    entries = read_manifest(project / "runs" / "smoke")["notebooks"]
    assert {entry["status"] for entry in entries.values()} == {"ok"} and len(entries) == 3


def test_after_a_failure_workers_begin_nothing_more(project, capsys):
    notebooks = project / "notebooks"
    write_notebook(notebooks, "01_first", PARAMETERS, "raise ValueError('first is bad')")
    waits = "import time\ntime.sleep(3)"
    write_notebook(notebooks, "03_third", PARAMETERS, waits)
    write_notebook(notebooks, "04_fourth", PARAMETERS, waits)
    assert run(project, "--profile", "smoke", "--workers", "2") == 1
    output = capsys.readouterr().out
    assert "ValueError: first is bad" in output
    ends = {line.split()[0]: line.split()[1] for line in output.splitlines() if line[:2] == "  "}
    assert ends["01_first"] == "failed" and ends["03_third"] == "ok"
    assert ends["02_second"] == ends["04_fourth"] == "not"


# --- going on -------------------------------------------------------------------------------------


def test_what_is_done_is_skipped(project, executed, capsys):
    assert run(project) == 0
    assert executed == ["01_first", "02_second"]
    capsys.readouterr()
    assert run(project) == 0
    assert executed == ["01_first", "02_second"]
    assert capsys.readouterr().out.count("skipped (already done)") == 2
    assert run(project, "--force", "--only", "01") == 0
    assert executed == ["01_first", "02_second", "01_first"]


def change_parameter(project):
    return ["-p", "steps", "4"]


def change_profile(project):
    text = PROFILES.replace("all: {seed: 2}", "all: {seed: 2}\n  02_second: {steps: 5}")
    (project / "notebooks" / "profiles.yaml").write_text(text)
    return []


def remove_result(project):
    (project / "runs" / "laptop" / "02_second.ipynb").unlink()
    return []


def remove_data(project):
    (project / "runs" / "laptop" / "data" / "02.npz").unlink()
    return []


def empty_table(project):
    (project / "runs" / "laptop" / "tables" / "02.csv").write_text("")
    return []


def damage_checkpoint(project):
    (project / "runs" / "laptop" / "checkpoints" / "02" / "a.safetensors").write_text("x")
    return []


def change_kept_table(project):
    """It was not there before."""
    (runs.LONG / f"{SLOW}.csv").write_text("x\n2\n")
    (runs.LONG / f"{SLOW}.json").write_text("{}")
    return []


def change_content_of_a_folder(project):
    (project / "notebooks" / "runs" / "weights").write_text("other")
    return ["-p", "finished", "runs"]


CHANGES = [change_parameter, change_profile, remove_result, remove_data, empty_table]
CHANGES += [damage_checkpoint, change_kept_table, change_content_of_a_folder]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_runs_what_it_concerns_again(project, executed, change, capsys):
    (project / "notebooks" / "runs").mkdir()
    (project / "notebooks" / "runs" / "weights").write_text("some")
    run(project, *(["-p", "finished", "runs"] if change is change_content_of_a_folder else []))
    executed.clear()
    capsys.readouterr()
    arguments = change(project)
    assert run(project, *arguments) == 0
    assert executed == ["02_second"]
    assert "02_second again: " in capsys.readouterr().out
    executed.clear()
    assert run(project, *arguments) == 0
    assert executed == []


def test_what_is_damaged_is_named_and_a_damaged_checkpoint_is_set_aside(project, executed, capsys):
    """Else a training would refuse its checkpoint each time."""
    run(project)
    laptop = project / "runs" / "laptop"
    (laptop / "tables" / "01.csv").unlink()
    (laptop / "checkpoints" / "02" / "a.safetensors").write_text("x")
    capsys.readouterr()
    assert run(project, "--list") == 0
    assert "to run: tables/01.csv is missing" in capsys.readouterr().out
    assert run(project) == 0
    output = capsys.readouterr().out
    assert "[1/2] 01_first again: tables/01.csv is missing\n" in output
    assert "[2/2] 02_second again: checkpoints/02/a.safetensors is changed\n" in output
    names = sorted(path.name for path in (laptop / "checkpoints" / "02").iterdir())
    assert names == ["a.safetensors", "a.safetensors.damaged"]


def test_a_run_from_before_hashes_were_recorded_is_made_again(project, executed, capsys):
    run(project)
    path = project / "runs" / "laptop" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["notebooks"]["02_second"]["outputs"]
    path.write_text(json.dumps(manifest))
    executed.clear()
    assert run(project) == 0
    assert executed == ["02_second"]
    assert "again: the hashes of its files were not recorded" in capsys.readouterr().out


def test_advice_does_not_lead_back_to_itself(project, executed, capsys):
    """02 reads what 01 made: damaged files of 01 stop 02, and the advised command mends them."""
    run(project)
    (project / "runs" / "laptop" / "data" / "01.npz").write_text("x")
    again = ["--only", "02", "-p", "steps", "4"]
    assert run(project, *again) == 1
    output = capsys.readouterr().out
    assert "02_second reads files of 01_first, and data/01.npz is changed since" in output
    assert "--only 01 makes it again" in output
    executed.clear()
    assert run(project, "--only", "01") == 0
    assert run(project, *again) == 0
    assert executed == ["01_first", "02_second"]


BY_HAND = """
import os, sys
from matgan.study.run import open_run
run = open_run(sys.argv[1], "01_first", seed=7)
run.record(loss=1.5)
if len(sys.argv) > 2:
    run.path(sys.argv[2]).write_text("by hand")
"""


def by_hand(project, *words):
    """A cell in JupyterLab, which ends with its kernel."""
    done = subprocess.run(
        [sys.executable, "-c", BY_HAND, project / "runs" / "laptop", *words],
        env={**os.environ, "PYTHONPATH": str(runs.PROJECT)},
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stderr


def test_a_cell_run_by_hand_makes_nothing_run_again(project, executed):
    run(project)
    executed.clear()
    assert by_hand(project) == ""
    manifest = read_manifest(project / "runs" / "laptop")
    assert manifest["by_hand"]["01_first"]["loss"] == 1.5
    assert "loss" not in manifest["notebooks"]["01_first"]
    assert run(project) == 0
    assert executed == []
    by_hand(project, "tables/01.csv")  # another content: that notebook, and no later one
    assert run(project) == 0
    assert executed == ["01_first"]


def test_a_run_and_jupyterlab_do_not_share_a_folder(project, executed, capsys):
    folder = project / "runs" / "laptop"
    with locked(folder):
        assert f"BusyError: another process is writing into {folder}" in by_hand(project)
    kernels = [
        subprocess.Popen(
            [sys.executable, "-c", BY_HAND + "print('open', flush=True); input()", folder],
            env={**os.environ, "PYTHONPATH": str(runs.PROJECT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)  # two notebooks may be open at once
    ]
    assert [kernel.stdout.readline() for kernel in kernels] == ["open\n"] * 2
    assert run(project) == 2
    assert "or JupyterLab has a notebook of it open" in capsys.readouterr().out
    for kernel in kernels:
        kernel.communicate("\n")
    assert run(project) == 0


def change_source(project, monkeypatch):
    write_notebook(project / "notebooks", "01_first", PARAMETERS, "print('other')")
    return []


def change_seed(project, monkeypatch):
    return ["-p", "seed", "9"]


def change_package(project, monkeypatch):
    monkeypatch.setattr(plan, "modules_digest", lambda modules: "other")
    return []


def upgrade_a_package(project, monkeypatch):
    monkeypatch.setattr(plan, "versions", lambda: {"numpy": "99"})
    return []


@pytest.mark.parametrize("change", [change_source, change_seed, change_package, upgrade_a_package])
def test_a_later_notebook_follows_the_one_whose_files_it_reads(
    project, executed, change, monkeypatch
):
    run(project)
    executed.clear()
    assert run(project, *change(project, monkeypatch)) == 0
    assert executed == ["01_first", "02_second"]


def test_a_changed_label_of_a_figure_runs_one_notebook(project, executed, monkeypatch):
    run(project)
    executed.clear()
    drawn = lambda modules: "new" if "powder.figures" in modules else "as it was"  # noqa: E731
    monkeypatch.setattr(plan, "modules_digest", lambda modules: "as it was")
    run(project)
    executed.clear()
    monkeypatch.setattr(plan, "modules_digest", drawn)
    assert run(project) == 0
    assert executed == ["01_first"]


def test_a_stopped_run_goes_on_after_what_finished(project, executed, monkeypatch):
    pretend = papermill.execute_notebook

    def stop(*_, **__):
        raise KeyboardInterrupt

    assert run(project, "--only", "01") == 0
    monkeypatch.setattr(papermill, "execute_notebook", stop)
    assert run(project) == 130
    monkeypatch.setattr(papermill, "execute_notebook", pretend)
    executed.clear()
    assert run(project) == 0
    assert executed == ["02_second"]


def test_a_moved_run_directory_is_still_done(project, executed):
    run(project)
    moved = project / "elsewhere"
    (project / "runs" / "laptop").rename(moved)
    executed.clear()
    assert run(project, "--run-dir", moved) == 0
    assert executed == []


def test_what_a_killed_run_had_half_written_is_removed(project, executed):
    results = project / "runs" / "laptop"
    left = [f"{name}.99999999.tmp" for name in ("tables/.a.csv", "data/.a.npz", ".manifest.json")]
    kept = ["tables/a.csv", "checkpoints/checkpoint.safetensors", ".other", "notes.tmp"]
    kept += ["data/.env", "data/raw/.gitignore", "figures/.htaccess", "data/raw/.dvc/config"]
    for name in left + kept:
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text("x")
    assert run(project, "--only", "01") == 2  # the folder may be anyone's
    assert executed == []
    assert run(project, "--only", "01", "--force") == 0
    assert [name for name in left + kept if (results / name).exists()] == left + kept
    assert run(project) == 0
    assert [name for name in left + kept if (results / name).exists()] == kept


def test_a_folder_of_others_is_left_alone(project, executed):
    results = project / "runs" / "laptop"
    results.mkdir(parents=True)
    (results / "manifest.json").write_text('{"name": "a web application"}')
    (results / ".a.csv.99999999.tmp").write_text("x")
    assert run(project) == 2
    assert executed == []
    assert sorted(p.name for p in results.iterdir() if p.name != ".lock") == [
        ".a.csv.99999999.tmp", "manifest.json",
    ]  # fmt: skip


def test_a_folder_that_is_no_run_is_refused_without_force(project, executed, capsys, tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "thesis.tex").write_text("x")
    assert run(project, "--run-dir", folder) == 2
    assert f"{folder} is no folder of a run, and holds thesis.tex" in capsys.readouterr().out
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]
    assert run(project, "--run-dir", folder / "thesis.tex") == 2
    assert "thesis.tex is a file" in capsys.readouterr().out
    assert executed == []
    assert run(project, "--run-dir", folder, "--force") == 0
    assert run(project, "--run-dir", folder) == 0  # now it is one
    (tmp_path / "empty").mkdir()
    assert run(project, "--run-dir", tmp_path / "empty") == 0


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_workers_are_one_or_more(project, executed, capsys, text):
    with pytest.raises(SystemExit) as stopped:
        run(project, f"--workers={text}")
    assert stopped.value.code == 2 and executed == []
    assert f"--workers: 1 or more, not {text!r}" in capsys.readouterr().err


def test_an_empty_run_dir_is_refused(project, executed, capsys):
    """As of --run-dir "$DIR" where DIR is not set: it would be the current folder."""
    with pytest.raises(SystemExit) as stopped:
        run(project, "--run-dir", "")
    assert stopped.value.code == 2
    assert "--run-dir: the name is empty (an unset variable?)" in capsys.readouterr().err
    assert executed == []


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "huge"], "unknown profile 'huge'; there are smoke, laptop"),
        (["--only", "07"], "no notebook '07'; there are 01_first, 02_second"),
        (["-p", "stepz", "3"], "declares the parameter 'stepz'"),
        (["-p", "steps", "many"], "02_second.ipynb: the parameter 'steps' must be of type int"),
        (["-p", "steps", "1.5"], "of type int, not 1.5"),
        (["-p", "steps", "0"], "'steps' must be 1 to 4,294,967,295, not 0"),
        (["-p", "seed", "-1"], "'seed' must be 0 to 4,294,967,295, not -1"),
        (["-p", "rate", "1e999"], "'rate' must be a finite number, not inf"),
        (["-p", "rate", "-0.5"], "'rate' must be above 0, not -0.5"),
        (["-p", "steps", "null"], "of type int, not None"),
        (["-p", "profile", "paper"], "-p profile does nothing: give --profile paper"),
        (["-p", "run_dir", "/x"], "-p run_dir does nothing: give --run-dir /x"),
        (["-p", "finished", "nowhere"], "'finished' must be a folder, seen from"),
        (["-p", "steps", "true"], "of type int, not True"),
        (["-p", "deep", "1"], "of type bool, not 1"),
        (["-p", "name", "3"], "of type str, not 3"),
    ],
)
def test_what_cannot_be_run_is_named(project, executed, capsys, arguments, message):
    assert run(project, *arguments) == 2
    assert message in capsys.readouterr().out
    assert executed == []


def test_a_profile_parameter_that_no_cell_declares_is_named(project, executed, capsys):
    (project / "notebooks" / "profiles.yaml").write_text("laptop: {all: {seed: 1, width: 3}}")
    assert run(project) == 2
    assert "01_first.ipynb declares no parameter 'width'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("1e-2", 0.01), ("true", True), ("a b; rm -rf", "a b; rm -rf")],
)
def test_values_are_plain_literals(project, text, value):
    name = {int: "steps", float: "rate", bool: "deep"}.get(type(value), "name")
    planned = plan.plan(project / "notebooks", "laptop", overrides=[[name, text]])
    assert planned[1].parameters[name] == value
    assert type(planned[1].parameters[name]) is type(value)
    assert name not in planned[0].parameters


def test_two_runs_on_one_directory_are_refused(project, executed, capsys):
    folder = project / "runs" / "laptop"
    folder.mkdir(parents=True)
    with locked(folder):
        assert run(project) == 2
    assert "Another run is using" in capsys.readouterr().out
    assert executed == []
    assert run(project) == 0


def test_a_full_disk_ends_the_run_with_a_message(project, executed, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(papermill, "execute_notebook", full)
    assert run(project) == 1
    assert "The run cannot go on" in (output := capsys.readouterr().out)
    assert "No space left on device" in output


# --- the rest -------------------------------------------------------------------------------------


@pytest.fixture
def evidence(project, executed, monkeypatch):
    """A project whose profile full ran on one clean commit, with current jobs."""
    text = PROFILES + "full:\n  all: {seed: 5}\n"
    (project / "notebooks" / "profiles.yaml").write_text(text)
    state = {"commit": "c" * 40, "changed": False}
    monkeypatch.setattr(runs, "git_state", lambda: dict(state))
    monkeypatch.setattr(execute, "stale_jobs", dict)
    (project / "figures").mkdir()
    (project / "figures" / "01.png").write_text("published before")
    assert run(project, "--profile", "full") == 0
    return state


def published(project):
    folders = (project / "figures", project / "results")
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(project).as_posix(): path.read_text() for path in paths}


def test_publish_copies_what_the_run_wrote_and_says_what_it_is(project, evidence):
    full = project / "runs" / "full"
    (full / "tables" / "mine.csv").write_text("not of the run")
    assert run(project, "--profile", "full", "--publish") == 0
    found = published(project)
    manifest = json.loads(found.pop("results/manifest.json"))
    assert found == {
        f"{folder}/{name}.{kind}": f"{name}_{word}, seed 5"
        for folder, kind in (("figures", "png"), ("results/tables", "csv"))
        for name, word in (("01", "first"), ("02", "second"))
    }
    told = manifest["published"]
    assert {name: told["files"][name] for name in found} == {
        name: hashlib.sha256(text.encode()).hexdigest() for name, text in found.items()
    }
    assert (told["profile"], told["commit"], told["allowed"]) == ("full", "c" * 40, [])
    used = {entry["environment"] for entry in manifest["notebooks"].values()}
    assert used == set(manifest["environments"])
    # what an earlier publication wrote goes, unless it was changed since; others stay
    (project / "figures" / "of the readme.png").write_text("x")
    write_notebook(project / "notebooks", "02_second", PARAMETERS, "3")
    (project / "notebooks" / "02_second.ipynb").rename(project / "notebooks" / "03_third.ipynb")
    assert run(project, "--profile", "full", "--force", "--publish") == 0
    names = {name for name in published(project) if name.startswith("figures")}
    assert names == {"figures/01.png", "figures/03.png", "figures/of the readme.png"}


def other_commit(project, evidence, monkeypatch):
    evidence["commit"] = "d" * 40
    run(project, "--profile", "full", "--only", "02", "--force")
    return [], "the commits are ccccccc, ddddddd: --force runs all notebooks on one"


def changed_files(project, evidence, monkeypatch):
    evidence["changed"] = True
    run(project, "--profile", "full", "--only", "02", "--force")
    return [], "files differed from the commit when 02_second ran"


def no_git(project, evidence, monkeypatch):
    evidence.clear()
    run(project, "--profile", "full", "--force")
    return [], "the commits are none"


def other_parameters(project, evidence, monkeypatch):
    return ["-p", "steps", "4"], "02_second has other parameters, steps (--allow parameters)"


def stale_jobs(project, evidence, monkeypatch):
    monkeypatch.setattr(execute, "stale_jobs", lambda: {"table4": "stale"})
    return [], "jobs that are not current: table4 (--allow stale-jobs)"


REFUSALS = [other_commit, changed_files, no_git, other_parameters, stale_jobs]


@pytest.mark.parametrize("prepare", REFUSALS)
def test_a_run_that_is_no_evidence_is_not_published(
    project, evidence, prepare, monkeypatch, capsys
):
    arguments, message = prepare(project, evidence, monkeypatch)
    before = published(project)
    capsys.readouterr()
    assert run(project, "--profile", "full", "--publish", *arguments) == 2
    output = capsys.readouterr().out
    assert "Nothing is published:" in output and message in output
    assert published(project) == before == {"figures/01.png": "published before"}


def test_the_profile_smoke_is_never_published(project, evidence, executed, monkeypatch, capsys):
    before = published(project)
    executed.clear()
    assert run(project, "--profile", "smoke", "--publish") == 2
    assert "the profile is smoke, not full\n" in capsys.readouterr().out
    assert executed == []  # refused before anything runs
    with pytest.raises(SystemExit):
        run(project, "--profile", "smoke", "--publish", "--allow", "smoke")
    # nor as another profile, in its folder
    folder = project / "runs" / "smoke"
    assert run(project, "--profile", "smoke") == 0
    allowed = ["laptop", "parameters", "stale-jobs"]
    with pytest.raises(runs.RunError, match="01_first ran under the profile smoke"):
        execute.publish(folder, project, "laptop", allowed)
    assert published(project) == before


def test_a_notebook_that_failed_or_whose_files_are_damaged_is_not_published(project, evidence):
    full = project / "runs" / "full"
    before = published(project)
    (full / "figures" / "01.png").write_text("painted over")
    with pytest.raises(runs.RunError, match=r"01_first: figures/01\.png is changed"):
        execute.publish(full, project, "full")
    execute.update_manifest(full, "02_second", {"status": "failed"})
    with pytest.raises(runs.RunError, match="02_second: it did not finish"):
        execute.publish(full, project, "full")
    assert published(project) == before


def test_what_is_allowed_is_told(project, evidence, monkeypatch):
    monkeypatch.setattr(execute, "stale_jobs", lambda: {"table4": "stale"})
    options = ["--publish", "--allow", "laptop", "stale-jobs"]
    assert run(project, "--profile", "laptop", *options) == 0
    told = json.loads((project / "results" / "manifest.json").read_text())["published"]
    assert told["profile"] == "laptop"
    assert told["allowed"] == ["laptop", "stale-jobs"]
    assert told["stale_jobs"] == {"table4": "stale"}


def test_report_builds_the_site_also_when_all_is_done(project, capsys, monkeypatch):
    built = []  # what Sphinx makes of it is tested with the site
    monkeypatch.setattr("matgan.study.site.build_site", lambda folder: built.append(folder) or "x")
    assert run(project, "--only", "01", "--report") == 0
    assert run(project, "--only", "01", "--report") == 0
    assert built == [project / "runs" / "laptop"] * 2
    assert "Site: x" in capsys.readouterr().out


def test_list_shows_parameters_and_runs_nothing(project, executed, capsys):
    run(project, "--only", "01")
    executed.clear()
    capsys.readouterr()
    assert run(project, "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["01_first", "done"]
    assert [line for line in lines if line.startswith("02")] == [
        "02_second                        to run: not run yet"
    ]
    assert "    seed = 2" in lines
    assert executed == []


@pytest.mark.parametrize(("found", "profile"), [("cpu", "laptop"), ("cuda", "full")])
def test_the_machine_decides_the_profile(project, executed, monkeypatch, found, profile):
    (project / "notebooks" / "profiles.yaml").write_text(PROFILES + "full:\n  all: {seed: 5}\n")
    monkeypatch.setattr(execute, "device", lambda: found)
    assert run(project) == 0
    assert [folder.name for folder in (project / "runs").iterdir()] == [profile]


# --- cells whose data cannot be had ---------------------------------------------------------------


def test_a_cell_whose_source_cannot_be_had_only_says_so(monkeypatch):
    asked = []

    def fetch(name):
        asked.append(name)
        if name == "supercon":
            raise SourceUnavailable("supercon.csv is nowhere: it's 'gone'")

    monkeypatch.setattr(plan, "fetch", fetch)
    tags = (["needs-supercon"], ["needs-crabnet"], ["parameters"], ["needs-supercon"])
    cells = [new_code_cell(f"x = {i}", metadata={"tags": t}) for i, t in enumerate(tags)]
    cells.append(new_code_cell("x = 4"))
    done = plan.without_unreachable(new_notebook(cells=cells))
    nbformat.validate(done)
    sources = [cell.source for cell in done.cells]
    assert sources[1] == "x = 1" and sources[2] == "x = 2" and sources[4] == "x = 4"
    said = []
    exec(sources[0], {"print": said.append})
    assert said == ["not run: supercon.csv is nowhere: it's 'gone'"]
    assert sources[3] == sources[0]
    assert asked == ["supercon", "crabnet"]  # each source once


def test_a_source_that_a_tag_names_is_known():
    from matgan.data.sources import SOURCES
    from matgan.study.run import PROJECT

    for path in (PROJECT / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            for tag in cell.metadata.get("tags", []):
                if tag.startswith("needs-"):
                    assert tag.removeprefix("needs-") in SOURCES, path.name
