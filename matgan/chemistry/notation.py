"""How people write formulas: hydrates, charges, LaTeX, HTML, and what looks like a slip.

`plain` puts a formula into the one notation that `matgan.chemistry.parsing` reads: symbols,
numbers, brackets, and · before what is added. `suspicion` says what is wrong with a formula that
can be read, but hardly means what it says: "Sr04", "Tl2212", "SIO2". Of all formulas in OQMD, the
Materials Project and SuperCon it finds four, which have TI for Ti; a test holds this.
"""

from __future__ import annotations

import html
import re
from itertools import product
from typing import Any

import numpy as np

_LONGEST = 1000  # characters; no other notation is looked for in longer texts

NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_ROMAN = r"(?:I{1,3}|IV|VI{0,3}|IX|0)"
_CHARGE = rf"(?:{NUMBER}?[+-]|[+-]+{NUMBER}?|{_ROMAN})"
MOLECULE = r"(?:H2O|D2O|NH3)"
# a full stop before water, as in CuSO4.5H2O
_HYDRATE = re.compile(rf"([0-9]*)\.([0-9]*(?:\.[0-9]+)?)(?={MOLECULE}(?:$|[·)\]}}\s]))")
# nothing here means nothing to do: symbols, numbers, brackets and white space only
_OTHER = re.compile(
    rf"[^A-Za-z0-9.()\[\]{{}}\s]|I(?:(?<=II)|(?<=\(I)|(?<=\(V))|E(?<=[0-9.]E)[-+0-9]"
    rf"|e(?<=[0-9.]e)[-+0-9]|\((?=[-+IV0-9a-z])|[xX](?<=\s[xX])\s"
    rf"|\.(?:(?<![0-9]\.)[A-Z(\[{{]|[0-9]*(?:\.[0-9]+)?{MOLECULE})"
)

_ONE_FOR_ONE = str.maketrans("₊₋−–•⋅∙*・‧●×", "+---········")
_QUOTES = {'""', "''", "``", "“”", "‘’", "«»", "„“", "‚‘"}
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᴵⱽ", "0123456789+-IV")
_RAISED = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᴵⱽ]+")
_PARTS = {"½": 0.5, "¼": 0.25, "¾": 0.75, "⅓": 1 / 3, "⅔": 2 / 3}
_MACROS = (
    (r"\\(?:cdot|bullet|times|ast)(?![A-Za-z])", "·"),
    (r"\\textsubscript(?=\{)", "_"),
    (r"\\textsuperscript(?=\{)", "^"),
    (
        r"\\(?:math|text)(?:rm|sf|bf|it|normal|regular)?(?![A-Za-z])|\\(?:rm|ce|left|right)(?![A-Za-z])",
        "",
    ),
    (r"\\[,;:!() ]|~|\$", " "),
    (r"_\{([^{}]*)\}", r"\1"),
    (r"_", ""),
)
_TAGS = re.compile(r"</?(?:sub|i|b|em|strong|span|small|font|p)(?:\s[^<>]*)?>", re.IGNORECASE)


class NotationError(ValueError):
    """A formula in a notation that is broken, or that has two meanings."""


def plain(text: str) -> tuple[str, str | None]:
    """A formula in plain notation, and what is doubtful about reading it so.

    Raises
    ------
    NotationError
        Two meanings, a variable, a charge of nothing, a power of ten beyond all numbers.
    """
    text = text.strip()
    if len(text) > _LONGEST or not _OTHER.search(text):
        return text, None
    while len(text) > 2 and text[0] + text[-1] in _QUOTES:
        text = text[1:-1].strip()
    if "<" in text or "&" in text:
        text = re.sub(r"<sup[^<>]*>([^<>]*)</sup>", r"^{\1}", html.unescape(text), flags=re.I)
        text = _TAGS.sub("", text)
    if re.search(r"[\\$_~]", text):
        for macro, meaning in _MACROS:
            text = re.sub(macro, meaning, text)
    text = re.sub(r"\((?:s|l|g|aq|cr|am)\)$", "", text)  # the state of matter
    text = _RAISED.sub(lambda run: f"^{{{run[0].translate(_SUPERSCRIPTS)}}}", text)
    text = text.translate(_ONE_FOR_ONE)
    text = re.sub(rf"([0-9]*)([{''.join(_PARTS)}])", _part, text)
    text = re.sub(rf"(?<![0-9.])({NUMBER})[eE]([+-]?[0-9]+)", _exponent, text)
    if variable := re.search(r"[xyznδ±](?=H2O)|δ|±|(?<=[-+])[a-z](?![a-z])", text):
        raise NotationError(f"{variable[0]} is a variable: give its value")
    text, doubt = _without_superscripts(text)
    text, numeral = _without_states(text)
    text = re.sub(r"(?<=[\w)\]}])\s+[xX]\s+(?=[0-9(\[A-Z])", "·", text)
    text = re.sub(r"(?<=[A-Za-z)\]}])\s*@\s*(?=[A-Z(\[{])", " ", text)
    text = re.sub(r"(?<=[A-Za-z)\]}])\.(?=[A-Z(\[{])", "·", text)
    text = _HYDRATE.sub(_hydrate, text)
    return _without_charge(text).strip(), doubt or numeral


