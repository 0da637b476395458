"""What the README and docs/ say is true: links lead somewhere, commands parse, the tree exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FENCE = re.compile(r"^ {0,3}```(\S*)[^\n]*\n(.*?)^ {0,3}```", re.DOTALL | re.MULTILINE)
LINK = re.compile(
    r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE
)
# A block without a language may show a synopsis with `[...]` and `|`, which no shell would take.
SHELLS = ("sh", "bash", "shell", "console")
TREE_LINE = re.compile(r"^([\s│├└─|`+-]*)(\S+)")
# A tree in a README need not show these; where it does, they must exist like the others.
UNREMARKABLE = ("__init__.py", "__main__.py", "py.typed")


def _pages(repository: Path) -> list[Path]:
    return [repository / "README.md", *sorted((repository / "docs").rglob("*.md"))]


def _readme(repository: Path) -> str:
    return (repository / "README.md").read_text(encoding="utf-8")


# --- links


def _links(text: str) -> list[str]:
    """Targets of links and pictures outside code, those with a scheme left out."""
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    targets = [inline or reference for inline, reference in LINK.findall(prose)]
    return [target for target in targets if not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", target)]


def _anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#{1,6}\s+(.+?)\s*#*$", FENCE.sub("", text), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def _broken_links(page: Path) -> list[str]:
    broken = []
    for target in _links(page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        goal = page.parent / name if name else page
        if not goal.exists():
            broken.append(f"{page.name}: link to {target!r}, but there is no {name!r}")
        elif anchor and goal.suffix == ".md":
            anchors = _anchors(goal.read_text(encoding="utf-8"))
            if anchor not in anchors:
                broken.append(f"{page.name}: link to {target!r}, headings are {sorted(anchors)}")
    return broken


def test_every_relative_link_leads_to_a_file_and_a_heading(repository: Path) -> None:
    broken = [line for page in _pages(repository) for line in _broken_links(page)]
    assert not broken, "\n".join(broken)


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A title!\n[a](none.md) [b](#a-title) [c](#other) [d](https://x.y)\n")
    assert len(_broken_links(page)) == 2


# --- commands


def _commands(text: str) -> Iterator[list[str]]:
    """The arguments of every `edge-arm ...` in a shell block, each command of a line by itself."""
    for language, block in FENCE.findall(text):
        if language not in SHELLS:
            continue
        for line in block.replace("\\\n", " ").splitlines():
            if "edge-arm" not in line:
                continue
            # punctuation_chars keeps `|`, `;`, `&&` and `>` apart from words, quoted ones whole.
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words = list(lexer)
            ends = [i for i, word in enumerate(words) if re.fullmatch(r"[|;&<>()]+", word)]
            for start, end in zip([-1, *ends], [*ends, len(words)], strict=True):
                command = words[start + 1 : end]
                if command[:1] == ["$"]:
                    del command[0]
                if command and command[0].split("/")[-1] == "edge-arm":
                    yield command[1:]


def _complaint(command_tree: Any, words: list[str]) -> str:
    """Why the command line would refuse these words, or nothing. Nothing is executed."""
    command, context, rest = command_tree, None, words
    try:
        while True:
            name = "edge-arm" if context is None else str(command.name)
            context = command.make_context(name, list(rest), parent=context)
            if not hasattr(command, "resolve_command"):
                return ""
            rest = [*getattr(context, "_protected_args", ()), *context.args]
            _, command, rest = command.resolve_command(context, rest)
    except Exception as error:
        # Known by their attributes: typer keeps its exceptions where each version likes.
        if hasattr(error, "format_message"):
            return f"edge-arm {shlex.join(words)}: {error.format_message()}"
        if getattr(error, "exit_code", None) == 0:
            return ""  # --help and --version end the parsing
        raise


def test_every_command_of_the_readme_and_docs_parses(repository: Path, command_tree: Any) -> None:
    complaints = [
        f"{page.name}: {complaint}"
        for page in _pages(repository)
        for words in _commands(page.read_text(encoding="utf-8"))
        if (complaint := _complaint(command_tree, words))
    ]
    assert not complaints, "\n".join(complaints)


def test_the_readme_shows_every_command(
    repository: Path, command_paths: list[tuple[str, ...]]
) -> None:
    shown = list(_commands(_readme(repository)))
    missing = [path for path in command_paths if not any(w[: len(path)] == [*path] for w in shown)]
    assert not missing, f"no `edge-arm ...` line in a shell block of README.md shows {missing}"


def test_commands_are_read_from_shell_blocks_only() -> None:
    text = (
        "```sh\n$ edge-arm data describe --data x   # says what, doesn't it\n"
        ".venv/bin/edge-arm export \\\n  --fp16 | tee log\npip install edge-arm\n"
        "edge-arm demo && edge-arm measure > log\n```\n"
        "```json\nedge-arm no\n```\n```\nedge-arm run A | B\n```\n"
    )
    assert list(_commands(text)) == [
        ["data", "describe", "--data", "x"],
        ["export", "--fp16"],
        ["demo"],
        ["measure"],
    ]


@dataclass(frozen=True)
class Typed:
    """Words after `edge-arm`, and whether a command line with one command `go` takes them."""

    words: str
    refused: bool


TYPED = (
    Typed("go --size 3 there", refused=False),
    Typed("go --help", refused=False),
    Typed("gone --size 3 there", refused=True),
    Typed("go --sise 3 there", refused=True),
    Typed("go --size three there", refused=True),
    Typed("go", refused=True),
)


@pytest.mark.parametrize("case", TYPED, ids=lambda case: case.words)
def test_a_command_that_would_be_refused_is_found(case: Typed) -> None:
    import typer

    app = typer.Typer()

    @app.callback()
    def root() -> None:
        """Make it a group."""

    @app.command()
    def go(place: str, size: int = 1) -> None:
        pytest.fail("the command was executed")

    complaint = _complaint(typer.main.get_command(app), shlex.split(case.words))
    assert bool(complaint) == case.refused


# --- the tree


def _tree_block(text: str) -> str:
    blocks = [block for _, block in FENCE.findall(text) if "├── " in block]
    if len(blocks) != 1:
        pytest.fail(
            f"README.md has {len(blocks)} code blocks with '├── ', expected one: the file tree"
        )
    return blocks[0]


def _listed(block: str) -> list[Path]:
    """Paths of a tree drawing, relative to its root; a first line without a branch is the root."""
    paths: list[Path] = []
    open_folders: list[tuple[int, Path]] = []
    for line in block.splitlines():
        match = TREE_LINE.match(line)
        if match is None or not match.group(1).strip():
            continue
        column = len(match.group(1))
        while open_folders and open_folders[-1][0] >= column:
            open_folders.pop()
        parent = open_folders[-1][1] if open_folders else Path()
        paths.append(parent / match.group(2))
        open_folders.append((column, paths[-1]))
    return paths


def _tree_faults(listed: list[Path], files: list[Path]) -> list[str]:
    """Differences between a tree and the repository, in every folder the tree opens."""
    real = {path for file in files for path in (file, *file.parents)} - {Path()}
    faults = [f"the tree lists {path}, which does not exist" for path in listed if path not in real]
    shown = {parent for path in listed for parent in (path, *path.parents)}
    opened = {path.parent for path in listed}
    for path in sorted(real - shown):
        quiet = path.name.startswith(".") or path.name in UNREMARKABLE
        if path.parent in opened and not quiet:
            faults.append(f"the tree shows what is in {path.parent} but not {path.name}")
    return faults


def test_the_file_tree_of_the_readme_is_true(repository: Path, tracked_files: list[Path]) -> None:
    faults = _tree_faults(_listed(_tree_block(_readme(repository))), tracked_files)
    assert not faults, "\n".join(faults)


DRAWING = """\
edge-arm/
├── edge_arm/         the command line
│   ├── cli/          one file per command
│   └── data/
├── runtime/
└── README.md
"""
DRAWN = [Path(p) for p in ("edge_arm/cli/main.py", "edge_arm/data/x.py", "runtime/y.py")]
ROOT_FILES = [Path("README.md"), Path(".gitignore"), Path("edge_arm/__init__.py")]


def test_a_true_tree_has_no_faults() -> None:
    assert _tree_faults(_listed(DRAWING), DRAWN + ROOT_FILES) == []


def test_a_folder_that_the_tree_forgets_is_found() -> None:
    files = [*DRAWN, *ROOT_FILES, Path("edge_arm/model/arm.py"), Path("setup.cfg")]
    assert len(_tree_faults(_listed(DRAWING), files)) == 2


def test_a_file_that_the_tree_invents_is_found() -> None:
    assert _tree_faults(_listed(DRAWING), [*DRAWN, *ROOT_FILES[1:]]) == [
        "the tree lists README.md, which does not exist"
    ]
