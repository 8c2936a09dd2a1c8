"""PDF, HTML, Office files and books: what text is found, where it stands, and what is said of damaged ones."""

from __future__ import annotations

import base64
import builtins
import io
import sys
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest

from retrievers import CorpusError, load_corpus

INSTALL = r"needs pip install 'ragshap\[documents\]'"
ENCRYPTED = (
    "c-oCoO^?$s5WV|X%%w-x-*zHJJ+Ql#5TLEP3m3G9i9IewRkCtjX_r6Afqwvh1UJAEQ4U0j<h*(B&3N8oeYJWaFEm?x`~KxClOSO1"
    "Ke4W3e4WR543wdZp1kuI(Jk3>$!Lftj+$}ro*oGJ8n<*{{Bk@F1tjCIckuupz*OP}?q^bcCcVUh`*F*DdcethGZUD9_F{ZPhw+$0"
    "Rn$tQ^S2at_;P%#ZN-I{K0CelC+kdgu)n?S%=<m4Y6_b1H#BU^N06$iLNKZ|t@Em_<<)Lq>Q?w|!69OfjNd>f$f{bksL4>{P0%4>"
    "=qXt#(Q6Ebg6d=AYz$FH<CJ&Ow9;dr>UvEb{T+0TOhOAUS_)`AX&Y>>5Jfa0`WR3(eKKTg3vU}V(itJ@ze_2hkfNE#^Oz|y0gj31"
    "2b{IqLV{;Z*2_<o;SXlpGfc|n9CQ8*Q*&*}xZ6{n_IkVfOm!5#8OH*83V^>F(g^a``KkuiwW`H>zbK;($+W>5X@w+X`(ApAX8Avq"
    "8uaxL^3y{B`#b4F!Ca<=7;o5OaecF5KLA=z#Nz"
)  # an empty page, as pypdf encrypts it


