"""The data report as a Jinja template; a Python module, so that its text enters the key of the reporting stage."""

from tasks.pages.page import ending

DATA_STYLE = """
.plain { list-style: none; padding: 0; } summary .chip { font-size: 0.8rem; }
.bar { position: relative; display: block; height: 7px; border-radius: 4px; background: var(--plain); opacity: 0.75; min-width: 1px; }
.bar.held { background: var(--tuned); margin-top: 3px; } .bar.learned { background: var(--good); opacity: 1; }
td.bars { width: 45%; min-width: 140px; }
details { border-top: 1px solid var(--line); } details:first-child { border-top: 0; }
summary { display: grid; grid-template-columns: minmax(0, 1fr) auto auto; gap: 4px 16px; align-items: baseline; padding: 10px 14px; cursor: pointer; list-style: none; }
summary::-webkit-details-marker { display: none; }
summary code::before { content: "▸ "; color: var(--muted); } details[open] summary code::before { content: "▾ "; }
summary small { grid-column: 1 / -1; color: var(--muted); font-size: 0.85rem; padding-left: 1.1em; }
summary b { font-variant-numeric: tabular-nums; }
.panel { background: var(--card); border: 1px solid var(--line); border-radius: 14px; overflow: hidden; }
.rows { list-style: none; margin: 0; padding: 0 14px 12px; display: grid; gap: 8px; }
.rows li { border: 1px solid var(--line); border-radius: 10px; padding: 8px 12px; min-width: 0; }
.rows .where { color: var(--muted); font-size: 0.8rem; margin: 0 0 4px; max-width: none; overflow-wrap: anywhere; }
.said { font: 0.82rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; max-width: none; }
.said + .said { margin-top: 4px; } .said b { font: 600 0.75rem/1 system-ui, sans-serif; color: var(--muted); margin-right: 8px; }
.said del { color: var(--bad); text-decoration: line-through; text-decoration-thickness: 1px; } .said ins { color: var(--good); text-decoration: none; }
.learned-text { background: var(--good-wash); color: var(--good); border-radius: 3px; padding: 1px 0; box-decoration-break: clone; -webkit-box-decoration-break: clone; }
.read-text { color: var(--muted); }
.cluster { padding: 12px 0 0; } .cluster + .cluster { border-top: 1px solid var(--line); } .cluster h3 { margin: 0 14px 8px; font-size: 0.85rem; font-weight: 600; }
.counts { display: flex; flex-wrap: wrap; gap: 4px 22px; } .counts span { white-space: nowrap; } .counts small { display: inline; margin-right: 6px; }
.key { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin: 0 5px 0 0; background: var(--plain); opacity: 0.75; } .key.held { background: var(--tuned); margin-left: 14px; }
@media (max-width: 560px) { td.bars { min-width: 90px; } .rows { padding: 0 8px 10px; } }
"""

_MACROS = """
{%- macro row(shown, first=none) %}
<li><p class="where">row {{ shown.row_id }}{% if shown.place %} · {{ shown.place }}{% endif %}{% if shown.detail %} · {{ shown.detail }}{% endif %}</p>
{%- if first is not none and (first.prompt, first.completion) == (shown.prompt, shown.completion) %}<p class="said read-text">identical</p>
{%- else %}
{%- if shown.prompt %}<p class="said"><b>request</b>{{ shown.prompt }}</p>{% endif %}
{%- if shown.completion %}<p class="said"><b>answer</b>{{ shown.completion }}</p>{% endif %}
{%- endif %}</li>
{%- endmacro %}
{%- macro reasons_panel(reasons, is_open=false) %}
<div class="panel">
{%- for reason in reasons %}
<details{{ " open" if is_open }}><summary><code>{{ reason.name }}</code><span class="chip {{ 'bad' if reason.action == 'refuse' else 'unsure' if reason.action == 'drop' else 'quiet' }}">{{ {"refuse": "refused", "drop": "dropped", "note": "noted", "mask": "masked"}[reason.action] }}</span><b>{{ reason.rows|number }}</b><small>{{ reason.mend }}</small></summary>
<ul class="rows">{% for shown in reason.examples %}{{ row(shown) }}{% endfor %}</ul></details>
{%- endfor %}
</div>
{%- endmacro %}
"""

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>{{ style }}{{ data_style }}</style>
</head>
<body>
<main>
"""

TEMPLATE = (
    _MACROS
    + _HEAD
    + """<header class="top {{ mood }}">
  <p class="over">{{ facts.name }} · data report</p>
  <span class="badge {{ mood }}">{{ {"good": "no problems found", "unsure": "needs a look", "bad": "leakage"}[mood] }}</span>
  <h1>{{ headline }}</h1>
