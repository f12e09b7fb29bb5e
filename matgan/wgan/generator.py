"""A trained generator that writes formulas, and which of them a user can ask for."""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from matgan import files
from matgan.chemistry.composition import formulas, reduced
from matgan.chemistry.elements import ELEMENT_INDEX, N_ELEMENTS, OTHER_ELEMENTS
from matgan.chemistry.validity import charge_neutral, electronegativity_balanced
from matgan.files import PRETRAINED
from matgan.learning.compute import device
from matgan.wgan.checkpoint import load_networks
from matgan.wgan.decoding import RULES, decode
from matgan.wgan.samples import Formulas, Outcomes


@dataclass(frozen=True)
class Wanted:
    """Which of the generated compositions are kept.

    Attributes
    ----------
    only : elements that a composition may hold; None: all
    contain : elements that it must hold
    n_elements : how many elements it must hold, one number or several; None: at least two
    neutral, balanced : whether it must be charge-neutral, or neutral and balanced
    oxidation_states : for these two, as in `matgan.chemistry.validity.charge_neutral`
    """

    only: Iterable[str] | None = None
    contain: Iterable[str] = ()
    n_elements: int | Iterable[int] | None = None
    neutral: bool = False
    balanced: bool = False
    oxidation_states: object = "smact14"

    def __post_init__(self):
        for name in ("only", "contain"):
            symbols = getattr(self, name)
            if symbols is not None:
                object.__setattr__(self, name, _symbols(symbols, name))
        n = self.n_elements
        if n is not None:
            n = (n,) if isinstance(n, int | np.integer) else tuple(n)
            if not n or min(n) < 2:
                raise ValueError(f"n_elements must be 2 or more, not {self.n_elements!r}")
            object.__setattr__(self, "n_elements", n)
        if self.only is not None:
            if missing := set(self.contain) - set(self.only):
                raise ValueError(f"contain asks for {', '.join(sorted(missing))}, only excludes it")
            if len(self.only) < 2:
                raise ValueError("only must leave two elements or more")

    def kept(self, counts: np.ndarray) -> np.ndarray:
        """Which compositions (n, 85) are of this kind: (n,) bool."""
        present = counts > 0
        good = np.ones(len(counts), dtype=bool)
        if self.only is not None:
            allowed = np.isin(np.arange(N_ELEMENTS), [ELEMENT_INDEX[s] for s in self.only])
            good &= ~present[:, ~allowed].any(axis=1)
        for symbol in self.contain:
            good &= present[:, ELEMENT_INDEX[symbol]]
        if self.n_elements is not None:
            good &= np.isin(present.sum(axis=1), np.asarray(self.n_elements))
        for asked, judge in (
            (self.neutral, charge_neutral),
            (self.balanced, electronegativity_balanced),
        ):
            if asked:
                good[good] = judge(counts[good], self.oxidation_states)
        return good


def _symbols(symbols: Iterable[str], name: str) -> tuple[str, ...]:
    symbols = (symbols,) if isinstance(symbols, str) else tuple(symbols)
    for symbol in symbols:
        if symbol not in ELEMENT_INDEX:
            known = symbol in OTHER_ELEMENTS
            why = "is not one of the 85 elements of this study" if known else "is no element"
            raise ValueError(f"{name}: {symbol!r} {why}")
    return symbols


_BATCH = 1024  # samples that one pass of the generator draws; the formulas of a seed depend on it


class TooFewSamples(RuntimeError):
    """A generator gives too few compositions of the kind that was asked for."""


