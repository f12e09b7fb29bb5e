"""Stable compounds that nobody knows, searched among all enumerated compositions, block by block.

Enumerate, keep what is neutral and balanced, leave out what is known, predict the energy, take off
the hull, rank. A small network (`matgan.properties.distilled`) chooses the hundredth that the
networks of `predict` are asked about. Of what lies among few known compounds
(`KnownSystems.thin`), where energies are least certain and most of the extremes are, as large a
share is kept as of the others, and told apart. A block's answers are one file that appears whole,
then one that says that it is done: a search that was killed at any moment goes on with the blocks
that are not, and no block counts twice. Blocks need nothing of each other, so they may be done side
by side, here or by the workers of a Dask cluster.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from matgan import files
from matgan.chemistry.composition import LARGEST_COUNT, formulas
from matgan.chemistry.explanation import written_ions
from matgan.chemistry.notation import whole_ratios
from matgan.chemistry.validity import electronegativity_balanced
from matgan.properties.distilled import SHIPPED, DistilledEnergy, load_distilled
from matgan.properties.known import all_known
from matgan.properties.models import PROPERTIES
from matgan.properties.stability import hull_energies, stability
from matgan.stability.enumeration import Block, Enumeration
from matgan.stability.reference import oqmd_hull, oqmd_systems

_PART = 50_000  # compositions whose 85 amounts are in memory at a time
_SMALL = "small.safetensors"
_FORMAT = 3  # of a search's folder
COMMON_STATES = "icsd24"  # what entries of the ICSD have
STAGES = ("compositions", "neutral", "balanced", "new", "asked")


class ScreeningError(ValueError):
    """A folder that holds another search, or a share that is none; says what is different."""


@dataclass(frozen=True)
class Search:
    """What is searched.

    Attributes
    ----------
    most_elements, most_atoms, per_block : of `matgan.stability.enumeration.Enumeration`
    share : of the new compositions of a block, thin and others, is kept: those that the small
        network puts lowest above the hull
    """

    most_elements: int = 4
    most_atoms: int = 10
    per_block: int = 1_000_000
    share: float = 0.01

    def enumeration(self) -> Enumeration:
        """All compositions of the search."""
        return Enumeration(self.most_elements, self.most_atoms, per_block=self.per_block)


def begin(folder: str | Path, search: Search, small: str | Path | None = None) -> Enumeration:
    """Make the folder of a search, or find that it is the same search that was begun there.

    Parameters
    ----------
    folder : gets search.json, the numbers of the known compositions, a copy of the small network
        and a folder for the blocks
    search : see there
    small : file of a network that `python -m matgan train-distilled` taught; None: the one that
        comes with the package

    Raises
    ------
    ScreeningError
        The folder holds another search, or the share does not lie between 0 and 1.
    WeightsError
        The file holds no such network.
    SourceUnavailable
        The known compositions are not to hand.
    """
    if not 0 < search.share <= 1:
        raise ScreeningError(f"the share must lie between 0 and 1, not {search.share}")
    folder, enumeration, small = Path(folder), search.enumeration(), small or SHIPPED
    facts: dict[str, object] = {"format": _FORMAT, **asdict(search)}
    facts["model"] = files.sha256(PROPERTIES["formation_energy"].file)
    facts["small network"] = files.sha256(small)
    path = folder / "search.json"
    if path.is_file():
        there = json.loads(path.read_text(encoding="utf-8"))
        if other := [name for name in facts | there if facts.get(name) != there.get(name)]:
            raise ScreeningError(
                f"{folder} holds a search with another {', '.join(other)}: choose another folder"
            )
        return enumeration
    load_distilled(small)  # or says what is wrong with it
    with files.atomic_file(folder / _SMALL) as file:
        file.write(Path(small).read_bytes())
    with files.atomic_file(folder / "known.npy") as file:
        np.save(file, known_numbers(enumeration))
    with files.atomic_file(path) as file:
        file.write(json.dumps(facts, indent=1).encode())
    return enumeration


def known_numbers(enumeration: Enumeration) -> np.ndarray:
    """Numbers of the compositions that some data set holds, rising; (m,) int64.

    Fractional ones are known as ratios of whole numbers: FeSe0.5Te0.5 is Fe2SeTe.
    """
    amounts = np.concatenate([all_known().amounts, oqmd_hull().amounts])
    split = np.flatnonzero((amounts != np.rint(amounts)).any(axis=1))
    amounts[split] = whole_ratios(amounts[split])[0]  # 0 where there are none
    fit = (amounts.max(axis=1) <= LARGEST_COUNT) & (amounts.sum(axis=1) > 0)
    numbers = np.unique(enumeration.numbers(amounts[fit].astype(np.uint8)))
    return numbers[numbers >= 0]


@dataclass(frozen=True)
class _Begun:
    """What every block of a folder needs."""

    search: Search
    enumeration: Enumeration
    known: np.ndarray
    small: DistilledEnergy


@lru_cache(maxsize=1)
def _begun(folder: str) -> _Begun:
    facts = json.loads(Path(folder, "search.json").read_text(encoding="utf-8"))
    search = Search(**{name: facts[name] for name in asdict(Search())})
    known = np.load(Path(folder, "known.npy"), allow_pickle=False)
    small = load_distilled(Path(folder, _SMALL))
    return _Begun(search, search.enumeration(), known, small)


def screen_block(folder: str | Path, index: int) -> int:
    """Do a block of a search that was begun, if it is not done; returns its index.

    Parameters
    ----------
    folder, index : of the search and of the block
    """
    done, rows = _paths(Path(folder), index)
    if done.is_file():
        return index
    started, worked = time.time(), time.process_time()
    begun = _begun(str(folder))
    block = begun.enumeration.block(index)
    able = block.take(block.balanced & ((block.amounts > 0).sum(axis=1) > 1))
    new = able.take(~np.isin(able.number, begun.known))
    below = np.concatenate([np.zeros(0), *(hull_energies(p.counts()) for p in _parts(new))])
    around, share = oqmd_systems(), begun.search.share
    thin = np.concatenate([np.zeros(0, bool), *(around.thin(p.counts()) for p in _parts(new))])
    rough = begun.small.energies(new.elements, new.amounts) - below
    asked = np.sort(_first(np.argsort(rough, kind="stable"), thin, share))
    table = _answers(new.take(asked), below[asked]).assign(thin=thin[asked])
    with files.csv_file(rows) as file:
        table.iloc[_ranked(table)].to_csv(file, index=False, float_format="%.5g", mode="wb")
    counted = [len(block), block.neutral.sum(), block.balanced.sum(), len(new), len(asked)]
    facts = {name: int(n) for name, n in zip(STAGES, counted, strict=True)}
    spent = {"cpu_seconds": time.process_time() - worked, "seconds": time.time() - started}
    with files.atomic_file(done) as file:
        file.write(json.dumps(facts | {k: round(v, 2) for k, v in spent.items()}).encode())
    return index


def _paths(folder: Path, index: int) -> tuple[Path, Path]:
    """What says that a block is done, and its rows."""
    return folder / "blocks" / f"{index:06d}.json", folder / "blocks" / f"{index:06d}.csv.gz"


def _parts(block: Block) -> Iterator[Block]:
    for start in range(0, len(block), _PART):
        yield block.take(np.arange(start, min(start + _PART, len(block))))


def _first(order: np.ndarray, thin: np.ndarray, share: float) -> np.ndarray:
    """Of all rows, in an order, the first share of the thin ones and that of the others."""
    kinds = [order[thin[order] == kind] for kind in (False, True)]
    kept = np.concatenate([rows[: int(np.ceil(share * len(rows)))] for rows in kinds])
    return order[np.isin(order, kept)]


def _answers(block: Block, below: np.ndarray) -> pd.DataFrame:
    """What the networks of `predict` say of the compositions of a block."""
    starts = range(0, max(len(block), 1), _PART)
    parts = [
        stability(part.counts(), below=below[start : start + _PART])
        for start, part in zip(starts, _parts(block), strict=False)
    ]
    found = {
        name: np.concatenate([np.zeros(0), *(getattr(part, name) for part in parts)])
        for name in ("probability", "distance", "energy", "low", "high", "outside")
    }
    return pd.DataFrame(
        {
            "number": block.number,
            "formula": formulas(block.counts()),
            "stable_probability": found["probability"].round(4),  # beyond, the distance decides
            "hull_distance": found["distance"],
            "hull_distance_low": found["low"] - below,
            "hull_distance_high": found["high"] - below,
            "formation_energy": found["energy"],
            "outside": found["outside"] > 0,
        }
    )


def _ranked(table: pd.DataFrame) -> np.ndarray:
    """Its rows, the most probably stable first."""
    return np.lexsort([table["number"], table["hull_distance"], -table["stable_probability"]])


def screen_blocks(
    folder: str | Path, indices: Iterable[int], workers: int = 1, scheduler: str | None = None
) -> Iterator[int]:
    """Do the blocks of a search that are not done; gives the index of each as it ends.

    Parameters
    ----------
    folder : of a search that was begun
    indices : of the blocks
    workers : processes on this machine
    scheduler : address of a Dask scheduler, whose workers see the same folder; a block whose worker
        dies is done by another one
    """
    folder = Path(folder).resolve()
    todo = [index for index in indices if not _paths(folder, index)[0].is_file()]
    if scheduler:
        from dask.distributed import Client, as_completed

        with Client(scheduler) as client:
            futures = [client.submit(screen_block, str(folder), i, pure=False) for i in todo]
            for future in as_completed(futures):
                yield future.result()
    elif workers > 1:
        from joblib import Parallel, delayed

        run = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)
        yield from run(delayed(screen_block)(str(folder), index) for index in todo)
    else:
        yield from (screen_block(str(folder), index) for index in todo)


def done_blocks(folder: str | Path) -> pd.DataFrame:
    """What became of the blocks that are done: a row each, by index.

    Returns
    -------
    DataFrame, index `block`: compositions; of them neutral, balanced too, and new ones; those that
    the networks of `predict` were asked about; cpu_seconds and seconds
    """
    paths = sorted(Path(folder, "blocks").glob("*.json"))
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    names = [*STAGES, "cpu_seconds", "seconds"]
    blocks = pd.Index([int(path.stem) for path in paths], name="block")
    return pd.DataFrame(rows, blocks, names)


def best_candidates(
    folder: str | Path,
    keep: int = 10_000,
    blocks: Iterable[int] | None = None,
    rare_states: bool = False,
    thin: bool = False,
) -> pd.DataFrame:
    """The most probably stable compositions of the blocks that are done, best first.

    Read block by block: the memory needed depends on `keep` only.

    Parameters
    ----------
    folder : of the search
    keep : rows
    blocks : those that are ranked; None: all that are done
    rare_states : keep also what is balanced only by oxidation states that no entry of ICSD 2024
        has, such as +1 of oxygen
    thin : keep also what lies among few known compounds, by `KnownSystems.thin` of OQMD's

    Returns
    -------
    DataFrame: number in the enumeration, formula, stable_probability, hull_distance with the ends
    of its 90% interval, formation_energy (eV/atom), outside, thin, known_in_system (compounds of
    OQMD), competing_phases, oxidation_states and only_rare_states as `written_ions` gives them,
    nearest known composition and its distance
    """
    best, enumeration = pd.DataFrame(), _begun(str(folder)).enumeration
    states = "smact14" if rare_states else COMMON_STATES
    for index in done_blocks(folder).index if blocks is None else blocks:
        table = pd.read_csv(_paths(Path(folder), index)[1], keep_default_na=False)
        table = table if thin else table[~table["thin"]]
        if not rare_states:
            counts = enumeration.compositions(table["number"]).counts()
            table = table[electronegativity_balanced(counts, oxidation_states=states)]
        best = pd.concat([best, table], ignore_index=True)
        best = best.iloc[_ranked(best)[:keep]]
    if best.empty:
        return best
    best = best.reset_index(drop=True)
    counts = enumeration.compositions(best["number"]).counts()
    hull, known = oqmd_hull(), all_known()
    which, away = known.nearest(counts, 1)
    ions, rare = written_ions(counts.astype(int), states)
    return best.assign(
        known_in_system=oqmd_systems().within(counts),
        competing_phases=hull.written(hull.mixture(counts)),
        oxidation_states=ions,
        only_rare_states=rare,
        nearest=known.formulas(which[:, 0]),
        distance=away[:, 0],
    )


def main(words: Sequence[str] | None = None) -> None:
    """The command `screen`: search the enumerated compositions for stable ones that are new."""
    parser = argparse.ArgumentParser(
        prog="python -m matgan screen",
        description="Search all compositions of up to four elements and ten atoms for stable ones.",
        epilog="The same command goes on with the blocks that are missing, and ranks all of them.",
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FOLDER", help="of the search, new or begun")
    add("--first", type=int, metavar="N", help="as many blocks as hold N compositions")
    add("--blocks", metavar="A-B", help="these blocks, from 0 (default: all)")
    add("--share", type=float, default=Search().share, help="of the new ones, kept (0.01)")
    add("--small", type=Path, metavar="FILE", help="of train-distilled, in place of ours")
    add("--keep", type=int, default=10_000, help="rows of candidates.csv.gz (10,000)")
    add("--rare-states", action="store_true", help="also what only rare oxidation states balance")
    add("--thin", action="store_true", help="also what lies among few known compounds")
    add("--most-elements", type=int, default=Search().most_elements, help="from 1 to 4 (4)")
    add("--most-atoms", type=int, default=Search().most_atoms, help="in the reduced formula (10)")
    add("--per-block", type=int, default=Search().per_block, help="compositions (1,000,000)")
    add("--workers", type=int, default=1, help="processes on this machine (1)")
    add("--scheduler", metavar="ADDRESS", help="a Dask scheduler, tcp://host:port")
    options = parser.parse_args(words)
    for name in ("keep", "workers", "first"):
        if (value := getattr(options, name)) is not None and value < 1:
            parser.error(f"--{name} must be 1 or more, not {value}")
    search = Search(options.most_elements, options.most_atoms, options.per_block, options.share)
    enumeration = begin(options.out, search, options.small)
    blocks = _chosen(enumeration, options.first, options.blocks)
    before = len(done_blocks(options.out))
    with tqdm(total=len(blocks), unit="blocks", disable=None) as bar:
        bar.update(len(set(done_blocks(options.out).index) & set(blocks)))
        for _ in screen_blocks(options.out, blocks, options.workers, options.scheduler):
            bar.update()
    done = done_blocks(options.out)
    also = {"rare_states": options.rare_states, "thin": options.thin}
    table = best_candidates(options.out, options.keep, **also)
    with files.csv_file(options.out / "candidates.csv.gz") as file:
        table.to_csv(file, index=False, float_format="%.5g", mode="wb")
    print(_told(done, before, enumeration))
    print(table.head(10)[_SHOWN].to_string(index=False, float_format="{:.3f}".format))
    print(f"{len(table):,} candidates in {options.out / 'candidates.csv.gz'}")


_SHOWN = "formula stable_probability hull_distance hull_distance_high competing_phases".split()


def _chosen(enumeration: Enumeration, first: int | None, blocks: str | None) -> range:
    """The blocks that are asked for."""
    if first is not None and blocks is not None:
        raise ScreeningError("give --first or --blocks, not both")
    if first is not None:
        sizes = np.cumsum([enumeration.size(index) for index in range(enumeration.n_blocks)])
        return range(min(int(np.searchsorted(sizes, first)) + 1, enumeration.n_blocks))
    if blocks is None:
        return range(enumeration.n_blocks)
    start, _, end = blocks.partition("-")
    last = enumeration.n_blocks - 1
    if not (start.isdecimal() and (end or start).isdecimal()) or int(end or start) > last:
        raise ScreeningError(f"--blocks must be such as 0-9, up to {last}, not {blocks!r}")
    return range(int(start), int(end or start) + 1)


def _told(done: pd.DataFrame, before: int, enumeration: Enumeration) -> str:
    """What became of all compositions of the blocks that are done."""
    total, spent = done[list(STAGES)].sum(), done["cpu_seconds"].sum()
    parts = ", ".join(f"{total[name]:,} {name}" for name in STAGES[1:-1])
    return (
        f"{len(done)} of {enumeration.n_blocks} blocks ({len(done) - before} now): "
        f"{total['compositions']:,} compositions, {parts}, {total['asked']:,} asked of "
        f"`predict`; {total['compositions'] / max(spent, 1e-9):,.0f} compositions a CPU second"
    )
