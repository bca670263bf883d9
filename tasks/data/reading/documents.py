"""Documents of all kinds as plain text with what they say of themselves. A heading becomes a line that begins with #,
as in Markdown, and a form feed stands between two pages: passages are cut by these
(tasks/inference/prompts/passages.py).
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from tasks.answers.contract import Breach

HTML_BLOCKS = re.compile("p|div|section|article|main|li|ul|ol|d[ltd]|tr|table|blockquote|pre|br|hr|h[1-6]")
UNSEEN = ("script", "style", "noscript", "template", "nav", "head")
HEADING = re.compile(r"h([1-6])|Heading ([1-6])|Title")
logging.getLogger("pypdf").setLevel(logging.ERROR)  # what it works around is no concern of the reader


def read_document(path: Path, suffix: str) -> tuple[str, dict[str, str]] | Breach:
    """Return a document's text, and its metadata such as title and author, or why it cannot be read."""
    readers = {".pdf": _pdf, ".docx": _docx, ".html": _html, ".htm": _html}
    if suffix not in readers:
        return _plain(path)
    try:
        return readers[suffix](path)
    except Exception as fault:  # noqa: BLE001 - a damaged or encrypted file: each library fails in its own ways
        return Breach("unreadable", f"cannot be read as {suffix[1:]}: {type(fault).__name__}: {str(fault)[:120]}")


def _plain(path: Path) -> tuple[str, dict[str, str]] | Breach:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig"), {}
    except UnicodeDecodeError as fault:
        return Breach("wrong_encoding", f"byte 0x{content[fault.start]:02X} at offset {fault.start} is not UTF-8")


def _pdf(path: Path) -> tuple[str, dict[str, str]]:
    from pypdf import PdfReader

    reader = PdfReader(path)
    facts = {name.strip("/").lower(): str(value) for name, value in (reader.metadata or {}).items()}
    return "\f".join(page.extract_text() for page in reader.pages), facts


def _docx(path: Path) -> tuple[str, dict[str, str]]:
    import docx
    from docx.table import Table

    found = docx.Document(str(path))
    blocks = []
    for block in found.iter_inner_content():
        if isinstance(block, Table):
            blocks.append("\n".join(" | ".join(cell.text for cell in row.cells) for row in block.rows))
        else:
            level = HEADING.fullmatch(block.style.name or "") if block.style is not None else None
            blocks.append(f"{'#' * int(level.group(2) or 1)} {block.text}" if level else block.text)
    facts = {name: getattr(found.core_properties, name) for name in ("title", "author", "subject", "keywords")}
    return "\n\n".join(blocks), {name: str(value) for name, value in facts.items() if value}


def _html(path: Path) -> tuple[str, dict[str, str]]:
    from lxml import html

    root = html.document_fromstring(path.read_bytes())
    title = " ".join(root.xpath("string(//title)").split())
    for element in list(root.iter(*UNSEEN)):
        element.drop_tree()
    for element in root.iter():
        kind, level = str(element.tag), HEADING.fullmatch(str(element.tag))
        inner, after = (" ".join(f"<{text or ''}>".split())[1:-1] for text in (element.text, element.tail))
        edge = "\n\n" if HTML_BLOCKS.fullmatch(kind) else ""
        element.text = f"{edge}{'#' * int(level.group(1))} {inner}" if level else edge + inner
        element.tail = (" | " if kind in ("td", "th") else edge) + after
    return re.sub(r"\s*\n\s*\n\s*", "\n\n", root.text_content()).strip(), {"title": title} if title else {}
