"""Makes notebook.pdf of a notebook without LaTeX.

    notebook_to_pdf.py FILE

FILE is what the template `slipway-pdf` writes: the notebook as JSON. It becomes HTML by nbconvert, its formulas become
pictures by the MathJax that JupyterLab has, too, and the page becomes a PDF by WeasyPrint. No network is needed.
"""

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import nbformat
import weasyprint
import weasyprint.urls
from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

MATHJAX = ("/opt/code-server/node", "/opt/mathjax/render.js")
STYLE = Path(__file__).with_name("notebook.css")
# What paper can show, the best first. Scripts and widgets live in a browser; what a cell offers beside them is taken.
SHOWN = ["text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/plain"]


class Formulas:
    """The formulas of a notebook. Each leaves a mark in the text, and all are drawn at once."""

    def __init__(self) -> None:
        """Begin without one."""
        self.found: list[dict[str, Any]] = []

    def mark(self, tex: str, *, display: bool) -> str:
        """Take note of a formula and return its mark."""
        self.found.append({"tex": tex, "display": display})
        return f'<span class="formula" id="formula-{len(self.found) - 1}"></span>'

    def draw(self, page: str) -> str:
        """Return the page with a picture for each mark."""
        if not self.found:
            return page
        drawn = subprocess.run(MATHJAX, input=json.dumps(self.found), stdout=subprocess.PIPE, text=True, check=True)
        pictures = json.loads(drawn.stdout)

        def picture(mark: re.Match[str]) -> str:
            number = int(mark[1])
            kind = "display" if self.found[number]["display"] else "inline"
            return f'<span class="formula {kind}">{pictures[number]}</span>'

        return re.sub(r'<span class="formula" id="formula-(\d+)"></span>', picture, page)


class Renderer(IPythonRenderer):
    """Markdown as nbconvert renders it, but for its formulas."""

    def __init__(self, formulas: Formulas, path: str, attachments: dict[str, dict[str, str]]) -> None:
        """Render as usual and leave the formulas to `formulas`."""
        super().__init__(escape=False, exclude_anchor_links=True, path=path, attachments=attachments)
        self.formulas = formulas

    def block_math(self, body: str) -> str:
        """Mark $$...$$."""
        return self.formulas.mark(body, display=True)

    def inline_math(self, body: str) -> str:
        """Mark $...$."""
        return self.formulas.mark(body, display=False)

    def latex_environment(self, name: str, body: str) -> str:
        r"""Mark \begin{...}...\end{...}."""
        return self.formulas.mark(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True)


class Exporter(HTMLExporter):
    """nbconvert's HTML, with a mark for each formula."""

    def __init__(self, formulas: Formulas, path: str) -> None:
        """Use the plain template: the page gets a style for paper."""
        super().__init__(config=Config(NbConvertBase={"display_data_priority": SHOWN}), template_name="basic")
        self.formulas = formulas
        self.path = path

    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:
        """Render Markdown; the template calls it."""
        renderer = Renderer(self.formulas, self.path, context.get("cell", {}).get("attachments", {}))
        return str(MarkdownWithMath(renderer=renderer).render(source))


class Fetcher(weasyprint.urls.URLFetcher):
    """Fetches what the page itself holds and files beside the notebook, but for hidden ones.

    A notebook may be somebody else's, and name any file of the user or a server that only the user reaches.
    """

    def __init__(self, folder: Path) -> None:
        """Take files from a folder."""
        super().__init__(allowed_protocols=("data", "file"), allow_redirects=False)
        self.folder = folder.resolve()

    def fetch(self, url: str, headers: dict[str, str] | None = None) -> weasyprint.urls.URLFetcherResponse:
        """Return the content of an address; ValueError for one that is not allowed."""
        parts = urlsplit(url)
        if parts.scheme.lower() == "file":
            path = Path(unquote(parts.path)).resolve()
            is_inside = path.is_relative_to(self.folder) and not parts.netloc
            if not is_inside or any(part.startswith(".") for part in path.relative_to(self.folder).parts):
                raise ValueError(f"not beside the notebook: {url}")
            url = path.as_uri()
        return super().fetch(url, headers)


def latex_as_markdown(notebook: nbformat.NotebookNode) -> None:
    """Let outputs in LaTeX be rendered as Markdown, which may consist of a formula alone."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/latex" in data and "text/html" not in data:
                data["text/markdown"] = data["text/latex"]


def page(notebook: nbformat.NotebookNode, title: str, path: str) -> str:
    """Return the notebook as one page of HTML."""
    formulas = Formulas()
    latex_as_markdown(notebook)
    body, _ = Exporter(formulas, path).from_notebook_node(notebook)
    colours = HtmlFormatter().get_style_defs(".highlight")
    style = f"{STYLE.read_text(encoding='utf-8')}\n{colours}"
    head = f"<title>{html.escape(title)}</title><style>{style}</style>"
    return f"<!DOCTYPE html><html><head>{head}</head><body>{formulas.draw(body)}</body></html>"


def main(file: str) -> None:
    """Write notebook.pdf beside the file."""
    given = json.loads(Path(file).read_text(encoding="utf-8"))
    notebook = nbformat.from_dict(given["notebook"])
    title = notebook.metadata.get("title") or given["name"]
    # nbconvert names no folder for a notebook in the working folder, but adds it to TeX's path, and works elsewhere.
    folder = Path(given["path"] or os.environ["TEXINPUTS"].partition(os.pathsep)[0]).absolute()
    text = page(notebook, title, str(folder))
    document = weasyprint.HTML(string=text, base_url=f"{folder}/", url_fetcher=Fetcher(folder))
    document.write_pdf(Path(file).with_name("notebook.pdf"))


if __name__ == "__main__":
    main(sys.argv[1])
