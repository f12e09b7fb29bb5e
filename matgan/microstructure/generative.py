"""A Wasserstein GAN of two-phase images from a small map of latent variables.

After Yang et al., J. Mech. Des. 140, 111416 (2018): 4 × 4 latent variables, layers that double the
edge. Everything is a periodic convolution, as the images are periodic: a larger map of latent
variables gives a larger image.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from matgan import files
from matgan.learning.adversarial.losses import slope_penalty, wasserstein
from matgan.learning.checkpoint import Part, from_arrays, to_arrays
from matgan.learning.compute import Diverged, deferred_interrupt, follow, learning_rate
from matgan.microstructure.generation import highest

MAP = 4  # latent variables along an edge of the map that training draws
GROUP = 8  # images that a critic compares
PHASE_SHARE = 0.5  # of the second phase in every image


@dataclass(frozen=True)
class ImageGAN:
    """All choices of a training.

    Attributes
    ----------
    size : voxels along an edge of the images: 4 times a power of two; the paper has 128
    channels : of the layer at half the edge; each layer before it has twice as many, up to `widest`
    widest : the most channels
    latents : channels of the latent map
    iterations : updates of the generator, and of the critic
    batch_size : images in an update
    rate : highest learning rate of Adam, which rises for a fifth of the iterations, then falls
    penalty : factor of the slope penalty
    penalty_every : updates of the critic to one that takes the penalty, that many times as strong
    average : decay of the moving average of the generator's weights, which is what is kept
    seed : of weights, images and latent variables

    Raises ValueError for a size that the layers cannot give.
    """

    size: int = 64
    channels: int = 16
    widest: int = 64
    latents: int = 1
    iterations: int = 1500
    batch_size: int = 16
    rate: float = 1e-3
    penalty: float = 10.0
    penalty_every: int = 2
    average: float = 0.99
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < 2 * MAP or self.size != MAP * 2**self.layers:
            raise ValueError(f"size must be {MAP} times a power of two, not {self.size}")

    @property
    def layers(self) -> int:
        """How often the edge is doubled."""
        return round(math.log2(self.size / MAP))

    @property
    def widths(self) -> list[int]:
        """Channels from the latent map's edge up to half of the image's."""
        return [min(self.widest, self.channels * 2**i) for i in range(self.layers - 1, -1, -1)]


class ImageGenerator(nn.Module):
    """From a latent map to an image between -1 and 1, sixteen (or more) times as large.

    Parameters
    ----------
    config : its sizes
    """

    def __init__(self, config: ImageGAN):
        super().__init__()
        widths = config.widths
        self.latents = config.latents
        self.first = _periodic(config.latents, widths[0], 3)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.doublings = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 4, 2, padding=3)
            for before, after in zip(widths, [*widths[1:], 1], strict=True)
        )

    def forward(self, z: Tensor) -> Tensor:
        """(B, 1, k n, k n) of (B, latents, n, n)."""
        x = self.first(z)
        for norm, doubling in zip(self.norms, self.doublings, strict=True):
            x = functional.leaky_relu(norm(x), 0.2)
            x = doubling(functional.pad(x, (1, 1, 1, 1), mode="circular"))
        return torch.tanh(x)


class ImageCritic(nn.Module):
    """From an image to a score: layers that halve the edge, then the mean over what is left.

    The score also knows how much a group of images differs in what is seen (Karras et al. 2018):
    else a generator whose images are all of one length would do.

    Parameters
    ----------
    config : its sizes
    """

    def __init__(self, config: ImageGAN):
        super().__init__()
        widths = [1, *config.widths[::-1]]
        self.halvings = nn.ModuleList(_periodic(*pair, 4, 2) for pair in pairwise(widths))
        self.last = _periodic(widths[-1], widths[-1], 3)
        self.head = nn.Linear(widths[-1] + 1, 1)

    def features(self, images: Tensor) -> Tensor:
        """(B, channels): what is seen in (B, 1, n, n) images, averaged over each."""
        x = images
        for layer in (*self.halvings, self.last):
            x = functional.leaky_relu(layer(x), 0.2)
        return x.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """(B,) scores of (B, 1, n, n) images, in groups of `GROUP` one after another."""
        seen = self.features(images)
        group = GROUP if len(seen) % GROUP == 0 else len(seen)
        by_group = seen.reshape(-1, group, seen.shape[1])
        differ = (by_group.var(1, correction=0) + 1e-8).sqrt().mean(1)
        differ = differ[:, None].expand(-1, group).reshape(-1, 1)
        return self.head(torch.cat([seen, differ], 1))[:, 0]


def _periodic(before: int, after: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    padding = (kernel - 1) // 2 if stride == 1 else kernel // 2 - 1
    return nn.Conv2d(before, after, kernel, stride, padding, padding_mode="circular")


# --- training -----------------------------------------------------------------------------------


def train_images(
    config: ImageGAN,
    images: np.ndarray,
    measure: Callable[[np.ndarray], dict[str, float]],
    looks: int = 20,
    checkpoint: str | Path | None = None,
    progress: Callable[[int, int, float], None] | None = None,
    device: str = "cpu",
) -> tuple[ImageGenerator, ImageCritic, list[dict]]:
    """Train generator and critic on images, each shifted and mirrored anew when it is drawn.

    Parameters
    ----------
    config : all choices
    images : (N, size, size) bool, periodic
    measure : numbers of generated images, (n, size, size) bool, for the history
    looks : rows of the history, evenly over the iterations
    checkpoint : file that a stopped training goes on from, written at each look
    progress : called with iteration, number of iterations and the critic's loss
    device : "cpu" or "cuda"

    Returns
    -------
    the generator (moving average), the critic, and the history: iteration, distance (the critic's
    estimate of the Wasserstein distance), and the numbers of `measure`

    Raises
    ------
    ValueError
        The images have another size than the configuration says.
    Diverged
        A loss is no number any more.
    KeyboardInterrupt
        After Ctrl-C, once the checkpoint is written.
    """
    if images.shape[1:] != (config.size, config.size):
        raise ValueError(f"images are {images.shape[1:]}, the configuration says {config.size}")
    torch.manual_seed(config.seed)
    generator, critic = ImageGenerator(config).to(device), ImageCritic(config).to(device)
    average = copy.deepcopy(generator)
    adam = {
        name: torch.optim.Adam(part.parameters(), config.rate, betas=(0.0, 0.9))
        for name, part in (("g", generator), ("c", critic))
    }
    parts: dict[str, Part] = {"generator": generator, "critic": critic, "average": average, **adam}
    history, start = _resume(parts, checkpoint, config)
    real = torch.from_numpy(2 * images.astype(np.float32) - 1)[:, None]
    every = max(1, config.iterations // looks)
    with deferred_interrupt() as interrupted:
        for iteration in range(start, config.iterations):
            rng = torch.Generator().manual_seed(config.seed * 1_000_003 + iteration)
            rate = config.rate * learning_rate("one-cycle", iteration, config.iterations)
            for optimiser in adam.values():
                optimiser.param_groups[0]["lr"] = rate
            some = real[torch.randint(len(real), (config.batch_size,), generator=rng)]
            some = shifted(some, rng).to(device)
            fake = generator(latent_noise(config.batch_size, rng, config.latents).to(device))
            strength = 0.0 if iteration % config.penalty_every else config.penalty_every
            distance = _update_critic(
                critic, adam["c"], some, fake.detach(), strength * config.penalty, rng
            )
            critic.requires_grad_(False)
            loss = -critic(fake).mean()
            adam["g"].zero_grad()
            loss.backward()
            adam["g"].step()
            critic.requires_grad_(True)
            done = iteration + 1
            follow(average, generator, min(config.average, done / (done + 10)))
            if not math.isfinite(distance):
                raise Diverged(f"the critic's loss is {distance} at {done}: lower the rate")
            if progress:
                progress(done, config.iterations, distance)
            stop = interrupted() and done < config.iterations
            if done % every == 0 or done == config.iterations:
                shown = latent_noise(256, torch.Generator().manual_seed(1), config.latents)
                made = generate(average, shown)
                history.append({"iteration": done, "distance": distance, **measure(made)})
            if checkpoint and (stop or done % every == 0):
                facts = {"config": json.dumps(asdict(config)), "history": json.dumps(history)}
                files.save(checkpoint, to_arrays(parts), facts | {"iteration": str(done)})
            if stop:
                raise KeyboardInterrupt(f"stopped at {done} of {config.iterations} iterations")
    if checkpoint:
        Path(checkpoint).unlink(missing_ok=True)
    return average.eval(), critic.eval(), history


def _update_critic(critic, optimiser, real, fake, strength: float, rng) -> float:
    """One update; returns the estimate of the distance."""
    distance = wasserstein(critic, real, fake)
    loss = distance
    if strength:
        mix = torch.rand(len(real), generator=rng).to(real.device)
        loss = loss + strength * slope_penalty(critic, real, fake, mix)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return -float(distance.detach())


def _resume(parts: dict[str, Part], checkpoint, config: ImageGAN) -> tuple[list[dict], int]:
    if not (checkpoint and Path(checkpoint).is_file()):
        return [], 0
    tensors, facts = files.load(checkpoint)
    if facts.get("config") != json.dumps(asdict(config)):
        raise files.WeightsError(f"{checkpoint} belongs to other choices: remove it to start anew")
    from_arrays(parts, tensors, checkpoint)
    return json.loads(facts["history"]), int(facts["iteration"])


def shifted(images: Tensor, rng: torch.Generator) -> Tensor:
    """Each of (B, 1, n, n) periodic images after a shift, a mirror, and perhaps turned by 90°."""
    n = images.shape[-1]
    choice = torch.randint(n, (len(images), 4), generator=rng)
    place = torch.arange(n)
    rows, columns = ((place + choice[:, i, None]) % n for i in (0, 1))
    rows = torch.where(choice[:, 2, None] % 2 == 0, rows, rows.flip(1))
    batch = torch.arange(len(images))[:, None, None]
    moved = images[batch, 0, rows[:, :, None], columns[:, None, :]]
    turned = torch.where(choice[:, 3, None, None] % 2 == 0, moved, moved.mT)
    return turned[:, None]


# --- drawing ------------------------------------------------------------------------------------


def latent_noise(n: int, rng: torch.Generator, latents: int = 1, edge: int = MAP) -> Tensor:
    """(n, latents, edge, edge) standard normal numbers."""
    return torch.randn(n, latents, edge, edge, generator=rng)


@torch.no_grad()
def generate(generator: ImageGenerator, z: Tensor | np.ndarray) -> np.ndarray:
    """Images of latent maps: the lighter half of each is the second phase.

    Parameters
    ----------
    generator : trained
    z : (B, latents, n, n), or (B, 16 latents) numbers

    Returns
    -------
    (B, size, size) bool; the volume fraction is `PHASE_SHARE`, so that no design wins by it

    Raises
    ------
    ValueError
        There are no latent maps.
    """
    place = next(generator.parameters()).device
    maps = torch.as_tensor(z, dtype=torch.float32)
    if maps.ndim == 2:
        maps = maps.reshape(len(maps), generator.latents, MAP, MAP)
    if not len(maps):
        raise ValueError("there are no latent maps to draw from")
    was = generator.training
    generator.eval()
    grey = np.concatenate(
        [generator(part.to(place))[:, 0].cpu().numpy() for part in maps.split(64)]
    )
    generator.train(was)
    return np.stack([highest(image, PHASE_SHARE) for image in grey])


def save_generator(path: str | Path, config: ImageGAN, parts: Sequence[Part]) -> None:
    """Write generator and critic with their choices to a safetensors file."""
    named = dict(zip(("generator", "critic"), parts, strict=True))
    files.save(path, to_arrays(named), {"config": json.dumps(asdict(config))})


def load_generator_and_critic(path: str | Path) -> tuple[ImageGAN, ImageGenerator, ImageCritic]:
    """What `save_generator` wrote: choices, generator, critic.

    Raises
    ------
    WeightsError
        The file is damaged or holds something else.
    """
    tensors, facts = files.load(path)
    if "config" not in facts:
        raise files.WeightsError(f"{path} holds no generator of images")
    config = ImageGAN(**json.loads(facts["config"]))
    generator, critic = ImageGenerator(config), ImageCritic(config)
    from_arrays({"generator": generator, "critic": critic}, tensors, path)
    return config, generator.eval(), critic.eval()
