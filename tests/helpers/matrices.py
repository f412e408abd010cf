"""The matrix of a made-up images.toml."""

from slipway.images_toml import ImagesToml
from slipway.matrix import FILE, Matrix, make_matrix
from slipway.toml import parse_toml


def parse_matrix(text: str) -> Matrix:
    """Return the matrix of a text of images.toml; SlipwayError names the table, the key and what is allowed."""
    return make_matrix(parse_toml(text, ImagesToml, FILE.name))
