"""A notebook is executed and becomes a PDF, without LaTeX and without network."""

import ctypes
import io
import json
import tarfile
from typing import Any

import pypdfium2
import pypdfium2.raw
import pytest

from tests.images.helpers.containers import WITHOUT_GPU, Start
from tests.images.helpers.scope import applies
from tests.images.helpers.workbench import ONE_VOLUME, TOKEN, Workbench, open_workbench

pytestmark = applies(workload="workbench")

FORMULA = r"$$\int_{-\infty}^{\infty} e^{-x^2}\,dx = \sqrt{\pi}$$"
PLOT = "from matplotlib import pyplot; pyplot.plot([1, 4, 9], linewidth=9); pyplot.show()"
TABLE = "import pandas; pandas.DataFrame({'name': ['alpha', 'beta'], 'value': [1.5, -2.25]})"
LATEX = r"from IPython.display import Math; Math(r'\frac{\alpha}{\beta}')"
PLAIN = "print('plain', 6 * 7, 'ä€')"
SCRIPTS = "漢かカ한简🚀🎉"  # Chinese, Japanese, Korean, emoji
BLUE = bytes((31, 119, 180))  # matplotlib's first colour


def cell(kind: str, source: str) -> dict[str, Any]:
    """Return a cell as a notebook's file has it."""
    outputs: dict[str, Any] = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {"cell_type": kind, "metadata": {}, "source": source, **outputs}


NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 4,
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    "cells": [
        cell("markdown", f"# Heading\n\nabove\n\n{FORMULA}\n\nbelow"),
        cell("code", PLOT),
        cell("code", TABLE),
        cell("code", LATEX),
        cell("code", PLAIN),
        cell("markdown", f"signs {SCRIPTS}"),
    ],
}


@pytest.fixture(scope="module")
def workbench(start_shared: Start) -> Workbench:
    """A workbench without a network, in the narrowest rights, with a notebook on its volume."""
    container = start_shared(
        "lab", network_mode="none", environment={"JUPYTER_TOKEN": "none"} | WITHOUT_GPU, **ONE_VOLUME
    )
    workbench = Workbench(container, 0)
    script = 'printf %s "$NOTEBOOK" >/data/notebook.ipynb'
    assert workbench.inside(script, environment={"NOTEBOOK": json.dumps(NOTEBOOK)})[0] == 0
    return workbench


@pytest.fixture(scope="module")
def document(workbench: Workbench) -> pypdfium2.PdfDocument:
    """The PDF that `jupyter nbconvert --to pdf` makes of the executed notebook."""
    variables = {"HOME": "/data", "TMPDIR": "/data", "MPLCONFIGDIR": "/data/.cache", "XDG_CACHE_HOME": "/data/.cache"}
    code, output = workbench.inside("jupyter nbconvert --execute --to pdf notebook.ipynb", environment=variables)
    assert code == 0, output
    return read_pdf(workbench, "/data/notebook.pdf")


def read_pdf(workbench: Workbench, path: str) -> pypdfium2.PdfDocument:
    """Return a document of the workbench."""
    chunks, _ = workbench.container.get_archive(path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        member = archive.extractfile(path.rpartition("/")[2])
        assert member
        return pypdfium2.PdfDocument(member.read())


@pytest.fixture(scope="module")
def text(document: pypdfium2.PdfDocument) -> str:
    """The text of the PDF."""
    return "\n".join(page.get_textpage().get_text_range() for page in document)


def height(page: pypdfium2.PdfPage, word: str) -> float:
    """Return the height of a word above the page's lower edge."""
    found = page.get_textpage().search(word).get_next()
    assert found, f"{word!r} is not on the page"
    return float(page.get_textpage().get_charbox(found[0])[1])


def read_font(text: pypdfium2.PdfTextPage, index: int) -> str:
    """Return the name of the font that a sign is drawn by."""
    name = ctypes.create_string_buffer(100)
    pypdfium2.raw.FPDFText_GetFontInfo(text, index, name, len(name), None)
    return name.value.decode()


@pytest.mark.requirement("U12")
def test_formula_is_drawn(document: pypdfium2.PdfDocument, text: str) -> None:
    """Between the words above and below are outlines of signs, and its LaTeX is nowhere."""
    page = document[0]
    high, low = height(page, "above"), height(page, "below")
    paths = [item.get_bounds() for item in page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_PATH], max_depth=5)]
    signs = [bounds for bounds in paths if low < bounds[1] and bounds[3] < high]
    assert len(signs) >= 12
    assert r"\sqrt" not in text
    assert "$" not in text


