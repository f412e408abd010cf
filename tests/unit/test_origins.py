"""Instructions of Dockerfiles as BuildKit records them, and the packages that each layer requests from apt."""

import io
from pathlib import Path

import pytest

from slipway import matrix
from slipway.audit import file_checks, package_checks
from slipway.audit.debian_packages import claim_files, read_packages
from slipway.audit.origins import Origins, names_package, read_origins
from slipway.audit.state import Audit
from slipway.build.dockerfiles import Dockerfiles, read_dockerfiles
from slipway.image import filesystem
from slipway.image.archive import read_archive
from slipway.image.filesystem import FileSystem
from tests.helpers.archives import Member, file_system, oci, saved, tar

MATRIX = matrix.load_matrix()
IMAGE = MATRIX.find_image("cuda-devel")
FIRST = "RUN |1 DATE=1 /bin/sh -c install --upgrade tool # buildkit"
SECOND = "RUN |1 DATE=1 /bin/sh -c install two # buildkit"
DOCKERFILE = """\
ARG IMAGE=debian
ARG DATE=1
ARG NOTICE=
ARG PARTS=part${DATE}
# A comment
FROM ${IMAGE} AS system
ARG DATE
ENV A="b c" D=e
RUN --mount=type=cache,id=own-apt,target=/x \\
    # a comment between the lines
    --mount=type=secret,id=s \\
    install --upgrade tool

FROM system AS final
RUN <<EOT
    set -eux
    install two # ${DATE}
EOT
RUN install two
COPY --from=other /a/ /b/ /
ENV NOTICE=${NOTICE} OTHER=${OTHER:+${OTHER},more} QUOTED="x>=${DATE}"
EXPOSE 8888 22/udp
HEALTHCHECK --interval=30s CMD ["check", "two words"]
ENTRYPOINT ["tini", "--", "run"]
CMD ["serve"]
USER 1000:0
LABEL title="A title" date=${DATE}
"""
DOCKERFILES = Dockerfiles([DOCKERFILE], {"NOTICE": "gone soon, use another"})


@pytest.mark.parametrize(
    ("recorded", "is_own"),
    [
        (FIRST, True),
        ("RUN |1 DATE=1 /bin/sh -c     set -eux\n    install two # ${DATE}\n # buildkit", True),
        ("RUN /bin/sh -c install two", True),
        ("RUN /bin/sh -c install two # more", False),
        ("RUN /bin/sh -c install", False),
        ("RUN |1 DATE=2 /bin/sh -c install two # buildkit", False),
        ("RUN |2 DATE=1 EXTRA=x /bin/sh -c install two # buildkit", False),
        ("RUN |1 DATE=1 /bin/sh -c evil /bin/sh -c install two # buildkit", False),
        ("RUN |2 DATE=1 PARTS=part1 /bin/sh -c install two # buildkit", True),
        ("RUN |2 DATE=1 PARTS=part2 /bin/sh -c install two # buildkit", False),
        ("ENV A=b c D=e", True),
        ("ENV A=b c D=f", False),
        ("ENV NOTICE=gone soon, use another OTHER=compute,more QUOTED=x>=1", True),
        ("ENV NOTICE=gone soon, use another OTHER= QUOTED=x>=1", True),
        ("ENV NOTICE= OTHER= QUOTED=x>=1", False),
        ("ENV NOTICE=gone soon, use another OTHER=two words QUOTED=x>=1", False),
        ("ENV PATH=/evil", False),
        ("COPY /a/ /b/ / # buildkit", True),
        ("COPY /a/ / # buildkit", False),
        ("EXPOSE map[22/udp:{} 8888/tcp:{}]", True),
        ("EXPOSE [22/udp 8888/tcp]", True),
        ("EXPOSE map[23/tcp:{}]", False),
        ('HEALTHCHECK &{["CMD" "check" "two words"] "30s" "0s" "0s" "0s" \'\\x00\'}', True),
        ('HEALTHCHECK &{["CMD" "check" "two" "words"] "30s" "0s" "0s" "0s" \'\\x00\'}', False),
        ('ENTRYPOINT ["tini" "--" "run"]', True),
        ('ENTRYPOINT ["run"]', False),
        ('CMD ["tini" "--" "run"]', False),
        ("USER 1000:0", True),
        ("USER 0:0", False),
        ("LABEL title=A title date=1", True),
        ("ONBUILD RUN evil", False),
        ("ADD file:1 in /", False),
    ],
)
def test_a_recorded_instruction_is_one_of_the_dockerfiles_or_not(recorded: str, *, is_own: bool) -> None:
    assert DOCKERFILES.contains(recorded) == is_own


