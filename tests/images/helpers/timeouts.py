"""How long a check waits for something that must happen; what must be quick has a limit of its own."""

USUAL_SECONDS = 30
EMULATED_SECONDS = 300  # the service takes 10 to 30 s to answer where qemu runs it
ENGINE_SECONDS = 600  # pytest's own limit ends a check that hangs, not the engine's client

_limit = [USUAL_SECONDS]


def seconds() -> int:
    """Return the seconds after which a wait has failed."""
    return _limit[0]


def set_limit(*, emulated: bool) -> None:
    """Set the limit of this run."""
    _limit[0] = EMULATED_SECONDS if emulated else USUAL_SECONDS
