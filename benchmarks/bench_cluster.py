"""The search for stable compounds on a local Dask cluster: compositions a second by workers.

    python benchmarks/bench_cluster.py [--workers 1 2] [--blocks 8]

Each cluster does blocks of its own of one search, as `python -m matgan screen --scheduler ADDRESS`
does. The first block of each worker is not timed: it loads the networks, the known compositions and
the hull (some 30 CPU seconds). CPU seconds are those of the blocks; on a machine that others use,
look at them rather than at the wall time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from dask.distributed import Client, LocalCluster

from matgan.properties.candidates import Search, begin, done_blocks, screen_block, screen_blocks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--blocks", type=int, default=8, help="timed for each cluster (8)")
    parser.add_argument("--per-block", type=int, default=100_000, help="compositions (100,000)")
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before")
    print("workers  compositions  wall s  a second  CPU s of blocks  a CPU second")
    with tempfile.TemporaryDirectory() as folder:
        begin(folder, Search(per_block=options.per_block))
        first = 0
        for workers in options.workers:
            limits = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
            with LocalCluster(**limits) as cluster:
                with Client(cluster) as client:  # each worker one block, whichever
                    names = list(client.scheduler_info(n_workers=-1)["workers"])
                    warm = [
                        client.submit(screen_block, folder, first + i, workers=[name], pure=False)
                        for i, name in enumerate(names)
                    ]
                    client.gather(warm)
                blocks = range(first + workers, first + workers + options.blocks)
                start = time.perf_counter()
                list(screen_blocks(folder, blocks, scheduler=cluster.scheduler_address))
                wall = time.perf_counter() - start
            done = done_blocks(folder).loc[list(blocks)]
            n, cpu = int(done["compositions"].sum()), done["cpu_seconds"].sum()
            row = f"{workers:7}  {n:12,}  {wall:6.1f}  {n / wall:8,.0f}"
            print(f"{row}  {cpu:15.1f}  {n / cpu:12,.0f}", flush=True)
            first = blocks.stop


if __name__ == "__main__":
    main()
