"""Whether the service can do its work: a small real computation with a known result."""

import threading
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import mul
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING

from app import gpu, inference

if TYPE_CHECKING:
    from collections.abc import Callable

    Matrix = array[float]  # square, row by row
    Multiply = Callable[[Matrix, Matrix], Matrix]

SIZE = 64
PATIENCE_SECONDS = 5

# One computation at a time, and few that wait for their turn: probes that come while a GPU hangs must not use up every
# thread, which /info and /metrics need, too.
turn = threading.Lock()
places = threading.Semaphore(4)


@dataclass(frozen=True)
class Readiness:
    """The verdict, the device and ONNX Runtime's provider that computed, and the reason for what is not as hoped."""

    ready: bool
    device: str
    provider: str | None = None
    reason: str | None = None
    seconds: float | None = None


def check(*, require_gpu: bool) -> Readiness:
    """Compute on the GPU, or on the CPU where no GPU can be used and none is required."""
    if not places.acquire(blocking=False):
        return Readiness(ready=False, device="unknown", reason="too many wait for an earlier computation")
    try:
        if not turn.acquire(timeout=PATIENCE_SECONDS):
            reason = f"an earlier computation has not ended after {PATIENCE_SECONDS} s"
            return Readiness(ready=False, device="unknown", reason=reason)
        try:
            return _check(require_gpu=require_gpu)
        finally:
            turn.release()
    finally:
        places.release()


def _check(*, require_gpu: bool) -> Readiness:
    module = gpu.of_this_image()
    no_gpu = module.why_unavailable()
    if no_gpu is None:
        return _compute(module.NAME, module.multiply, None)
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
    provider = inference.provider_in_use(inference.PROVIDERS[device]) if device in inference.PROVIDERS else None
    return Readiness(ready=True, device=device, provider=provider, reason=reason, seconds=seconds)


def is_correct(multiply: "Multiply") -> bool:
    """Compare a product of matrices with the same one in whole numbers.

    Numbers this small are exact in every floating-point format, TF32 included, so any
    difference is an error.
    """
    generator = Random(1)  # noqa: S311 - the same numbers each time
    a, b = (generator.choices(range(-8, 9), k=SIZE * SIZE) for _ in range(2))
    return multiply(array("f", a), array("f", b)).tolist() == list(product(a, b))


def product(a: Sequence[float], b: Sequence[float]) -> Iterator[float]:
    """Yield the numbers of the product of two matrices, by Python itself."""
    for start in range(0, SIZE * SIZE, SIZE):
        row = a[start : start + SIZE]
        yield from (sum(map(mul, row, b[column::SIZE])) for column in range(SIZE))


def multiply_on_cpu(a: "Matrix", b: "Matrix") -> "Matrix":
    """The product of two matrices by ONNX Runtime, or by Python in an image for ROCm, which has no ONNX Runtime."""
    try:
        return inference.multiply(a, b, inference.CPU)
    except ModuleNotFoundError:
        return array("f", product(a, b))
