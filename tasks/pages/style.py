"""The style sheet of every page: light and dark by the reader's setting, one column on a phone, two on wide screens."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf8; --card: #ffffff; --ink: #1d2126; --muted: #5d6570; --line: #e3e1dc;
  --plain: #6b7785; --tuned: #1f6feb; --target: #b4530a; --good: #11734b; --bad: #b3261e; --unsure: #8a6100;
  --good-wash: #e4f3ea; --bad-wash: #fbe9e7; --unsure-wash: #faf0d8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --card: #1c2024; --ink: #e8e6e1; --muted: #9da5af; --line: #30353b;
    --plain: #97a3b1; --tuned: #6cb0ff; --target: #f2a35e; --good: #6fd3a0; --bad: #ff8f85; --unsure: #e5bd62;
    --good-wash: #173427; --bad-wash: #3c1f1d; --unsure-wash: #372d15;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  -webkit-text-size-adjust: 100%;
}
main { max-width: 1120px; margin: 0 auto; padding: clamp(20px, 4vw, 48px) clamp(14px, 3vw, 32px) 64px; }
h1 { font-size: clamp(1.35rem, 3.2vw, 2rem); line-height: 1.25; letter-spacing: -0.015em; margin: 10px 0 0; text-wrap: balance; }
h2 { font-size: 1.15rem; letter-spacing: -0.01em; margin: 44px 0 14px; }
p { margin: 0 0 12px; max-width: 75ch; }
.over { color: var(--muted); font-size: 0.9rem; margin: 0; }
.badge { display: inline-block; padding: 3px 12px; border-radius: 99px; font-weight: 650; font-size: 0.95rem; }
.good { color: var(--good); } .bad { color: var(--bad); } .unsure { color: var(--unsure); }
.badge.good, .chip.good { background: var(--good-wash); } .badge.bad, .chip.bad { background: var(--bad-wash); } .badge.unsure, .chip.unsure { background: var(--unsure-wash); }
.top { border-left: 5px solid currentColor; padding: 4px 0 4px clamp(14px, 2vw, 24px); }
.top h1, .top .lead { color: var(--ink); }
.top .over { margin-bottom: 6px; }
.lead { font-size: 1.08rem; margin: 8px 0 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 10px; margin: 26px 0 6px; padding: 0; list-style: none; }
.facts li { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 10px 14px; }
.facts b { display: block; font-size: 1.25rem; font-weight: 650; font-variant-numeric: tabular-nums; letter-spacing: -0.01em; }
.facts span { color: var(--muted); font-size: 0.85rem; }
.reasons { margin: 0; padding-left: 20px; } .reasons li { margin: 6px 0; max-width: 85ch; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 18px; align-items: start; }
.pair > figure:only-child { max-width: 640px; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 16px 16px 10px; }
figcaption { font-weight: 600; margin-bottom: 8px; } figcaption small { display: block; color: var(--muted); font-weight: 400; font-size: 0.85rem; }
svg { display: block; width: 100%; max-width: 520px; height: auto; margin: 0 auto; }
.wide { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 14px; margin-top: 18px; }
table { border-collapse: collapse; width: 100%; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
th, td { padding: 9px 14px; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
thead th { border-top: 0; white-space: normal; vertical-align: bottom; color: var(--muted); font-weight: 550; font-size: 0.84rem; }
th:first-child, td:first-child { text-align: left; } td small { color: var(--muted); display: block; font-size: 0.82rem; }
td.text { text-align: left; white-space: normal; }
code { font: 0.86em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
td code { white-space: normal; }
.sample { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 14px 16px; margin-bottom: 14px; }
.sample > p { margin: 4px 0 12px; white-space: pre-wrap; overflow-wrap: anywhere; max-width: none; }
.sample h3 { margin: 0; font-size: 0.85rem; color: var(--muted); font-weight: 550; }
.answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 270px), 1fr)); gap: 10px; }
.answers div { border: 1px solid var(--line); border-radius: 10px; padding: 8px 10px; min-width: 0; }
.answers div.gold { border-color: var(--target); }
.answers h4 { display: flex; justify-content: space-between; gap: 8px; margin: 0 0 4px; font-size: 0.82rem; font-weight: 600; }
.answers pre { margin: 0; font: 0.82rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.answers p { margin: 0 0 4px; font-size: 0.8rem; }
.chip { border-radius: 99px; padding: 0 8px; font-weight: 600; white-space: nowrap; }
@media (max-width: 560px) { th, td { padding: 8px 10px; } .answers div { padding: 8px; } }
.browse { display: flex; flex-wrap: wrap; gap: 10px 16px; align-items: center; margin: 0 0 14px; max-width: none; }
.browse .search { display: flex; flex: 1 1 260px; gap: 8px; align-items: center; } .browse select, .browse input, .browse button { font: inherit; padding: 4px 8px; } .browse input { flex: 1; min-width: 0; } .browse [hidden] { display: none; }
.quiet { color: var(--muted); }
@media print { body { background: #fff; } .sample, figure { break-inside: avoid; } }
"""
