#!/usr/bin/env bash
# The one entry point: makes the environment, runs the notebooks, runs the tests. See --help.
set -euo pipefail

usage() {
    cat <<'TEXT'
bash run_all.sh [options]             make the environment if needed, then run the notebooks in order
bash run_all.sh test [pytest options] make the environment if needed, then run the test suite
bash run_all.sh setup                 make the environment only
bash run_all.sh --help                this text

Options of a run:
  --profile NAME    smoke (minutes, for a check), laptop (two CPU cores) or full (to convergence);
                    without it, full where torch finds CUDA, else laptop
  --only NN [NN..]  only these notebooks, on what the earlier ones have left: --only 02 03
  -p NAME VALUE     another value for a parameter of the notebooks; may be given several times
  --workers N       notebooks at a time, where none reads the files of another one (default: 1)
  --force           run again what is already done; write into a folder that is no run's
  --run-dir DIR     where results go (default: runs/PROFILE in this folder)
  --publish         copy figures and maps into figures/, tables and manifest into results/, if all
                    notebooks ran under the profile full, as they are, on one clean commit, their
                    files are what they wrote, and every job is current; else no file changes
  --allow WHAT ..   laptop, parameters, stale-jobs: publish in spite of it; the manifest tells
  --report          build a web site of the run, runs/PROFILE/site/index.html: claims, notebooks,
                    figures, API; it opens from disk, without a network
  --list            show notebooks, parameters and what is already done; run nothing
Option of all of them:
  --no-venv         use the activated environment (conda, venv) instead of making .venv

A run that was stopped goes on where it was when the same command is given again. Results lie in
runs/PROFILE: executed notebooks, tables, figures, checkpoints, manifest.json.
Exit status: 0 done, 1 a notebook or test failed, 2 wrong use, 130 interrupted.

Environment variables:
  PYTHON         the Python to use (3.11 or later)
  MATGAN_DATA    a folder searched for the data files first, for machines without a network
  MATGAN_CACHE   where downloaded data are kept (default: the user's cache folder)
  MATGAN_DEVICE  cpu or cuda (default: cuda where torch finds it)
TEXT
}

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 2; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P) # through links: .venv belongs to one folder
venv="$root/.venv"
mark="$venv/.matgan-pins" # what .venv was made from; "unfinished" until it is whole
action=run
use_venv=yes
arguments=()
for argument in "$@"; do
    case $argument in
        -h | --help) usage; exit 0 ;;
        --no-venv) use_venv=no ;;
        *) arguments+=("$argument") ;;
    esac
done
case ${arguments[0]-} in
    test | setup) action=${arguments[0]}; arguments=("${arguments[@]:1}") ;;
    [!-]*) die "unknown command '${arguments[0]}'; bash run_all.sh --help lists them" ;;
esac

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
has_uv() { command -v uv >/dev/null; }

find_python() {
    local candidates=(python3 python3.13 python3.12 python3.11) candidate
    [[ $use_venv == no ]] && candidates=(python python3)
    [[ -n ${PYTHON-} ]] && candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if is_new_enough "$candidate"; then command -v "$candidate"; return; fi
    done
    say "This needs Python 3.11 or later; found none as: ${candidates[*]}."
    say "Install one of:"
    say "  Debian, Ubuntu:  sudo apt install python3 python3-venv    (Debian 12, Ubuntu 24.04 or later)"
    say "  conda:           conda env create -f environment.yml; conda activate matgan;"
    say "                   bash run_all.sh --no-venv"
    say "  uv:              uv python install 3.11"
    die "or name one: PYTHON=/path/to/python3.11 bash run_all.sh"
}

# Folder of a torch outside .venv that already works with CUDA: it is kept, not replaced.
cuda_torch() {
    "$1" -c 'import os, sys, torch
if not torch.cuda.is_available(): sys.exit(1)
print(os.path.dirname(os.path.dirname(torch.__file__)))' 2>/dev/null
}

