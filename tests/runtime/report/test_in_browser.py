"""The page as a browser lays it out: on a phone and a desktop, dark and light, and on paper."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from edge_arm.runtime.report.compare import comparison_with
from edge_arm.runtime.report.html_page import html_from_report
from edge_arm.runtime.report.json_form import report_to_json, write_json_report
from edge_arm.runtime.report.reading import read_older_report
from edge_arm.runtime.report.report import Report

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PROBE = Path(__file__).with_name("report_probe.js")
PHONE, DESKTOP = 360, 1280
TIMEOUT_S = 120

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium here; on Debian: apt-get install chromium"
    ),
]


@dataclass(frozen=True)
class Pages:
    """Reports as HTML, by name."""

    by_name: dict[str, str]
    folder: Path


@pytest.fixture(scope="module")
def pages(whole_report: Callable[..., Report], tmp_path_factory: pytest.TempPathFactory) -> Pages:
    folder = tmp_path_factory.mktemp("pages")
    whole, failing, plain = (
        whole_report(),
        whole_report(int8_noise=1.5, batch_invariant=False),
        whole_report(gate_pp=None, class_gate_pp=None),
    )
    write_json_report(failing, folder / "a report with a rather long name of last year.json")
    (older,) = folder.glob("*.json")
    comparison = comparison_with(read_older_report(older), report_to_json(whole))
    return Pages(
        {
            "whole": html_from_report(whole, comparison=comparison),
            "failing": html_from_report(failing),
            "no gate": html_from_report(plain, contact_sheet=False),
        },
        folder,
    )


def run_chromium(folder: Path, *options: str) -> str:
    """Start the browser without a window and wait for its end; what it prints."""
    assert CHROMIUM is not None
    # Chromium's sandbox refuses to work for root, which is who runs in most containers.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--user-data-dir={folder / 'profile'}",
            *sandbox,
            *options,
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def looked_at(pages: dict[str, str], folder: Path, *, dark: bool) -> list[dict[str, Any]]:
    """What the probe finds in each page at each width."""
    frames = "".join(
        f'<iframe title="{name}" srcdoc="{escape(page)}" '
        f'style="width: {width}px; height: 800px; border: 0"></iframe>'
        for name, page in pages.items()
        for width in (PHONE, DESKTOP)
    )
    wrapper = folder / "wrapper.html"
    wrapper.write_text(
        '<!DOCTYPE html><html style="color-scheme: light dark"><meta charset="utf-8"><body>'
        f"{frames}<script>{PROBE.read_text(encoding='utf-8')}</script></body></html>",
        encoding="utf-8",
    )
    dom = run_chromium(
        folder,
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        "--window-size=1400,1000",
        "--virtual-time-budget=10000",
        "--dump-dom",
        wrapper.as_uri(),
    )
    found = re.search(r'<pre id="result">(.*?)</pre>', dom, re.DOTALL)
    assert found is not None, dom[-2000:]
    frames_found: list[dict[str, Any]] = json.loads(unescape(found.group(1)))
    return frames_found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_overflows_and_everything_can_be_read(pages: Pages, dark: bool) -> None:
    frames = looked_at(pages.by_name, pages.folder, dark=dark)
    assert [(frame["name"], frame["width"]) for frame in frames] == [
        (name, width) for name in pages.by_name for width in (PHONE, DESKTOP)
    ]
    for frame in frames:
        assert frame["dark"] is dark
        assert frame["plots"] >= 6
        assert frame["elements"] > 500
        assert (frame["pictures"] > 0) == (frame["name"] != "no gate")
        assert frame["faults"] == [], f"{frame['name']} at {frame['width']}"


BROKEN = """<!DOCTYPE html><html><body style="margin: 0; background: #fff">
<div style="width: 2000px">wide</div><p style="color: #bbb">pale</p>
<p style="font-size: 6px">tiny</p>
<div class="scroll" style="overflow-x: auto"><div style="width: 3000px">table</div></div>
<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw="><svg viewBox="0 0 100 50" width="300">
<text x="10" y="20">one on</text><text x="20" y="20">the other</text><text x="95" y="40">out</text>
</svg></body></html>"""


def test_the_probe_finds_each_kind_of_fault(tmp_path: Path) -> None:
    phone, desktop = looked_at({"broken": BROKEN}, tmp_path, dark=False)
    for frame, width in ((phone, PHONE), (desktop, DESKTOP)):
        text = "\n".join(frame["faults"])
        assert f"the page is 2000 wide in a window of {width}" in text
        for fault in (
            'div. "wide" leaves the window',
            'p. "pale" has a contrast of 1.',
            'p. "tiny" is set in 6 pixels',
            "a picture has no text",
            'the picture "" is not shown',
            "has no title",
            'text. "one on" lies on text. "the other"',
            'text. "out" leaves its plot',
        ):
            assert fault in text
    assert any("has to be scrolled on a desktop" in fault for fault in desktop["faults"])


def test_the_page_can_be_printed(pages: Pages) -> None:
    page, paper = pages.folder / "page.html", pages.folder / "page.pdf"
    page.write_text(pages.by_name["whole"], encoding="utf-8")
    run_chromium(pages.folder, f"--print-to-pdf={paper}", "--no-pdf-header-footer", page.as_uri())
    content = paper.read_bytes()
    assert content.startswith(b"%PDF-")
    # About 70 faces, 20 tables and 7 plots; one sheet would mean that something was cut off.
    assert 5 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 25
