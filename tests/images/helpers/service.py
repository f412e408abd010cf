"""The service of an image: how it is started, and its answer on /ready."""

import json
from typing import Any

from docker.models.containers import Container

from slipway.matrix import Image
from tests.images.helpers.containers import inside

# Waits for the service; the status is 503 where it is not ready.
READY = """
import time, urllib.error, urllib.request
for attempt in range(100):
    try:
        answer = urllib.request.urlopen("http://127.0.0.1:8000/ready")
    except urllib.error.HTTPError as error:
        answer = error
    except OSError:
        time.sleep(0.1)
        continue
    print(answer.status, answer.read().decode())
    break
"""


def serve_command(contract: Image) -> list[str]:
    """Return the command of the service: none, unless a workload has another default mode."""
    return [] if contract.mode == "serve" else ["serve"]


def ask_ready(container: Container) -> tuple[int, dict[str, Any]]:
    """Return status and content of /ready, asked from inside the container."""
    status, _, body = inside(container, "python", "-c", READY).partition(" ")
    return int(status), json.loads(body)
