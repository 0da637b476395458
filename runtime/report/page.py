"""The frame that every HTML page of ours has, and the plain table that most of them need.

Self-contained: no script, nothing from the network, and a content security policy that holds a
browser to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from edge_arm.runtime.report.style import STYLE

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def framed_page(title: str, *, header: str, main: str) -> str:
    """A whole page.

    Args:
        title: for the browser, as text.
        header: HTML above the contents.
        main: HTML of the contents.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<link rel="icon" href="data:,">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{header}\n<main>\n{main}\n</main>\n"
        "</body>\n</html>\n"
    )


def plain_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table that scrolls by itself where it is too wide.

    Args:
        columns: heads, as text; the first over the names of the rows.
        rows: cells, as text; the first names its row.
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        "</div>"
    )
