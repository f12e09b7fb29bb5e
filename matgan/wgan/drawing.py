"""Compositions from the slot generator as indices, freely or on request, on the model's own terms.

Free draws are those of `SlotGenerator` without its (n, 85, 8) matrices. Draws on request follow the
distribution that free ones have after those that do not fit were thrown away. The slots are drawn
in order, so to force a required element would favour some companions over others: a slot that is
forced says nothing of how willingly the network would have filled it. Therefore:

- An element is drawn in proportion to p V, with p the network's probability, given the noise and
  the slots so far, and V an estimate of how likely the wish is met from there on. V is 0 where it
  cannot be met.
- The weight of a draw is the product over the slots of Σ p V over the V that the slot before had
  promised: its probability under the network over that with which it was drawn. Whatever V is,
  weighted draws have exactly the distribution that is wanted; a better V makes the weights alike.
- After each slot a draw of small weight w is given up with probability 1 - w / c, or goes on with
  the weight c; one of large weight goes on as w / L draws of weight L (Liu, Chen and Wong, J. Am.
  Stat. Assoc. 1998, 93, 1022). In the end, w / L copies come out. Numbers of copies are rounded up
  or down at random with the right mean, so the expected number that comes out of a composition is
  in proportion to its probability under the network, given the wish, whatever c, L and V are.

V is a table over what is missing and how many slots are filled, which takes the slots for
independent, times the exponential of a linear function of the network's state, fitted to what a
pilot saw. The pilot is the same for every seed. It also chooses L: 5% of its copies were second
ones. So most draws are independent of each other, as free ones are, but some share their noise and
first slots with the one before; that is the price, and all that is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from matgan.chemistry.elements import N_ELEMENTS
from matgan.wgan.slots import N_COUNTS, SlotGenerator
from matgan.wgan.wishes import Wanted

NOTHING = N_ELEMENTS  # the class of an empty slot
FREE_BATCH, WISH_BATCH = 512, 4096  # noise vectors of a pass; the formulas of a seed depend on them
_PILOT = 8192
_SECOND_COPIES = 0.05
_CONTROL = 0.3  # c over L
_FEW = 300  # draws of a kind, too few to fit its V
_RIDGE, _NEWTON_STEPS = 30.0, 4
_FACTORS = (-1.5, 6.0)  # logarithm of a fitted V over the table's; too low a V makes large weights
_OVERHEAD = 1.5  # time of a slot on request over that of a free one


class Step(NamedTuple):
    """What a pilot saw at one slot, n draws."""

    p: Tensor  # (n, 86) of the elements
    memory: Tensor  # (n, hidden) before the slot is filled
    before: Tensor  # (n, hidden) the same, before the count of the last slot was drawn
    kind: Tensor  # (n,)
    factor: Tensor  # (n,) of the weight, from the count of the last slot
    chosen: Tensor  # (n,)
    p_count: Tensor  # (n, 8)


class Pass(NamedTuple):
    """What came out of one pass, m draws."""

    elements: Tensor  # (m, slots)
    counts: Tensor  # (m, slots)
    weight: Tensor  # (m,)
    origin: Tensor  # (m,) which noise vector


@dataclass
class Plan:
    """What a wish means for each slot: tables over kinds of unfinished compositions.

    A kind is (which required elements are missing, how many slots are filled).

    Attributes
    ----------
    start : kind of an empty composition
    after : (kinds, 86) int64, the kind after the next slot was given each element or none
    value : (slots + 1, kinds) V of each kind before each slot, and at the end
    ahead : (slots, kinds, 86) V after each choice
    count_ok : (86, 8), 1 where an element may have a count
    count_value : (86,) how likely its count is such a one
    slopes, offsets : {slot: (hidden, kinds)}, {slot: (kinds, 86)}
        The fitted logarithm of what V is multiplied with: the state times the slope of the kind,
        and the part of the element that is chosen.
    level : weight of a copy, over V at the start; 0 while it is not known
    pays : whether a composition takes less time on request than by throwing away
    """

    start: int
    after: Tensor
    value: Tensor
    ahead: Tensor
    count_ok: Tensor
    count_value: Tensor
    slopes: dict[int, Tensor] = field(default_factory=dict)
    offsets: dict[int, Tensor] = field(default_factory=dict)
    level: float = 0.0
    pays: bool = False

    @property
    def possible(self) -> bool:
        """Whether the slots can be filled so that the wish is met."""
        return bool(self.value[0, self.start] > 0)

    @property
    def stands_for(self) -> float:
        """Free draws of which one is expected to be of the kind, for each that comes out."""
        return self.level * float(self.value[0, self.start])

    def promise(self, slot: int, memory: Tensor, kind: Tensor) -> Tensor:
        """V after each choice at a slot, (n, 86), for n draws of these states and kinds."""
        table = self.ahead[slot][kind]
        if slot not in self.slopes:
            return table
        after, classes = self.after[kind], torch.arange(N_ELEMENTS + 1, device=kind.device)
        fitted = (memory @ self.slopes[slot]).gather(1, after) + self.offsets[slot][after, classes]
        return table * fitted.clamp_(*_FACTORS).exp_()


class Drawer:
    """Draws compositions from the weights of a slot generator.

    Parameters
    ----------
    network : trained; some of its weights are copied
    latent_dim : components of its noise
    device : "cpu" or "cuda"
    """

    def __init__(self, network: SlotGenerator, latent_dim: int, device: str):
        self.network, self.latent_dim, self.device = network, latent_dim, device
        self.slots = network.slots
        # what is added to the state for a choice; that of the slots alone is added with the counts
        start = network.start.detach()[:, None]
        seen_element = network.seen_element.weight.detach().T
        self.seen_element = (seen_element - start).contiguous()  # (slots, 86, hidden)
        seen_count = F.pad(network.seen_count.weight.detach().T, (0, 0, 1, 0))  # 0 to 8 atoms
        self.seen_count = (seen_count + start[1:]).contiguous()  # (slots - 1, 9, hidden)

    @torch.inference_mode()
    def free(self, rng: torch.Generator) -> np.ndarray:
        """Reduced counts (512, 85) uint8 of as many noise vectors."""
        drawn = self._fill(FREE_BATCH, rng)
        return _matrix(drawn.elements, drawn.counts)

    @torch.inference_mode()
    def on_request(self, rng: torch.Generator, plan: Plan) -> np.ndarray:
        """Reduced counts (m, 85) uint8 that come out of 4,096 noise vectors."""
        drawn = self.copies(rng, plan)
        return _matrix(drawn.elements, drawn.counts)

    @torch.inference_mode()
    def copies(self, rng: torch.Generator, plan: Plan, record: list[Step] | None = None) -> Pass:
        """As `on_request`, slot by slot, and what came of each noise vector."""
        drawn = self._fill(WISH_BATCH, rng, plan, record)
        rows, _ = _controlled(drawn.weight, plan.level, plan.level, rng)
        return Pass(*(part[rows] for part in drawn))

    # --- one pass ---------------------------------------------------------------------------------

    def _fill(
        self,
        n: int,
        rng: torch.Generator,
        plan: Plan | None = None,
        record: list[Step] | None = None,
    ) -> Pass:
        """n noise vectors; weights are 1 without a plan."""
        network = self.network
        noise = torch.randn(n, self.latent_dim, generator=rng, device=self.device)
        memory = before = network.body(noise) + network.start[0]  # (n, hidden)
        elements = torch.full((n, self.slots), NOTHING, device=self.device)
        counts = torch.zeros_like(elements)
        weight = factor = torch.ones(n, dtype=torch.float64, device=self.device)
        kind = torch.full((n,), plan.start if plan else 0, device=self.device)
        origin = torch.arange(n, device=self.device)
        promised = plan.value[0][kind] if plan else weight
        for slot in range(self.slots):
            p = torch.softmax(network.element_logits(memory), 1)
            if slot < 2:
                p[:, NOTHING] = 0
            if slot:  # no element comes twice; "none" may
                held = elements[:, :slot]
                p.scatter_(1, held, torch.where(held < NOTHING, 0, p.gather(1, held)))
            drawn_from = p
            if plan:
                promise = plan.promise(slot, memory, kind)
                drawn_from = p * promise
                gained = drawn_from.sum(1) / p.sum(1) / promised
                # nothing was promised where every p V was 0: such a draw is out
                weight = torch.where(promised > 0, weight * gained, 0.0)
                if plan.level:
                    rows, weight = _controlled(weight, _CONTROL * plan.level, plan.level, rng)
                    memory, elements, counts = memory[rows], elements[rows], counts[rows]
                    origin = origin[rows]
                    kind, promise, drawn_from = kind[rows], promise[rows], drawn_from[rows]
            chosen = _pick(drawn_from, rng)
            elements[:, slot] = chosen
            earlier = memory.clone() if record is not None else memory
            memory += self.seen_element[slot].index_select(0, chosen)
            p_count = torch.softmax(network.count_logits(memory), 1)
            if record is not None:
                record.append(Step(p, earlier, before, kind, factor, chosen, p_count))
            if plan:
                kind = plan.after[kind, chosen]
                promised = promise.gather(1, chosen[:, None])[:, 0] / plan.count_value[chosen]
                good = p_count * plan.count_ok[chosen]
                factor = good.sum(1) / p_count.sum(1) / plan.count_value[chosen]
                weight, p_count = weight * factor, good
            before = memory.clone() if record is not None else memory
            counts[:, slot] = torch.where(chosen < NOTHING, _pick(p_count, rng) + 1, 0)
            if slot < self.slots - 1:
                memory += self.seen_count[slot].index_select(0, counts[:, slot])
        return Pass(elements, counts, weight, origin)

    # --- plans ------------------------------------------------------------------------------------

    def plan(self, wanted: Wanted) -> Plan:
        """The tables of a wish, with V fitted and the level chosen by pilots."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # sums over many draws depend on it, in the last digit
        try:
            return self._plan(wanted)
        finally:
            torch.set_num_threads(threads)

    @torch.inference_mode()
    def _plan(self, wanted: Wanted) -> Plan:
        plan = self._tables(wanted)
        if not plan.possible:
            return plan
        rng = torch.Generator(self.device).manual_seed(0)
        record: list[Step] = []
        self._fill(_PILOT, rng, plan, record)
        for slot in reversed(range(self.slots - 1)):
            self._fit(plan, slot, record[slot + 1])
        weight = self._fill(_PILOT, rng, plan).weight
        plan.level = _level(weight)
        if plan.level > 0:
            accepted = float(weight.mean() * plan.value[0, plan.start])
            record = []
            came_out = len(self.copies(rng, plan, record).weight) / WISH_BATCH
            slots = sum(len(step.chosen) for step in record) / WISH_BATCH  # for a noise vector
            plan.pays = came_out * self.slots > _OVERHEAD * slots * accepted
        return plan

    def _tables(self, wanted: Wanted) -> Plan:
        """The plan with V as if the slots were independent, with the mean probabilities of each."""
        chances, count_chances = self._means()
        count_ok = torch.ones_like(count_chances)
        for element, (low, high) in wanted.ranges.items():
            # a formula is reduced in the end, so multiples of a wanted count may do
            divided = [[k // d for d in range(1, k + 1) if k % d == 0] for k in range(1, 9)]
            fits = [any(low <= k <= high for k in those) for those in divided]
            count_ok[element] = torch.tensor(fits)
        count_value = (count_chances * count_ok).sum(1)
        bits = {element: 1 << bit for bit, element in enumerate(wanted.required)}
        sizes, all_missing = self.slots + 1, (1 << len(bits)) - 1
        kinds = np.arange((all_missing + 1) * sizes)
        missing, filled = np.divmod(kinds, sizes)
        after = np.repeat((kinds + (filled < self.slots))[:, None], N_ELEMENTS + 1, axis=1)
        after[:, NOTHING] = kinds
        for element, bit in bits.items():
            after[:, element] -= (missing & bit) * sizes
        low, high = wanted.sizes
        value = torch.zeros(sizes, len(kinds), dtype=torch.float64)
        value[-1] = torch.from_numpy((missing == 0) & (low <= filled) & (filled <= high))
        value, next_kind = value.to(self.device), torch.from_numpy(after).to(self.device)
        ahead = value.new_empty(self.slots, *after.shape)
        allowed = torch.tensor([*wanted.allowed, True], device=self.device)
        for slot in reversed(range(self.slots)):
            ahead[slot] = allowed * count_value * value[slot + 1][next_kind]
            value[slot] = ahead[slot] @ chances[slot]
        start = all_missing * sizes
        return Plan(start, next_kind, value, ahead, count_ok, count_value)

    def _means(self) -> tuple[Tensor, Tensor]:
        """Mean probabilities of free draws: (slots, 86) of the elements, (86, 8) of their counts.

        The few counts of a rare element are eked out by one draw of the average element.
        """
        record: list[Step] = []
        self._fill(_PILOT, torch.Generator(self.device).manual_seed(0), record=record)
        chances = torch.stack([step.p.double().mean(0) for step in record])
        counts = chances.new_zeros(N_ELEMENTS + 1, N_COUNTS)
        for step in record:
            counts.index_add_(0, step.chosen, step.p_count.double())
        counts[NOTHING] = 0
        counts += counts.sum(0) / counts.sum()
        return chances / chances.sum(1, keepdim=True), counts / counts.sum(1, keepdim=True)

    def _fit(self, plan: Plan, slot: int, seen: Step) -> None:
        """Fit V after a slot to what was seen at the next one, whose V is fitted already.

        A regression with a logarithmic link for each kind, by Newton's method: what is expected
        of Σ p V is V exp(state · slope + constant).
        """
        total = (seen.p * plan.promise(slot + 1, seen.memory, seen.kind)).sum(1)
        total = total / seen.p.sum(1) * seen.factor
        slopes = total.new_zeros(seen.before.shape[1], len(plan.after))
        constants = total.new_zeros(len(plan.after))
        for kind in seen.kind.unique().tolist():
            rows, table = seen.kind == kind, plan.value[slot + 1][kind]
            y = total[rows] / table
            if rows.sum() < _FEW or table == 0 or y.max() - y.min() < 1e-6:
                continue
            x = seen.before[rows].double()
            centre = x.mean(0)
            x = F.pad(x - centre, (0, 1), value=1.0)
            spread = max(float(x[:, :-1].var(0).mean()), 1e-6)
            penalty = _RIDGE * spread * torch.eye(x.shape[1]).to(x)
            penalty[-1, -1] = 1e-9
            b = torch.linalg.solve(x.T @ x + penalty, x.T @ y.clamp(min=1e-8).log())
            for _ in range(_NEWTON_STEPS):
                expected = (x @ b).clamp(-12, 8).exp()
                scale = expected.mean()
                step = torch.linalg.solve(
                    (x * expected[:, None]).T @ x + scale * penalty,
                    x.T @ (y - expected) - scale * (penalty @ b),
                )
                b += step * min(1.0, 2.0 / float((x @ step).abs().max()))
            slopes[:, kind], constants[kind] = b[:-1], b[-1] - centre @ b[:-1]
        plan.slopes[slot] = slopes.float()
        plan.offsets[slot] = constants[:, None] + (self.seen_element[slot].double() @ slopes).T


def _controlled(
    weight: Tensor, least: float, most: float, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Rows that go on, (m,) of n, and their weights, from `least` to `most` with the same means.

    A smaller weight is raised or given up, a larger one parted among several copies of its row.
    """
    chance = torch.rand(len(weight), generator=rng, dtype=weight.dtype, device=weight.device)
    unit = weight.clamp(least, most)
    rows = torch.repeat_interleave((weight / unit + chance).floor().long())
    return rows, unit[rows]


def _level(weight: Tensor) -> float:
    """The smallest level at which no more than 5% of the copies of draws are second ones.

    Second ones of weights w at a level L are Σ max(w - L, 0) of Σ w.
    """
    falling = weight.sort(descending=True).values
    if not len(falling) or not falling[0] > 0:
        return 0.0
    places = torch.arange(1, len(falling) + 1, device=weight.device)
    above = falling.cumsum(0) - places * falling  # Σ max(w - L, 0) at each weight L
    allowed = _SECOND_COPIES * falling.sum()
    last = int((above <= allowed).sum())  # the smallest weight that will do, and a bit below it
    return max(float((falling[:last].sum() - allowed) / last), float(falling[-1]))


def _pick(p: Tensor, rng: torch.Generator) -> Tensor:
    """A class in proportion to each row of p (n, k): (n,) int64. A row of zeros gives any class."""
    upto = p.cumsum(1)
    aim = torch.rand(len(p), 1, generator=rng, dtype=p.dtype, device=p.device) * upto[:, -1:]
    return torch.searchsorted(upto, aim, right=True)[:, 0].clamp_(max=p.shape[1] - 1)


def _matrix(elements: Tensor, counts: Tensor) -> np.ndarray:
    """(m, slots) elements and counts to the reduced counts (m, 85) uint8."""
    divisor = counts[:, 0]
    for slot in range(1, counts.shape[1]):
        divisor = torch.gcd(divisor, counts[:, slot])
    out = torch.zeros(len(elements), N_ELEMENTS + 1, dtype=torch.uint8, device=elements.device)
    out.scatter_(1, elements, (counts // divisor[:, None]).byte())
    return np.ascontiguousarray(out[:, :N_ELEMENTS].cpu().numpy())