@dataclass
class CompositionGenerator:
    """A trained generator that writes formulas.

    Attributes
    ----------
    network : a generator of `matgan.wgan.networks`, trained
    latent_dim : components of its noise
    rule, threshold : how soft outputs are read, see `matgan.wgan.decoding.decode`
    device : "cpu" or "cuda". The same seed gives the same formulas on the same kind of device.
    """

    network: nn.Module
    latent_dim: int
    rule: str = "threshold"
    threshold: float = 0.5
    device: str = "cpu"

    def __post_init__(self):
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, not {self.rule!r}")
        self.device = device(self.device)
        self.network = self.network.to(self.device).eval()

    def matrices(self, seed: int = 0) -> Iterator[np.ndarray]:
        """Outputs of the network, batch after batch without end: (1024, 85, 8) float32."""
        rng = torch.Generator(self.device).manual_seed(seed)
        while True:
            noise = torch.randn(_BATCH, self.latent_dim, generator=rng, device=self.device)
            with torch.inference_mode():
                matrix = self.network(noise, rng).cpu().numpy()
            yield matrix

    def sample(self, n: int, seed: int = 0, max_draws: int | None = None, **wanted) -> Formulas:
        """n reduced formulas of two elements or more, in the order in which they were drawn.

        Samples that are empty, hold one element or cannot be decoded are left out and counted;
        repeated formulas stay. The first formulas of a seed do not depend on n.

        Parameters
        ----------
        n : how many
        seed : the same seed gives the same formulas
        max_draws : give up after so many samples; by default after 100 n + 1,000,000
        **wanted : the fields of `Wanted`: only, contain, n_elements, neutral, balanced

        Returns
        -------
        list of str
            Its attribute `counts` (n, 85) holds them as numbers. `outcomes` counts what became of
            all samples drawn, those of the last batch after the n-th formula included;
            `.outcomes.table` shows it.

        Raises
        ------
        TooFewSamples
            The generator does not give n such formulas; says how many it gave.
        """
        parts, outcomes = [np.zeros((0, N_ELEMENTS), dtype=np.uint8)], Outcomes()
        for counts, became in self._strictly(n, seed, max_draws, wanted):
            parts.append(counts)
            outcomes = became
        drawn = np.concatenate(parts)
        return Formulas(formulas(drawn), drawn, outcomes)

    def iter_samples(
        self, n: int, seed: int = 0, max_draws: int | None = None, **wanted
    ) -> Iterator[str]:
        """The formulas of `sample` one by one, however many, in the memory of one batch."""
        for counts, _ in self._strictly(n, seed, max_draws, wanted):
            yield from formulas(counts)

    def write_samples(
        self,
        path: str | Path,
        n: int,
        seed: int = 0,
        max_draws: int | None = None,
        progress: bool = True,
        **wanted,
    ) -> Outcomes:
        """The formulas of `sample` to a CSV file with the column formula, whole or not at all.

        A name that ends in .csv.gz makes a compressed file, which pandas reads as it is; the same
        seed gives the same bytes. Memory is that of one batch, however large n is. Parquet would
        need another package and save little: formulas are short texts, nearly all different.

        Raises
        ------
        ValueError
            The name ends neither in .csv nor in .csv.gz.
        TooFewSamples
            As `sample`; no file is left behind.
        """
        name = Path(path).name
        if not name.endswith((".csv", ".csv.gz")):
            raise ValueError(f"samples are written as .csv or .csv.gz, not as {name!r}")
        outcomes = Outcomes()
        with (
            files.atomic_file(path) as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=0)
            if name.endswith(".gz")
            else nullcontext(file) as text,
            tqdm(total=n, unit="formulas", disable=not progress) as bar,
        ):
            text.write(b"formula\n")
            for counts, became in self._strictly(n, seed, max_draws, wanted):
                text.write("".join(f"{line}\n" for line in formulas(counts)).encode())
                outcomes = became
                bar.set_postfix_str(f"{became.kept / became.drawn:.1%} of samples kept")
                bar.update(len(counts))
        return outcomes

    def draw(
        self, n: int, seed: int = 0, max_draws: int | None = None, **wanted
    ) -> tuple[np.ndarray, Outcomes]:
        """As `sample`, but as counts (m, 85) uint8, and as many as there are: m <= n."""
        parts, outcomes = [np.zeros((0, N_ELEMENTS), dtype=np.uint8)], Outcomes()
        for counts, became in self._until(n, seed, max_draws, Wanted(**wanted)):
            parts.append(counts)
            outcomes = became
        return np.concatenate(parts), outcomes

    def _until(self, n: int, seed: int, max_draws: int | None, wanted: Wanted):
        """Batches of counts that are kept until there are n, each with the outcomes so far."""
        if n < 0:
            raise ValueError(f"n must not be negative: {n}")
        limit = 100 * n + 1_000_000 if max_draws is None else max_draws
        found, outcomes = 0, Outcomes()
        matrices = self.matrices(seed)
        while found < n and outcomes.drawn < limit:
            counts, became = self._kept(next(matrices), wanted)
            outcomes += became
            part = counts[: n - found]
            found += len(part)
            yield part, outcomes

    def _kept(self, matrix: np.ndarray, wanted: Wanted) -> tuple[np.ndarray, Outcomes]:
        """Reduced counts (m, 85) of the wanted compositions in a batch, and what became of all."""
        counts, undecodable = decode(matrix, self.rule, self.threshold)
        n_elements = (counts > 0).sum(axis=1)
        good = reduced(counts[n_elements > 1])
        kept = good[wanted.kept(good)]
        return kept, Outcomes(
            empty=int((n_elements == 0).sum() - undecodable.sum()),
            single=int((n_elements == 1).sum()),
            undecodable=int(undecodable.sum()),
            unwanted=len(good) - len(kept),
            kept=len(kept),
        )

    def _strictly(self, n: int, seed: int, max_draws: int | None, wanted: dict):
        """As `_until`, but TooFewSamples if there are less than n in the end."""
        found, outcomes = 0, Outcomes()
        for counts, outcomes in self._until(n, seed, max_draws, Wanted(**wanted)):
            found += len(counts)
            yield counts, outcomes
        if found < n:
            raise TooFewSamples(
                f"{found:,} of {n:,} formulas in {outcomes.drawn:,} samples: "
                f"{outcomes.empty:,} were empty, {outcomes.single:,} held a single element, "
                f"{outcomes.undecodable:,} were undecodable, {outcomes.unwanted:,} unwanted"
            )