def _part(found: re.Match) -> str:
    return f"{int(found[1] or 0) + _PARTS[found[2]]:.15g}"


def _exponent(found: re.Match) -> str:
    amount = float(found[0])
    if amount == np.inf:  # as text it would read as letters
        raise NotationError(f"the amount {found[0][:20]} is too large")
    return np.format_float_positional(amount, trim="-")


def _without_superscripts(text: str) -> tuple[str, str | None]:
    """Charges and mass numbers written above the line are left out; a space takes their place."""
    doubt = None
    text = re.sub(rf"\^({_CHARGE}|[0-9]+)", r"^{\1}", text)

    def meaning(found: re.Match) -> str:
        nonlocal doubt
        raised, before = re.sub(r"\s", "", found[1]), text[: found.start()].rstrip()
        if re.fullmatch(_CHARGE, raised):
            if not before or before[-1] in "([{·":
                raise NotationError(f"the charge {raised} stands before the formula that has it")
            return " "
        if not raised.isdecimal():
            raise NotationError(f"the superscript {found[1]!r} is no charge")
        if not before or before[-1] in "([{·":
            return ""  # a mass number, as in ²H2O
        doubt = f"the superscript {raised} is no charge: is the subscript meant?"
        return raised

    return re.sub(r"\^\{([^{}]*)\}", meaning, text), doubt


def _without_states(text: str) -> tuple[str, str | None]:
    """Oxidation states after a symbol are left out: (III), III, (3+), and +3.5 if all have one."""
    doubt = None
    for letter in re.findall(r"(?<=[a-zA-Z])\(([IV])\)", text)[:1]:
        doubt = f"({letter}) may be an oxidation state or an element: leave it out, or its brackets"
    several = rf"{_ROMAN}(?:[,/]\s*{_ROMAN})*"
    text = re.sub(rf"(?<=[A-Za-z0-9])\((?![IV]\))(?:{several}|{_CHARGE})\)", " ", text)
    text, n = re.subn(r"(?<=[a-z])(?:VI{2}|I{2})I?(?![a-z])", " ", text)
    if n and re.search(r"(?<=[a-z])(?:IV|VI|V|I)(?![a-z])", text):
        raise NotationError("oxidation states IV, V, VI or I and elements look alike: use (IV)")
    if re.fullmatch(rf"(?:[A-Z][a-z]?[+-]{NUMBER}\s*)+", text):  # every element has one
        text = re.sub(rf"[+-]{NUMBER}", " ", text)
    return text, doubt


def _hydrate(found: re.Match) -> str:
    """The full stop of CuSO4.5H2O is one of a hydrate, that of O4.05H2O a decimal point.

    Before whole molecules of water or ammonia that end the formula or its bracket, a stop stands
    for · if a whole number without a leading zero follows it (and none is before it, as in
    U0.5H2O), or one with its own point, as in CaSO4.0.5H2O. With another decimal before it, as
    in Na0.3CoO2.1H2O, both are possible.
    """
    whole, number = found[1], found[2]
    if found.string[: found.start()].rstrip()[-1:] in ("", "·", "(", "[", "{"):
        return found[0]  # the number of a part
    if number and "." not in number:
        if number.startswith("0") or whole.startswith("0"):
            return found[0]
        if "." in found.string[: found.start()]:
            raise NotationError(
                f"'{found[0]}' before a molecule may be a decimal or a hydrate: write · for that"
            )
    return f"{whole}·{number}"


_ENDING = re.compile(
    rf"(?P<body>.*?)(?P<gap>\s*)(?P<count>[0-9.]*)(?P<signs>\++|-+)(?P<size>{NUMBER})?"
)