def pdf(*pages: str | None) -> bytes:
    """A page for each text; None draws a box."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    kids = []
    for text in pages:
        lines = "re 0 0 9 9 re f" if text is None else ""
        if text:
            shown = " ".join(f"({line}) Tj 0 -14 Td" for line in text.split("\n"))
            lines = f"BT /F1 12 Tf 50 700 Td {shown} ET"
        kids.append(f"{len(objects) + 1} 0 R")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {len(objects) + 2} 0 R "
            "/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>"
        )
        objects.append(f"<< /Length {len(lines)} >>\nstream\n{lines}\nendstream")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    body = "".join(f"{number} 0 obj\n{content}\nendobj\n" for number, content in enumerate(objects, 1))
    return f"%PDF-1.4\n{body}trailer\n<< /Root 1 0 R /Size {len(objects) + 1} >>\n%%EOF".encode()


def archive(**files: str | bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return held.getvalue()


def epub(**changed: str) -> bytes:
    files = {
        "META-INF/container.xml": '<container xmlns="c"><rootfile full-path="O/p.opf"/></container>',
        "O/p.opf": '<package xmlns="o" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>The Boat</dc:title>'
        '<dc:creator>A. Author</dc:creator><manifest><item id="b" href="b%20b.xhtml"/><item id="a" '
        'href="a.xhtml"/></manifest><spine><itemref idref="a"/><itemref idref="b"/></spine></package>',
        "O/a.xhtml": '<?xml version="1.0" encoding="utf-8"?><html><body><h1>First</h1><p>Blåbær.</p></body></html>',
        "O/b b.xhtml": "<html><body><h1>Second</h1><p>The end.</p></body></html>",
    }
    return archive(**{name: changed.get(name, content) for name, content in files.items() if changed.get(name) != ""})


def left_out(folder: Path, **options) -> dict[str, str]:
    corpus = load_corpus(folder, **options)
    list(corpus.passages)
    return {item.where: item.reason for item in corpus.skipped}


def test_pdf_passages_know_their_pages(tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    filler = "\n".join(["Seven words are in this one sentence."] * 10)
    (tmp_path / "manual.pdf").write_bytes(pdf(filler, None, filler, "The valve is red."))
    corpus = load_corpus(tmp_path)
    passages = list(corpus.passages)
    assert [(p.metadata["page"], p.metadata.get("last_page")) for p in passages] == [(1, None), (3, 4)]
    assert "The valve is red." in passages[-1].text
    assert passages[0].title == "manual"
    assert [item.where for item in corpus.skipped] == ["manual.pdf, page 2"]
    (whole,) = load_corpus(tmp_path / "manual.pdf", passage_words=None)
    assert whole.text.count("Seven words") == 20


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"%PDF-1.4 nothing", "no PDF that can be read"),
        (pdf(None, None), "pictures without text on all of 2 pages; recognise the text first"),
        (pdf(""), "without text"),
        (zlib.decompress(base64.b85decode(ENCRYPTED)), "protected by a password; save a copy without one"),
    ],
    ids=["damaged", "scanned", "empty", "protected"],
)
def test_pdf_files_without_text_say_why(content: bytes, reason: str, tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    (tmp_path / "a.pdf").write_bytes(content)
    (tmp_path / "b.txt").write_text("Text.")
    assert left_out(tmp_path)["a.pdf"].startswith(reason)
    with pytest.raises(CorpusError, match=f"a.pdf: {reason}"):
        list(load_corpus(tmp_path / "a.pdf"))


def test_html_is_read_as_it_is_seen(tmp_path: Path) -> None:
    pytest.importorskip("lxml")
    page = (
        "<html><head><title>Fees &amp;\n boats</title><style>p {}</style></head><body>"
        "<script>var x = '<p>no</p>'</script>"
        "<h1>Our  <em>fees</em></h1><p>Forty\n<b>crow</b>ns.<br>Paid<!-- no --> at once.<table><tr><td>Oslo<td>12</tr>"
        "<tr><th>Bergen</th><th>7</th></tr></table><pre>a\n  b</pre><ul><li>one<li>two</ul>"
        "<template>no</template></body></html>"
    )
    (tmp_path / "a.html").write_text(page, encoding="utf-8")
    (passage,) = load_corpus(tmp_path / "a.html")
    assert passage.title == "Fees & boats"
    assert passage.metadata["heading"] == "Our fees"
    assert passage.text.split("\n\n") == [
        "Our fees", "Forty crowns.\nPaid at once.", "Oslo 12", "Bergen 7", "a\n  b", "one", "two",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("declaration", "encoding"),
    [
        ('<meta charset="windows-1252">', "cp1252"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-1">', "cp1252"),
        ('<meta charset="iso-8859-1">', "utf-8-sig"),
        ("", "utf-8"),
        ("", "utf-16"),
        ('<?xml version="1.0" encoding="koi8-r"?>', "koi8-r"),
        ('<meta charset="hex">', "utf-8"),
    ],
)
def test_html_pages_say_their_encoding(declaration: str, encoding: str, tmp_path: Path) -> None:
    pytest.importorskip("lxml")
    word = "Ёлка" if encoding == "koi8-r" else "Blåbær"
    (tmp_path / "a.html").write_bytes(f"{declaration}<p>{word}</p>".encode(encoding))
    assert [p.text for p in load_corpus(tmp_path / "a.html")] == [word]


def test_a_long_page_is_not_held_as_a_tree(tmp_path: Path) -> None:
    pytest.importorskip("lxml")
    from retrievers.corpora.html import read_html

    paragraph = "<p>Some sentence about <b>boats</b> and harbours. " + "x" * 950 + "</p>\n"
    n = 5 * 2**20 // len(paragraph)
    (tmp_path / "a.html").write_text(paragraph * n)
    tracemalloc.start()
    try:
        _, _, blocks = read_html(tmp_path / "a.html", None, lambda *_: None, "a.html")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(blocks) == n
    assert peak < 25 * 2**20


def test_word_files_are_read_whole_and_in_order(tmp_path: Path) -> None:
    docx = pytest.importorskip("docx")
    document = docx.Document()
    document.core_properties.title = "Harbour rules"
    document.add_heading("Fees", 1)
    document.add_paragraph("Forty crowns.")
    table = document.add_table(1, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "Oslo", "12"
    document.add_paragraph("one", style="List Bullet")
    document.save(tmp_path / "a.docx")
    (passage,) = load_corpus(tmp_path)
    assert passage.text.split("\n\n") == ["Fees", "Forty crowns.", "Oslo 12", "one"]
    assert (passage.title, passage.metadata["heading"]) == ("Harbour rules", "Fees")


def test_a_slide_is_a_page(tmp_path: Path) -> None:
    pptx = pytest.importorskip("pptx")
    presentation = pptx.Presentation()
    for number in (1, 2):
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = f"Slide {number}"
        slide.placeholders[1].text = " ".join(["Seven words are in this one sentence."] * 12)
        slide.notes_slide.notes_text_frame.text = f"Note {number}."
        size = pptx.util.Inches(1)
        slide.shapes.add_table(1, 1, size, size, size, size).table.cell(0, 0).text = f"Cell {number}."
    presentation.save(tmp_path / "a.pptx")
    first, second = load_corpus(tmp_path)
    for number, passage in enumerate((first, second), 1):
        assert (passage.metadata["page"], passage.metadata["heading"]) == (number, f"Slide {number}")
        assert all(f"{word} {number}" in passage.text for word in ("Slide", "Note", "Cell"))


def test_books_are_read_in_the_order_of_their_chapters(tmp_path: Path) -> None:
    pytest.importorskip("lxml")
    (tmp_path / "a.epub").write_bytes(epub())
    (passage,) = load_corpus(tmp_path)
    assert passage.text.split("\n\n") == ["First", "Blåbær.", "Second", "The end."]
    assert (passage.title, passage.metadata["authors"]) == ("The Boat", ["A. Author"])
    (tmp_path / "a.epub").write_bytes(epub(**{"O/b b.xhtml": ""}))
    assert left_out(tmp_path) == {"a.epub, chapter b b.xhtml": "missing in the archive"}


@pytest.mark.parametrize("kind", ["docx", "pptx", "epub"])
def test_damaged_archives_are_left_out_with_the_reason(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("docx")
    pytest.importorskip("pptx")
    (tmp_path / "b.txt").write_text("Text.")
    bomb = archive(**{f"{number}.xml": b"\0" * 2**26 for number in range(5)})
    whole = epub()
    for content, reason in [
        (b"no archive", f"no {kind.upper()} file, which is a zip archive"),
        (b"", f"no {kind.upper()} file, which is a zip archive"),
        (whole[: len(whole) // 2], f"no {kind.upper()} file, which is a zip archive"),
        (archive(other="x"), f"no {kind.upper()} file that can be read"),
        (bomb, "expands to more than 256 MiB, as a zip bomb does"),
    ]:
        (tmp_path / f"a.{kind}").write_bytes(content)
        assert left_out(tmp_path)[f"a.{kind}"].startswith(reason)
    if kind != "epub":
        (tmp_path / f"a.{kind}").write_bytes(b"\xd0\xcf\x11\xe0" + b"\0" * 512)
        assert "protected by a password" in left_out(tmp_path)[f"a.{kind}"]


def test_without_the_extra_the_command_that_installs_it_is_named(tmp_path: Path, monkeypatch) -> None:
    names = ["a.pdf", "b.html", "c.docx", "d.pptx", "e.epub"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "f.txt").write_text("Text.")
    real = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] in {"pypdfium2", "lxml", "docx", "pptx"}:
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    for module in ("pdf", "html", "office"):
        monkeypatch.delitem(sys.modules, f"retrievers.corpora.{module}", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.warns(UserWarning, match=rf"5 {INSTALL} \(a.pdf, b.html, c.docx, …\)"):
        assert [p.id for p in load_corpus(tmp_path)] == ["f.txt"]
    with pytest.raises(CorpusError, match=INSTALL):
        list(load_corpus(tmp_path / "a.pdf"))
