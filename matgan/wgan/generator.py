"""A trained generator that writes formulas, and which of them a user can ask for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from matgan import files
from matgan.chemistry.composition import MAX_COUNT, formulas, reduced
from matgan.chemistry.elements import ELEMENTS, N_ELEMENTS
from matgan.files import PRETRAINED
from matgan.learning.compute import deferred_interrupt, device
from matgan.wgan.checkpoint import load_networks
from matgan.wgan.drawing import WISH_BATCH, Drawer, Plan
from matgan.wgan.samples import RULES, Formulas, Outcomes, TooFewSamples, decode, sifted
from matgan.wgan.slots import SlotGenerator
from matgan.wgan.wishes import Wanted, as_seed, as_wanted, whole_number

Seed = int | np.integer | np.random.Generator | None

_BATCH = 1024  # samples that one pass of a deconvolution draws; the formulas of a seed depend on it
_FREE = 32  # batches of a slot generator before it draws on request
_SECONDS = 3  # before a bar shows progress

_WAYS = ("construction", "rejection")


@dataclass
class CompositionGenerator:
    """A trained generator that writes formulas.

    Attributes
    ----------
    network : a generator of `matgan.wgan.networks`, trained
    latent_dim : components of its noise
    rule, threshold : how soft outputs are read, see `matgan.wgan.samples.decode`
    device : "cpu" or "cuda". The same seed gives the same formulas on the same kind of device.
    unseen : elements that no training composition held, as far as is known; none is asked for
    """

    network: nn.Module
    latent_dim: int
    rule: str = "threshold"
    threshold: float = 0.5
    device: str = "cpu"
    unseen: tuple[str, ...] = ()

    def __post_init__(self):
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, not {self.rule!r}")
        self.device = device(self.device)
        self.network = self.network.to(self.device).eval()

    def matrices(self, seed: int = 0) -> Iterator[np.ndarray]:
        """Outputs of the network, batch after batch without end: (1024, 85, 8) float32."""
        rng = torch.Generator(self.device).manual_seed(as_seed(seed))
        while True:
            noise = torch.randn(_BATCH, self.latent_dim, generator=rng, device=self.device)
            with torch.inference_mode():
                matrix = self.network(noise, rng).cpu().numpy()
            yield matrix

    def sample(
        self,
        n: int,
        seed: Seed = 0,
        max_draws: int | None = None,
        *,
        by: str = "construction",
        progress: bool = True,
        **wanted,
    ) -> Formulas:
        """n reduced formulas of two elements or more, in the order in which they were drawn.

        Samples that are empty, hold one element or cannot be decoded are left out and counted;
        repeated formulas stay, unless `unique` asks otherwise. The first formulas of a seed do not
        depend on n, nor on the number of threads.

        Parameters
        ----------
        n : how many
        seed : the same seed gives the same formulas; see `matgan.wgan.wishes.as_seed`
        max_draws : give up after so many samples; by default after 100 n + 1,000,000
        by : {"construction", "rejection"}
            How wishes about elements and their numbers are met. By construction the slot generator
            draws such compositions only, as often as it would among all others
            (`matgan.wgan.drawing`). By rejection it draws freely, and what does not fit is thrown
            away; so do the other networks always. Charges, `unique`, `new` and `having` are looked
            at afterwards in both cases.
        progress : show a bar on standard error, where it takes longer than three seconds
        **wanted : the fields of `matgan.wgan.wishes.Wanted`: only, exclude, contain, n_elements,
            counts, neutral, balanced, oxidation_states, unique, new, having

        Returns
        -------
        list of str
            Its attribute `counts` (n, 85) holds them as numbers, `seed` what they were drawn with.
            `outcomes` counts what became of all samples drawn, those of the last batch after the
            n-th formula included; `.outcomes.table` shows it.

        Raises
        ------
        ValueError
            n, the seed or a wish is none, contradicts itself, or can be met by no composition that
            this generator writes.
        TooFewSamples
            The generator does not give n such formulas; says how many it gave, and has them.
        """
        seed = as_seed(seed)
        counts, outcomes = self.draw(n, seed, max_draws, by=by, progress=progress, **wanted)
        found = Formulas(formulas(counts), counts, outcomes, seed)
        if len(found) < n:
            raise TooFewSamples(n, len(found), outcomes, found)
        return found

    def draw(
        self,
        n: int,
        seed: Seed = 0,
        max_draws: int | None = None,
        *,
        by: str = "construction",
        progress: bool = True,
        **wanted,
    ) -> tuple[np.ndarray, Outcomes]:
        """As `sample`, but as counts (m, 85) uint8, and as many as there are: m <= n."""
        parts, outcomes = [np.zeros((0, N_ELEMENTS), dtype=np.uint8)], Outcomes()
        for counts, became in self._until(n, seed, max_draws, by, progress, wanted):
            parts.append(counts)
            outcomes = became
        return np.concatenate(parts), outcomes

    def iter_samples(
        self,
        n: int,
        seed: Seed = 0,
        max_draws: int | None = None,
        *,
        by: str = "construction",
        progress: bool = True,
        **wanted,
    ) -> Iterator[str]:
        """The formulas of `sample` one by one, however many, in the memory of one batch."""
        found, outcomes = 0, Outcomes()
        for counts, became in self._until(n, seed, max_draws, by, progress, wanted):
            found, outcomes = found + len(counts), became
            yield from formulas(counts)
        if found < n:
            raise TooFewSamples(n, found, outcomes)

    def write_samples(
        self,
        path: str | Path,
        n: int,
        seed: Seed = 0,
        max_draws: int | None = None,
        *,
        by: str = "construction",
        progress: bool = True,
        **wanted,
    ) -> Outcomes:
        """The formulas of `sample` to a CSV file with the column formula, whole or not at all.

        A name that ends in .csv.gz makes a compressed file, which pandas reads as it is; the same
        seed gives the same bytes. Memory is that of one batch, however large n is.

        Raises
        ------
        ValueError
            As `sample`, or the name ends neither in .csv nor in .csv.gz.
        TooFewSamples
            As `sample`. The file holds those that were found; where there are none, no file is
            written.
        KeyboardInterrupt
            After Ctrl-C; the file holds those that were found until then.
        """
        batches = self._until(n, seed, max_draws, by, progress, wanted)
        found, outcomes = 0, Outcomes()
        with (
            deferred_interrupt() as stopped,
            files.csv_file(path) as text,
        ):
            text.write(b"formula\n")
            for counts, became in batches:
                text.write("".join(f"{line}\n" for line in formulas(counts)).encode())
                found, outcomes = found + len(counts), became
                if stopped():
                    break
            if n and not found:  # what may lie at `path` stays
                raise KeyboardInterrupt if stopped() else TooFewSamples(n, found, outcomes)
        if found < n and stopped():
            raise KeyboardInterrupt(f"{found:,} of {n:,} formulas are in {path}")
        if found < n:
            raise TooFewSamples(n, found, outcomes)
        return outcomes

    def _until(self, n, seed, max_draws, by, progress, wanted: dict) -> Iterator:
        """Batches of counts that are kept until there are n, each with the outcomes so far."""
        try:
            n = whole_number(n)
        except TypeError:
            raise ValueError(f"n must be a whole number, not {n!r}") from None
        if n < 0:
            raise ValueError(f"n must not be negative: {n}")
        if by not in _WAYS:
            raise ValueError(f"by must be 'construction' or 'rejection', not {by!r}")
        limit = 100 * n + 1_000_000 if max_draws is None else max_draws
        wish = as_wanted(wanted)
        possible = self._possible(wish)
        enough = min(n, possible) if wish.unique else n
        batches = self._batches(as_seed(seed), by, wish)
        seen: set[bytes] = set()
        found, outcomes = 0, Outcomes()
        with tqdm(total=n, unit="formulas", disable=not progress, delay=_SECONDS) as bar:
            while found < enough and outcomes.drawn < limit:
                kept, became = next(batches)
                counts, became = sifted(kept, became, wish, seen)
                outcomes += became
                part = counts[: n - found]
                found += len(part)
                bar.set_postfix_str(f"{outcomes.kept / outcomes.drawn:.1%} of samples kept", False)
                bar.update(len(part))
                yield part, outcomes

    def _possible(self, wanted: Wanted) -> float:
        """How many distinct compositions a wish allows; ValueError if there are none."""
        required = [ELEMENTS[element] for element in wanted.required]
        if never := [symbol for symbol in required if symbol in self.unseen]:
            named = ", ".join(never)
            raise ValueError(f"{named} must be there, but this generator learned without it")
        if isinstance(self.network, SlotGenerator):
            return wanted.possible(self.network.slots, MAX_COUNT)
        adds_up = self.rule == "sum"  # of all entries of a row, if they are set
        most = MAX_COUNT * (MAX_COUNT + 1) // 2 if adds_up else MAX_COUNT
        return wanted.possible(N_ELEMENTS, most)

    def _batches(self, seed: int, by: str, wanted: Wanted) -> Iterator:
        """Reduced counts (m, 85) of the wanted elements and charges, and what became of all."""
        network = self.network
        if not isinstance(network, SlotGenerator):
            yield from (self._decoded(matrix, wanted) for matrix in self.matrices(seed))
            return
        rng = torch.Generator(self.device).manual_seed(seed)
        drawer, plan = Drawer(network, self.latent_dim, self.device), None
        for batch in count():
            if batch == _FREE and by == "construction" and wanted.is_of_elements:
                plan = drawer.plan(wanted)  # takes a second or two, which few draws need
                if not plan.possible:
                    raise ValueError("this generator never writes a composition as asked for")
                plan = plan if plan.pays else None
            yield _fitting(drawer.on_request(rng, plan) if plan else drawer.free(rng), wanted, plan)

    def _decoded(self, matrix: np.ndarray, wanted: Wanted) -> tuple[np.ndarray, Outcomes]:
        counts, undecodable = decode(matrix, self.rule, self.threshold)
        n_elements = (counts > 0).sum(axis=1)
        kept, outcomes = _fitting(reduced(counts[n_elements > 1]), wanted)
        outcomes.empty = int((n_elements == 0).sum() - undecodable.sum())
        outcomes.single = int((n_elements == 1).sum())
        outcomes.undecodable = int(undecodable.sum())
        return kept, outcomes


def _fitting(
    counts: np.ndarray, wanted: Wanted, plan: Plan | None = None
) -> tuple[np.ndarray, Outcomes]:
    """The compositions of a batch, free or on request, whose elements and charges are wanted."""
    kept = counts[wanted.kept(counts)]
    drawn, of_kind = len(counts), float(len(kept))
    if plan:
        drawn, of_kind = max(WISH_BATCH, len(kept)), plan.stands_for * len(kept)
    return kept, Outcomes(unwanted=drawn - len(kept), kept=len(kept), of_kind=of_kind)


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
    rule, threshold : how soft outputs are read, see `matgan.wgan.samples.decode`
    device : "cpu" or "cuda"

    Returns
    -------
    CompositionGenerator

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
    unseen = tuple(files.load(path)[1].get("unseen", "").split())
    return CompositionGenerator(network, config.latent_dim, rule, threshold, device, unseen)


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
    add("--exclude", nargs="+", default=(), metavar="EL", help="elements that none may hold")
    add("--n-elements", type=_range, metavar="N", help="how many elements: 3, or from 2 to 4: 2-4")
    add("--counts", nargs="+", type=_count, default=(), metavar="EL=N", help="atoms: Li=1-3 O=4")
    add("--neutral", action="store_true", help="charge-neutral ones only")
    add("--balanced", action="store_true", help="neutral and electronegativity-balanced ones only")
    add("--unique", action="store_true", help="each composition once")
    add(
        "--new-to",
        dest="new",
        type=_known,
        metavar="FILE",
        help="known ones are left out: a CSV with the column formula, or one a line",
    )
    options = vars(parser.parse_args(words))
    options["counts"] = dict(options["counts"])
    generator = load_generator(options.pop("generator"))
    n, out = options.pop("n"), options.pop("out")
    if out:
        outcomes = generator.write_samples(out, n, **options)
        print(outcomes.table.to_string(index=False), file=sys.stderr)
        return
    found = generator.iter_samples(n, **options)
    first = list(islice(found, 1))  # what is refused prints nothing
    print("formula")
    for formula in chain(first, found):
        print(formula)


def _range(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    if not low.isdecimal() or (dash and not high.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor a range such as 2-4")
    return int(low), int(high or low)


def _count(text: str) -> tuple[str, tuple[int, int]]:
    symbol, equals, numbers = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not as Li=1-3")
    return symbol, _range(numbers)


def _known(path: str) -> pd.Series:
    """Formulas of a file: its column formula, or one a line."""
    if not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"no such file: {path}")
    lines = pd.read_csv(path, header=None, keep_default_na=False, dtype=str)
    named = lines.iloc[0] == "formula"
    return lines.loc[1:, named.idxmax()] if named.any() else lines[0]
