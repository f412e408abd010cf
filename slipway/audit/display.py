"""Prints the result of an audit."""

from collections.abc import Mapping
from typing import Any

from slipway import tables
from slipway.audit.findings import Finding

SHOWN = 40  # findings; audit.json has all
FEW = 5  # names in a list


def show_audit(name: str, result: Mapping[str, Any], findings: list[Finding]) -> None:
    """Print a table of the owners of files, the licenses and the findings."""
    files, packages = result["files"], result["packages"]
    print(f"{name}: {files['explained']:,} of {files['all']:,} files explained")
    rows = [
        (owner, f"{number:,}", str(packages.get(owner, tables.NOTHING)))
        for owner, number in sorted(files["owners"].items())
    ]
    tables.show(tables.make_table(("owner", "files", "packages"), rows))
    for kind in ("accepted", "proprietary"):
        for terms, names in result["licenses"][kind].items():
            print(tables.escape(f"  {kind}: {terms}: {', '.join(names)}"))
    if unknown := result["licenses"]["unknown"]:
        names = ", ".join(unknown[:FEW]) + (", …, all of them in audit.json" if len(unknown) > FEW else "")
        print(tables.escape(f"  {len(unknown)} components have no known license: {names}"))
    for finding in findings[:SHOWN]:
        print(f"  {finding.kind}: {tables.escape(finding.what)}\n      {tables.escape(finding.detail)}")
        if finding.layer is not None:
            print(f"      layer {finding.layer}: {tables.escape(finding.instruction[:100])}")
    if len(findings) > SHOWN:
        print(f"  and {len(findings) - SHOWN} more in audit.json")
    print(f"audit {result['verdict']}: {len(findings)} findings, {result['seconds']} s")
