"""The project as a whole: pins, imports, import directions, run_all.sh."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import matgan
from matgan.__main__ import COMMANDS

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "matgan"
MODULES = {  # "room.module", or "module" for one beside the rooms
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.stem != "__init__"
}

# --- pins -----------------------------------------------------------------------------------------

CONDA_NAMES = {"pytorch": "torch"}
PACKAGES = {"sklearn": "scikit-learn"}  # modules whose package has another name
PIN = re.compile(r"^([\w.-]+)==([\w.+]+)", re.MULTILINE)


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def locked():
    """{normalised name: version} of requirements.lock and torch.lock."""
    text = "\n".join(
        (ROOT / f"{name}.lock").read_text("utf-8") for name in ("requirements", "torch")
    )
    return {normal(name): version for name, version in PIN.findall(text)}


@pytest.fixture(scope="module")
def direct():
    """{normalised name: requirement} of pyproject.toml, extras included but the unpinned one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    del extras["design"]  # botorch asks for torch, whose pins have no hashes
    texts = sum(extras.values(), project["dependencies"])
    return {normal(Requirement(text).name): Requirement(text) for text in texts}


def test_every_pin_is_in_the_range_of_the_project(direct):
    pins = locked()
    for name, requirement in direct.items():
        assert re.fullmatch(r">=[\d.]+", str(requirement.specifier)), (
            f"{requirement}: one lower bound"
        )
        assert requirement.specifier.contains(pins[name]), requirement


def test_every_pin_but_torch_has_its_hashes():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = [block for block in re.split(r"\n(?=[\w#])", text) if not block.startswith("#")]
    assert len(pins) > 150
    assert all(PIN.match(pin) and "--hash=sha256:" in pin for pin in pins)
    assert (ROOT / "torch.lock").read_text(encoding="utf-8") == f"torch=={locked()['torch']}\n"


def test_the_conda_environment_has_the_same_pins(direct):
    entries = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    conda = dict(e.split("=") for e in entries if isinstance(e, str) and e != "pip")
    from_pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    assert conda.pop("python") == "3.11"
    found = {CONDA_NAMES.get(name, name): version for name, version in conda.items()}
    found |= {normal(name): version for name, version in PIN.findall("\n".join(from_pip))}
    pins = locked()
    assert found == {name: pins[name] for name in direct}


def test_the_conda_environment_is_in_condas_form():
    """Its keys, and requirements as `conda env create` reads them; no conda is needed to see it."""
    content = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert set(content) == {"name", "channels", "dependencies"}
    assert content["name"] == "matgan"
    assert content["channels"][0] == "conda-forge"
    *packages, last = content["dependencies"]
    for package in packages:
        pinned = re.fullmatch(r"[a-z0-9][a-z0-9_.-]*=[0-9][0-9a-z.]*", package)
        assert pinned or package == "pip", package
    assert "pip" in packages  # conda warns without it
    assert set(last) == {"pip"}


def test_the_lock_has_all_that_its_packages_need():
    lock = locked()
    for name in lock:
        try:
            needs = [Requirement(text) for text in requires(name) or []]
        except PackageNotFoundError:  # an environment without the development extra
            continue
        for need in needs:
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                # torch's CUDA build asks for its own companions, by exact version
                companion = name == "torch" and re.match("nvidia|cuda|triton", need.name)
                assert normal(need.name) in lock or companion, f"{name} needs {need}"


