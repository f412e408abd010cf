"""Images on their way from the job that builds and examines them to the job that publishes them.

A staged image is an index of two manifests: the image, and its results as one document. Whoever has the index's digest
from the building job has both, byte for byte. Nothing is signed, and no tag is written.
"""

import json
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.matrix import Matrix
from slipway.publish import oci_layout, published, registry
from slipway.publish.oci_layout import LocalImage
from slipway.publish.registry import Manifest, RegistryError, Repository, is_digest
from slipway.publish.release_checks import SESSIONS, Candidate

RESULTS = "application/vnd.slipway.results.v1+json"


def stage_image(repository: Repository, candidate: Candidate, output: Path | None) -> None:
    """Send an image with its results, and print its name with the reference; also append both to a file."""
    append_line(output, "")
    files = {name: content.decode() for name, content in candidate.files.items()}
    document = {"image": candidate.image.name, "id": candidate.local.id, "files": files}
    with oci_layout.temporary_layout() as layout:
        image = oci_layout.pack_image(candidate.local, layout)
        empty = layout.describe(oci_layout.EMPTY, layout.add_blob(b"{}"))
        content = layout.describe(RESULTS, layout.add_blob(oci_layout.encode_json(document)))
        evidence = layout.add_manifest(empty, [content], artifactType=RESULTS)
        index = layout.write_index([(image, candidate.local.platform), (evidence, {})])
        repository.push(layout.folder, index.digest, is_index=True)
    line = f"{candidate.image.name}={repository.refer(index.digest)}"
    print(line)
    append_line(output, f"{line}\n")


def append_line(output: Path | None, line: str) -> None:
    """Append a line to the file of --output, if there is one; SlipwayError when it cannot be written."""
    try:
        if output:
            with output.open("a", encoding="utf-8") as file:
                file.write(line)
    except OSError as error:
        raise SlipwayError(f"--output: cannot write {output}: {error.strerror}") from None


def read_staged(matrix: Matrix, reference: str) -> Candidate:
    """Return a staged image with its results; SlipwayError when the reference is something else."""
    name, _, digest = reference.rpartition("@")
    if not is_digest(digest):
        raise SlipwayError(f"{reference!r} names no staged image: HOST/NAME@sha256:…, as `publish --stage` prints it")
    repository = registry.parse_repository(name)
    found = published.list_images(repository, repository.require_manifest(digest))
    if [each.json.get("artifactType") for each in found] != [None, RESULTS]:
        raise RegistryError(f"{reference} is not what `publish --stage` sends")
    image, evidence = found
    name, identity, files = read_document(repository, evidence)
    settings = published.read_settings(repository, image)
    platform = {key: settings[key] for key in ("architecture", "os", "variant") if settings.get(key)}
    local = LocalImage(
        identity, tuple(settings["rootfs"]["diff_ids"]), published.read_labels(repository, image), platform
    )
    return Candidate(matrix.find_image(name), local, files, repository.refer(image.digest))


def read_document(repository: Repository, evidence: Manifest) -> tuple[str, str, dict[str, bytes]]:
    """Return the name, the ID and the results of a staged image; RegistryError when the document is malformed."""
    try:
        document = json.loads(repository.read_blob(evidence.layers[0]))
    except (IndexError, ValueError, RecursionError):
        document = None
    match document:
        case {"image": str(name), "id": str(identity), "files": dict(files)} if files.keys() == SESSIONS.keys():
            if all(isinstance(text, str) for text in files.values()):
                return name, identity, {each: text.encode() for each, text in files.items()}
    raise RegistryError(f"{repository.refer(evidence.digest)} has no results as `publish --stage` sends them")