def _without_charge(text: str) -> str:
    """The charge of an ion at its end is left out: Fe3+, NO3-, SO42-, SO4-2, [Fe(CN)6]4-."""
    found = _ENDING.fullmatch(text)
    if not found or not found["body"]:
        return text
    body, count = found["body"], found["count"]
    alone = re.fullmatch("[A-Z][a-z]?", body)
    unclear = NotationError(
        f"{text[len(body) :].strip()!r} may be atoms or a charge: write the charge as ^{{2-}}"
    )
    if "." in body + count + (found["size"] or ""):  # nor YBa2Cu3O6.9- nor YBa2Cu3O6+0.95 is an ion
        raise unclear
    if found["size"] or len(found["signs"]) > 1 or not count:
        bare = not count and not alone and body[-1] not in ")]}"  # O2N+3: 2N + 3 of them?
        if found["size"] and (bare or (alone and count)):
            raise unclear
        return body + count
    if found["gap"] or _is_one_bracket(body):
        return body
    if alone and len(count) == 1:
        return body
    if len(count) == 1 or body[-1] in ")]}" or (alone and count[-1] == "0"):
        return body + count
    if (alone or body[-1] == "O") and count[-1] != "0":
        return body + count[:-1]
    raise unclear


def _is_one_bracket(text: str) -> bool:
    depth = 0
    for at, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            return at == len(text) - 1 and character in ")]}"
    return False


# --- what looks like a slip -----------------------------------------------------------------------

# abbreviations of materials, structures and programs that happen to be made of symbols
_NICKNAMES = frozenset(
    """
    YBCO BSCCO TBCCO HBCCO STO BTO PTO KTO NTO CTO CCTO BFO BST KDP KTP KTN KNN YSO FCC BCC INF
    """.split()
)
_MOLECULAR = frozenset("H B C N O F Si P S Cl Ge As Se Br I".split())  # large clusters are known
_TWENTY = frozenset("H Cu Ag Tl".split())  # M2O with a zero; of alkali metals 20 atoms are known
# oxidation states of what may be meant: enough to see which of two readings is a salt
_STATES: dict[str, tuple[int, ...]] = {
    symbol: tuple(map(int, states.split(",")))
    for symbol, states in (
        entry.split(":")
        for entry in (
            "H:1 D:1 T:1 B:3 C:-4,4 N:-3,3,5 O:-2 F:-1 P:-3,3,5 S:-2,4,6 K:1 V:2,3,4,5 Y:3 "
            "I:-1,5,7 W:4,6 U:3,4,5,6 Hf:4 Ho:3 Co:2,3 Cs:1 Si:-4,4 Sn:2,4 Bi:3 In:3 "
            "Cd:2 Pd:2,4 Nd:3 Dy:3 Ti:2,3,4 Tb:3,4 Th:4"
        ).split()
    )
}
# pairs against the order of electronegativity, in which nobody writes them side by side
_AGAINST_ORDER = frozenset("CU SC SB NB NI NP OS PB PU".split())
_LOOK = re.compile(  # nothing else is odd
    rf"0|[1-9]{{3}}|[DT]|{'|'.join(p.upper() for p in _STATES if len(p) == 2)}|"
    + "|".join(_AGAINST_ORDER)
)
_SLIP = re.compile(r"(?<![0-9.])0[0-9]+(?![0-9.])")
_TERM = re.compile(rf"([A-Z][a-z]?)({NUMBER})?")


def suspicion(text: str) -> str | None:
    """Why a formula in plain notation hardly means what it says, or None."""
    if len(text) > _LONGEST or not (_LOOK.search(text) or text in _NICKNAMES):
        return None
    text = re.sub(r"\s", "", text)
    if found := _SLIP.search(text):
        return (
            f"the number {found[0]} starts with a zero: is 0.{found[0][1:]} meant, or the letter O?"
        )
    if text in _NICKNAMES:
        return f"{text} is an abbreviation, no formula"
    if re.search(r"[·.][0-9]*H20\Z", text):
        return "H20 is 20 atoms of hydrogen: is H2O meant?"
    terms = _TERM.findall(text)
    if "".join(map("".join, terms)) != text or not terms:
        return _mistaken(text) if re.search("[DT](?![a-z])", text) else None
    symbol, number = terms[-1]
    if len(terms) == 1 and number.isdecimal():
        if (len(number) in (3, 4) and symbol not in _MOLECULAR) or (
            re.fullmatch("[2-9]0[1-9]", number) and symbol != "C"
        ):
            return (
                f"{text} is {int(number):,} atoms of one element: "
                "is it a nickname, or a zero in place of the letter O?"
            )
        if number == "20" and symbol in _TWENTY:
            return f"{text} is 20 atoms of one element: is {symbol}2O meant?"
    elif (
        re.fullmatch("[1-9]0[1-9]", number)
        and all(symbol != "O" for symbol, _ in terms)
        and all(len(n) < 2 or "." in n for _, n in terms[:-1])
    ):
        meant = f"{symbol}{number[0]}O{number[2]}"
        return f"{symbol}{number} stands beside no oxygen: is {meant} meant?"
    return _mistaken(text)


