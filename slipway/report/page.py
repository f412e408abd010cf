"""Writes dist/report/index.html, one page about the images, and report.md, the text for a pull request.

    python -m slipway.report.page              the images with results in dist/
    python -m slipway.report.page cuda-devel   these alone

The page needs no network: its style, its script and plotly.js are in it, and its policy lets nothing else run. Texts
of an image are escaped by the templates, or written as text by the script.
"""

import argparse
import base64
import gzip
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from slipway import repository, results
from slipway.build.record import RESULTS
from slipway.errors import SlipwayError, run
from slipway.matrix import Image, Matrix, load_matrix
from slipway.report import page_across, page_history, page_images, published_sizes, summary
from slipway.report.page_images import View
from slipway.report.page_results import count_pulled, make_visible, read_results

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("parts.js", "tables.js", "charts.js", "views.js")  # one script in the page, in this order
LARGEST_PAGE = 5_000_000  # bytes
LARGEST_TEXT = 60_000  # characters: GitHub takes 65,536 in a comment


def choose_images(matrix: Matrix, names: Sequence[str]) -> list[Image]:
    """Return the images of these names, or else those with results; SlipwayError without any."""
    if names:
        return [matrix.find_image(name) for name in dict.fromkeys(names)]
    found = [image for image in matrix.images if any((image.results / name).exists() for name in RESULTS)]
    if not found:
        raise SlipwayError("dist/ has no results of any image: nox -s build test")
    return found


def collect(matrix: Matrix, chosen: Sequence[Image]) -> View:
    """Return all that the page shows."""
    found = [read_results(image) for image in chosen]
    measured = [each.contents.value for each in found if each.contents.value]
    compressed = bool(measured) and all(contents.is_compressed for contents in measured)
    found = [count_pulled(each, compressed=compressed) for each in found]
    sizes = {each.image.name: each.size for each in found if each.size}
    published = list(published_sizes.list_published(matrix, sizes))
    images = [page_images.describe_image(each, page_history.update_history(each), published) for each in found]
    names = {image.name for image in chosen}
    checks = [check for each in found if each.checks.value for check in each.checks.value.checks]
    view: View = make_visible(
        {
            "images": images,
            "left_out": [image.name for image in matrix.images if image.name not in names],
            "published": published,
            "compressed": compressed,
            "waiting": list_waiting(images),
            "silent": published_sizes.list_silent(),
            "shares": page_across.measure_shares(images),
            "update_kinds": sorted(
                {kind for image in images if image["contents"] for kind in image["contents"]["updates"]}
            ),
            "times": page_across.list_times(images),
            "requirements": summary.group_requirements(checks),
            "unnamed": summary.list_unnamed_requirements(checks),
            "release": matrix.release,
            "commit": repository.describe_head(),
            "made": datetime.now(UTC).isoformat(timespec="minutes").removesuffix("+00:00").replace("T", " "),
        }
    )
    return view


def list_waiting(images: Sequence[View]) -> dict[str, list[str]]:
    """Return for each step the images that only wait for its session."""
    found: dict[str, list[str]] = {}
    for image in images:
        for step in image["steps"]:
            if step["is_waiting"]:
                found.setdefault(step["step"], []).append(image["name"])
    return found


# --- the page ------------------------------------------------------------------------------------


def write_digest(script: str) -> str:
    """Return a script's digest as a policy of a page names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def make_environment() -> Environment:
    """Return the templates' environment: what goes into HTML is escaped, and no name may be missing."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), disabled_extensions=("md.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.filters["bytes"] = page_images.format_bytes
    environment.filters["code"] = write_code
    return environment


def render_page(view: View) -> str:
    """Return the page; SlipwayError when it is too large."""
    plotly = (resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    script = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    page = (
        make_environment()
        .get_template("page.html.j2")
        .render(
            view,
            data=page_across.pack_data(view["images"], view["times"]),
            style=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
            script=script,
            plotly=base64.b64encode(gzip.compress(plotly.encode(), mtime=0)).decode(),
            policy=f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
            f"form-action 'none'; script-src {write_digest(script)} {write_digest(plotly)}",
        )
    )
    if (size := len(page.encode())) > LARGEST_PAGE:
        limit = page_images.format_bytes(LARGEST_PAGE)
        raise SlipwayError(
            f"the page would have {page_images.format_bytes(size)}, more than {limit}: name fewer images, "
            f"nox -s report -- {view['images'][0]['name']}"
        )
    return page


# --- the text ------------------------------------------------------------------------------------


def write_code(text: object) -> str:
    """Return a text as code for a table of Markdown, where nothing in it is markup, a link or a mention."""
    line = " ".join(str(text).split()).replace("|", "\\|")
    longest = max((len(run) for run in "".join(c if c == "`" else " " for c in line).split()), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {line} {fence}" if line else ""


def render_text(view: View) -> str:
    """Return the text for a pull request, at most LARGEST_TEXT characters."""
    text = make_environment().get_template("report.md.j2").render(view)
    if len(text) > LARGEST_TEXT:
        cut = text[:LARGEST_TEXT].rpartition("\n")[0]
        text = f"{cut}\n\nThe rest is in the page.\n"
    return text


def main(words: Sequence[str] | None = None) -> int:
    """Write both files and print where they are."""
    parser = argparse.ArgumentParser(prog="python -m slipway.report.page", description=__doc__.partition("\n")[0])
    parser.add_argument("images", metavar="IMAGE", nargs="*", help="these alone, such as cuda-devel")
    options = parser.parse_args(words)
    matrix = load_matrix()
    view = collect(matrix, choose_images(matrix, options.images))
    page, text = render_page(view), render_text(view)
    folder = repository.ROOT / "dist" / "report"
    for name, content in (("report.md", text), ("index.html", page)):
        results.write(folder / name, content)
    number = len(view["images"])
    print(f"{folder / 'index.html'}  {number} images, {page_images.format_bytes(len(page.encode()))}")
    print(f"{folder / 'report.md'}")
    return 0


if __name__ == "__main__":
    run(main)