install_packages() { # install_packages LOCK; of torch or of the rest
    if ! has_uv; then
        local pip_install=("$venv/bin/python" -m pip install --disable-pip-version-check -r "$1")
        if [[ -t 2 ]]; then "${pip_install[@]}" >&2; else "${pip_install[@]}" --quiet; fi
        return
    fi
    local uv_install=(uv pip install --python "$venv/bin/python" -r "$1")
    if command -v nvidia-smi >/dev/null; then
        "${uv_install[@]}"
    else # the CPU build of torch is ten times smaller; its index is another, not always in reach
        "${uv_install[@]}" --torch-backend=cpu || "${uv_install[@]}"
    fi
}

make_venv() {
    local python site torch_folder locks=("$root/requirements.lock" "$root/torch.lock") lock
    python=$(find_python)
    if ! has_uv && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        die "$python lacks the venv module: sudo apt install python3-venv (or install uv)"
    fi
    if [[ -e $mark ]] && command -v flock >/dev/null; then
        exec 8<"$mark"
        flock --nonblock 8 || die "Another run is using .venv, which is out of date: wait for it."
    fi
    say "Making .venv with $("$python" --version), once: some minutes, about 2 GB ..."
    # renamed, then removed: an interrupt in between leaves no .venv that is half there
    if [[ -e $venv || -L $venv ]]; then mv "$venv" "$root/.venv.old.$$"; fi
    rm -rf "$root"/.venv.old.*
    mkdir "$venv"
    echo unfinished >"$mark"
    if has_uv; then
        # with pip, which fetches data that come as wheels
        uv venv --quiet --seed --allow-existing --python "$python" "$venv"
    else
        "$python" -m venv "$venv"
    fi
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "$root" >"$site/matgan.pth" # the package itself, straight from this folder
    if torch_folder=$(cuda_torch "$python"); then
        say "Keeping the torch with CUDA in $torch_folder"
        printf '%s\n' "$torch_folder" >>"$site/matgan.pth"
        locks=("$root/requirements.lock")
    fi
    for lock in "${locks[@]}"; do # the one has hashes, the other cannot: pip takes them apart
        install_packages "$lock" || die "The packages could not be installed (see above); try again."
    done
    printf '%s\n' "$1" >"$mark"
}

ensure_venv() {
    local pins
    pins=$({ cat "$root"/{requirements,torch}.lock; echo "$root"; } | cksum) # all that is installed
    exec 9<"$root/requirements.lock" # a second run waits while the first makes .venv
    if command -v flock >/dev/null; then flock 9; fi
    if [[ -e $venv && ! -e $mark ]]; then
        die "$venv was not made by run_all.sh: move it away, or activate it and use --no-venv"
    fi
    if [[ ! -e $mark || $(<"$mark") != "$pins" ]] || ! is_new_enough "$venv/bin/python"; then
        make_venv "$pins"
    fi
    exec 8<"$mark" # held until this run ends, by Python, too: nobody makes .venv anew meanwhile
    if command -v flock >/dev/null; then flock --shared 8; fi
    exec 9<&-
}

check_packages() { # the activated environment must have the packages; versions may differ
    "$1" - "$root/pyproject.toml" "$action" <<'PYTHON' || exit 2
import importlib.metadata, re, sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))["project"]
extras = ["notebooks", "docs"] + ["test"] * (sys.argv[2] == "test")
lists = [project["dependencies"]] + [project["optional-dependencies"][name] for name in extras]
missing = []
for name in (re.match(r"[\w.-]+", requirement)[0] for requirement in sum(lists, [])):
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        missing.append(name)
if missing:
    print("The activated environment lacks", ", ".join(missing), file=sys.stderr)
    sys.exit(f"Run: python -m pip install -e '.[{','.join(extras)}]' (or leave out --no-venv)")
PYTHON
}

if [[ $use_venv == yes ]]; then
    ensure_venv
    python="$venv/bin/python"
else
    python=$(find_python)
    check_packages "$python"
fi
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
case $action in
    setup) "$python" --version ;;
    # side by side, at most four: each worker holds torch and the data it asks for
    test) cd "$root"; exec "$python" -m pytest -n logical --maxprocesses 4 --dist worksteal \
        ${arguments[@]+"${arguments[@]}"} ;;
    # -P: a file in the current folder never stands in for a package
    run) exec "$python" -P -m matgan run ${arguments[@]+"${arguments[@]}"} ;;
esac
