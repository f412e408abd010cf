"""ONNX Runtime runs a model."""

import json
from base64 import b64encode

import pytest

from slipway.matrix import Image
from tests.images.helpers.containers import Python
from tests.images.helpers.scope import applies

pytestmark = applies(version="onnxruntime")

PROGRAM = """
import base64, json, numpy, onnxruntime
onnxruntime.set_default_logger_severity(3)  # it warns of hosts without a GPU
session = onnxruntime.InferenceSession(base64.b64decode(MODEL), providers=["CPUExecutionProvider"])
x = numpy.arange(4, dtype=numpy.float32).reshape(2, 2)
print(json.dumps([onnxruntime.__version__, session.run(None, {"x": x})[0].tolist()]))
"""
FLOAT = 1
IR_VERSION = 10
OPERATOR_SET = 21


def field(number: int, value: int | str | bytes) -> bytes:
    """Return one field of a protocol buffer; every number and length here is below 128, one byte."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    content = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, len(content)]) + content


def square_matrix(name: str) -> bytes:
    """Return the declaration of a value: float[2, 2]."""
    dimension = field(1, field(1, 2))
    tensor = field(1, FLOAT) + field(2, dimension + dimension)
    return field(1, name) + field(2, field(1, tensor))


def model() -> bytes:
    """Return the ONNX model y = x @ x, with the field numbers of onnx.proto."""
    node = field(1, "x") + field(1, "x") + field(2, "y") + field(4, "MatMul")
    graph = field(1, node) + field(2, "square") + field(11, square_matrix("x")) + field(12, square_matrix("y"))
    return field(1, IR_VERSION) + field(8, field(1, "") + field(2, OPERATOR_SET)) + field(7, graph)


@pytest.mark.requirement("T2", "C10")
def test_onnxruntime_runs_a_model(python: Python, contract: Image) -> None:
    """It has the contract's version, and computes on the CPU, which every host has."""
    version, product = json.loads(python(f"MODEL = {b64encode(model())!r}\n{PROGRAM}").splitlines()[-1])
    assert version == contract.variant.versions["onnxruntime"]
    assert product == [[2, 3], [6, 11]]
