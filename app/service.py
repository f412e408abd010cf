"""The service's routes."""

import logging
from typing import Any

import prometheus_client
from fastapi import FastAPI, Response, status
from fastapi.responses import JSONResponse

from app import info, readiness
from app.metrics import READY, MeasuredRequests
from app.settings import Settings

log = logging.getLogger("uvicorn.error")


def create_app(settings: Settings) -> FastAPI:
    """The application; what is slow runs in a thread, so that /health always answers at once."""
    app = FastAPI(title="Slipway", openapi_url=None)  # no /docs: its page loads scripts of another host
    app.add_middleware(MeasuredRequests)

    # HEAD, too: load balancers and `wget --spider` ask so.
    @app.api_route("/health", methods=["GET", "HEAD"])
    async def health() -> dict[str, str]:
        """Live: the process answers."""
        return {"status": "ok"}

    @app.api_route("/ready", methods=["GET", "HEAD"])
    def ready() -> JSONResponse:
        """Ready: a real computation has just given the right result."""
        return _answer(readiness.check(require_gpu=settings.require_gpu))

    @app.get("/info")
    def information() -> dict[str, Any]:
        """Versions, devices and memory."""
        return info.collect()

    @app.get("/metrics")
    def metrics() -> Response:
        """Requests, readiness and the process, for Prometheus."""
        content = prometheus_client.generate_latest()
        return Response(content, media_type=prometheus_client.CONTENT_TYPE_LATEST)

    return app


def _answer(verdict: readiness.Readiness) -> JSONResponse:
    READY.set(verdict.ready)
    if verdict.ready:
        return JSONResponse(vars(verdict))
    log.warning("not ready: %s", verdict.reason)
    return JSONResponse(vars(verdict), status.HTTP_503_SERVICE_UNAVAILABLE)
