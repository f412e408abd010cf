"""Reasons why a test is not run that do not fail the run: this host or the network lacks something.

And the one fault of an engine, not of what is tested, after which a test runs again.
"""

ENGINE_FAULT = "read init-p: connection reset by peer"  # its runtime lost a container's first process
NO_GPU = "no NVIDIA GPU on this host"
NO_AMD_GPU = "no AMD GPU on this host"
EMULATED = "this host emulates the image's processor, and its seconds are not the image's"
NO_TORCH_INDEX = "PyTorch for ROCm is on PyTorch's own index alone: an image built with LOCKS=rocm-index has it"
NO_PYTHONS = "the site of uv's own builds of Python is not reached from a container"
NO_PARENT = "the image that it is built on is not in this engine, or is of another commit"
NO_BUNDLE = "this host has no CA bundle, so its builds were lent none"
NO_APT = "no apt on this host"
NO_COMPILER = "no C compiler (cc) on this host"
NO_MAKER = "needs root and mmdebstrap, with which a host without a registry makes its base image"
NO_FRESH_DEBIAN = "needs root, mmdebstrap and slirp4netns, by which a test has a fresh Debian with a network of its own"
NO_NAMESPACES = "no mount namespaces for this user, in which a test has another host's files or a small /tmp"
NO_GPG = "no gpg or dpkg-deb on this host, with which a test makes a Debian mirror"
NO_DEBIAN = "no mirror of Debian in the sources of this host's apt"
NO_DEBIAN_LISTS = "Debian's package lists were not reached, which a scan needs"
UPDATES = "Debian has security updates for the image, so its scan fails until images.toml has a new apt_date"
NO_SITE = "the site of the documentation is not built: nox -s docs"
NO_RUNC = "needs root and runc, by which a builder of the tests' own runs its steps"
NO_OPENSSL = "no openssl on this host, with which a test makes a CA and its certificates"
NO_BRIDGE = "a container does not reach this host by the engine's bridge, where a test serves PyTorch's index"
OWN_PROXY = "this host reaches the network by a proxy, in whose place a test would put its own"
NO_PYPI = "the test's proxy did not reach the index that locks are compiled from"
LEFT_OUT = "`nox -s tests` leaves the image out, and it is not built"
ACCEPTED = (
    *(NO_GPU, NO_AMD_GPU, EMULATED, NO_TORCH_INDEX, NO_PYTHONS, NO_PARENT, NO_BUNDLE),
    *(NO_APT, NO_COMPILER, NO_MAKER, NO_FRESH_DEBIAN, NO_NAMESPACES, NO_GPG, NO_DEBIAN, NO_RUNC, NO_SITE),
    *(NO_OPENSSL, NO_BRIDGE, OWN_PROXY, NO_PYPI),
    *(NO_DEBIAN_LISTS, UPDATES, LEFT_OUT),
)
