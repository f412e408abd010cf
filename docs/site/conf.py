"""Settings of Sphinx for `nox -s docs`: the Markdown of the repository as a site, in the folders where it is.

The pages are read from the root of the repository, so that a link works on the site as on a code host.
"""

from pathlib import Path

ROOT = Path(__file__).parents[2]
# The sidebar. A page that is missing here, or here alone, fails the build.
PAGES = {
    "Use": ["start", "choosing", "workbench", "kubernetes", "limits", "coming-from", "troubleshooting"],
    "Build": ["building", "extending", "ci"],
    "Answer for": ["checking", "contents", "auditing", "scanning", "publishing", "verifying", "upgrading"],
    "Look up": ["reference", "requirements", "performance", "architecture", "decisions/README"],
}
REPOSITORY = ["CONTRIBUTING", "SECURITY", "CHANGELOG"]

project = "Slipway"
extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["*.md", "docs/**"]
exclude_patterns = [folder.name for folder in ROOT.iterdir() if folder.is_dir() and folder.name != "docs"]
myst_heading_anchors = 4  # as code hosts make them
highlight_language = "text"  # of what a fence does not name: output

html_theme = "furo"
html_title = "Slipway"
html_additional_pages = {"index": "index.html"}  # the first page is README.html
templates_path = ["."]
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
# Search reads a script and asks for no page, so it works from disk, too.
html_show_search_summary = False


def add_sidebar(_app: object, page: str, text: list[str]) -> None:
    """Put the sidebar's list of pages at the end of the first page, where only the site has it."""
    lists = {**{title: [f"docs/{name}" for name in names] for title, names in PAGES.items()}, "Repository": REPOSITORY}
    if page == root_doc:
        for title, names in lists.items():
            text[0] += "\n```{toctree}\n:hidden:\n:caption: " + title + "\n\n" + "\n".join(names) + "\n```\n"
    if page == "docs/decisions/README":
        text[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n0*\n```\n"


def setup(app: object) -> None:
    """Tell Sphinx of the sidebar."""
    app.connect("source-read", add_sidebar)  # type: ignore[attr-defined]
