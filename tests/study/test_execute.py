"""Headless runs: order, parameters, going on, failures, locks. Tiny notebooks, real kernels."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import pytest
from filelock import FileLock
from nbformat.v4 import new_code_cell, new_notebook

from matgan.data.sources import SourceUnavailable
from matgan.study import execute, plan
from matgan.study.run import open_run, read_manifest

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
    save = "import json, os, sys\nfrom pathlib import Path\nfrom matgan.wgan import figures\n"
    save += "facts = {'seed': seed, 'profile': profile, 'python': sys.executable}\n"
    save += "facts |= {'cwd': os.getcwd(), 'data': os.environ.get('MATGAN_DATA')}\n"
    save += "Path(run_dir, 'first.json').write_text(json.dumps(facts))"
    write_notebook(notebooks, "01_first", PARAMETERS, save)
    second = PARAMETERS + "steps: int = 7\nrate: float = 0.1\nname: str = 'a'\ndeep: bool = False\n"
    risky = "# where it may stop; made_by='01_first'\n"
    risky += "if rate == 13:\n    raise ValueError('rate is bad')"
    risky += "\nif rate == 9:\n    import os\n    os.kill(os.getpid(), 9)"
    kept = '# reads run.kept("slow")'
    write_notebook(notebooks, "02_second", second, "answer = steps * 2", risky, kept)
    monkeypatch.setattr(plan, "LONG", tmp_path)
    monkeypatch.setenv("MATGAN_DEVICE", "cpu")
    for name in ("OMP_NUM_THREADS", "PYTHONPATH", "JUPYTER_PREFER_ENV_PATH"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # put back what a run sets
    return folder


@pytest.fixture
def executed(monkeypatch):
    """Names of the notebooks that papermill is asked to run; nothing is run."""
    names = []

    def pretend(source, result, parameters, **options):
        result = Path(result.replace("{{", "{").replace("}}", "}"))
        result.write_text("{}")
        name = result.name.removesuffix(".running.ipynb")
        # what a notebook does first
        open_run(parameters["run_dir"], name, parameters["seed"])
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


def test_an_interrupt_says_how_to_go_on_and_stops_the_kernel(project):
    write_notebook(
        project / "notebooks",
        "01_first",
        PARAMETERS,
        "import os, pathlib, time\n"
        "part = pathlib.Path(run_dir, 'pid.part')\n"
        "part.write_text(str(os.getpid()))\n"
        "part.rename(part.with_name('pid'))\n"
        "time.sleep(60)",
    )
    code = "import sys, pathlib; from matgan.study.execute import main\n"
    code += "sys.exit(main(['--profile', 'laptop'], pathlib.Path(sys.argv[1])))"
    started = subprocess.Popen(
        [sys.executable, "-c", code, project],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pid = project / "runs" / "laptop" / "pid"
    while not pid.exists() and started.poll() is None:
        time.sleep(0.2)
    kernel = int(pid.read_text())
    os.killpg(started.pid, signal.SIGINT)
    output, _ = started.communicate(timeout=30)
    assert started.returncode == 130
    assert "the same command again goes on" in output
    assert not Path(f"/proc/{kernel}").exists()
    assert read_manifest(pid.parent)["notebooks"]["01_first"].get("status") != "ok"


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


def open_by_hand(project):
    open_run(project / "runs" / "laptop", "02_second")
    return []


def remove_table(project):
    (project / "runs" / "laptop" / "tables" / "a.csv").unlink()
    return []


def change_kept_table(project):
    (plan.LONG / "slow.csv").write_text("x\n2\n")
    return []


CHANGES = [change_parameter, change_profile, remove_result, remove_table, open_by_hand]


@pytest.mark.parametrize("change", [*CHANGES, change_kept_table])
def test_a_change_runs_what_it_concerns_again(project, executed, change):
    run(project)
    laptop = project / "runs" / "laptop"
    (laptop / "tables").mkdir()
    (laptop / "tables" / "a.csv").write_text("x\n")
    execute.update_manifest(laptop, "02_second", {"files": ["tables/a.csv"]})
    executed.clear()
    arguments = change(project)
    assert run(project, *arguments) == 0
    assert executed == ["02_second"]


def change_source(project, monkeypatch):
    write_notebook(project / "notebooks", "01_first", PARAMETERS, "print('other')")
    return []


def change_seed(project, monkeypatch):
    return ["-p", "seed", "9"]


def change_package(project, monkeypatch):
    monkeypatch.setattr(plan, "modules_digest", lambda modules: "other")
    return []


@pytest.mark.parametrize("change", [change_source, change_seed, change_package])
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
    drawn = lambda modules: "new" if "wgan.figures" in modules else "as it was"  # noqa: E731
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
    run(project, "--list")  # the folder may be anyone's as long as no run has written there
    assert run(project, "--only", "01") == 0
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
        (["-p", "steps", "many"], "02_second.ipynb: the parameter 'steps' is of type int"),
        (["-p", "steps", "1.5"], "of type int, not 1.5"),
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
    [("3", 3), ("1e-2", 0.01), ("true", True), ("null", None), ("a b; rm -rf", "a b; rm -rf")],
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
    with FileLock(folder / ".lock"):
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


def test_publish_copies_figures_and_tables(project, executed):
    results = project / "runs" / "laptop"
    for file in ("figures/loss.png", "figures/loss.svg", "figures/map.html", "tables/loss.csv"):
        (results / file).parent.mkdir(parents=True, exist_ok=True)
        (results / file).write_text(file)
    assert run(project, "--publish") == 0
    published = {f.name: f.read_text() for f in (project / "figures").iterdir()}
    assert published == {"loss.png": "figures/loss.png", "map.html": "figures/map.html"}
    assert (project / "results" / "tables" / "loss.csv").read_text() == "tables/loss.csv"
    manifest = (results / "manifest.json").read_text()
    assert (project / "results" / "manifest.json").read_text() == manifest


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
    assert [line.split() for line in lines if line.startswith("02")] == [["02_second", "to", "run"]]
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

    monkeypatch.setattr(execute, "fetch", fetch)
    tags = (["needs-supercon"], ["needs-crabnet"], ["parameters"], ["needs-supercon"])
    cells = [new_code_cell(f"x = {i}", metadata={"tags": t}) for i, t in enumerate(tags)]
    cells.append(new_code_cell("x = 4"))
    done = execute.without_unreachable(new_notebook(cells=cells))
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
