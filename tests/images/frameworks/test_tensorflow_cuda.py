"""TensorFlow on a GPU."""

from typing import Any

import pytest

from tests.images.helpers.containers import Run
from tests.images.helpers.scope import applies

pytestmark = applies(accelerator="cuda", version="tensorflow", flavor="runtime")

PROGRAM = """
import tensorflow as tf
gpus = tf.config.list_physical_devices("GPU")
with tf.device("/GPU:0" if gpus else "/CPU:0"):
    product = tf.matmul(tf.eye(64) * 2, tf.ones((64, 64)))
    image = tf.nn.conv2d(tf.ones((1, 8, 8, 1)), tf.ones((3, 3, 1, 1)), strides=1, padding="VALID")
assert bool(tf.reduce_all(product == 2)) and bool(tf.reduce_all(image == 9))
print("computed on", product.device.rpartition("device:")[2].partition(":")[0])
"""


@pytest.mark.requirement("A7", "A12")
def test_tensorflow_computes_on_the_gpu(run: Run, gpu: dict[str, Any]) -> None:
    """A matrix product by cuBLAS and a convolution by cuDNN."""
    output = run("python", "-c", PROGRAM, **gpu).require_success()
    assert "computed on GPU" in output