def test_the_face_needs_no_extra():
    """What the modules behind it import at their top is a dependency, and nothing else is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = {normal(Requirement(text).name) for text in project["dependencies"]}
    homes = {home.removeprefix("matgan.") for home in matgan._HOME.values()}
    modules = homes.union(*map(reached, homes))
    used = {name.split(".")[0] for module in modules for name in imported(MODULES[module])}
    used = {normal(PACKAGES.get(name, name)) for name in used - sys.stdlib_module_names}
    assert used - {"matgan"} == core


def test_citation_codemeta_and_package_say_the_same():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    codemeta = json.loads((ROOT / "codemeta.json").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert codemeta["version"] == citation["version"] == matgan.__version__
    assert codemeta["name"] == project["name"]
    assert codemeta["description"] == project["description"]
    assert codemeta["runtimePlatform"] == f"Python {project['requires-python']}"
    assert codemeta["license"].endswith(f"/{citation['license']}")
    assert citation["license"] == project["license"]
    assert codemeta["keywords"] == citation["keywords"]
    authors = [author["name"] for author in citation["authors"]]
    assert [author["name"] for author in codemeta["author"]] == authors
    cited = {reference["title"]: reference["doi"] for reference in citation["references"]}
    named = {paper["name"]: paper["@id"] for paper in codemeta["referencePublication"]}
    assert named == {title: f"https://doi.org/{doi}" for title, doi in cited.items()}


# pages of the repository, as GitHub shows them
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("[dnt]*/*.md"), *ROOT.glob("matgan/pretrained/*.md")]

# --- for those who change something ---------------------------------------------------------------


def test_hooks_workflow_and_forms_are_what_their_readers_expect():
    """Hooks run what `run_all.sh setup` installs; the workflow runs .ci/run; forms have ids."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"].split()[0] for repo in hooks["repos"] for hook in repo["hooks"]]
    pins = locked()
    assert all(normal(entry.removeprefix(".venv/bin/")) in pins for entry in entries)
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = workflow["jobs"]["all"]["steps"]
    assert "bash .ci/run" in [step.get("run") for step in steps]
    numbers = [step.get("run") for step in workflow["jobs"]["numbers"]["steps"]]
    assert {"bash run_all.sh test -m slow -k headline", "make mutate"} <= set(numbers)
    for form in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        content = yaml.safe_load(form.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= set(content), form
        ids = [part["id"] for part in content["body"]]
        assert len(set(ids)) == len(ids), form
    json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))


def test_make_has_four_targets_that_call_run_all_and_one_that_plants_errors():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^(\w+): .*\n\tbash run_all\.sh", text, flags=re.MULTILINE)
    assert targets == ["setup", "test", "smoke", "report"]
    (script,) = re.findall(r"^mutate: .*\n\t\.venv/bin/python (\S+)$", text, flags=re.MULTILINE)
    assert (ROOT / script).is_file()


def test_files_and_commands_that_the_guide_names_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:matgan|notebooks|tests|results|\.ci)/[\w./]+)`", text):
        assert (ROOT / path).exists() or "ROOM" in path, path
    for command in re.findall(r"python -m matgan ([a-z-]+)", text):
        assert command in COMMANDS, command
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "README's table of data" not in text
    for title in re.findall(r"README's section \"([^\"]+)\"", text):
        assert f"\n## {title}\n" in readme, title


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_to_files_that_are_there(page):
    """As GitHub shows it: relative to the page. The site has its own, which tests/study follows."""
    for target in re.findall(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path = target.partition("#")[0]
        if path and not re.match("[a-z]+:", path):
            assert (page.parent / path).exists(), target


def test_the_page_of_data_names_where_its_content_is_without_the_site():
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert "](../matgan/data/sources.csv)" in page


# --- imports --------------------------------------------------------------------------------------


def imported(path, top_level=False):
    """Modules that a file imports, at its top level or anywhere; matgan's as matgan.NAME."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set()
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "matgan":
            names |= {f"matgan.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            names.add(node.module)
    return names


def ours(path):
    """Modules of the package that a file imports, by their names in MODULES."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {name.removeprefix("matgan.") for name in imported(path)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("matgan."):
            room = node.module.removeprefix("matgan.")
            names |= {f"{room}.{alias.name}" for alias in node.names}
    return names & set(MODULES)


GRAPH = {name: ours(path) for name, path in MODULES.items()}


def reached(name):
    """Modules of the package that a module imports, directly or through others."""
    found, todo = set(), [name]
    while todo:
        new = GRAPH[todo.pop()] - found
        found |= new
        todo += new
    return found


# each room may import its own modules and those of the floors below
FLOORS = [
    {"files"},
    {"chemistry"},
    {"data"},
    {"learning"},
    {"wgan", "representation", "crystals", "microstructure"},
    {"generated", "stability", "powder"},
    {"properties"},
    {"study"},
    {"__main__"},
]
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}


def room(module):
    return module.split(".")[0]


def test_imports_between_rooms_point_one_way():
    list(TopologicalSorter(GRAPH).static_order())  # raises CycleError
    for name, needs in GRAPH.items():
        for need in needs:
            down = FLOOR[room(need)] < FLOOR[room(name)]
            assert down or room(need) == room(name), f"{name} imports {need}"


def test_a_room_has_at_most_ten_files():
    for folder in {path.parent for path in MODULES.values()}:
        files = [path for path in folder.glob("*.py") if path.stem != "__init__"]
        assert len(files) <= 10, f"{folder.name} has {len(files)} files"


def test_every_module_has_its_test():
    for name in MODULES:
        *folder, module = name.split(".")
        if module != "__main__":
            path = ROOT.joinpath("tests", *folder, f"test_{module}.py")
            assert path.exists(), f"{name} has no {path.relative_to(ROOT)}"


def test_no_public_name_lives_in_two_rooms():
    """A function or class of one name in two rooms would be two things with one name."""
    lives = {}
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for label, _ in public(tree):
            if "." not in label and label != "main":
                lives.setdefault(label, set()).add(room(name))
        for node in tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name) and re.fullmatch("[A-Z][A-Z_]+", target.id):
                    lives.setdefault(target.id, set()).add(room(name))
    assert not {label: rooms for label, rooms in lives.items() if len(rooms) > 1}


def test_only_notebooks_draw():
    """No module computes with a figure: figures.py of a room is for notebooks."""
    for name, needs in GRAPH.items():
        drawn = {need for need in needs if need.endswith(".figures")}
        assert not drawn or name.endswith((".figures", ".interactive")), f"{name} imports {drawn}"


def test_training_needs_only_torch_numpy_and_safetensors():
    for name in {"wgan.training", *reached("wgan.training")}:
        packages = {module.split(".")[0] for module in imported(MODULES[name], top_level=True)}
        assert packages - sys.stdlib_module_names <= {"torch", "numpy", "safetensors", "matgan"}, (
            name
        )


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_says_what_it_is(name):
    docstring = ast.get_docstring(ast.parse(MODULES[name].read_text(encoding="utf-8")))
    assert docstring and docstring.splitlines()[0].endswith((".", ":", "`"))


