"""Reasons why a test is not run that do not fail the run: this host or the network lacks something."""

NO_GPU = "no NVIDIA GPU on this host"
NO_AMD_GPU = "no AMD GPU on this host"
EMULATED = "this host emulates the image's processor, and its seconds are not the image's"
NO_TORCH_INDEX = "PyTorch for ROCm is on PyTorch's own index alone: an image built with LOCKS=rocm-index has it"
NO_APT = "no apt on this host"
NO_COMPILER = "no C compiler (cc) on this host"
NO_MAKER = "needs root and mmdebstrap, with which a host without a registry makes its base image"
NO_NAMESPACES = "no mount namespaces for this user, in which a test has another host's files or a small /tmp"
NO_GPG = "no gpg or dpkg-deb on this host, with which a test makes a Debian mirror"
NO_DEBIAN = "no mirror of Debian in the sources of this host's apt"
NO_RUNC = "needs root and runc, by which a builder of the tests' own runs its steps"
ACCEPTED = (
    *(NO_GPU, NO_AMD_GPU, EMULATED, NO_TORCH_INDEX),
    *(NO_APT, NO_COMPILER, NO_MAKER, NO_NAMESPACES, NO_GPG, NO_DEBIAN, NO_RUNC),
)
