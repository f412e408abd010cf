"""Fails for entries of policy/ that no published image needs, once all are scanned: `python -m slipway.scan.unused`."""

from slipway import results
from slipway.errors import SlipwayError, run
from slipway.matrix import load_matrix
from slipway.scan import policy


def main() -> int:
    """Compare the policy with the scans of all published images; as long as one is missing, nothing is known."""
    current, images = policy.load(), load_matrix().published
    scans = [results.read_json(image.results / "scan.json") for image in images]
    counted = [scan for scan in scans if scan.get("complete") and scan.get("policy") == current.digest]
    if len(counted) < len(scans):
        print(f"unused exceptions: not run, {len(counted)} of {len(scans)} published images are scanned by this policy")
        return 0
    needed = [item for scan in counted for item in scan["exceptions"]]
    unused = [item for item in current.entries() if item.record() not in needed]
    if unused:
        names = "; ".join(f"{item.identifier}, {item.statement}" for item in unused)
        raise SlipwayError(f"no published image needs these entries of policy/, remove them: {names}")
    print(f"unused exceptions: none in {len(scans)} published images")
    return 0


if __name__ == "__main__":
    run(main)
