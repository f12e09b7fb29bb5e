"""Training iterations per second against plain eager loops of the same networks, in one run.

    python benchmarks/bench_training.py [oqmd.npz] [--preset paper] [--iterations 10]

needs torch, NumPy and safetensors only if the .npz of notebook 1 is given; else it makes the data
itself. The peers take one-hot matrices (B, 85, 8) and Equation 5 as it is written, and draw the
samples of each critic step anew. One of them sends the critic's gradient through the generator
too, as a loop does in which nobody thought of cutting it off; the other detaches the samples.
`--profile` shows where our time goes.

The floor of the paper's setting on one CPU thread: 1,536 compositions go through the generator in
an iteration and 256 of them back, 14 and 28 million floating-point operations each, 29 billion in
all; at the 75 billion a second of a large matrix product that is 0.38 s. The transposed
convolutions take 80% of our time, two thirds of it in the forward passes.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import torch
from torch.nn import functional as F

from matgan.data.training_set import TrainingData, load_training_data
from matgan.wgan.checkpoint import State, make_optimizer
from matgan.wgan.config import PRESETS, Config
from matgan.wgan.networks import DeconvolutionGenerator, build_critic, build_generator
from matgan.wgan.slots import N_COUNTS
from matgan.wgan.training import Loop

COUNTS = torch.arange(1, N_COUNTS + 1)


def plain_loop(config: Config, matrices: torch.Tensor, device: torch.device, detach: bool):
    """A function that does one iteration, written as the equations are."""
    generator, critic = build_generator(config).to(device), build_critic(config).to(device)
    for_critic = make_optimizer(config.optimizer, critic.parameters(), config.critic_lr, device)
    for_generator = make_optimizer(
        config.optimizer, generator.parameters(), config.generator_lr, device
    )
    A = COUNTS.float().to(device)[:, None]  # row k holds k
    if isinstance(generator, DeconvolutionGenerator):
        generator.logits = lambda z: plain_logits(generator, z)

    def score(X: torch.Tensor) -> torch.Tensor:
        C = ((X.transpose(1, 2) @ critic.T) * A).sum(1)  # Equation 5
        if critic.stoichiometry:
            C = torch.cat([C, (X @ A)[..., 0].topk(critic.stoichiometry).values], 1)
        return critic.head(C)[:, 0]

    def loss_of_generator(z: torch.Tensor) -> torch.Tensor:
        if config.generator_gradient == "score-function":
            X, log_p = generator.draw(z)
            with torch.no_grad():
                scores = score(X)
            return -((scores - scores.mean()) * log_p).mean()
        return -score(generator(z)).mean()

    def penalty(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        mix = torch.rand(len(real), 1, 1, device=device)
        between = torch.lerp(real, fake, mix)
        if not between.requires_grad:
            between.requires_grad_()
        (slope,) = torch.autograd.grad(score(between).sum(), between, create_graph=True)
        return (slope.flatten(1).norm(dim=1) - 1).square().mean()

    def iteration() -> None:
        for _ in range(config.critic_steps):
            picks = torch.randint(len(matrices), (config.batch_size,), device=device)
            real = matrices[picks].float()
            fake = generator(torch.randn(config.batch_size, config.latent_dim, device=device))
            if detach:
                fake = fake.detach()
            loss = score(fake).mean() - score(real).mean()
            if config.lipschitz == "gradient-penalty":
                loss = loss + config.penalty * penalty(real, fake)
            for_critic.zero_grad()
            loss.backward()
            for_critic.step()
            if config.lipschitz == "clip":
                for parameter in critic.parameters():
                    parameter.data.clamp_(-config.clip, config.clip)
        n = config.generator_batch or config.batch_size
        loss = loss_of_generator(torch.randn(n, config.latent_dim, device=device))
        for_generator.zero_grad()
        loss.backward()
        for_generator.step()

    return iteration


def plain_logits(generator: DeconvolutionGenerator, z: torch.Tensor) -> torch.Tensor:
    """The layers of Table 3, each as the library has it."""
    x = F.relu(generator.dense_norm(generator.dense(z))).view(len(z), *generator.first_map)
    *hidden, last = generator.deconvolutions
    for deconvolution, norm in zip(hidden, generator.norms, strict=False):
        x = F.relu(norm(deconvolution(x)))
    x = last(x)
    return (generator.norms[-1](x) if len(generator.norms) > len(hidden) else x)[:, 0]


def ours(config: Config, data: TrainingData, device: torch.device):
    """One iteration of matgan.wgan.training."""
    return Loop(config, data, data.hash, None, device, State(config, device), None).step


def seconds(iteration, n: int, device: torch.device) -> float:
    """Median time of one iteration; of the processor where one thread does all the work."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter  # other programs do not count
    times = []
    for _ in range(n + 2):
        started = clock()
        iteration()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(clock() - started)
    return float(np.median(times[2:]))  # the first two warm up


def peak_megabytes(device: torch.device) -> float:
    """Most memory used so far: of the process on the CPU, of the device on CUDA."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def costs(iteration) -> str:
    """The ten costliest operations of five iterations."""
    with torch.profiler.profile() as profile:
        for _ in range(5):
            iteration()
    table = profile.key_averages()
    sort = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    return table.table(sort_by=sort, row_limit=10, max_name_column_width=40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?")
    parser.add_argument("--preset", choices=PRESETS, default="paper")
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--profile", action="store_true", help="the ten costliest operations")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = load_training_data(options.data) if options.data else _from_sources()
    config = PRESETS[options.preset]
    counts = torch.from_numpy(data.train[:50_000])
    matrices = (counts[..., None] == COUNTS.to(torch.uint8)).to(torch.uint8).to(device)
    contestants = {
        "matgan": ours(config, data, device),
        "plain loop, samples detached": plain_loop(config, matrices, device, detach=True),
        "plain loop, gradient through the generator": plain_loop(config, matrices, device, False),
    }
    print(f"preset {options.preset} on {device}, {torch.get_num_threads()} thread(s)")
    base = None
    for name, iteration in contestants.items():
        taken = seconds(iteration, options.iterations, device)
        base = base or taken
        if name == "matgan":
            memory = peak_megabytes(device)
            if options.profile:
                print(costs(iteration))
        print(f"{name:45s} {1 / taken:8.2f} iterations/s   matgan is {taken / base:.2f} x as fast")
    print(f"peak memory of matgan {memory:,.0f} MB, with the data and the libraries")


def _from_sources() -> TrainingData:
    from matgan.chemistry.composition import amounts_matrix, whole_counts
    from matgan.data.compounds import load_oqmd

    table = load_oqmd()
    counts, test = whole_counts(amounts_matrix(table["formula"])), table["split"] == "test"
    return TrainingData(counts[~test], counts[test])


if __name__ == "__main__":
    main()
