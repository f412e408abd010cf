"""What Prometheus reads: requests, their duration, readiness; the client adds the process's own."""

from time import perf_counter

from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUESTS = Counter("http_requests", "Requests answered.", ["path", "status"])
DURATION = Histogram("http_request_duration_seconds", "Time to answer a request.", ["path"])
READY = Gauge("service_ready", "1 when the last /ready answered 200, else 0.")


class MeasuredRequests:
    """ASGI middleware that counts each request and times its answer."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand in front of `app`."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and record it, also when answering it raised."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = perf_counter()
        status = 500

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, note_status)
        finally:
            path = _route_path(scope)
            REQUESTS.labels(path, status).inc()
            DURATION.labels(path).observe(perf_counter() - started)


def _route_path(scope: Scope) -> str:
    """The route's own path: a label must not take every value that a client can think of."""
    return getattr(scope.get("route"), "path", "unmatched")
