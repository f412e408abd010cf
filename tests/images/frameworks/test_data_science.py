"""The data-science set imports and computes."""

import json

import pytest

from tests.images.helpers.containers import Python
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
PROGRAM = """
import json, traceback
problems = {}
for name, code in COMPUTATIONS.items():
    try:
        exec(code, {})
        problems[name] = ""
    except Exception:
        problems[name] = traceback.format_exc()
print(json.dumps(problems))
"""


@pytest.fixture(scope="module")
def problems(python: Python) -> dict[str, str]:
    """The error of each library, empty without one; one process for all, because imports are slow."""
    return dict(json.loads(python(f"COMPUTATIONS = {COMPUTATIONS!r}\n{PROGRAM}").splitlines()[-1]))


@pytest.mark.requirement("V4")
@pytest.mark.parametrize("library", COMPUTATIONS)
def test_library_computes(problems: dict[str, str], library: str) -> None:
    """As the image's user, on a read-only root and without network."""
    assert problems[library] == ""
