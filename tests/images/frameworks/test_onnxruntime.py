"""ONNX Runtime runs a model."""

import json
from base64 import b64encode

import pytest

from slipway.matrix import Image
from tests.images.helpers.containers import Python
from tests.images.helpers.onnx_model import MODEL
from tests.images.helpers.scope import applies

pytestmark = applies(version="onnxruntime")

PROGRAM = """
import base64, json, numpy, onnxruntime
onnxruntime.set_default_logger_severity(3)  # it warns of hosts without a GPU
session = onnxruntime.InferenceSession(base64.b64decode(MODEL), providers=["CPUExecutionProvider"])
x = numpy.arange(4, dtype=numpy.float32).reshape(2, 2)
print(json.dumps([onnxruntime.__version__, session.run(None, {"a": x, "b": x})[0].tolist()]))
"""


@pytest.mark.requirement("T2", "C10")
def test_onnxruntime_runs_a_model(python: Python, contract: Image) -> None:
    """It has the contract's version, and computes on the CPU, which every host has."""
    version, product = json.loads(python(f"MODEL = {b64encode(MODEL)!r}\n{PROGRAM}").splitlines()[-1])
    assert version == contract.variant.versions["onnxruntime"]
    assert product == [[2, 3], [6, 11]]
