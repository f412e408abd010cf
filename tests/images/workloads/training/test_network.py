"""Training on several machines: RDMA libraries, which do nothing without InfiniBand, and TCP."""

import pytest

from tests.images.helpers.containers import Run
from tests.images.helpers.scope import applies

pytestmark = applies(workload="training")

DEVICES = """
import ctypes
verbs = ctypes.CDLL("libibverbs.so.1")
ctypes.CDLL("librdmacm.so.1")
number = ctypes.c_int(-1)
verbs.ibv_get_device_list.restype = ctypes.c_void_p
verbs.ibv_get_device_list(ctypes.byref(number))
print(number.value)
"""
GLOO = """
import os, torch, torch.distributed as distributed, torch.multiprocessing

def work(rank):
    distributed.init_process_group("gloo", init_method="tcp://127.0.0.1:29500", rank=rank, world_size=2)
    numbers = torch.full((4,), rank + 1.0)
    distributed.all_reduce(numbers)
    if rank == 0:
        print(numbers.tolist(), flush=True)
    distributed.destroy_process_group()

if __name__ == "__main__":
    torch.multiprocessing.spawn(work, nprocs=2)
"""


@pytest.mark.requirement("U4")
def test_rdma_is_inert_without_infiniband(run: Run) -> None:
    """The libraries load, find no device and print nothing."""
    finished = run("python", "-c", DEVICES, cap_drop=["ALL"])
    assert (finished.exit_code, finished.output) == (0, "0\n")


@pytest.mark.requirement("U4")
def test_rdma_has_the_drivers(run: Run) -> None:
    """With InfiniBand the library of the device's maker is loaded by the name in this folder."""
    run("sh", "-c", "cat /etc/libibverbs.d/mlx5.driver && ls /usr/lib/*/libibverbs/libmlx5-rdmav*.so").require_success()


@pytest.mark.requirement("U3", "U4")
def test_processes_reduce_by_gloo(run: Run) -> None:
    """Without InfiniBand PyTorch's processes communicate by TCP."""
    script = 'printf %s "$PROGRAM" >/tmp/reduce.py && exec python /tmp/reduce.py'
    output = run("sh", "-c", script, environment={"PROGRAM": GLOO}).require_success()
    assert "[3.0, 3.0, 3.0, 3.0]" in output
