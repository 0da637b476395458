"""Which data sets there are and where they come from, for `edge-arm data --help`.

Words only: the help of a command must not need numpy. Most sets are given out on request and for
research alone, so nothing here downloads anything.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CatalogueEntry:
    """A data set as its user meets it.

    Attributes:
        names: that `--data` takes.
        what: is in it.
        source: how to get it.
    """

    names: tuple[str, ...]
    what: str
    source: str


CATALOGUE = (
    CatalogueEntry(
        ("rafdb", "rafdb-original"),
        "RAF-DB, basic expressions: aligned faces, or cut from the photographs",
        "on request, for research: whdeng.cn/RAF/model1.html",
    ),
    CatalogueEntry(
        ("affectnet7", "affectnet8"),
        "AffectNet without or with contempt; its validation part is the test split",
        "on request by a lab's head: mohammadmahoor.com/pages/databases/affectnet",
    ),
    CatalogueEntry(
        ("sfew",),
        "SFEW 2.0, aligned faces of films; its Val part is the test split",
        "on request, from the organisers of EmotiW",
    ),
    CatalogueEntry(
        ("fer2013",),
        "FER2013, grey faces of 48 pixels",
        "kaggle.com, 'Challenges in Representation Learning: Facial Expression'",
    ),
    CatalogueEntry(
        ("ferplus", "ferplus7"),
        "FER+, FER2013 labelled again by ten people, with or without contempt",
        "fer2013new.csv of github.com/microsoft/FERPlus, beside FER2013's csv",
    ),
    CatalogueEntry(
        ("folder",),
        "your own: train/happy/*.jpg ..., test/happy/*.jpg ...",
        "put it there",
    ),
    CatalogueEntry(
        ("synthetic",),
        "drawn faces, nobody's photographs",
        "edge-arm data synthesize --out data/synthetic",
    ),
)


def catalogue_text() -> str:
    """All of them as paragraphs that `click` leaves as they are."""
    entries = "\n".join(
        f"{', '.join(entry.names)}\n  {entry.what}\n  get it: {entry.source}" for entry in CATALOGUE
    )
    # \b keeps click from filling the lines that follow, up to the next empty one.
    return f"\b\nData sets for --data (their layouts are in docs/datasets.md):\n{entries}"