def test_the_first_file_of_a_stage_on_an_image_follows_the_base_image() -> None:
    """A later instruction, and one of a stage that starts from another stage, does not."""
    assert DOCKERFILES.begins_stage(FIRST)
    assert not DOCKERFILES.begins_stage("ENV A=b c D=e")
    assert not DOCKERFILES.begins_stage(SECOND)


def test_the_workloads_and_their_variant_are_read_for_one_contract(root: Path) -> None:
    """A build argument has the contract's value; BASE is the parent under any tag."""
    workload = MATRIX.find_image("cpu-base-workbench")
    name, value = next((name, value) for name, value in workload.arguments.items() if name != "BASE")
    text = f"ARG BASE=x\nARG {name}=default\nFROM ${{BASE}} AS a\nARG BASE {name}\nRUN install workload\n"
    (root / workload.dockerfile).write_text(text)
    key, version = next(iter(IMAGE.variant.arguments.items()))
    text = f"ARG {key}=default\nFROM x AS base\nARG {key}\nRUN --mount=type=cache,id=own,target=/x install variant\n"
    for image in (workload, IMAGE):
        (root / image.variant.dockerfile).write_text(text)

    found = read_dockerfiles(workload)
    assert found.contains(f"RUN |2 BASE=example.com/x:1 {name}={value} /bin/sh -c install workload")
    assert not found.contains(f"RUN |2 BASE=example.com/x:1 {name}=other /bin/sh -c install workload")
    assert found.contains(f"RUN |1 {key}=default /bin/sh -c install variant")
    own = read_dockerfiles(IMAGE)
    assert own.contains(f"RUN |1 {key}={version} /bin/sh -c install variant")
    assert not own.contains(f"RUN |1 {key}=default /bin/sh -c install variant")
    assert own.cache_ids == {"own"}


# --- the layers of an image ----------------------------------------------------------------------


def status(*names: str) -> Member:
    text = "\n".join(f"Package: {name}\nStatus: install ok installed\nVersion: 1\n" for name in names)
    return "var/lib/dpkg/status", text.encode()


def states(**automatic: int) -> Member:
    text = "\n".join(f"Package: {name}\nAuto-Installed: {value}\n" for name, value in automatic.items())
    return "var/lib/apt/extended_states", text.encode()


BASE = ("made by debootstrap", [status("dpkg")])


def test_what_apt_was_asked_for_is_what_it_did_not_install_by_itself() -> None:
    """In each layer: a package that was there for another one is asked for once apt takes it as wanted."""
    image = file_system(
        BASE,
        (FIRST, [status("dpkg", "tool", "lib"), states(lib=1)]),
        (SECOND, [status("dpkg", "tool", "lib", "two", "more"), states(lib=0, more=1)]),
    )
    origins = read_origins(image, DOCKERFILES)
    assert (origins.base, origins.own, origins.foreign) == (1, {1, 2}, [])
    assert origins.base_packages == {"dpkg"}
    assert origins.named == {"tool", "two"}
    assert origins.unnamed == {"lib": 2}
    assert origins.package_layers == {1, 2}


def test_a_layer_must_name_a_package_itself() -> None:
    """A name in another or a foreign instruction does not count. Without apt's marks, all packages are requested."""
    image = file_system(
        BASE,
        (FIRST, [status("dpkg", "two"), states()]),
        (SECOND, [status("dpkg", "two", "tool")]),
        ("RUN install evil", [status("dpkg", "two", "tool", "evil")]),
    )
    origins = read_origins(image, DOCKERFILES)
    assert origins.unnamed == {"two": 1, "tool": 2, "evil": 3}
    assert origins.package_layers == set()


