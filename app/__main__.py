"""Starts the service: `python -m app`."""

import logging
import os
import sys
import threading
from http import HTTPStatus

import uvicorn

from app import gpu
from app.service import create_app
from app.settings import SettingError, read_settings

# Under a second, so that a container with a request in progress ends within one. uvicorn's
# annotation wants whole seconds; it waits by asyncio, which takes any.
SHUTDOWN_SECONDS = 0.4
PROBES = ("/health", "/ready", "/metrics")


def main() -> None:
    """Serve until a signal comes; uvicorn hands that signal on, so the exit code tells of it."""
    try:
        settings = read_settings(os.environ)
        _refuse_arguments(sys.argv[1:])
    except SettingError as error:
        sys.exit(f"error: {error}")
    config = uvicorn.Config(
        create_app(settings),
        host=None,  # type: ignore[arg-type]  # every address, of IPv4 and of IPv6, where the machine has both
        port=settings.port,
        workers=1,  # not WEB_CONCURRENCY's
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,  # type: ignore[arg-type]
    )
    # Config has set up logging; a filter that was added before it would be at its mercy.
    logging.getLogger("uvicorn.access").addFilter(is_worth_a_line)
    if not settings.require_gpu:
        # In a thread: to ask a GPU's driver may take a second.
        threading.Thread(target=log_missing_gpu, daemon=True).start()
    uvicorn.Server(config).run()


def _refuse_arguments(arguments: list[str]) -> None:
    if arguments:
        words = " ".join(arguments)
        raise SettingError(f"serve takes no arguments ({words}): set PORT or REQUIRE_GPU instead")


def log_missing_gpu() -> None:
    """Say in the log of an image for a GPU why it computes on the CPU."""
    module = gpu.of_this_image()
    if module.is_installed() and (no_gpu := module.why_unavailable()):
        logging.getLogger("uvicorn.error").warning("computing on the CPU: %s", no_gpu)


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Keep the requests of probes and of Prometheus, several a minute, out of the access log while they succeed."""
    match record.args:
        case (_, _, path, _, HTTPStatus.OK):  # uvicorn's client, method, path, HTTP version, status
            return path not in PROBES
    return True


if __name__ == "__main__":
    main()
