"""The data sets against counts taken from the raw files by other means, and rules by hand."""

import re
from collections import Counter, defaultdict
from fractions import Fraction
from math import gcd
from statistics import fmean, mean, median, pstdev, stdev

import numpy as np
import pandas as pd
import pytest

from matgan import ELEMENTS, files
from matgan.chemistry.composition import amounts_matrix, whole_counts
from matgan.data import compounds as datasets
from matgan.data.compounds import (
    SUPERCON_SUBSETS,
    SourceUnavailable,
    curate_oqmd,
    load_matbench_gap_folds,
    load_mp_compositions,
    load_mp_gap,
    load_oqmd,
    load_supercon,
    superconductor_family,
)
from matgan.data.sources import read_csv, wheel_table
from matgan.data.splits import random_parts


def test_published_predictions_of_stability(mp_stability):
    """Counts and a row of the raw file; the order of the models is that of the paper."""
    assert Counter(mp_stability["split"]) == {"train": 59_509, "val": 12_752, "test": 12_753}
    row = mp_stability.set_index("formula").loc["Cd1S4Tm2"]
    assert [row[k] for k in ("target", "distance", "Ef_Roost")] == [-2.058167, -0.010212, -2.0541]
    assert mp_stability["formula"].is_unique and not mp_stability.isna().any(axis=None)
    error = mp_stability.filter(like="Ef_").sub(mp_stability["target"], axis=0).abs().mean()
    assert error.idxmin() == "Ef_CGCNN" and error.drop("Ef_CGCNN").idxmin() == "Ef_Roost"
    assert error["Ef_Roost"] == pytest.approx(0.06, abs=0.01)


