"""Training of the WGAN: resumable, watched, and the same on a bare CUDA machine as here.

    python -m matgan train curated.npz --out DIR [--preset learning] [--iterations 2000 ...]

needs torch, NumPy and safetensors only. `curated.npz` is what `save_training_data` writes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args, get_origin

import numpy as np
import torch
from torch import Tensor

from matgan import files
from matgan.chemistry.elements import ELEMENTS
from matgan.data.training_set import TrainingData, load_training_data
from matgan.learning import compute
from matgan.learning.cuda_graph import Graphed
from matgan.wgan.checkpoint import (
    LOG_EVERY,
    State,
    TrainedRun,
    batch_statistics,
    check,
    load_run,
    write_history,
)
from matgan.wgan.config import PRESETS, Config, ConfigError, field_types
from matgan.wgan.losses import critic_loss, generator_loss, swap_one_element
from matgan.wgan.networks import effective_rank, to_amounts

_EARLY = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)  # looks at the test set while losses fall fast
_CHECKPOINT_SECONDS = 60
_N_WATCHED = 64  # generated compositions that are kept at each look
_MANY_STEPS = 100  # of the critic, in the "reference" schedule


def train_wgan(
    config: Config,
    data: TrainingData,
    out: str | Path,
    device: str = "auto",
    progress: Callable[[dict], None] | None = None,
) -> TrainedRun:
    """Train a WGAN, or go on with a run that was stopped, and return it.

    Each iteration updates the critic `critic_steps` times (Equation 4), on samples that one pass
    of the generator draws without gradient, and the generator once (Equation 3); on CUDA as two
    graphs. The same configuration and data give the same weights on the CPU, bit for bit, however
    often the run was stopped in between. A run may go on on another kind of device; it then draws
    from a new seed, which its own and the iteration determine.

    Parameters
    ----------
    config : all choices
    data : training and test compositions
    out : folder; gets weights.safetensors (what the run keeps), history.csv, and while the run
        is not finished checkpoint.safetensors
    device : "auto", "cpu" or "cuda", see `matgan.learning.compute.device`
    progress : called with a dict (iteration, critic_loss, generator_loss,
        images_per_second: real ones that the critic saw) now and then

    Raises
    ------
    DeviceError
        CUDA, where there is none.
    Mismatch
        `out` holds a run of another configuration or other data.
    BusyError
        Another process is training in `out`.
    WeightsError
        The checkpoint in `out` is damaged.
    Diverged
        A loss became NaN or infinite.
    KeyboardInterrupt
        After Ctrl-C, once the checkpoint is written.
    """
    out = Path(out)
    data_hash = data.hash
    place = torch.device(compute.device(device))
    if (out / "snapshots.safetensors").is_file():  # written last
        return load_run(out, config, data_hash)
    with files.locked(out):
        state = State(config, place)
        if (out / "checkpoint.safetensors").is_file():
            path = out / "checkpoint.safetensors"
            tensors, metadata = files.load(path)
            check(path, metadata, config, data_hash)
            state.restore(path, tensors, metadata)
        loop = Loop(config, data, data_hash, out, place, state, progress)
        with compute.deferred_interrupt() as interrupted, compute.subnormals_as_zero():
            loop.run(interrupted)
        loop.finish()
        (out / "checkpoint.safetensors").unlink(missing_ok=True)
    return load_run(out, config, data_hash)


def untrained_loss(config: Config, data: TrainingData, device: str = "auto") -> float:
    """Total loss on the test set before the first update: the first row of a run's history."""
    place = torch.device(compute.device(device))
    loop = Loop(config, data, data.hash, Path(), place, State(config, place), None)
    loop.set_rates()
    return loop.test_loss()[0]


