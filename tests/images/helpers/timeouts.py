"""How long a check waits for what must happen in the end; what must be quick has a bound of its own."""

USUAL_SECONDS = 30
EMULATED_SECONDS = 300  # the service takes 10 to 30 s to answer where qemu runs it
ENGINE_SECONDS = 600  # pytest's own limit ends a check that hangs, not the engine's client
EMULATED = "this host emulates the image's processor, and its seconds are not the image's"

_granted = [USUAL_SECONDS]


def seconds() -> int:
    """Return the seconds after which a wait has failed."""
    return _granted[0]


def grant(*, emulated: bool) -> None:
    """Set the patience of this run."""
    _granted[0] = EMULATED_SECONDS if emulated else USUAL_SECONDS
