"""matgan: representations of inorganic materials, what they know, and how it is measured.

The public names below are the face of the package: `from matgan import OneHot`. Each loads its
module when it is first asked for, so that `import matgan` takes less than 0.1 s. A reproducible
study of Hu, Song, Jiang and Li, 'Learning Representations of Inorganic Materials from Generative
Adversarial Networks', Symmetry 2020, 12, 1889, and of what was built on it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from matgan.chemistry.elements import ELEMENTS

if TYPE_CHECKING:  # for editors and type checkers; _HOMES says the same to Python
    from matgan.chemistry.composition import amounts, amounts_matrix, count_matrix, formula
    from matgan.chemistry.explanation import explain
    from matgan.chemistry.parsing import CompositionError
    from matgan.chemistry.validity import charge_neutral, electronegativity_balanced
    from matgan.crystals.structures import load_structures
    from matgan.crystals.substitution import predict_structures
    from matgan.data.compounds import load_mp_compositions, load_mp_gap, load_oqmd, load_supercon
    from matgan.learning.regressor import FullyConnectedRegressor
    from matgan.powder.classifier import classify
    from matgan.powder.patterns import simulate_pattern
    from matgan.powder.reading import read_pattern
    from matgan.properties.prediction import predict
    from matgan.representation.encoder.estimator import CompositionEncoder
    from matgan.representation.features import Magpie, OneHot, PooledEmbedding
    from matgan.representation.tables import list_embeddings, load_embedding
    from matgan.stability.hull import hull, hull_distance
    from matgan.wgan.generator import list_generators, load_generator

__all__ = [
    "ELEMENTS",
    "CompositionEncoder",
    "CompositionError",
    "FullyConnectedRegressor",
    "Magpie",
    "OneHot",
    "PooledEmbedding",
    "amounts",
    "amounts_matrix",
    "charge_neutral",
    "classify",
    "count_matrix",
    "electronegativity_balanced",
    "explain",
    "formula",
    "hull",
    "hull_distance",
    "list_embeddings",
    "list_generators",
    "load_embedding",
    "load_generator",
    "load_mp_compositions",
    "load_mp_gap",
    "load_oqmd",
    "load_structures",
    "load_supercon",
    "predict",
    "predict_structures",
    "read_pattern",
    "simulate_pattern",
]
__version__ = "0.1.0"

_HOMES = {
    "chemistry.composition": ("amounts", "amounts_matrix", "count_matrix", "formula"),
    "chemistry.explanation": ("explain",),
    "chemistry.parsing": ("CompositionError",),
    "chemistry.validity": ("charge_neutral", "electronegativity_balanced"),
    "crystals.structures": ("load_structures",),
    "crystals.substitution": ("predict_structures",),
    "data.compounds": ("load_mp_compositions", "load_mp_gap", "load_oqmd", "load_supercon"),
    "learning.regressor": ("FullyConnectedRegressor",),
    "powder.classifier": ("classify",),
    "powder.patterns": ("simulate_pattern",),
    "powder.reading": ("read_pattern",),
    "properties.prediction": ("predict",),
    "representation.encoder.estimator": ("CompositionEncoder",),
    "representation.features": ("Magpie", "OneHot", "PooledEmbedding"),
    "representation.tables": ("list_embeddings", "load_embedding"),
    "stability.hull": ("hull", "hull_distance"),
    "wgan.generator": ("list_generators", "load_generator"),
}
_HOME = {name: f"matgan.{module}" for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'matgan' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
