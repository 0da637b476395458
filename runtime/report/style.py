"""The style sheet of the HTML report: dark and light, phone and desktop, screen and paper."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark;
  --paper: #ffffff; --raised: #f4f5f7; --ink: #1b1f24; --quiet: #57606a; --rule: #d0d7de;
  --s0: #0b62c4; --s1: #b34700; --s2: #6b3fa0;
  --pass: #116329; --fail: #b3261e; --cannot_tell: #7a5200; --none: #57606a; --heat: 179 71 0; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14171b; --raised: #1f242a; --ink: #e6e9ed; --quiet: #a3acb7; --rule: #3a424c;
  --s0: #6cb0ff; --s1: #ff9d5c; --s2: #c4a0f5;
  --pass: #5fd07f; --fail: #ff8a80; --cannot_tell: #f2c14e; --none: #a3acb7; --heat: 255 157 92; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 70rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1rem; font-weight: 600; color: var(--quiet); margin: 0 0 .75rem; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; }
p { margin: .4rem 0; max-width: 46rem; }
.verdict { border-left: .4rem solid var(--tone); background: var(--raised); border-radius: .3rem;
  padding: .8rem 1rem; margin: 0 0 1rem; }
.verdict p { font-size: 1.1rem; max-width: none; }
.verdict strong { display: block; color: var(--tone); font-size: 1.4rem; line-height: 1.25; }
.pass { --tone: var(--pass); } .fail { --tone: var(--fail); }
.cannot_tell { --tone: var(--cannot_tell); } .verdict.quiet { --tone: var(--none); }
b.pass, b.fail, b.cannot_tell, i.pass, i.fail { color: var(--tone); font-style: normal; }
b.quiet { font-weight: 400; }
.verdict.quiet, .verdict.quiet strong { color: inherit; }
.alarm { border: 2px solid var(--fail); border-radius: .3rem; padding: .5rem .8rem;
  max-width: none; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; padding: 0;
  margin: 1rem 0 0; font-size: .92rem; }
nav li { margin: 0; } a { color: var(--s0); }
.quiet, caption, small { color: var(--quiet); }
small { display: block; font-size: .82em; line-height: 1.3; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
  gap: 0 2.5rem; align-items: start; }
.grid > * { min-width: 0; }
.grid.narrow { grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
table.wide { width: 100%; max-width: 46rem; }
caption { text-align: left; padding: 0 0 .35rem; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid var(--rule); text-align: right;
  vertical-align: top; }
td { white-space: nowrap; } td small, td b { white-space: normal; }
th:first-child { text-align: left; }
th { font-weight: 600; }
tbody th { font-weight: 400; }
table.matrix { font-size: .82rem; }
table.matrix th, table.matrix td { padding: .2rem .3rem; border: 1px solid var(--rule); }
table.matrix td { min-width: 1.9rem; }
table.matrix thead th { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left;
  vertical-align: bottom; }
table.matrix thead td { border: 0; }
td.same, td.zero { color: var(--quiet); }
figure { margin: .5rem 0; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr));
  gap: .9rem .6rem; margin: .6rem 0; }
.sheet figure { margin: 0; min-width: 0; break-inside: avoid; }
.sheet img, .gone { display: block; width: 6rem; height: 6rem; border-radius: .2rem; margin: 0; }
.gone { border: 1px dashed var(--rule); color: var(--quiet); font-size: .75rem; padding: .4rem; }
figcaption { font-size: .8rem; line-height: 1.35; margin-top: .25rem; overflow-wrap: anywhere; }
figcaption b, figcaption span { display: block; }
svg.plot { display: block; width: 100%; max-width: 35rem; height: auto; }
svg text { font-size: 13px; fill: var(--ink); paint-order: stroke; stroke: var(--paper);
  stroke-width: 4px; stroke-linejoin: round; }
svg text.tick { fill: var(--quiet); font-size: 12px; }
line.grid { stroke: var(--rule); } line.zero { stroke: var(--quiet); stroke-width: 1.5; }
line.ideal { stroke: var(--quiet); stroke-dasharray: 3 4; }
line.margin { stroke: var(--fail); stroke-width: 2; stroke-dasharray: 6 4; }
.s0 line.whisker { stroke: var(--s0); } .s1 line.whisker { stroke: var(--s1); }
.s2 line.whisker { stroke: var(--s2); }
line.whisker { stroke-width: 2; }
.point.s0 { fill: var(--s0); } .point.s1 { fill: var(--s1); } .point.s2 { fill: var(--s2); }
.point.ref { fill: var(--quiet); } polyline { fill: none; stroke-width: 2; }
.s0 polyline { stroke: var(--s0); } .s1 polyline { stroke: var(--s1); }
.s2 polyline { stroke: var(--s2); } .ref polyline { stroke: var(--quiet); }
rect.bar { fill: var(--s0); }
.faint { opacity: .45; }
ul.legend { list-style: none; display: flex; gap: 1.25rem; margin: .25rem 0; padding: 0; }
ul.legend li { display: flex; align-items: center; gap: .35rem; }
.key { display: inline-block; width: 1.6rem; border-top: 2px dashed var(--fail);
  vertical-align: middle; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) minmax(0, 1fr);
  gap: .25rem 1rem; margin: .5rem 0; font-size: .92rem; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .92em;
  overflow-wrap: anywhere; }
li { margin: .3rem 0; max-width: 46rem; }
@media (min-width: 60rem) {
  table:not(.dense) td small, table:not(.dense) td b { white-space: nowrap; } }
@media (max-width: 30rem) { th, td { padding: .3rem .2rem; } table { font-size: .82rem; }
  table.matrix { font-size: .74rem; } table.matrix th, table.matrix td { padding: .15rem .2rem; }
  table.matrix td { min-width: 1.5rem; } dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dd { margin-bottom: .4rem; } }
@media print { :root { color-scheme: light;
  --paper: #ffffff; --raised: #ffffff; --ink: #000000; --quiet: #444444; --rule: #bbbbbb;
  --s0: #0b62c4; --s1: #b34700; --s2: #6b3fa0;
  --pass: #116329; --fail: #b3261e; --cannot_tell: #7a5200; --none: #444444; --heat: 179 71 0; }
  body { font-size: 10pt; padding: 0; } figure, table, .verdict { break-inside: avoid; }
  h2 { margin-top: 1.4rem; } .scroll { overflow: visible; } nav { display: none; }
  .grid { grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 0 1.5rem; }
  th, td { padding: .2rem; } table { font-size: .76rem; } table.matrix { font-size: .7rem; }
  svg.plot { max-width: 24rem; }
  .sheet { grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); gap: .5rem; }
  .sheet img, .gone { width: 4.5rem; height: 4.5rem; } figcaption { font-size: .7rem; }
  h2, h3, h2 + p { break-after: avoid; } .grid section { break-inside: avoid; }
  td, .verdict { print-color-adjust: exact;
  -webkit-print-color-adjust: exact; } }
"""
