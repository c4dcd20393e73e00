"""Word and PDF files that are small and ask for much: reading stops at the limits of memory, text and time."""

import tracemalloc
import zipfile
from io import BytesIO

import pytest
from files import FONT, docx_bytes, pdf_bytes
from jpt_ner.tools.files import extraction
from jpt_ner.tools.files.documents import read_documents
from jpt_ner.tools.files.extraction import LimitError, docx_text, extract_text, pdf_text
from pypdf import PdfWriter
from pypdf.generic import DictionaryObject, NameObject, StreamObject


def docx_with(xml: bytes, plain: bytes = docx_bytes("x")) -> bytes:
    """A Word file with some XML at the start of its body, which python-docx would take too long to make."""
    with (
        zipfile.ZipFile(BytesIO(plain)) as source,
        zipfile.ZipFile(file := BytesIO(), "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in source.namelist():
            content = source.read(name)
            if name == "word/document.xml":
                content = content.replace(b"<w:body>", b"<w:body>" + xml, 1)
            new.writestr(name, content)
    return file.getvalue()


def shared_pages(pages: int, words: int = 200) -> bytes:
    """A PDF file whose pages share one stream of words, so that it hardly grows with them."""
    writer = PdfWriter()
    stream = StreamObject()
    stream.set_data(b"BT /F1 12 Tf 72 720 Td " + b"(ab) Tj 1 0 Td " * words + b"ET")
    content = writer._add_object(stream.flate_encode())
    font = DictionaryObject({NameObject(f"/{key}"): NameObject(f"/{value}") for key, value in FONT.items()})
    resources = DictionaryObject({NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})})
    for _ in range(pages):
        page = writer.add_blank_page(595, 842)
        page[NameObject("/Resources")], page[NameObject("/Contents")] = resources, content
    writer.write(file := BytesIO())
    return file.getvalue()


def nested_forms(depth: int) -> bytes:
    """A PDF file whose page draws a form ten times, which draws another ten times, and so on."""
    writer = PdfWriter()
    form = None
    for level in range(depth + 1):
        stream = DictionaryObject() if level == depth else StreamObject()
        names = DictionaryObject({NameObject("/X"): form}) if form is not None else DictionaryObject()
        resources = DictionaryObject({NameObject("/XObject"): names})
        drawing = b"/X Do " * 10 if form is not None else b"BT 72 720 Td (ab) Tj ET"
        if level == depth:
            content = StreamObject()
            content.set_data(drawing)
            page = writer.add_blank_page(595, 842)
            page[NameObject("/Resources")], page[NameObject("/Contents")] = resources, writer._add_object(content)
            break
        stream.set_data(drawing)
        stream.update({NameObject("/Type"): NameObject("/XObject"), NameObject("/Subtype"): NameObject("/Form")})
        stream[NameObject("/Resources")] = resources
        form = writer._add_object(stream)
    writer.write(file := BytesIO())
    return file.getvalue()


def test_markup_of_word_files_takes_no_memory():
    """A parsed element takes some 20 times its bytes, and these would be a million."""
    content = docx_with(b"<w:p/>" * 10**6)
    assert len(content) < 100_000
    with pytest.raises(LimitError, match="more than 1,000 characters"):
        docx_text(BytesIO(content), max_characters=1000)
    content = docx_with(b"<w:p>" + b"<w:r/>" * 400_000 + b"</w:p>")
    tracemalloc.start()
    text = docx_text(BytesIO(content))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert text.strip() == "x" and peak < 2 * 2**20


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (docx_with(b"<w:p><w:r><w:t>" + b"word " * 10_000 + b"</w:t></w:r></w:p>"), "more than 20,000 characters"),
        (docx_with(b"<w:tbl><w:tr>" + b"<w:tc><w:p/></w:tc>" * 30_000 + b"</w:tr></w:tbl>"), "more than 20,000"),
        (docx_with(b"<w:sdt>" * 5000), "nested too deeply"),
        (docx_with(b"<w:p>" + b"<w:r>" * 5000), "nested too deeply"),
        (docx_with(b"<w:p/>" * 300_000), "unpacks to 1 MB of XML; the limit is 1 MB"),
    ],
)
def test_word_files_over_a_limit_are_refused(monkeypatch, content, reason):
    monkeypatch.setattr(extraction, "MAX_XML_BYTES", 2**20)
    with pytest.raises(ValueError, match=reason):
        docx_text(BytesIO(content), max_characters=20_000)


def test_a_word_file_with_entities_is_refused():
    """Which XML could expand to any size; Word writes none."""
    content = docx_bytes("x")
    with zipfile.ZipFile(BytesIO(content)) as source, zipfile.ZipFile(file := BytesIO(), "w") as new:
        for name in source.namelist():
            declared = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]>' if name == "word/document.xml" else b""
            new.writestr(name, source.read(name).replace(b"<w:document", declared + b"<w:document", 1))
    with pytest.raises(ValueError, match="document type"):
        docx_text(BytesIO(file.getvalue()))


def test_pages_are_counted_as_they_are_read():
    content = shared_pages(200)
    assert len(content) < 60_000
    with pytest.raises(LimitError, match="more than 1,000 characters"):
        pdf_text(BytesIO(content), max_characters=1000, max_seconds=60)


@pytest.mark.parametrize("content", [shared_pages(1000, 3000), nested_forms(8)], ids=["pages", "forms"])
def test_a_pdf_that_would_take_minutes_is_given_up(content):
    with pytest.raises(ValueError, match="takes longer than 0.5 s"):
        extract_text(BytesIO(content), "pdf", max_seconds=0.5)


def test_too_many_pages_and_too_large_files_are_refused(monkeypatch):
    monkeypatch.setattr(extraction, "MAX_PAGES", 2)
    with pytest.raises(ValueError, match="has 3 pages; the limit is 2"):
        pdf_text(BytesIO(pdf_bytes("a", "b", "c")))
    monkeypatch.setattr(extraction, "MAX_FILE_BYTES", 2**10)
    for format, content in [("pdf", pdf_bytes("a", "b", "c")), ("docx", docx_bytes("a"))]:
        with pytest.raises(ValueError, match="larger than"):
            extract_text(BytesIO(content), format)


def test_a_process_that_dies_is_an_error_of_the_file(monkeypatch, tmp_path):
    script = tmp_path / "dies.py"
    script.write_text("import os, sys; sys.stdin.buffer.read(); os.abort()")
    monkeypatch.setattr(extraction, "__file__", str(script))
    with pytest.raises(ValueError, match="cannot be read"):
        extract_text(BytesIO(docx_bytes("a")), "docx")


def test_callers_pass_their_limits_on(tmp_path):
    path = tmp_path / "a.pdf"
    path.write_bytes(shared_pages(20))
    with pytest.raises(ValueError, match=f"^{path}: has more than 100 characters of text$"):
        list(read_documents(path, max_characters=100))