class Loop:
    """One training run in progress: steps, looks at the test set, checkpoints."""

    def __init__(self, config, data, data_hash, out, device, state, progress):
        self.config, self.data_hash, self.out, self.device = config, data_hash, out, device
        self.state, self.progress = state, progress
        self.images = 0  # real compositions that the critic saw
        if device.type == "cuda":
            self.update_critic = Graphed(self.update_critic, state.rng)
            self.update_generator = Graphed(self.update_generator, state.rng)
        seen = data.train.any(axis=0)
        self.unseen = [symbol for symbol, there in zip(ELEMENTS, seen, strict=True) if not there]
        self.train = torch.from_numpy(data.train).to(device)  # uint8: 29 MB for all of OQMD
        self.test = torch.from_numpy(data.test).to(device)
        self.frequency = (self.train > 0).sum(0)
        self.fitting = self.train[(self.train > 0).sum(1) <= config.slots]
        if config.likelihood and not len(self.fitting):
            raise ConfigError(
                f"no training composition has at most slots = {config.slots} elements"
            )
        if min(len(self.train), len(self.test)) < config.batch_size:
            raise ConfigError(
                f"batch_size is {config.batch_size}, but there are {len(self.train)} training "
                f"and {len(self.test)} test compositions"
            )

    def run(self, interrupted: Callable[[], bool]) -> None:
        """All iterations that are left, with looks at the test set and checkpoints.

        KeyboardInterrupt, after a checkpoint, once `interrupted` says so.
        """
        state, config = self.state, self.config
        if state.iteration == 0 and not state.history:
            self.look({})
        in_steps, last_saved = 0.0, time.monotonic()
        while state.iteration < config.iterations:
            started = time.monotonic()
            state.losses[state.iteration % LOG_EVERY] = self.step()
            in_steps += time.monotonic() - started
            state.iteration += 1
            done = state.iteration == config.iterations
            look = done or state.iteration % config.test_every == 0 or state.iteration in _EARLY
            stop = interrupted()
            if look or stop or state.iteration % LOG_EVERY == 0:
                latest = self.finite()
                latest["images_per_second"] = self.images / in_steps
                if self.progress:
                    self.progress({"iteration": state.iteration} | latest)
                if look:
                    self.look(latest)
                if look or stop or time.monotonic() - last_saved > _CHECKPOINT_SECONDS:
                    self.checkpoint()
                    last_saved = time.monotonic()
            if stop and not done:
                raise KeyboardInterrupt(
                    f"stopped at iteration {state.iteration}; run again to go on from there"
                )

    def step(self) -> Tensor:
        """One iteration; returns the last critic loss and the generator loss, on the device."""
        self.set_rates()
        for _ in range(self.rounds()):
            of_critic = self.update_critic()
            self.images += self.config.critic_steps * self.config.batch_size
        return torch.stack([of_critic, self.update_generator()])

    def rounds(self) -> int:
        """How often `update_critic` runs in this iteration."""
        iteration = self.state.iteration
        if self.config.critic_schedule == "reference" and (iteration < 25 or iteration % 500 == 0):
            return -(-_MANY_STEPS // self.config.critic_steps)
        return 1

    def update_critic(self) -> Tensor:
        """`critic_steps` updates of the critic (Equation 4); returns its last loss."""
        state, config, rng = self.state, self.config, self.state.rng
        steps, size, critic = config.critic_steps, config.batch_size, self.state.critic
        with torch.no_grad():
            swapped = round(config.negatives * size)
            z = self.noise(steps * (size - swapped))
            fakes = critic.of_matrix(state.generator(z, rng, state.temperature)).chunk(steps)
            reals = critic.of_counts(self.some_real(steps * size)).split(size)
            if swapped:
                bad = swap_one_element(self.some_real(steps * swapped), self.frequency, rng)
                wrong = critic.of_counts(bad).chunk(steps)
                fakes = tuple(torch.cat(both) for both in zip(fakes, wrong, strict=True))
            mixes = torch.rand(steps * size, 1, generator=rng, device=self.device).split(size)
        for fake, real, mix in zip(fakes, reals, mixes, strict=True):
            loss = critic_loss(critic, config, real, fake, mix)
            state.optimizers["critic"].zero_grad()
            loss.backward()
            state.optimizers["critic"].step()
            if config.lipschitz == "clip":
                with torch.no_grad():
                    for parameter in critic.parameters():
                        parameter.clamp_(-config.clip, config.clip)
        return loss.detach()

    def update_generator(self) -> Tensor:
        """One update of the generator (Equation 3); returns its loss."""
        state, config = self.state, self.config
        state.critic.requires_grad_(False)  # its gradients are not needed for the generator's
        z = self.noise(config.generator_batch or config.batch_size)
        loss, value = generator_loss(
            state.generator, state.critic, config, z, state.rng, state.temperature
        )
        if config.likelihood:
            loss = loss - config.likelihood * self.log_likelihood()
        state.optimizers["generator"].zero_grad()
        loss.backward()
        state.optimizers["generator"].step()
        state.critic.requires_grad_(True)
        if state.average:
            compute.follow(state.average, state.generator, config.average)
        return value

    def log_likelihood(self) -> Tensor:
        """Mean log-probability of real compositions that fit into the generator's slots."""
        n, rng = self.config.likelihood_batch, self.state.rng
        picks = torch.randint(len(self.fitting), (n,), generator=rng, device=self.device)
        return self.state.generator.log_probability(self.noise(n), self.fitting[picks]).mean()

    def some_real(self, n: int) -> Tensor:
        """(n, 85) training compositions, with replacement."""
        picks = torch.randint(len(self.train), (n,), generator=self.state.rng, device=self.device)
        return self.train[picks]

    def noise(self, n: int) -> Tensor:
        """(n, latent_dim) standard normal numbers."""
        return torch.randn(n, self.config.latent_dim, generator=self.state.rng, device=self.device)

    def set_rates(self) -> None:
        """Learning rates and temperature of this iteration, in place: a CUDA graph reads them."""
        config, state = self.config, self.state
        share = compute.learning_rate(config.schedule, state.iteration, config.iterations)
        state.set_learning_rates(config.generator_lr * share, config.critic_lr * share)
        ratio = config.final_temperature / config.temperature
        done = state.iteration / config.iterations
        state.temperature.fill_(config.temperature * ratio**done)

    def finite(self) -> dict[str, float]:
        """Mean of the latest losses; Diverged, with its iteration, at the first bad one."""
        state = self.state
        iterations = np.arange(max(0, state.iteration - LOG_EVERY), state.iteration)
        values = state.losses.cpu().numpy()[iterations % LOG_EVERY]
        bad = ~np.isfinite(values).all(1)
        if bad.any():
            kept = self.out / "checkpoint.safetensors"
            raise compute.Diverged(
                f"a loss became {values[bad][0]} at iteration {iterations[bad][0] + 1}; "
                + (f"the last good state is {kept}" if kept.is_file() else "nothing was kept yet")
                + ". Lower the learning rates or change lipschitz, clip or initialisation"
            )
        critic, generator = values.mean(0)
        return {"critic_loss": float(critic), "generator_loss": float(generator)}

    def look(self, latest: dict[str, float]) -> None:
        """One row of the history: losses on the test set, the rank of T, drawn compositions."""
        state, config = self.state, self.config
        self.set_rates()
        total, mean, amounts = self.test_loss()
        T = state.critic.T.detach()
        row = {
            "iteration": state.iteration,
            "test_total_loss": total,
            "test_critic_loss": mean,
            "train_critic_loss": latest.get("critic_loss", float("nan")),
            "train_generator_loss": latest.get("generator_loss", float("nan")),
            "effective_rank": float(effective_rank(T)),
            "mean_amount_generated": float(amounts.sum(1).mean()),
        }
        state.history.append(row)
        state.snapshots["T"].append(T.cpu().numpy().copy())  # the weights change in place
        state.snapshots["amounts"].append(amounts[:_N_WATCHED].cpu().numpy())
        state.snapshots["iteration"].append(np.int64(state.iteration))
        if config.keep == "best" and total < state.best and np.isfinite(total):
            state.best = total
            self.keep()
        write_history(self.out / "history.csv", state.history)

    def test_loss(self) -> tuple[float, float, Tensor]:
        """Critic loss on the test set, against samples from fixed noise.

        The total is the sum over batches of the absolute value of the batch's loss, which is how
        the authors' published code computes the paper's 'total loss' (train.py); where only
        `test_batches` are looked at it is scaled up to the whole set. The mean keeps its sign.
        """
        config, state = self.config, self.state
        rng = torch.Generator(self.device).manual_seed(config.seed + 1)
        size, whole = config.batch_size, len(self.test) // config.batch_size
        n = min(config.test_batches or whole, whole)
        losses: list[Tensor] = []
        with batch_statistics(state.generator):
            for real in self.test[: n * size].split(size):
                z = torch.randn(size, config.latent_dim, generator=rng, device=self.device)
                mix = torch.rand(size, 1, generator=rng, device=self.device)
                with torch.no_grad():
                    matrix = state.generator(z, rng, state.temperature)
                if not losses:
                    first = to_amounts(matrix)
                real, fake = state.critic.of_counts(real), state.critic.of_matrix(matrix)
                losses.append(critic_loss(state.critic, config, real, fake, mix).detach())
        loss = torch.stack(losses).double()
        return float(loss.abs().sum() * whole / n), float(loss.mean()), first

    def keep(self) -> None:
        """Write the weights that the run returns."""
        state = self.state
        generator = state.average or state.generator
        tensors = {f"generator.{k}": v for k, v in generator.state_dict().items()}
        tensors |= {f"critic.{k}": v for k, v in state.critic.state_dict().items()}
        tensors["T"] = state.critic.T
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
        files.save(self.out / "weights.safetensors", arrays, self.metadata())

    def checkpoint(self) -> None:
        """Write all that a later call needs to go on from here."""
        state = self.state
        metadata = self.metadata() | {"best": str(state.best), "history": json.dumps(state.history)}
        files.save(self.out / "checkpoint.safetensors", state.tensors(), metadata)

    def finish(self) -> None:
        """The last files of a run; the snapshots come last and mark it as finished."""
        if self.config.keep == "last":
            self.keep()
        arrays = {name: np.stack(values) for name, values in self.state.snapshots.items()}
        files.save(self.out / "snapshots.safetensors", arrays, self.metadata())

    def metadata(self) -> dict[str, str]:
        """What every file of the run says of itself."""
        return {
            "config": self.config.to_json(),
            "data": self.data_hash,
            "iteration": str(self.state.iteration),
            "elements": " ".join(ELEMENTS),
            "unseen": " ".join(self.unseen),
        }


def _arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m matgan train", description="Train a WGAN on prepared compositions."
    )
    parser.add_argument("data", help=".npz file written by save_training_data")
    parser.add_argument("--out", required=True, help="folder of the run")
    parser.add_argument("--preset", choices=PRESETS, default="learning", help="default: ours")
    parser.add_argument("--device", choices=compute.DEVICES, default="auto")
    for field in dataclasses.fields(Config):
        kind, note = field_types()[field.name], f"paper: {field.default}"
        if choices := get_args(kind) if get_origin(kind) is Literal else ():
            kind, note = type(choices[0]), f"{', '.join(map(str, choices))}; {note}"
        elif kind not in (int, float):
            kind = _integers
        option = "--" + field.name.replace("_", "-")
        parser.add_argument(option, type=kind, help=f"in place of the preset's; {note}")
    return parser.parse_args(words)


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(",") if word)


def main(words: list[str] | None = None) -> int:
    """The command `train`: 0 when the run is finished."""
    arguments = _arguments(words)
    fields = {field.name for field in dataclasses.fields(Config)}
    changes = {k: v for k, v in vars(arguments).items() if k in fields and v is not None}
    config = PRESETS[arguments.preset].replace(**changes)
    data = load_training_data(arguments.data)
    with compute.progress_bar(config.iterations, config.batch_size) as progress:
        run = train_wgan(config, data, arguments.out, arguments.device, progress)
    print(json.dumps(run.history[-1]))
    return 0