def contents(text: str) -> tuple[tuple[str, int], ...]:
    """Reduced composition of a plain formula of whole amounts: no code of matgan."""
    terms = [(s, int(n or 1)) for s, n in re.findall("([A-Z][a-z]?)([0-9]*)", text)]
    divisor = gcd(*(n for _, n in terms))
    return tuple(sorted((s, n // divisor) for s, n in terms))


def raw_table(load, *args):
    try:
        return load(*args)
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")


# --- OQMD -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def curated(oqmd_raw):
    """Compounds and funnel."""
    return curate_oqmd(oqmd_raw)


@pytest.fixture(scope="module")
def raw_contents(oqmd_raw):
    return [contents(text) for text in oqmd_raw["formula"]]


@pytest.fixture(scope="module")
def oqmd_contents(oqmd):
    return [contents(text) for text in oqmd["formula"]]


def test_oqmd_as_published(oqmd_raw, raw_contents):
    assert list(oqmd_raw.columns) == ["formula", "target", "part"]
    assert len(oqmd_raw) == len(set(raw_contents)) == 341_700
    assert oqmd_raw["part"].value_counts().to_dict() == {
        "train": 239_190,  # 70%, 15%, 15%
        "val": 51_255,
        "test": 51_255,
    }


def test_curated_oqmd_is_what_a_second_curation_finds(oqmd_raw, raw_contents, oqmd, oqmd_contents):
    rows = [
        (content, energy)
        for content, energy in zip(raw_contents, oqmd_raw["target"], strict=True)
        if "Kr" not in dict(content)
    ]
    energies = [energy for _, energy in rows]
    centre, spread = fmean(energies), pstdev(energies)
    expected = [
        (content, energy)
        for content, energy in rows
        if abs(energy - centre) <= 5 * spread and max(n for _, n in content) <= 8
    ]
    assert len(expected) == 335_833
    assert list(zip(oqmd_contents, oqmd["target"], strict=True)) == expected


def test_curated_oqmd_by_number_of_elements(oqmd, oqmd_contents):
    numbers = Counter(map(len, oqmd_contents))
    assert numbers == {2: 15_593, 3: 260_741, 4: 58_591, 5: 796, 6: 97, 7: 15}
    assert {symbol for content in oqmd_contents for symbol, _ in content} == set(ELEMENTS)
    assert max(n for content in oqmd_contents for _, n in content) == 8
    assert oqmd["formula"].is_unique


def test_the_funnel_adds_up(curated):
    compounds, funnel = curated
    assert list(funnel.columns) == ["step", "removed", "left"]
    assert funnel["left"].iloc[0] == 341_700
    assert funnel["left"].iloc[-1] == len(compounds) == 335_833
    left = funnel["left"].to_numpy()
    np.testing.assert_array_equal(left[:-1] - left[1:], funnel["removed"].to_numpy()[1:])
    assert funnel["removed"].tolist() == [0, 4, 0, 0, 86, 5777]  # 4: those with krypton


def test_each_step_of_the_curation_by_hand():
    raw = pd.DataFrame(
        [
            ("Na2Cl2", -1.0, "a"),  # the same compound as two rows down, higher
            ("KrF2", 0.5, "b"),  # outside the 85
            ("ClNa", -2.0, "c"),
            ("Fe3", 0.0, "d"),  # a single element
            ("H2O", -1.0, "e"),  # twice with one energy: the first stays
            ("H4O2", -1.0, "f"),
            ("Mg(OH)2", -1.5, "g"),
            ("CaO", 9.0, "h"),  # beyond 2 σ
            ("Li9O", -0.5, "i"),  # above 8
            ("Li18O2", -0.4, "j"),  # above 8 after reduction, and not the lowest
            ("Li16O16", -0.5, "k"),  # 1 after reduction
            ("B8C7", 0.0, "l"),
            ("not one", -1.0, "m"),
        ],
        columns=["formula", "target", "part"],
        index=range(100, 113),  # any index will do
    )
    compounds, funnel = curate_oqmd(raw, n_sigma=2)
    assert funnel[["removed", "left"]].to_numpy().tolist() == [
        [0, 13],
        [2, 11],
        [3, 8],
        [1, 7],
        [1, 6],
        [1, 5],
    ]
    assert funnel["step"].tolist() == [
        "as published",
        "not a composition of the 85 elements",
        "not the lowest energy of its formula",
        "a single element",
        "formation energy beyond 2 σ",
        "an amount above 8 in the reduced formula",
    ]
    expected = [
        ("NaCl", -2.0, "c"),
        ("H2O", -1.0, "e"),
        ("MgH2O2", -1.5, "g"),
        ("LiO", -0.5, "k"),
        ("B8C7", 0.0, "l"),
    ]
    assert list(compounds.itertuples(index=False, name=None)) == expected
    assert compounds.index.tolist() == list(range(5))
    # the σ is that of the compounds left before the cut
    energies = [-2.0, -1.0, -1.5, 9.0, -0.5, -0.5, 0.0]
    ratio = (9.0 - mean(energies)) / stdev(energies)
    for n_sigma, kept in ((ratio + 0.001, 6), (ratio - 0.001, 5)):
        assert len(curate_oqmd(raw, n_sigma=n_sigma)[0]) == kept
    assert "Li9O" in set(curate_oqmd(raw, max_count=9)[0]["formula"])
    assert "B8C7" not in set(curate_oqmd(raw, max_count=7)[0]["formula"])


def test_curation_does_not_depend_on_the_order_of_the_rows(oqmd_raw):
    some = pd.concat([oqmd_raw.head(3000), oqmd_raw.head(500).assign(target=-9.0)])
    one, funnel_one = curate_oqmd(some)
    two, funnel_two = curate_oqmd(some.sample(frac=1, random_state=5))
    columns = ["formula", "target"]
    pd.testing.assert_frame_equal(
        one[columns].sort_values("formula", ignore_index=True),
        two[columns].sort_values("formula", ignore_index=True),
    )
    pd.testing.assert_frame_equal(funnel_one, funnel_two)


def test_random_split_of_oqmd(oqmd):
    assert oqmd["split"].value_counts().to_dict() == {"train": 302_250, "test": 33_583}
    np.testing.assert_array_equal(oqmd["split"], random_parts(len(oqmd), 0.1, 0))


def test_published_split_of_oqmd(oqmd_raw, raw_contents, curated, oqmd, oqmd_contents, monkeypatch):
    monkeypatch.setattr(datasets, "read_oqmd", lambda: oqmd_raw)
    monkeypatch.setattr(datasets, "curate_oqmd", lambda raw: curated)
    table = load_oqmd(split="crabnet")
    assert list(table.columns) == ["formula", "target", "split"]
    pd.testing.assert_frame_equal(table[["formula", "target"]], oqmd[["formula", "target"]])
    part_of = dict(zip(raw_contents, oqmd_raw["part"], strict=True))
    assert len(part_of) == len(oqmd_raw)  # so no composition is in two parts
    assert table["split"].tolist() == [part_of[content] for content in oqmd_contents]
    assert len(set(oqmd_contents)) == len(table)


def test_load_oqmd_refuses_an_unknown_split():
    with pytest.raises(ValueError, match="'random' or 'crabnet', not 'matbench'"):
        load_oqmd(split="matbench")


# --- Materials Project --------------------------------------------------------------------------


def gaps_of(raw: pd.DataFrame) -> dict[tuple, list[float]]:
    """Composition -> the gaps of its non-metallic entries, in the order of the file."""
    gaps = defaultdict(list)
    for text, gap in zip(raw["formula"], raw["target"], strict=True):
        if gap > 0:
            gaps[contents(text)].append(gap)
    return gaps


@pytest.fixture(scope="module")
def mp_raw():
    return raw_table(wheel_table, "matbench/mp_gap")


def test_mp_gap_has_one_row_for_each_formula_that_is_no_metal(mp_raw, mp_gap):
    gaps = gaps_of(mp_raw)
    assert len(mp_raw) == 106_113
    assert list(mp_gap.columns) == ["formula", "target", "split"]
    assert (mp_gap["target"] > 0).all()
    assert mp_gap["formula"].is_unique
    assert [contents(text) for text in mp_gap["formula"]] == list(gaps)
    assert mp_gap["target"].tolist() == pytest.approx([median(g) for g in gaps.values()], rel=1e-12)
    assert Counter(mp_gap["split"])["test"] == round(0.1 * len(gaps))


@pytest.mark.parametrize(
    ("duplicates", "rule"), [("median", median), ("mean", mean), ("min", min), ("max", max)]
)
def test_mp_gap_of_several_entries(duplicates, rule, mp_raw, monkeypatch):
    some = mp_raw.head(10_000)
    monkeypatch.setattr(datasets, "wheel_table", lambda member: some)
    table = load_mp_gap(duplicates)
    found = dict(zip(map(contents, table["formula"]), table["target"], strict=True))
    expected = {content: rule(gaps) for content, gaps in gaps_of(some).items()}
    assert found == pytest.approx(expected, rel=1e-12)


def test_mp_gap_without_formulas_of_several_entries(mp_raw, monkeypatch):
    some = mp_raw.head(10_000)
    monkeypatch.setattr(datasets, "wheel_table", lambda member: some)
    table = load_mp_gap("drop")
    found = dict(zip(map(contents, table["formula"]), table["target"], strict=True))
    assert found == {content: gaps[0] for content, gaps in gaps_of(some).items() if len(gaps) == 1}
    assert contents("TiO2") not in found


@pytest.mark.parametrize(
    ("duplicates", "gap"),
    # eV; the entries of TiO2 in the file, written O8Ti4, O16Ti8, O32Ti16, O6Ti3, O36Ti18,
    # O24Ti12 and O4Ti2, sorted: 1.7810 1.8200 1.9890 2.0517 2.0839 2.0938 2.0991 2.2368 2.2393
    # 2.2943 2.2984 2.3165 2.4180 2.4317 2.4757 2.5266 2.5323 2.6333 2.6774 2.7647 2.9809 3.3083
    # 3.4299
    [("min", 1.7810), ("median", 2.3165), ("mean", 55.4826 / 23), ("max", 3.4299)],
)
def test_mp_gap_of_titanium_dioxide_by_hand(duplicates, gap, mp_raw, monkeypatch):
    some = mp_raw[mp_raw["formula"].str.fullmatch("O[0-9]+Ti[0-9]+")]
    monkeypatch.setattr(datasets, "wheel_table", lambda member: some)
    table = load_mp_gap(duplicates).set_index("formula")
    assert table["target"]["TiO2"] == pytest.approx(gap, abs=1e-4)


def test_load_mp_gap_refuses_an_unknown_rule():
    with pytest.raises(ValueError, match="median, mean, min, max, drop, not 'lowest'"):
        load_mp_gap("lowest")


def test_the_folds_of_matbench_gaps_have_each_formula_in_one_part():
    folds = raw_table(load_matbench_gap_folds)
    assert len(folds) == 5
    for fold in folds:
        assert list(fold.columns) == ["formula", "target", "split"]
        assert fold["formula"].is_unique
        assert (fold["target"] >= 0).all()
        assert set(fold["split"]) == {"train", "val", "test"}
        assert 0.3 < (fold["target"] == 0).mean() < 0.6  # metals stay in
    tests = [set(fold["formula"][fold["split"] == "test"]) for fold in folds]
    assert len(set.union(*tests)) == sum(map(len, tests)), "a formula is in two folds' test parts"


def test_mp_compositions_are_the_distinct_small_compounds_with_their_lowest_energy(mp_compositions):
    raw = raw_table(wheel_table, "matbench/mp_e_form")
    lowest = {}
    for text, energy in zip(raw["formula"], raw["target"], strict=True):
        content = contents(text)
        if len(content) > 1 and max(n for _, n in content) <= 8:
            lowest[content] = min(energy, lowest.get(content, energy))
    assert all(symbol in ELEMENTS for content in lowest for symbol, _ in content)
    texts, energies = mp_compositions["formula"], mp_compositions["target"]
    assert dict(zip(map(contents, texts), energies, strict=True)) == lowest
    assert len(mp_compositions) == len(lowest)
    np.testing.assert_array_equal(mp_compositions["split"], random_parts(len(lowest), 0.1, 0))


def test_mp_compositions_split_follows_its_parameters(mp_compositions, monkeypatch):
    small = mp_compositions.head(1000).drop(columns="split")
    monkeypatch.setattr(datasets, "wheel_table", lambda member: small)
    table = load_mp_compositions(seed=4, test_fraction=0.2)
    np.testing.assert_array_equal(table["split"], random_parts(len(table), 0.2, 4))
    assert (load_mp_compositions(seed=5, test_fraction=0.2)["split"] != table["split"]).any()


# --- SuperCon -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def supercon_raw():
    return raw_table(read_csv, "supercon", None, {"name": "str", "Tc": "float"})


@pytest.fixture(scope="module")
def supercon_all():
    return raw_table(load_supercon, "all")


def readable(text: str) -> bool:
    """A plain formula of positive amounts of the 85 elements: no code of matgan."""
    if not re.fullmatch(r"([A-Z][a-z]?([0-9]+\.?[0-9]*|\.[0-9]+)?)+", text):
        return False
    terms = re.findall(r"([A-Z][a-z]?)([0-9.]*)", text)
    return all(symbol in ELEMENTS and float(amount or 1) > 0 for symbol, amount in terms)


def test_supercon_rows_are_kept_or_listed_with_the_reason(supercon_raw, supercon_all):
    assert len(supercon_raw) == 16_414
    expected = [row for row, text in enumerate(supercon_raw["name"]) if readable(text)]
    assert supercon_all["row"].tolist() == expected
    dropped = {row: (text, reason) for row, text, reason in supercon_all.attrs["dropped"]}
    assert sorted([*dropped, *expected]) == list(range(16_414))
    assert len(dropped) < 0.005 * 16_414
    for row, (text, reason) in dropped.items():
        assert text == supercon_raw["name"][row]
        assert reason
    reasons = dict(dropped.values())
    assert reasons["Y2C2Br0.5!1.5"] == "unexpected '!' at character 10"
    assert reasons["Cm2Cu1O4"] == "Cm is not one of the 85 elements of this study"
    assert reasons["Hf1V2D1"] == "D or T, whose Tc is not that of hydrogen"
    assert reasons["La2Sr0Cu1Zn0O4"] == "Sr has the amount 0"


@pytest.mark.parametrize("subset", SUPERCON_SUBSETS)
def test_supercon_subsets(subset, supercon_raw, supercon_all):
    wanted = {
        "all": supercon_raw["Tc"] > -1,
        "tc>0": supercon_raw["Tc"] > 0,
        "tc>10": supercon_raw["Tc"] > 10,
    }[subset]
    assert wanted.sum() == {"all": 16_414, "tc>0": 12_448, "tc>10": 6_210}[subset]
    dropped = [row for row, _, _ in supercon_all.attrs["dropped"]]
    expected = supercon_raw[wanted].drop(index=dropped, errors="ignore")
    table = load_supercon(subset)
    assert list(table.columns) == ["formula", "target", "family", "row", "split"]
    assert table.index.tolist() == list(range(len(expected)))
    assert table["row"].tolist() == expected.index.tolist()
    assert table["formula"].tolist() == expected["name"].tolist()
    assert table["target"].tolist() == expected["Tc"].tolist()
    assert table.attrs["dropped"] == supercon_all.attrs["dropped"]


def test_the_default_subset_has_a_critical_temperature(supercon):
    assert len(supercon) == len(load_supercon("tc>0"))
    assert supercon["target"].min() > 0


def exact_fractions(text: str) -> frozenset:
    total = defaultdict(Fraction)
    for symbol, amount in re.findall(r"([A-Z][a-z]?)([0-9.]*)", text):
        total[symbol] += Fraction(amount.rstrip(".") or 1)
    whole = sum(total.values())
    return frozenset((symbol, amount / whole) for symbol, amount in total.items())


def test_one_composition_is_never_on_both_sides_of_the_random_parts(supercon):
    sides = defaultdict(set)
    for text, part in zip(supercon["formula"], supercon["split"], strict=True):
        sides[exact_fractions(text)].add(part)
    assert len(sides) < len(supercon) - 100  # there are many repeated compositions to get wrong
    assert Counter(map(len, sides.values())) == {1: len(sides)}
    tests = sum(parts == {"test"} for parts in sides.values())
    assert tests == pytest.approx(0.1 * len(sides), abs=3)  # groups that differ by rounding


def test_the_random_split_of_supercon_follows_its_parameters(supercon):
    np.testing.assert_array_equal(load_supercon()["split"], supercon["split"])
    assert (load_supercon(seed=1)["split"] != supercon["split"]).any()
    share = (load_supercon(test_fraction=0.3)["split"] == "test").mean()
    assert share == pytest.approx(0.3, abs=0.02)


def test_the_published_split_of_supercon(supercon_raw):
    published = raw_table(read_csv, "supercon_split", None, {"row": "int", "part": "str"})
    assert Counter(published["part"]) == {"train": 13_131, "test": 3_283}
    part_of = dict(zip(published["row"], published["part"], strict=True))
    assert sorted(part_of) == list(range(16_414))
    for subset in SUPERCON_SUBSETS:
        table = load_supercon(subset, split="published")
        assert table["split"].tolist() == [part_of[row] for row in table["row"]]
        names = supercon_raw["name"].to_numpy()[table["row"]]
        assert table["formula"].tolist() == names.tolist()


def test_load_supercon_refuses_unknown_values():
    with pytest.raises(ValueError, match="subset must be one of all, tc>0, tc>10, not 'tc>77'"):
        load_supercon("tc>77")
    with pytest.raises(ValueError, match="'random' or 'published', not 'crabnet'"):
        load_supercon(split="crabnet")


@pytest.mark.parametrize(
    ("family", "names"),
    [
        (
            "cuprate",
            "YBa2Cu3O7 La1.85Sr0.15CuO4 Bi2Sr2CaCu2O8 HgBa2Ca2Cu3O8.33 Tl2Ba2Ca2Cu3O10 "
            "Nd1.85Ce0.15CuO4 YBa2Cu2.9Fe0.1O7 Bi2Sr2CaCu1.9Fe0.1O8 CuO",
        ),
        (
            "iron-based",
            "LaFeAsO0.9F0.1 Ba0.6K0.4Fe2As2 FeSe FeSe0.5Te0.5 LaFePO LiFeAs SmFeAsO0.85 "
            "LaFe0.95Cu0.05AsO K0.8Fe2Se2 Sr2VO3FeAs BaFe1.9Cu0.1As2 FeS CuFeS2",
        ),
        (
            "other",
            "MgB2 Nb3Sn NbTi Pb Hg H3S LaH10 K3C60 Ba0.6K0.4BiO3 Sr2RuO4 Fe FeO LaNiAsO "
            "CuS Cu2Se Nb3Ge LaNiO2 Fe3O4 CuRh2S4 FeB CuAs",
        ),
    ],
)
def test_family_of_known_superconductors(family, names):
    found = superconductor_family(amounts_matrix(names.split()))
    assert dict(zip(names.split(), found, strict=True)) == dict.fromkeys(names.split(), family)


def test_families_in_supercon(supercon_all):
    assert set(supercon_all["family"]) == {"cuprate", "iron-based", "other"}
    for text, family in zip(supercon_all["formula"], supercon_all["family"], strict=True):
        symbols = set(re.findall("[A-Z][a-z]?", text))
        cuprate = symbols >= {"Cu", "O"}
        iron_based = "Fe" in symbols and symbols & {"P", "As", "Sb", "Bi", "S", "Se", "Te"}
        if not cuprate and not iron_based:
            assert family == "other", text
        elif not (cuprate and iron_based):
            assert family == ("cuprate" if cuprate else "iron-based"), text
        else:
            assert family in ("cuprate", "iron-based"), text
    hottest = supercon_all.sort_values("target").tail(100)
    assert set(hottest["family"]) == {"cuprate"}
    iron_based = supercon_all.loc[supercon_all["family"] == "iron-based", "target"]
    assert iron_based.max() < 60  # K; no iron-based superconductor is known above it in bulk


def test_one_element_apart_by_hand():
    train = whole_counts(amounts_matrix(["KZn2Ru", "TiO2", "NaCl"]))
    test = ["RbZn2Ru", "KZn2Os", "KZnRu", "SiO2", "TiS2", "TiO", "TiO2", "KBr", "KCl"]
    found = datasets.one_element_apart(whole_counts(amounts_matrix(test)), train)
    assert dict(zip(test, found.tolist(), strict=True)) == {
        "RbZn2Ru": True,
        "KZn2Os": True,
        "KZnRu": False,  # another amount
        "SiO2": True,
        "TiS2": True,
        "TiO": False,
        "TiO2": False,  # the same compound is not another element away
        "KBr": False,
        "KCl": True,
    }
    assert datasets.one_element_apart(["Na2Cl2"], ["K3Cl3"]).tolist() == [True]  # NaCl and KCl


@pytest.mark.parametrize("name", ["oqmd", "mp"])
def test_training_data_are_those_of_the_pretrained_generators(name, request):
    request.getfixturevalue({"oqmd": "oqmd", "mp": "mp_compositions"}[name])  # or skip
    facts = files.load(files.PRETRAINED / f"wgan-{name}.safetensors")[1]
    assert datasets.training_data(name).hash == facts["data"]


def test_training_data_of_another_name_are_refused():
    with pytest.raises(ValueError, match="oqmd and mp, not 'icsd'"):
        datasets.training_data("icsd")