@pytest.mark.requirement("U12")
def test_plot_is_drawn(document: pypdfium2.PdfDocument) -> None:
    """The line has matplotlib's colour."""
    picture = document[0].render(scale=1, rev_byteorder=True)
    content, step = bytes(picture.buffer), picture.n_channels
    assert sum(content[start : start + 3] == BLUE for start in range(0, len(content), step)) > 200


@pytest.mark.requirement("U12")
@pytest.mark.parametrize("words", ["Heading", "name value", "beta -2.25", "plain 42 ä€", "Out[2]:"])
def test_text_is_there(text: str, words: str) -> None:
    """The heading, the table that pandas shows, and what a cell has printed."""
    assert words in " ".join(text.split())


@pytest.mark.requirement("U12")
def test_sign_of_every_script_is_drawn(document: pypdfium2.PdfDocument) -> None:
    """By a font that has it: where none has, there is a box of the text's own font, DejaVu."""
    pages = [page.get_textpage() for page in document]
    text, before = next((text, found[0]) for text in pages if (found := text.search("signs ").get_next()))
    start, length = before + len("signs "), len(SCRIPTS.encode("utf-16-le")) // 2
    fonts = [read_font(text, index) for index in range(start, start + length)]
    assert [font for font in fonts if "DejaVu" in font] == []


@pytest.mark.requirement("U12")
def test_output_in_latex_is_drawn(text: str) -> None:
    """Sympy and IPython print formulas as LaTeX: the PDF has it in the cell's source only."""
    assert text.count("frac") == 1


@pytest.mark.requirement("U12")
def test_jupyterlab_exports_a_pdf(start: Start) -> None:
    """By the request of the menu `Save and Export Notebook As`, which lists no format that the image cannot make."""
    running = open_workbench(start, "lab", **ONE_VOLUME)
    formats = json.loads(running.get("/api/nbconvert", TOKEN).body)
    assert {"html", "pdf"} <= set(formats)
    assert not {"latex", "webpdf", "qtpdf", "qtpng", "asciidoc", "rst"} & set(formats)
    body = json.dumps({"type": "notebook", "content": NOTEBOOK})
    assert running.ask("PUT", "/api/contents/notebook.ipynb", body, TOKEN).status == 201
    answer = running.get("/nbconvert/pdf/notebook.ipynb?download=true", TOKEN)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/pdf")
    assert "Heading" in pypdfium2.PdfDocument(answer.body)[0].get_textpage().get_text_range()


@pytest.mark.requirement("U12")
def test_pdf_holds_no_file_that_a_stranger_names(workbench: Workbench) -> None:
    """A notebook may be anybody's: only files beside it are taken, not hidden ones, also not by a link or a server."""
    script = """
        mkdir -p /data/other/sub && cd /data/other && printf %s "$NOTEBOOK" >notebook.ipynb
        for name in beside sub/below .hidden ../above; do printf own >"$name"; done
        ln -s ../above link
        python -m http.server --bind 127.0.0.1 --directory / 8000 >server.log 2>&1 & trap "kill $!" EXIT
        timeout 10 sh -c 'until curl -s http://127.0.0.1:8000/etc >/dev/null; do sleep 0.1; done'
        jupyter nbconvert --to pdf notebook.ipynb && ! grep hostname server.log
    """
    named = ["beside", "sub/below", ".hidden", "../above", "link", "/etc/hostname", "file:///etc/hostname"]
    named += ["file://localhost/etc/hostname", "FILE:///etc/hostname", "http://127.0.0.1:8000/etc/hostname"]
    links = "\n".join(f'<link rel="attachment" href="{name}">' for name in named)
    cells = [cell("markdown", f"text\n\n<p>{links}</p>")]
    variables = {"NOTEBOOK": json.dumps(NOTEBOOK | {"cells": cells}), "HOME": "/data", "TMPDIR": "/data"}
    code, output = workbench.inside(script, environment=variables)
    assert code == 0, output
    attached = read_pdf(workbench, "/data/other/notebook.pdf")
    names = {attached.get_attachment(number).get_name() for number in range(attached.count_attachments())}
    assert names == {"beside", "below"}


@pytest.mark.requirement("U12", "T16")
def test_picture_that_is_missing_does_not_stop_the_export(workbench: Workbench) -> None:
    """Offline, a picture of the internet is left out of the PDF."""
    remote = NOTEBOOK | {"cells": [cell("markdown", "before ![missing](https://example.invalid/picture.png) after")]}
    script = 'printf %s "$NOTEBOOK" >/data/remote.ipynb && jupyter nbconvert --to pdf remote.ipynb'
    variables = {"NOTEBOOK": json.dumps(remote), "HOME": "/data", "TMPDIR": "/data"}
    code, output = workbench.inside(script, environment=variables)
    assert code == 0, output
