"""Word and PDF files for tests, as small as they can be."""

from io import BytesIO

from docx import Document
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from pypdf import PdfWriter
from pypdf.generic import DictionaryObject, NameObject, StreamObject


def docx_bytes(*paragraphs: str, table: list[list[str]] | None = None, xml: str = "") -> bytes:
    """A Word file; `xml` is put at the end of its body."""
    document = Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    if table:
        cells = document.add_table(len(table), len(table[0])).rows
        for row, values in zip(cells, table, strict=True):
            for cell, value in zip(row.cells, values, strict=True):
                cell.text = value
    if xml:
        section = document.element.body[-1]
        for element in parse_xml(f"<w:body {nsdecls('w')}>{xml}</w:body>"):
            section.addprevious(element)
    stream = BytesIO()
    document.save(stream)
    return stream.getvalue()


def pdf_bytes(*pages: str, password: str | None = None, owner_password: str | None = None) -> bytes:
    """A PDF file with a line of (Latin) text on each page; none on those that are empty."""
    writer = PdfWriter()
    font = writer._add_object(
        DictionaryObject({NameObject(f"/{key}"): NameObject(f"/{value}") for key, value in FONT.items()})
    )
    for text in pages:
        page = writer.add_blank_page(595, 842)
        if text:
            content = StreamObject()
            content.set_data(f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode("latin-1"))
            fonts = DictionaryObject({NameObject("/F1"): font})
            page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
            page[NameObject("/Contents")] = writer._add_object(content)
    if password is not None or owner_password:
        writer.encrypt(password or "", owner_password, algorithm="RC4-128")
    stream = BytesIO()
    writer.write(stream)
    return stream.getvalue()


FONT = {"Type": "Font", "Subtype": "Type1", "BaseFont": "Helvetica", "Encoding": "WinAnsiEncoding"}
