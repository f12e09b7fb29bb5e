"""Speed of the FFT solver against the basic scheme of Moulinec and Suquet (1998).

    python benchmarks/bench_homogenisation.py [SIZE [CONTRAST [VOLUMES]]]

Both in one run, one process, one thread, the same random microstructures. The basic scheme iterates
on strains with the continuous Green operator and a reference material half-way between the phases;
its C11 converges to that of another discretisation, so that each is stopped where its own C11 has
its first four digits. Prints processor times, iterations, their ratio and both C11.
"""

import sys
import time

import numpy as np
from scipy import fft

from matgan.microstructure import mechanics
from matgan.microstructure.generation import Collection


def basic_scheme(phases, materials, digits=1e-4, most=5000):
    """C11 and iterations of the fixed point on strains."""
    lame, shear = (
        np.array([getattr(m, name) for m in materials])[phases.astype(int)]
        for name in ("lame", "shear")
    )
    lame0, shear0 = ((values.max() + values.min()) / 2 for values in (lame, shear))
    n = phases.shape
    waves = np.stack(
        np.meshgrid(fft.fftfreq(n[0]), fft.fftfreq(n[1]), fft.rfftfreq(n[2]), indexing="ij")
    )
    square = (waves**2).sum(0)
    square[0, 0, 0] = 1
    along = (lame0 + shear0) / (lame0 + 2 * shear0)
    strain = np.zeros((3, 3, *n))
    strain[0, 0] = 1
    found = [np.inf] * 11
    for _ in range(most):
        stress = 2 * shear * strain
        stress[range(3), range(3)] += lame * np.trace(strain)
        found.append(stress[0, 0].mean())
        if abs(found[-1] / found[-11] - 1) < digits / 2:  # ten steps change half a digit
            break
        moved = fft.rfftn(stress, axes=(2, 3, 4))
        force = np.einsum("ijabc,jabc->iabc", moved, waves) / (shear0 * square)
        part = np.einsum("iabc,iabc->abc", force, waves) * along / square
        slope = force - part * waves
        change = (slope[:, None] * waves[None] + slope[None] * waves[:, None]) / 2
        change[..., 0, 0, 0] = 0
        strain -= fft.irfftn(change, s=n, axes=(2, 3, 4))
    return found[-1], len(found) - 11


def main(size: int = 31, contrast: float = 50, n: int = 3) -> None:
    materials, volumes = mechanics.two_phases(contrast), Collection(size)
    mechanics.solve(volumes.volume(0), materials)  # compiles
    ours, basic = [], []
    for number in range(n):
        phases = volumes.volume(number)
        started = time.process_time()
        solution = mechanics.solve(phases, materials)
        middle = time.process_time()
        other, iterations = basic_scheme(phases, materials)
        ended = time.process_time()
        ours.append((middle - started, solution.iterations, solution.stress[0]))
        basic.append((ended - middle, iterations, other))
        c11 = f"C11 {ours[-1][2]:.4f}, basic {other:.4f}"
        print(f"volume {number}, fraction {phases.mean():.2f}: {c11}")
    a, b = np.mean(ours, 0), np.mean(basic, 0)
    print(f"{n} volumes of {size}³, contrast {contrast:g}")
    print(f"conjugate gradients {a[0]:8.3f} s, {a[1]:6.0f} iterations")
    print(f"basic scheme        {b[0]:8.3f} s, {b[1]:6.0f} iterations")
    print(f"ratio               {b[0] / a[0]:8.1f}")


if __name__ == "__main__":
    kinds = (int, float, int)
    main(*(kind(x) for kind, x in zip(kinds, sys.argv[1:], strict=False)))