def list_generators() -> list[str]:
    """Names of the generators that come with the package, for `load_generator`."""
    return sorted(file.stem for file in PRETRAINED.glob("wgan-*.safetensors"))


def load_generator(
    name_or_path: str | Path,
    rule: str = "threshold",
    threshold: float = 0.5,
    device: str = "cpu",
) -> CompositionGenerator:
    """A trained generator by name, or from a file of weights or the folder of a training run.

    Parameters
    ----------
    name_or_path : a name that `list_generators` gives, such as "wgan-oqmd", or a path
    rule, threshold : how soft outputs are read, see `matgan.wgan.decoding.decode`
    device : "cpu" or "cuda"

    Returns
    -------
    CompositionGenerator
        `load_generator("wgan-oqmd").sample(5, seed=0)` gives five formulas.

    Raises
    ------
    FileNotFoundError
        Neither a known name nor a file; lists the names.
    matgan.files.WeightsError
        The file is damaged or holds no generator.
    """
    path = Path(name_or_path)
    if str(name_or_path) in list_generators():
        path = PRETRAINED / f"{name_or_path}.safetensors"
    elif path.is_dir():
        path = path / "weights.safetensors"
    if not path.is_file():
        raise FileNotFoundError(
            f"no generator {str(name_or_path)!r}: no such file, and no name; "
            f"the names are {', '.join(list_generators()) or '(none yet)'}"
        )
    config, network, _ = load_networks(path)
    return CompositionGenerator(network, config.latent_dim, rule, threshold, device)


def main(words: list[str] | None = None) -> None:
    """The command `sample`: formulas of a generator, as CSV."""
    parser = argparse.ArgumentParser(
        prog="python -m matgan sample",
        description="New compositions from a generator: CSV with the column formula.",
        epilog=f"Generators that come along: {', '.join(list_generators())}",
    )
    add = parser.add_argument
    add("n", type=int, help="how many")
    add("--generator", default="wgan-mp", help="a name, a file or a run (default: wgan-mp)")
    add("--out", type=Path, metavar="FILE", help=".csv or .csv.gz; default: standard output")
    add("--seed", type=int, default=0, help="the same seed gives the same formulas")
    add("--contain", nargs="+", default=(), metavar="EL", help="elements that each must hold")
    add("--only", nargs="+", metavar="EL", help="elements that each may hold")
    add("--n-elements", nargs="+", type=int, metavar="N", help="how many elements, e.g. 3 4")
    add("--neutral", action="store_true", help="charge-neutral ones only")
    add("--balanced", action="store_true", help="neutral and electronegativity-balanced ones only")
    options = vars(parser.parse_args(words))
    generator = load_generator(options.pop("generator"))
    n, out = options.pop("n"), options.pop("out")
    if out:
        outcomes = generator.write_samples(out, n, progress=sys.stderr.isatty(), **options)
        print(outcomes.table.to_string(index=False), file=sys.stderr)
        return
    print("formula")
    for formula in generator.iter_samples(n, **options):
        print(formula)
