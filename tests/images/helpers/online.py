"""Downloads in a container of the image, with the host's own settings for them."""

import re

import pytest

from slipway import docker
from slipway.host import downloads, engine
from slipway.matrix import Image
from tests.images.helpers.containers import Finished, Run

# The settings are in the container's environment only, and gone with it.
SCRIPT = """
[ -z "$UV_TOML" ] || { printf %s "$UV_TOML" >/tmp/uv.toml; export UV_CONFIG_FILE=/tmp/uv.toml; }
[ -z "$NETRC_TEXT" ] || { printf %s "$NETRC_TEXT" >/tmp/netrc; export NETRC=/tmp/netrc; }
[ -e "$SSL_CERT_FILE" ] || unset SSL_CERT_FILE
"""
DRY_RUN = 'exec uv pip install --dry-run --no-build $(printf -- "--constraints=%s " /run/locks/*) "$@"'
OUT_OF_REACH = r"error sending request|dns error|tcp connect|timed out|Connection refused"
ADDRESS = re.compile(r"https?://(?:[^/@\s]*@)?([\w.-]+)(?::(\d+))?")
# On standard input the host's settings for apt, as every build has them.
SHOW = """
tar -x -C / || exit
apt-get -o APT::Update::Error-Mode=any -o Acquire::Retries=1 --quiet update >&2 || exit
apt-cache show "$1" 2>/dev/null || true
"""
CONNECT = 'timeout 10 bash -c "exec 3<>/dev/tcp/$1/$2"'


def download(run: Run, contract: Image, script: str, *words: str, reason: str) -> Finished:
    """Run a shell script with words in a container that reaches what the host reaches, with the locks of the variant.

    The check is not run, for the reason, where a download fails because its source is out of reach for Debian's own
    image, too.
    """
    settings = downloads.find(contract.variant.distro.suite)
    volumes = {str(file): {"bind": f"/run/locks/{file.name}", "mode": "ro"} for file in contract.variant_locks}
    if settings.ca_bundle:
        volumes[str(settings.ca_bundle)] = {"bind": "/run/ca.pem", "mode": "ro"}
    environment = {**settings.proxies}
    environment |= {"UV_TOML": settings.uv_toml, "NETRC_TEXT": settings.netrc, "SSL_CERT_FILE": "/run/ca.pem"}
    options = {"network_mode": "bridge", "environment": environment, "volumes": volumes, "use_config_proxy": True}
    finished = run("sh", "-c", SCRIPT + script, "sh", *words, **options)
    asked = settings.proxies.get("https_proxy") or finished.output
    if finished.exit_code and re.search(OUT_OF_REACH, finished.output) and not is_reached(contract, asked):
        pytest.skip(reason)
    return finished


def is_reached(contract: Image, text: str) -> bool:
    """Tell whether a container of the Debian image below connects to the first address in a text."""
    if not (address := ADDRESS.search(text)):
        return False
    place = (address[1], address[2] or ("443" if address[0].startswith("https") else "80"))
    options = ("--rm", "--pull=never", "--network=bridge", f"--label={docker.TEST_LABEL}")
    return (
        docker.call("run", *options, contract.variant.distro.image, "sh", "-c", CONNECT, "sh", *place).returncode == 0
    )


def is_in_archive(image_id: str, contract: Image, package: str) -> bool:
    """Tell whether the apt sources of a build have a package; the check is not run where they are not reached."""
    settings = downloads.find(contract.variant.distro.suite)
    options = ("--rm", "--interactive", "--user=0:0", "--entrypoint=sh", f"--label={docker.TEST_LABEL}")
    proxies = [f"--env={name}" for name in settings.proxies]
    words = (image_id, "-c", SHOW, "sh", package)
    asked = docker.call(
        "run", *options, *proxies, *words, data=engine.pack_settings(settings), variables=settings.proxies
    )
    if asked.returncode:
        pytest.skip(f"Debian's package lists were not reached: {asked.stderr.strip()[-100:]}")
    return f"Package: {package}\n" in asked.stdout


def would_install(run: Run, contract: Image, *requirements: str) -> set[str]:
    """Return the distributions that `uv pip install` would add; the check is not run without an index."""
    reason = "no package index is reached from a container"
    output = download(run, contract, DRY_RUN, *requirements, reason=reason).require_success()
    return set(re.findall(r"(?m)^ \+ ([\w.-]+)==", output))