def _mistaken(text: str) -> str | None:
    """A capital in place of a small letter: SIO2 for SiO2, or TI for Ti in any formula."""
    if found := re.search("T[IBC](?![a-z])|DY(?![a-z])", text):
        return f"{found[0]} may be {found[0].capitalize()}"
    if re.search("[a-z]", text):
        return None
    pairs = dict.fromkeys(p[1] for p in re.finditer(r"(?=([A-Z][A-Z]))", text))
    pairs = [p for p in pairs if p.capitalize() in _STATES or p in _AGAINST_ORDER]
    for pair in pairs:
        meant = text.replace(pair, pair.capitalize())
        numbered = len(_TERM.findall(meant)) > 1 or not re.search("[0-9]", meant)
        if pair in _AGAINST_ORDER and pair + "N" not in text and numbered:
            return f"{text} has {pair[0]} beside {pair[1]}: is {meant} meant?"
    for pair in pairs:
        meant = text.replace(pair, pair.capitalize())
        is_salt = _is_salt(meant, 2) and not _is_salt(text)
        if is_salt and pair not in _AGAINST_ORDER and not re.search("[CN](?![a-z])", meant):
            return f"{text} has {pair[0]} beside {pair[1]}: is {meant} meant?"
    return None


def _is_salt(text: str, most: int = 9) -> bool:
    """Whether usual oxidation states of two or more elements, `most` at most, add up to zero."""
    amount: dict[str, float] = {}
    for symbol, number in _TERM.findall(text):
        amount[symbol] = amount.get(symbol, 0) + float(number or 1)
    if not 2 <= len(amount) <= most or not amount.keys() <= _STATES.keys():
        return False
    charges = product(*(_STATES[symbol] for symbol in amount))
    return any(
        abs(sum(n * q for n, q in zip(amount.values(), c, strict=True))) < 1e-6 for c in charges
    )


# --- decimals -------------------------------------------------------------------------------------

_REPEATING = (3, 6, 7, 9, 11, 12)  # denominators up to 12 whose decimals never end


def whole_ratios(amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Amounts as ratios of whole numbers: 0.5 and 1.5 as 1 and 3, 0.333 and 0.667 as 1 and 2.

    Amounts of one or two decimals are what they say. Those of three or more are fractions with the
    denominator 3, 6, 7, 9, 11 or 12 where they are such fractions rounded to that many decimals;
    else, with up to four decimals, what they say. Of others there is no ratio of whole numbers.

    Parameters
    ----------
    amounts : (n, 85) float array

    Returns
    -------
    ratios : (n, 85) int64 array, divided by their common divisor; 0 where there is none
    exist : (n,) bool array
    """
    ratios = np.zeros(amounts.shape, dtype=np.int64)
    exist = np.zeros(len(amounts), dtype=bool)
    decimals = np.full(len(amounts), 9)
    for n in range(8, -1, -1):
        scaled = amounts * 10**n
        decimals[(np.abs(scaled - np.rint(scaled)) <= 1e-9 * scaled).all(axis=1)] = n
    steps: list[tuple[int, Any, np.ndarray]] = []  # denominator, error of the product, rows
    steps += [(10**n, 0.0, decimals == n) for n in (0, 1, 2)]
    rounding = 0.501 * 0.1**decimals  # half of the last digit
    steps += [(d, d * rounding[:, None], decimals >= 3) for d in _REPEATING]
    steps += [(10**n, 0.0, decimals == n) for n in (3, 4)]
    for denominator, error, meant in steps:
        scaled = amounts * denominator
        near = np.rint(scaled)
        off = np.abs(scaled - near) > 1e-9 * scaled + error
        fits = meant & ~exist & ~(off | ((near == 0) & (amounts > 0))).any(axis=1)
        ratios[fits] = near[fits]
        exist |= fits
    return ratios // np.maximum(np.gcd.reduce(ratios, axis=1), 1)[:, None], exist
