"""The data-science set imports and computes."""

import json

import pytest

from tests.images.helpers.containers import Python
from tests.images.helpers.programs import SHORTEST, find_problems
from tests.images.helpers.scope import applies

# The set is in every workbench, also on a flavor without it.
pytestmark = [applies(flavor="runtime"), applies(workload="workbench")]

COMPUTATIONS = {
    "numpy": "import numpy; assert (numpy.eye(3) @ numpy.arange(3) == numpy.arange(3)).all()",
    "scipy": "from scipy import integrate; assert abs(integrate.quad(lambda x: x * x, 0, 3)[0] - 9) < 1e-9",
    "pandas": "import pandas; assert pandas.DataFrame({'a': [1, 1, 2], 'b': [1, 2, 3]}).groupby('a').b.sum()[1] == 3",
    "matplotlib": """
import io, matplotlib
matplotlib.use("Agg")
from matplotlib import pyplot
pyplot.plot([1, 4, 9])
pyplot.title("text needs a font")
pyplot.savefig(file := io.BytesIO())
assert file.getvalue().startswith(b"\\x89PNG")
""",
    "scikit-learn": """
from sklearn.linear_model import LinearRegression
assert abs(LinearRegression().fit([[1], [2], [3]], [2, 4, 6]).predict([[5]])[0] - 10) < 1e-9
""",
    "opencv": """
import cv2, numpy
black = numpy.zeros((8, 8, 3), numpy.uint8)
assert (cv2.imdecode(cv2.imencode(".png", black)[1], cv2.IMREAD_COLOR) == black).all()
""",
    "seaborn": "import seaborn; assert len(seaborn.histplot([1, 2, 3], bins=3).patches) == 3",
    "tqdm": "from tqdm import tqdm; assert list(tqdm(range(3), disable=True)) == [0, 1, 2]",
}
# Prints the seconds of a product of matrices, by NumPy's library and by loops.
SPEED = f"""
import json, os
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy
{SHORTEST}
a = numpy.random.default_rng(0).random((800, 800))  # more than a cache holds
print(json.dumps([shortest(lambda: a @ a), shortest(lambda: numpy.einsum("ij,jk->ik", a, a, optimize=False))]))
"""


@pytest.fixture(scope="module")
def problems(python: Python) -> dict[str, str]:
    """The error of each library, empty without one."""
    return find_problems(python, COMPUTATIONS)


@pytest.mark.requirement("V4")
@pytest.mark.parametrize("library", COMPUTATIONS)
def test_library_computes(problems: dict[str, str], library: str) -> None:
    """As the image's user, on a read-only root and without network."""
    assert problems[library] == ""


def test_numpy_multiplies_by_a_fast_library(python: Python) -> None:
    """Without BLAS, or by its reference, a product of matrices takes as long as the loops that einsum runs."""
    by_library, by_loops = json.loads(python(SPEED))
    assert 2 * by_library < by_loops, (by_library, by_loops)