MAX_LINES = 400  # of a module: one idea, about 300 lines


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_fits_one_idea(name):
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{name} has {lines} lines: divide it"


def public(tree):
    """(name, node) of the public functions and classes of a module, and of their methods.

    Methods that a base class of torch or scikit-learn describes are left out.
    """
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            own = isinstance(node, ast.ClassDef) and not node.bases
            for part in node.body if own else ():
                if isinstance(part, ast.FunctionDef) and not part.name.startswith("_"):
                    yield f"{node.name}.{part.name}", part


RISKY = {  # what runs code that a file or a parameter brings
    "eval", "exec", "os.system", "os.popen", "torch.load", "pd.read_pickle", "pickle.load",
    "pickle.loads", "yaml.load", "yaml.unsafe_load", "joblib.load",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nothing_is_unpickled_or_given_to_a_shell(name):
    assert not imported(MODULES[name]) & {"pickle", "dill", "cloudpickle", "shelve", "marshal"}
    for call in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call):
            assert ast.unparse(call.func) not in RISKY, ast.unparse(call)
            given = {option.arg: ast.unparse(option.value) for option in call.keywords}
            assert given.get("shell", "False") == "False", ast.unparse(call)
            assert given.get("allow_pickle", "False") == "False", ast.unparse(call)


def test_every_test_in_the_table_of_faults_exists():
    text = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    rows = text.partition("## Faults")[2].partition("\n## ")[0].splitlines()
    faults = [row.split("|")[3] for row in rows if row.startswith("| ")][1:]
    assert len(faults) > 25
    for cell in faults:
        names = re.findall(r"`(?:(test_\w+)::)?(test_\w+)`", cell)
        assert names, cell
        file = ""
        for own_file, name in names:
            file = own_file or file
            if not own_file and list((ROOT / "tests").rglob(f"{name}.py")):
                continue  # a whole file
            texts = [path.read_text("utf-8") for path in (ROOT / "tests").rglob(f"{file}.py")]
            assert any(f"def {name}(" in text for text in texts), f"{file}::{name}"


