"""matgan: representations of inorganic materials learned by a Wasserstein GAN.

A reproducible study of Hu, Song, Jiang and Li, 'Learning Representations of Inorganic
Materials from Generative Adversarial Networks', Symmetry 2020, 12, 1889. Importing the
package loads no heavy dependency; each module imports what it needs.
"""

from matgan.chemistry.elements import ELEMENTS

__all__ = ["ELEMENTS"]
__version__ = "0.1.0"