def test_a_package_may_be_named_by_a_build_argument() -> None:
    """Its default, or the contract's value: BuildKit does not record the arguments of a parent stage."""
    text = 'ARG HEADERS="libx-dev liby-dev"\nFROM ${IMAGE} AS a\nRUN install ${HEADERS}\n'
    image = file_system(BASE, ("RUN /bin/sh -c install ${HEADERS}", [status("dpkg", "liby-dev", "libz")]))
    assert read_origins(image, Dockerfiles([text])).unnamed == {"libz": 1}
    assert read_origins(image, Dockerfiles([text], {"HEADERS": "libz"})).unnamed == {"liby-dev": 1}


@pytest.mark.parametrize("name", ["tool", "tool.deb", "libtorch2.6"])
def test_a_package_is_named_as_a_word(name: str) -> None:
    assert names_package("RUN install /packages/tool.deb $(cat /packages/libtorch)", name.removesuffix(".deb"))
    assert not names_package("RUN install tool-doc libtool tool2 libtorch-dev", name.removesuffix(".deb"))


def test_foreign_instructions_are_found_with_and_without_a_layer() -> None:
    """What is below the first instruction of the Dockerfiles is the base image; ARG counts where it is used."""
    image = file_system(
        ("ENV DEBIAN=1", None),
        BASE,
        ("ARG DATE", None),
        (FIRST, [("a", b"")]),
        ("ENV EVIL=1", None),
        ("RUN evil", [("b", b"")]),
        ('CMD ["serve"]', None),
    )
    origins = read_origins(image, DOCKERFILES)
    assert (origins.base, origins.own) == (1, {1})
    assert origins.foreign == [(None, "ENV EVIL=1"), (2, "RUN evil")]
    audit = Audit(IMAGE, image, {}, [], {}, origins)
    file_checks.check_instructions(audit)
    found = [(finding.kind, finding.what, finding.layer) for finding in audit.findings]
    assert found == [("foreign instruction", "ENV EVIL=1", None), ("foreign layer", "layer 2", 2)]


def test_an_image_without_the_first_instruction_has_no_base_image() -> None:
    """Otherwise a replacement of the first layers would count as the base image."""
    origins = read_origins(file_system(BASE, (SECOND, [("a", b"")])), DOCKERFILES)
    assert (origins.base, origins.own) == (0, {1})
    assert origins.foreign == [(0, "made by debootstrap")]
    assert origins.base_packages == set()


def test_an_image_without_a_history_is_foreign() -> None:
    data = saved(oci(tar(("a", b"")), history=[]))
    image = FileSystem(read_archive(io.BytesIO(data), "test:image", filesystem.choose_content))
    assert read_origins(image, DOCKERFILES) == Origins(foreign=[(0, "")])


def test_packages_outside_the_lock_are_those_that_nobody_named_or_needs() -> None:
    """A package that was requested from apt must be named, although another one depends on it."""
    text = """\
Package: tool
Status: install ok installed
Version: 1
Depends: lib, asked

Package: lib
Status: install ok installed
Version: 2

Package: asked
Status: install ok installed
Version: 3

Package: stray
Status: install ok installed
Version: 4
"""
    files: list[Member] = [("var/lib/dpkg/status", text.encode()), states(lib=1, stray=1)]
    image = file_system(BASE, (FIRST, files))
    packages = read_packages(text)
    audit = Audit(IMAGE, image, packages, [], claim_files(image, packages), read_origins(image, DOCKERFILES))
    package_checks.check_packages(audit)
    assert [(finding.what, finding.detail.partition(":")[0]) for finding in audit.findings] == [
        ("deb:asked", "3"),
        ("deb:stray", "4"),
    ]
    assert "instruction of layer 1 does not name it" in audit.findings[0].detail
