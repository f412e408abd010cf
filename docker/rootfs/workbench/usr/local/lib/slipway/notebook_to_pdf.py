"""Makes notebook.pdf of a notebook without LaTeX.

    notebook_to_pdf.py FILE

FILE is what the template `slipway-pdf` writes: the notebook as JSON. It becomes HTML by nbconvert, its formulas become
pictures by the MathJax that JupyterLab has, too, and the page becomes a PDF by WeasyPrint. No network is needed.
"""

import html
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import weasyprint
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
    text = page(notebook, title, given["path"])
    # A picture that a cell names lies beside the notebook.
    document = weasyprint.HTML(string=text, base_url=f"{Path(given['path']).absolute()}/")
    document.write_pdf(Path(file).with_name("notebook.pdf"))


if __name__ == "__main__":
    main(sys.argv[1])
