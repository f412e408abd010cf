"""ONNX Runtime: a small model on the GPU, through the CUDA provider, or on the CPU."""

from array import array
from functools import cache
from importlib.util import find_spec
from math import isqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
PROVIDERS = {"cpu": CPU, "cuda": CUDA}  # by the device of /ready
ERROR = 3  # a level of ONNX Runtime's log; below it, it warns of machines without a GPU

# The ONNX model c = a @ b of 32-bit floats, field by field of onnx.proto.
MODEL = (
    b"\x08\x08B\x04\x0a\x00\x10\x0d"  # intermediate representation 8, operator set 13
    b"\x3a\x37\x0a\x11\x0a\x01a\x0a\x01b\x12\x01c\x22\x06MatMul"  # the graph and its one node
    b"\x12\x01g\x5a\x09\x0a\x01a\x12\x04\x0a\x02\x08\x01"  # its name, and its inputs
    b"\x5a\x09\x0a\x01b\x12\x04\x0a\x02\x08\x01"
    b"\x62\x09\x0a\x01c\x12\x04\x0a\x02\x08\x01"  # its output
)


class InferenceError(Exception):
    """ONNX Runtime does not use the provider that it was asked for."""


def multiply(a: "array[float]", b: "array[float]", provider: str) -> "array[float]":
    """The product of two square matrices, each row by row; InferenceError unless `provider` computes it."""
    session = open_session(provider)
    if provider not in session.get_providers():
        raise InferenceError(f"ONNX Runtime does not use its {provider}; its log says why")
    import numpy as np  # noqa: PLC0415 - as onnxruntime

    n = isqrt(len(a))
    inputs = {name: np.frombuffer(matrix, np.float32).reshape(n, n) for name, matrix in (("a", a), ("b", b))}
    return array("f", session.run(None, inputs)[0].tobytes())


def provider_in_use(wanted: str) -> str | None:
    """The provider that a session has which asks for `wanted`: it may be the CPU's; None without ONNX Runtime."""
    return str(open_session(wanted).get_providers()[0]) if find_spec("onnxruntime") else None


@cache
def open_session(provider: str) -> "InferenceSession":
    """A session of the model; ModuleNotFoundError in an image without ONNX Runtime."""
    import onnxruntime  # noqa: PLC0415 - not at start: the first answer to /health must not wait for it

    onnxruntime.set_default_logger_severity(ERROR)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(MODEL, options, providers=[provider])
