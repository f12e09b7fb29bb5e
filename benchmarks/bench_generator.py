"""Compositions per second from our generators, free and on request, on one core.

    python benchmarks/bench_generator.py [generator] [compositions]

Counts and formulas (text) of free draws; then, for wishes, counts by construction against
rejection. Processor time of one thread, best of three; a plan, which a wish needs once, is timed by
itself. The floor of free draws is the arithmetic of the network: the line below the first says how
fast the matrix products alone are.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time

import numpy as np
import torch

from matgan import load_generator
from matgan.chemistry.composition import formulas
from matgan.wgan.drawing import FREE_BATCH, Drawer
from matgan.wgan.wishes import Wanted

WISHES = {
    "O": {"contain": "O"},
    "Li": {"contain": "Li"},
    "Li, O": {"contain": ["Li", "O"]},
    "Li, Fe, O": {"contain": ["Li", "Fe", "O"]},
    "Li1-3, O4": {"counts": {"Li": (1, 3), "O": 4}},
    "Na K Mg Ca O S F Cl only": {"only": "Na K Mg Ca O S F Cl".split()},
    "Li, Fe, P, O and no more": {"contain": ["Li", "Fe", "P", "O"], "n_elements": 4},
}


def best(function, repeats: int = 3):
    """Least processor time in seconds, and the last result."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        result = function()
        seconds.append(time.process_time() - start)
    return min(seconds), result


def main(name: str = "wgan-mp", n: int = 50_000) -> None:
    torch.set_num_threads(1)
    generator = load_generator(name)
    network = generator.network
    seconds, (counts, _) = best(lambda: generator.draw(n, seed=0))
    writing, _ = best(lambda: formulas(counts))
    free = n / seconds
    print(f"{name}, free: {free:,.0f} counts/s, {n / (seconds + writing):,.0f} formulas/s")

    drawer = Drawer(network, generator.latent_dim, "cpu")
    layers = [layer for layer in network.body if isinstance(layer, torch.nn.Linear)]
    layers += network.slots * [network.mix, network.to_element, network.to_count]
    given = [torch.randn(FREE_BATCH, layer.in_features) for layer in layers]
    with torch.inference_mode():
        products, _ = best(lambda: [layer(x) for layer, x in zip(layers, given, strict=True)], 200)
    print(f"  its matrix products alone: {FREE_BATCH / products:,.0f} compositions/s")

    print(f"{'wish':26} {'share':>9} {'plan, s':>8} {'built/s':>9} {'rejected/s':>10} {'ratio':>6}")
    for wish, fields in WISHES.items():
        wanted = Wanted(**fields)
        planning, plan = best(lambda w=wanted: drawer.plan(w), 1)
        rng = torch.Generator().manual_seed(0)

        def built(w=wanted, p=plan, r=rng):
            return sum(w.kept(drawer.on_request(r, p)).sum() for _ in range(8))

        start = time.process_time()
        found = sum(built() for _ in range(3))
        rate = found / (time.process_time() - start)
        share = plan.stands_for * found / (3 * 8 * 4096)
        rejected = free * share
        ratio = rate / rejected if rejected else np.inf
        print(
            f"{wish:26} {share:9.2e} {planning:8.1f} {rate:9,.0f} {rejected:10,.0f} {ratio:6.1f}"
            f"{'' if plan.pays else '  (draws freely: it pays more)'}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:3]))