def parameters_in(docstring):
    return docstring.partition("Parameters\n")[2].partition("\n\n")[0]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_public_docstrings_are_complete(name):
    """Each public name says what it is; errors that it raises itself and parameters are listed."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    lacking = []
    for label, node in public(tree):
        text = ast.get_docstring(node) or ""
        if not text:
            lacking.append(f"{label} has no docstring")
        if isinstance(node, ast.FunctionDef) and "Parameters\n" in text:
            listed = parameters_in(text)
            for argument in [*node.args.args, *node.args.kwonlyargs]:
                if argument.arg not in ("self", "cls") and argument.arg not in listed:
                    lacking.append(f"{label} does not list {argument.arg}")
            for inner in ast.walk(node):
                raised = isinstance(inner, ast.Raise) and inner.exc
                if isinstance(raised, ast.Call) and ast.unparse(raised.func) not in text:
                    lacking.append(f"{label} does not list {ast.unparse(raised.func)}")
    assert not lacking, "\n".join(lacking)


# --- run_all.sh -----------------------------------------------------------------------------------

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
PROJECT = (
    "[project]\ndependencies = ['{}']\n"
    "[project.optional-dependencies]\nnotebooks = []\ndocs = []\ntest = []\n"
)
DOOR = "import sys\nprint('ran', sys.prefix, sys.argv[1:])\n"


@pytest.fixture
def project(tmp_path):
    """A small stand-in for the project, in a path with spaces: no pins, a package that prints."""
    folder = tmp_path / "a b" / "my project"
    (folder / "matgan").mkdir(parents=True)
    (folder / "matgan" / "__init__.py").write_text("")
    (folder / "matgan" / "__main__.py").write_text(DOOR)
    for lock in ("requirements.lock", "torch.lock"):
        (folder / lock).write_text("# nothing\n")
    (folder / "pyproject.toml").write_text(PROJECT.format("no-such-package>=1"))
    shutil.copy(ROOT / "run_all.sh", folder)
    return folder


SYSTEM = {"PATH": "/usr/bin:/bin"}


def run_all(project, *arguments, cwd=None, **environment):
    started = start_all(project, *arguments, cwd=cwd, **environment)
    output, errors = started.communicate()
    return subprocess.CompletedProcess(started.args, started.returncode, output, errors)


def start_all(project, *arguments, cwd=None, **environment):
    return subprocess.Popen(
        ["bash", project / "run_all.sh", *arguments],
        cwd=cwd or project.parent,
        env={
            **{k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")},
            "PYTHON": sys.executable,
            "PIP_NO_INDEX": "1",  # no network for these tests
            "UV_OFFLINE": "1",
            **SYSTEM,
            **environment,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@needs_bash
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_works_from_any_folder_and_makes_nothing(project, tmp_path, option):
    done = run_all(project, option, cwd=tmp_path)
    assert done.returncode == 0
    for word in ("--profile", "--only", "--no-venv", "test", "MATGAN_DATA"):
        assert word in done.stdout
    assert not (project / ".venv").exists()


@needs_bash
def test_too_old_a_python_is_refused_with_what_to_install(project, tmp_path):
    old = tmp_path / "old python"
    old.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && exec \'{sys.executable}\' -c "import sys\n'
        'sys.version_info = (3, 10, 4)\n$2"\nexit 9\n'
    )
    old.chmod(0o755)
    for option in ("test", "--no-venv"):
        done = run_all(project, option, PYTHON=str(old))
        assert done.returncode == 2
        assert "needs Python 3.11 or later" in done.stderr
        assert "apt install python3" in done.stderr
    assert not (project / ".venv").exists()


@needs_bash
def test_an_unknown_command_is_refused(project):
    done = run_all(project, "tset")
    assert done.returncode == 2
    assert "unknown command 'tset'" in done.stderr


@needs_bash
def test_no_venv_names_the_missing_packages(project):
    done = run_all(project, "--no-venv", "--profile", "smoke")
    assert done.returncode == 2
    assert "lacks no-such-package" in done.stderr
    assert "pip install -e '.[notebooks,docs]'" in done.stderr
    assert not (project / ".venv").exists()


@needs_bash
def test_no_venv_runs_in_the_activated_environment_with_arguments_untouched(project):
    (project / "pyproject.toml").write_text(PROJECT.format("pytest>=0"))
    done = run_all(project, "-p", "name", "a b; $(touch x) *", "--no-venv", "--only", "02")
    assert done.returncode == 0, done.stderr
    assert (
        f"ran {sys.prefix} ['run', '-p', 'name', 'a b; $(touch x) *', '--only', '02']"
        in done.stdout
    )


@needs_bash
def test_a_broken_set_up_does_not_count_and_a_whole_one_is_kept(project):
    lock, venv = project / "requirements.lock", project / ".venv"
    lock.write_text("no-such-package==1\n")
    done = run_all(project, "--profile", "smoke")
    assert done.returncode == 2
    assert "could not be installed" in done.stderr
    assert "ran" not in done.stdout

    lock.write_text("# nothing\n")
    done = run_all(project, "--profile", "smoke")
    assert f"ran {venv} ['run', '--profile', 'smoke']" in done.stdout, done.stderr
    (venv / "kept").write_text("")
    assert run_all(project).stdout.startswith(f"ran {venv} ['run']")
    assert (venv / "kept").exists()

    (venv / ".matgan-pins").unlink()
    done = run_all(project)
    assert done.returncode == 2
    assert "was not made by run_all.sh" in done.stderr
    assert (venv / "kept").exists()


UV = f"""#!/bin/sh
if [ "$1" = venv ]; then
    for last in "$@"; do :; done
    exec '{sys.executable}' -m venv --without-pip "$last"