</header>
<ul class="facts">
{%- for value, label in tiles %}
  <li><b>{{ value }}</b><span>{{ label }}</span></li>
{%- endfor %}
</ul>

{%- if advice %}
<h2>Needs attention</h2>
<ul class="reasons plain">
{%- for tone, sentence in advice %}
  <li><span class="{{ tone }}">●</span> {{ sentence }}</li>
{%- endfor %}
</ul>
{%- endif %}

{%- if facts.changes is not none %}
<h2>What changed since the last run</h2>
<p>{{ facts.changes }}.</p>
{%- if facts.changed %}
<div class="panel"><ul class="rows" style="padding-top: 12px">
{%- for change in facts.changed %}
<li><p class="where">row {{ change.row_id }}{{ " before" if change.after is none }} · {{ "added" if change.before is none else "removed" if change.after is none else "answer changed" }}</p>
<p class="said"><b>request</b>{{ change.prompt }}</p><p class="said"><b>answer</b>{% if change.before is not none %}<del>{{ change.before }}</del> {% endif %}{% if change.after is not none %}<ins>{{ change.after }}</ins>{% endif %}</p></li>
{%- endfor %}
</ul></div>
{%- endif %}
{%- endif %}

<h2>Findings</h2>
{%- if facts.reasons %}
<p class="quiet">Open a line to see its first rows. Personal data and secrets are redacted; refused.parquet lists every row that was taken out, notes.parquet every row that was noted.</p>
{{ reasons_panel(facts.reasons) }}
{%- else %}
<p>None: every row was kept, and none was noted.</p>
{%- endif %}

<h2>Columns</h2>
<p class="quiet">What became of every column and key of the source, and the share of rows that fill it.{% for what, count in report.passed_over|items %} Passed over: {{ count|number }} {{ what }}.{% endfor %}{% if report.earlier_answers %} {{ report.earlier_answers|number }} earlier answers are context only: of a conversation the last answer is learned.{% endif %}</p>
<div class="wide" style="max-width: 640px"><table><thead><tr><th>column</th><th style="text-align: left">became</th><th>filled</th></tr></thead><tbody>
{%- for column in report.columns %}
<tr><td><code>{{ column.column }}</code></td><td class="text">{{ column.became }}</td><td>{{ column.filled|percent }}</td></tr>
{%- endfor %}
</tbody></table></div>

<h2>Row lengths</h2>
<div class="pair">
<figure><figcaption>{{ "Tokens" if facts.tokens else "Characters" }} per row <small>{% if facts.tokens %}no row is truncated: rows longer than the limit are refused{% else %}tokens are counted once the base model is in the store{% endif %}</small></figcaption>{{ chart }}</figure>
{%- if roles %}
<figure><figcaption>Tokens by role <small>of all train rows; only supervised tokens are learned</small></figcaption>
<table><thead><tr><th>role</th><th>tokens</th><th>supervised</th><th style="text-align: left">share</th></tr></thead><tbody>
{%- for name, tokens, supervised, share in roles %}
<tr><td>{{ name }}</td><td>{{ tokens|number }}</td><td>{{ supervised|number }}</td><td class="bars"><span class="bar{{ ' learned' if supervised }}" style="width: {{ share }}%"></span></td></tr>
{%- endfor %}
</tbody></table></figure>
{%- endif %}
</div>
{%- if facts.rendering %}
<div class="wide"><table><thead><tr><th>side</th><th>rows</th><th>shortest</th><th>median</th><th>95%</th><th>longest</th><th>limit</th><th>supervised tokens</th></tr></thead><tbody>
{%- for side in ("train", "held_out") %}
{%- set found = facts.rendering[side] %}
<tr><td>{{ side|replace("_", " ") }}</td><td>{{ found.rows|number }}</td>{% for share in ("0", "0.5", "0.95", "1") %}<td>{{ found.tokens_at[share]|number }}</td>{% endfor %}<td>{{ found.limit|number }}</td><td>{{ found.supervised_tokens|number }}</td></tr>
{%- endfor %}
</tbody></table></div>
{%- endif %}

