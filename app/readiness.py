"""Whether the service can do its work: a small real computation with a known result."""

import threading
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from app import cuda

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy import float32
    from numpy.typing import NDArray

    Multiply = Callable[[NDArray[float32], NDArray[float32]], NDArray[float32]]

SIZE = 64
PATIENCE_SECONDS = 5

# One computation at a time: probes that come while a GPU hangs must not use up every thread.
turn = threading.Lock()


@dataclass(frozen=True)
class Readiness:
    """The verdict, where the computation ran, and the reason for what is not as hoped."""

    ready: bool
    device: str
    reason: str | None = None
    seconds: float | None = None


def check(*, require_gpu: bool) -> Readiness:
    """Compute on the GPU, or on the CPU where no GPU can be used and none is required."""
    if not turn.acquire(timeout=PATIENCE_SECONDS):
        reason = f"an earlier computation has not ended after {PATIENCE_SECONDS} s"
        return Readiness(ready=False, device="unknown", reason=reason)
    try:
        return _check(require_gpu=require_gpu)
    finally:
        turn.release()


def _check(*, require_gpu: bool) -> Readiness:
    # Another accelerator takes its place here, beside cuda.
    no_gpu = cuda.why_unavailable()
    if no_gpu is None:
        return _compute(cuda.NAME, cuda.multiply, None)
    if require_gpu:
        return Readiness(ready=False, device="none", reason=f"REQUIRE_GPU=1, but {no_gpu}")
    return _compute("cpu", multiply_on_cpu, f"no GPU is used: {no_gpu}")


def _compute(device: str, multiply: "Multiply", reason: str | None) -> Readiness:
    """Run the computation; whatever goes wrong in it is the reason for not being ready."""
    started = perf_counter()
    try:
        correct = is_correct(multiply)
    except Exception as error:  # noqa: BLE001 - any failure at all means "not ready"
        return Readiness(ready=False, device=device, reason=f"the computation failed: {error}")
    if not correct:
        return Readiness(ready=False, device=device, reason="the computation's result is wrong")
    seconds = round(perf_counter() - started, 6)
    return Readiness(ready=True, device=device, reason=reason, seconds=seconds)


def is_correct(multiply: "Multiply") -> bool:
    """Compare a product of matrices with the same one in whole numbers.

    Numbers this small are exact in every floating-point format, TF32 included, so any
    difference is an error.
    """
    # Not at start: the first answer to /health must not wait for it.
    import numpy as np  # noqa: PLC0415

    generator = np.random.default_rng(seed=1)
    a, b = generator.integers(-8, 9, size=(2, SIZE, SIZE))
    product = multiply(a.astype(np.float32), b.astype(np.float32))
    return np.array_equal(product, a @ b)


def multiply_on_cpu(a: "NDArray[float32]", b: "NDArray[float32]") -> "NDArray[float32]":
    """The product of two matrices by numpy's BLAS."""
    return a @ b
