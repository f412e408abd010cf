"""The docker command: everything that Slipway asks of the engine goes through here."""

import contextlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, cast

from slipway.errors import SlipwayError

CHUNK = 1 << 20
TEST_LABEL = "slipway.test"  # of what the tests make: containers, volumes, networks, broken images

# Where they are set, docker runs no image that is unsigned, or takes another platform than a command means.
IGNORED = ("DOCKER_CONTENT_TRUST", "DOCKER_DEFAULT_PLATFORM")
NO_IMAGE = ("no such image", "invalid reference format")  # no image can have such a name
MISSING = "there is no docker command; `nox -s setup` installs it"
ADVICE = "`nox -s setup` checks the engine and starts it"


def make_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a docker command: this process's, without what is ignored, and more variables."""
    return {name: value for name, value in os.environ.items() if name not in IGNORED} | dict(more or {})


def call(
    *arguments: str,
    data: bytes | None = None,
    timeout: float | None = None,
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a docker command, with these variables, too, and return its outcome, whatever its exit code."""
    try:
        result = subprocess.run(
            ["docker", *arguments],
            env=make_environment(variables),
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise SlipwayError(MISSING) from None
    out, err = (text.decode(errors="replace") for text in (result.stdout, result.stderr))
    return subprocess.CompletedProcess(result.args, result.returncode, out, err)


def output(*arguments: str, data: bytes | None = None) -> str:
    """Return the output of a docker command; SlipwayError with docker's message when it fails."""
    result = call(*arguments, data=data)
    if result.returncode:
        raise failure(" ".join(arguments), result.returncode, result.stderr)
    return result.stdout


def failure(command: str, code: int, stderr: str) -> SlipwayError:
    """Return the error of a docker command that failed."""
    reason = stderr.strip() or ("it was killed" if code < 0 else f"exit code {code}, no message")
    return SlipwayError(f"`docker {command}` failed: {reason}\n{ADVICE}")


def own_builder() -> str:
    """Return the name of the engine's own builder, which is that of the docker context."""
    return output("context", "show").strip()


def name_engine() -> dict[str, str]:
    """Return the variables that name the engine of docker's context, for programs that know no contexts.

    Empty where DOCKER_HOST names it.
    """
    if os.environ.get("DOCKER_HOST"):
        return {}
    [context] = json.loads(output("context", "inspect"))
    variables = {"DOCKER_HOST": context["Endpoints"]["docker"]["Host"]}
    if (context.get("TLSMaterial") or {}).get("docker"):
        variables |= {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": f"{context['Storage']['TLSPath']}/docker"}
    return variables


def inspect(reference: str) -> dict[str, Any] | None:
    """Return the engine's description of an image, None without such an image."""
    words = ("image", "inspect", "--", reference)
    result = call(*words)
    if result.returncode and any(text in result.stderr.lower() for text in NO_IMAGE):
        return None
    if result.returncode:
        raise failure(" ".join(words), result.returncode, result.stderr)
    return cast("dict[str, Any]", json.loads(result.stdout)[0])


def require_image(reference: str) -> dict[str, Any]:
    """Return the engine's description of an image; SlipwayError without such an image."""
    found = inspect(reference)
    if found is None:
        hint = f"build it (nox -s build -- IMAGE) or pull it: docker pull {reference}"
        raise SlipwayError(f"{reference} is not an image of this engine; {hint}")
    return found


@contextlib.contextmanager
def save(image_id: str) -> Iterator[BinaryIO]:
    """Yield the archive of `docker save`, which ends with the block; SlipwayError when docker failed.

    An ID and not a name: a name without a tag would save all its tags.
    """
    command = ["docker", "save", "--", image_id]
    with tempfile.TemporaryFile("w+") as errors:
        try:
            process = subprocess.Popen(
                command, env=make_environment(), stdout=subprocess.PIPE, stderr=errors, pipesize=CHUNK, bufsize=CHUNK
            )
        except FileNotFoundError:
            raise SlipwayError(MISSING) from None
        stream = cast("BinaryIO", process.stdout)
        with process:
            try:
                yield stream
                while stream.read(CHUNK):
                    pass
                process.wait()
            except SlipwayError:
                # An archive that ends early is the engine's failure where docker has ended with one.
                if stream.read(1) or not process.wait():
                    raise
            finally:
                process.kill()
                # After Ctrl-C, Popen's own exit waits for a quarter of a second only.
                process.wait()
        if process.returncode:
            errors.seek(0)
            raise failure(f"save {image_id}", process.returncode, errors.read())


def pack(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a tar archive of files given by name and content, as a container's input."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
