"""Training of the composition encoder: compositions a second, beside CrabNet and a padded peer.

    python benchmarks/bench_encoder.py [rows]

CrabNet's network comes from its own wheel (Wang et al., npj Comput. Mater. 2021, 7, 77; 512 wide),
with the sizes that it has by default. The padded peer is torch's own transformer with ours' widths,
all compositions padded to the longest. OQMD's compounds, batches of 512, one thread, processor
time, the least of some turns in turn. A ratio above 1 says that ours is faster.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import importlib.util
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from matgan.chemistry.composition import amounts_matrix
from matgan.data.compounds import load_oqmd
from matgan.data.sources import fetch
from matgan.learning.fit import Fit, train
from matgan.representation.encoder.network import CompositionNetwork, Tokens, known_targets_loss

BATCH, TURNS = 512, 3


class Padded(nn.Module):
    """The same widths in torch's layers; places behind the last element are masked."""

    def __init__(self, width: int = 128):
        super().__init__()
        self.embed, self.of_share = nn.Embedding(86, width), nn.Linear(1, width)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.1, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2))

    def forward(self, elements: Tensor, shares: Tensor) -> Tensor:
        empty = elements == 0
        x = self.layers(self.embed(elements) + self.of_share(shares[..., None]), None, empty)
        weights = shares / shares.sum(1, keepdim=True)
        return self.head((x * weights[..., None]).sum(1))


def crabnet() -> nn.Module:
    """CrabNet's network, read from its wheel."""
    folder = tempfile.mkdtemp()
    with zipfile.ZipFile(fetch("crabnet")) as wheel:
        wanted = [n for n in wheel.namelist() if "element_properties" in n or "kingcrab" in n]
        wheel.extractall(folder, wanted)
    spec = importlib.util.spec_from_file_location("kingcrab", f"{folder}/crabnet/kingcrab.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SubCrab(compute_device="cpu")


def loop(network: nn.Module, elements: Tensor, shares: Tensor, y: Tensor) -> Callable[[], None]:
    """One pass over the rows, as a tutorial would train it."""
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, fused=True)

    def run() -> None:
        for rows in torch.randperm(len(y)).split(BATCH):
            found = network(elements[rows], shares[rows])[:, 0]
            loss = (found - y[rows]).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def main(n: int = 4096) -> None:
    torch.set_num_threads(1)
    table = load_oqmd().sample(n, random_state=0)
    y = table["target"].to_numpy(np.float32)
    tokens = Tokens(amounts_matrix(table["formula"]), y[:, None])
    there = np.arange(tokens.elements.shape[1]) < tokens.sizes[:, None]
    elements = torch.from_numpy(np.where(there, tokens.elements + 1, 0))  # 0: nothing
    shares = torch.from_numpy(tokens.shares)

    def ours(precision) -> Callable[[], None]:
        network, fit = CompositionNetwork(), Fit(1, BATCH, precision=precision, average=0.999)

        def run() -> None:
            train(network, tokens, known_targets_loss, fit)

        return run

    jobs = {
        "CrabNet": loop(crabnet(), elements, shares, torch.from_numpy(y)),
        "padded, our widths": loop(Padded(), elements, shares, torch.from_numpy(y)),
        "ours": ours("float32"),
        "ours, bfloat16": ours("bfloat16"),
    }
    seconds = dict.fromkeys(jobs, np.inf)
    for _ in range(TURNS):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            seconds[name] = min(seconds[name], time.process_time() - start)
    for name, taken in seconds.items():
        faster = f"ours {taken / seconds['ours']:.1f} times as fast, in bfloat16 "
        faster += f"{taken / seconds['ours, bfloat16']:.1f}"
        print(f"{name:20} {n / taken:8,.0f} compositions a second; {faster}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