fi
"""


@pytest.fixture
def made(project, monkeypatch):
    """The project with its .venv, which holds one more file; a quick stand-in for uv makes it."""
    folder = project.parent / "bin"
    folder.mkdir()
    (folder / "uv").write_text(UV)
    (folder / "uv").chmod(0o755)
    monkeypatch.setitem(SYSTEM, "PATH", f"{folder}:/usr/bin:/bin")
    assert run_all(project, "setup").returncode == 0
    (project / ".venv" / "kept").write_text("")
    return project


@needs_bash
def test_an_environment_is_kept_through_a_link_to_the_project(made, tmp_path):
    (tmp_path / "link").symlink_to(made)
    for folder in (tmp_path / "link", made):
        done = run_all(folder, "setup")
        assert done.returncode == 0
        assert "Making" not in done.stderr
    assert (made / ".venv" / "kept").exists()


@needs_bash
def test_an_interrupt_while_an_old_environment_is_removed_is_mended(made, tmp_path):
    (made / "requirements.lock").write_text("# another\n")
    (tmp_path / "bin").mkdir()
    killer = tmp_path / "bin" / "rm"  # removes the mark, the first file, and is killed
    killer.write_text('#!/bin/sh\nfind "$2" -name .matgan-pins -delete\nkill -9 $PPID\n')
    killer.chmod(0o755)
    killed = run_all(made, "setup", PATH=f"{killer.parent}:{SYSTEM['PATH']}")
    assert killed.returncode == -9
    done = run_all(made, "setup")
    assert done.returncode == 0, done.stderr
    assert not (made / ".venv" / "kept").exists()
    assert not list(made.glob(".venv.old*"))


@needs_bash
@pytest.mark.skipif(shutil.which("flock") is None, reason="flock is not here")
def test_an_environment_in_use_is_not_made_anew(made):
    (made / "matgan" / "__main__.py").write_text("print('runs', flush=True)\ninput()\n")
    first = start_all(made)
    assert first.stdout.readline() == "runs\n"
    (made / "requirements.lock").write_text("# another\n")
    second = run_all(made, "setup")
    assert second.returncode == 2
    assert "Another run is using .venv, which is out of date: wait for it." in second.stderr
    assert (made / ".venv" / "kept").exists()
    first.communicate("\n")
    assert run_all(made, "setup").returncode == 0
    assert not (made / ".venv" / "kept").exists()


@needs_bash
def test_a_torch_that_works_with_cuda_is_kept(project, tmp_path):
    (project / "torch.lock").write_text("torch==99\n")  # cannot be installed
    library = tmp_path / "cuda library"
    (library / "torch").mkdir(parents=True)
    torch = "class cuda:\n    @staticmethod\n    def is_available():\n        return True\n"
    (library / "torch" / "__init__.py").write_text(torch)
    (project / "matgan" / "__main__.py").write_text("import torch\nprint('ran', torch.__file__)\n")
    assert run_all(project, "setup", PYTHONPATH=str(library)).returncode == 0
    done = run_all(project)
    assert f"ran {library}" in done.stdout, done.stderr