<h2>The split</h2>
<div class="wide" style="max-width: 640px"><table><thead><tr><th>side</th><th>rows</th><th>share</th><th>groups</th></tr></thead><tbody>
{%- set kept = report.rows.train + report.rows.held_out %}
{%- for side in ("train", "held_out") %}
<tr><td>{{ side|replace("_", " ") }}</td><td>{{ report.rows[side]|number }}</td><td>{{ (report.rows[side] / kept)|percent }}</td><td>{{ report.groups[side]|number }}</td></tr>
{%- endfor %}
</tbody></table></div>
{%- if report.taught and report.taught.values()|sum %}
<p class="quiet">{{ report.taught.train|number }} train rows and {{ report.taught.held_out|number }} held-out rows have the answers of the teacher (taught.parquet).</p>
{%- endif %}
{%- if report.tied and report.tied.rows %}
<p class="quiet">{{ report.tied.rows|number }} row{{ "s" if report.tied.rows > 1 }} of {{ report.tied.groups|number }} group{{ "s" if report.tied.groups > 1 }} nearly repeat rows of an earlier group and belong to it (tied.parquet); the largest such group has {{ report.tied.largest|number }} rows.</p>
{%- endif %}
{%- if labels %}
<p class="quiet" style="margin: 18px 0 -8px">Share of each side: <span class="key"></span>train <span class="key held"></span>held out</p>
<div class="wide"><table><thead><tr><th>label</th><th></th><th>train</th><th>held out</th></tr></thead><tbody>
{%- for label, train, held, one, other in labels.bars %}
<tr><td>{{ label }}</td><td class="bars"><span class="bar" style="width: {{ one }}%"></span><span class="bar held" style="width: {{ other }}%"></span></td><td>{{ train|number }}</td><td>{{ held|number }}</td></tr>
{%- endfor %}
</tbody></table></div>
{%- if labels.rest %}<p class="quiet">and {{ labels.rest }} more labels; report.json lists all of them.</p>{% endif %}
{%- endif %}

<h2>Leakage</h2>
<p class="quiet">Where evaluated rows also appear in training data, prompts or documents. The few-shot and retrieval arms show train rows. Answers in the corpus are no leakage: finding them is the purpose of retrieval.</p>
<div class="wide"><table><thead><tr><th>between</th><th style="text-align: left">found</th></tr></thead><tbody>
{%- for pair, counts in matrix %}
<tr><td>{{ pair }}</td><td class="text"><div class="counts">{% for name, value in counts %}<span>{% if name %}<small>{{ name }}</small>{% endif %} {{ value }}</span>{% endfor %}</div></td></tr>
{%- endfor %}
</tbody></table></div>
{%- if facts.leaks %}
<div class="panel" style="margin-top: 18px"><ul class="rows" style="padding-top: 12px">
{%- for leak in facts.leaks %}
<li><p class="where">row {{ leak.row.row_id }} · contains {{ leak.share|percent }} of {{ leak.item }}</p><p class="said"><b>request</b>{{ leak.row.prompt }}</p><p class="said"><b>answer</b>{{ leak.row.completion }}</p></li>
{%- endfor %}
</ul></div>
{%- endif %}

{%- if facts.clusters %}
<h2>Duplicates</h2>
<p class="quiet">{{ facts.repeats|number }} cluster{{ "s" if facts.repeats > 1 }} of exact and near duplicates, the largest first.</p>
<div class="panel">
{%- for cluster in facts.clusters %}
<section class="cluster"><h3>{{ cluster.rows|number }} rows</h3><ul class="rows">{% for shown in cluster.members %}{{ row(shown, none if loop.first else cluster.members[0]) }}{% endfor %}</ul></section>
{%- endfor %}
</div>
{%- endif %}

<h2>{{ facts.sample|length }} rows as the model sees them</h2>
<p class="quiet">Evenly spaced from the shortest to the longest. <span class="read-text">Grey text is context</span>; <span class="learned-text">green text is supervised</span>: the model learns to write it.{% if not facts.tokens %} The chat template's tokens are shown once the base model is in the store.{% endif %}</p>
{%- for shown in facts.sample %}
<article class="sample">
<h3>row {{ shown.row_id }} · {{ shown.side|replace("_", " ") }}{% if shown.tokens %} · {{ shown.tokens|number }} supervised tokens{% endif %}</h3>
<p class="said" style="margin: 6px 0 0"><span class="read-text">{{ shown.read|cut }}</span>{% if not facts.tokens %}<br>{% endif %}<span class="learned-text">{{ shown.supervised|cut }}</span></p>
</article>
{%- endfor %}

"""
    + ending("facts.digests")
)

REFUSED_TEMPLATE = (
    _MACROS
    + _HEAD
    + """<header class="top bad">
  <p class="over">{{ title }}</p>
  <span class="badge bad">refused</span>
  <h1>{{ headline }}</h1>
</header>
<h2>Why</h2>
<p class="quiet">The first rows of each reason. Personal data and secrets are redacted. {{ table }} lists every row with its file, line, reason and how to fix it.</p>
{{ reasons_panel(reasons, true) }}
</main>
</body>
</html>
"""
)
