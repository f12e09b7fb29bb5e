#!/usr/bin/env bash
# Builds the wheel, installs it with nothing but its dependencies into a fresh environment, and uses
# the face there, outside the checkout: bash tests/project/wheel.sh
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset PYTHONPATH

mkdir "$work/source" # a copy: setuptools would keep what an earlier build has left in the checkout
cp -r "$root"/{matgan,pyproject.toml,README.md,LICENSE} "$work/source"
"$root/.venv/bin/python" -m pip wheel --quiet --no-deps --no-build-isolation -w "$work" "$work/source"
sed -nE 's/^([a-z0-9._-]+==[^ ]+).*/\1/p' "$root"/{requirements,torch}.lock >"$work/pins"

"$root/.venv/bin/python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --no-compile -c "$work/pins" "$work"/matgan-*.whl
cd "$work"
venv/bin/matgan sample 2 --generator wgan-oqmd --balanced
venv/bin/python -I - "$work"/matgan-*.whl <<'PYTHON'
import importlib.util
import os
import sys

from pymatgen.core import Lattice, Structure

import matgan

size = os.path.getsize(sys.argv[1]) / 1e6
assert size < 60, f"the wheel has {size:.0f} MB"
assert matgan.__file__.startswith(sys.prefix), matgan.__file__
for name in matgan.__all__:
    getattr(matgan, name)
assert matgan.PooledEmbedding("wgan-mp").fit_transform(["TiO2", "Ba0.4K0.6Fe2As2"]).shape == (2, 128)
assert len(matgan.list_generators()) == 18
salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3])
ranking = matgan.classify(*matgan.simulate_pattern(salt))
assert ranking.crystal_system["crystal_system"].iloc[0] == "cubic", ranking
brought = [name for name in ("jupyterlab", "papermill", "sphinx") if importlib.util.find_spec(name)]
assert not brought, f"a user of the face gets {brought}"
print(f"wheel: {size:.1f} MB, {len(matgan.__all__)} names, pretrained weights read")
PYTHON
