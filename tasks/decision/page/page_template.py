"""The verdict report as a Jinja template; a Python module, so that its text enters the key of the reporting stage."""

from tasks.decision.page.browser import BROWSER
from tasks.pages.page import ending

TEMPLATE = (
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ page.name }}: {{ verdict.verdict|replace("_", " ") }}</title>
<style>{{ style }}</style>
</head>
<body>
<main>
<header class="top {{ mood }}">
  <p class="over">{{ page.name }}</p>
  <span class="badge {{ mood }}">{{ verdict.verdict|replace("_", " ") }}</span>
  <h1>{{ headline }}</h1>
{%- if numbers %}
  <p class="lead">{{ numbers }}</p>
{%- endif %}
  <p class="lead"><b>What to do:</b> {{ verdict.recommendation }}</p>
{%- for endpoint in verdict.endpoints %}
  {% if endpoint.problem %}<p class="bad">{{ endpoint.in_words }}</p>{% else %}<p class="lead"><b>In place of {{ endpoint.name }}:</b> {{ endpoint.in_place[0].in_words }}</p>{% endif %}
{%- endfor %}
{%- for caveat in verdict.caveats %}
  <p class="bad">{{ caveat }}</p>
{%- endfor %}
</header>
<ul class="facts">
{%- for value, label in facts %}
  <li><b>{{ value }}</b><span>{{ label }}</span></li>
{%- endfor %}
</ul>

<h2>Why</h2>
<ul class="reasons">
{%- for reason in reasons %}
  <li>{{ reason }}</li>
{%- endfor %}
</ul>

<h2>The arms</h2>
<div class="pair">
<figure><figcaption>Score of each arm <small>{{ verdict.rows }} held-out rows in {{ verdict.groups }} groups, the same for every arm{{ " · grey: untrained, blue: tuned" if verdict.arms|selectattr("gain", "ne", none)|list }}</small></figcaption>{{ charts.arms }}</figure>
{%- if charts.costs %}
<figure><figcaption>Score and cost <small>upper left is best</small></figcaption>{{ charts.costs }}</figure>
{%- endif %}
{%- if charts.loss %}
<figure><figcaption>Training <small>{{ page.training|join(" · ") }}</small></figcaption>{{ charts.loss }}</figure>
{%- endif %}
</div>
<div class="wide"><table>
<thead><tr><th>arm</th><th>rows</th><th>groups</th><th>score</th><th>{% if verdict.target is none %}best less {{ verdict.worth|short }}{% else %}target {{ verdict.target|short }}{% endif %}</th><th>gain over best untrained arm</th><th>valid{% if verdict.valid is not none %} (of {{ verdict.valid|percent }}){% endif %}</th><th>ended by stop token</th><th>tokens in / row</th><th>tokens out / row</th></tr></thead>
<tbody>
{%- for arm in verdict.arms %}
<tr><td>{{ arm.arm }}</td><td>{{ arm.rows }}</td><td>{{ arm.groups }}</td><td>{{ arm.score|three }}<small>{{ arm.low|three }} to {{ arm.high|three }}</small>{% if arm|readings %}<small>strict / lenient {{ arm|readings }}</small>{% endif %}{% for name, value in arm.also.items() %}<small>{{ name }} {{ value|three }}</small>{% endfor %}</td>
<td><span class="{{ moods[arm.standing] }}">{{ standings[arm.standing] }}</span></td>
<td>{% if arm.gain is not none %}{{ arm.gain|signed }}<small>{{ arm.gain_low|signed }} to {{ arm.gain_high|signed }}</small>{% if arm.won is not none %}<small>won {{ arm.won }} rows, lost {{ arm.lost }}</small>{% endif %}{% if arm.gain_standing %}<small class="{{ gain_moods[arm.gain_standing] }}">{{ gain_names[arm.gain_standing] }}</small>{% endif %}{% else %}<span class="quiet">–</span>{% endif %}</td>
<td{% if arm.breaks_contract %} class="bad"{% endif %}>{{ arm.valid_rate|percent }}</td><td>{{ arm.stopped_rate|percent }}</td><td>{{ arm.prompt_tokens|whole }}</td><td>{{ arm.output_tokens|whole }}</td></tr>
{%- endfor %}
{%- if verdict.champion %}
<tr><td>champion <small>version {{ verdict.champion.version }}, as {{ verdict.champion.arm }}</small></td><td>{{ verdict.champion.rows }}</td><td>{{ verdict.champion.groups }}</td><td>{{ verdict.champion.score|three }}<small>{{ verdict.champion.low|three }} to {{ verdict.champion.high|three }}</small></td>
<td>{% if verdict.champion.standing %}<span class="{{ moods[verdict.champion.standing] }}">{{ standings[verdict.champion.standing] }}</span>{% else %}<span class="quiet">–</span>{% endif %}</td>
<td>{{ verdict.champion.lead|signed }}<small>{{ verdict.champion.lead_low|signed }} to {{ verdict.champion.lead_high|signed }}</small></td>
<td>{{ verdict.champion.valid_rate|percent }}</td><td><span class="quiet">–</span></td><td>{{ verdict.champion.prompt_tokens|whole }}</td><td>{{ verdict.champion.output_tokens|whole }}</td><td><span class="quiet">–</span></td></tr>
{%- endif %}
{%- for endpoint in verdict.endpoints %}
<tr><td>{{ endpoint.name }} <small>{{ endpoint.model or "endpoint" }}</small></td>{% if endpoint.problem %}<td colspan="9"><span class="bad">failed</span></td>{% else %}<td>{{ endpoint.rows }}</td><td>{{ endpoint.groups }}</td><td>{{ endpoint.score|three }}<small>{{ endpoint.low|three }} to {{ endpoint.high|three }}</small></td>
<td><span class="quiet">–</span></td><td><span class="quiet">–</span></td><td>{{ endpoint.valid_rate|percent }}</td><td>{{ endpoint.stopped_rate|percent }}</td><td>{{ endpoint.prompt_tokens|whole }}</td><td>{{ endpoint.output_tokens|whole }}</td>{% endif %}</tr>
{%- endfor %}
</tbody></table></div>
{%- for table in page.details %}
<h3>{{ table.title }}</h3>
<div class="wide"><table>
<thead><tr>{% for head in table.heads %}<th>{{ head }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for row in table.rows %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody></table></div>
{%- endfor %}

{%- if verdict.champion or verdict.champion_note %}
<h2>The champion</h2>
{%- if verdict.champion %}
<p class="quiet">The version that is served today, measured as served on {{ verdict.champion.rows }} of today's held-out rows, in {{ verdict.champion.groups }} groups{% if verdict.champion.left_out %}; {{ verdict.champion.left_out }} that it may have learned are left out for every arm{% endif %}. The verdict does not depend on this comparison, but whether today's adapter replaces the champion does.</p>
<ul class="reasons">
{%- for reason in verdict.champion.reasons %}
  <li>{{ reason }}</li>
{%- endfor %}
</ul>
{%- else %}
<p>{{ verdict.champion_note[:1]|upper }}{{ verdict.champion_note[1:] }}.</p>
{%- endif %}
{%- endif %}

{%- if verdict.gate %}
<h2>Forgetting on benchmarks</h2>
<p><b class="{{ gate_moods[verdict.gate.state] }}">Gate {{ verdict.gate.state }}</b>: {{ verdict.gate.counts }}.</p>
<p class="quiet">Was more than {{ verdict.gate.margin|short }} of accuracy lost? The base and the tuned model answered the same items{% if verdict.gate.looks|length > 1 %}, looked at after {{ verdict.gate.looks|join(", ") }} of {{ verdict.gate.all_items }}; the confidence of {{ verdict.confidence|confidence }} is that of all looks together{% endif %}. <b class="good">Kept</b>: the whole interval of the change lies at or above {{ (-verdict.gate.margin)|short_signed }}. <b class="bad">Lost</b>: the change lies below it, corrected for the number of tasks; the gate shuts. <b class="unsure">Inconclusive</b>: neither is shown. {% if verdict.gate.require == "kept" %}The gate opens to a champion if all items pooled are kept and no task may hide a loss: as measured it lost no more than the margin, and twice the margin would not look like this in 95 of 100 cases{% if verdict.gate.neutral %}, nor did neutral text cost more than {{ verdict.gate.neutral.margin|short }} nats a token{% endif %}; else the adapter is a challenger.{% else %}The gate is open unless a loss is shown (benchmark.require: not_lost).{% endif %}</p>
<div class="pair">
<figure><figcaption>Accuracy before and after <small>hollow: base · filled: tuned</small></figcaption>{{ charts.accuracy }}</figure>
<figure><figcaption>Change <small>tuned − base on the same items, with its interval{% for standing, words in (("kept", "blue"), ("inconclusive", "amber"), ("lost", "red")) %}{% if verdict.gate.shown|selectattr("standing", "eq", standing)|list %} · {{ words }}: {{ standing }}{% endif %}{% endfor %}</small></figcaption>{{ charts.change }}</figure>
</div>
<div class="wide"><table>
<thead><tr><th>task</th><th>items</th><th>clusters</th><th>before</th><th>after</th><th>change</th><th>margin {{ verdict.gate.margin|short }}</th></tr></thead>
<tbody>
{%- for task in verdict.gate.shown %}
<tr><td>{{ task.task }}</td><td>{{ task.items }}</td><td>{{ task.clusters }}</td><td>{{ task.base|three }}</td><td>{{ task.tuned|three }}</td>
<td>{{ task.difference|signed }}<small>{{ task.low|signed }} to {{ task.high|signed }}</small></td>
<td><span class="{{ loss_moods[task.standing] }}">{{ task.standing }}</span></td></tr>
{%- endfor %}
{%- if verdict.gate.neutral %}{% set neutral = verdict.gate.neutral %}
<tr><td>neutral text<small>nats a token: more is worse</small></td><td>{{ neutral.texts }}</td><td>{{ neutral.texts }}</td><td>{{ neutral.base|three }}</td><td>{{ neutral.tuned|three }}</td>
<td>{{ neutral.difference|signed }}<small>{{ neutral.low|signed }} to {{ neutral.high|signed }}</small></td>
<td><span class="{{ loss_moods[neutral.standing] }}">{{ neutral.standing }}</span><small>margin {{ neutral.margin|short }}</small></td></tr>
{%- endif %}
</tbody></table></div>
{%- endif %}

{%- if errors %}
<h2>Facts or form</h2>
<p>{{ verdict.winnable }}{% if verdict.retrieval_in_words %} {{ verdict.retrieval_in_words }}{% endif %}</p>
<div class="wide"><table>
<thead><tr><th>share of all answers</th>{% for arm in verdict.arms %}<th>{{ arm.arm }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for kind, found in errors.items() %}
<tr><td>{{ kind }}</td>{% for one in found %}<td>{% if one %}<span title="rows {{ one.rows|join(", ") }}">{{ one.share|percent }}</span><small>{{ one.low|percent }} to {{ one.high|percent }}</small>{% else %}<span class="quiet">–</span>{% endif %}</td>{% endfor %}</tr>
{%- endfor %}
</tbody></table></div>
<p class="quiet">Each answer that is not wholly right is of one kind, the first that holds from the top. Where an answer stands goes by the reference's own words, for free text only: a short one may stand in a passage by chance.{% if not page.data.documents %} There are no documents: the corpus is the train rows, and an answer stands in those that have the same one.{% endif %}</p>
{%- endif %}

{%- if verdict.slices %}
<h2>Slices</h2>
<p class="quiet">The same held-out rows by the values of {{ columns }}.{% if verdict.compared %} The change is {{ verdict.compared[1] }} − {{ verdict.compared[0] }}, row by row; <b class="bad">lost</b> means that it is below 0 at {{ verdict.confidence|confidence }} confidence, corrected for the number of slices.{% endif %} With fewer than {{ fewest }} groups nothing is claimed.</p>
<div class="wide"><table>
<thead><tr><th>slice</th><th>rows</th><th>groups</th>{% if verdict.compared %}<th>change</th>{% endif %}{% for arm in verdict.arms %}<th>{{ arm.arm }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for slice in verdict.slices %}
<tr><td>{{ slice.column }} = {{ slice.value|cut(60) }}</td><td>{{ slice.rows }}</td><td>{{ slice.groups }}</td>
{%- if slice.gain is not none %}<td{% if slice.has_lost %} class="bad"{% endif %}>{{ slice.gain|signed }}<small>{{ slice.gain_low|signed }} to {{ slice.gain_high|signed }}</small><small>{{ "lost" if slice.has_lost else "too few groups to tell" if slice.groups < fewest else "no loss shown" }}</small></td>{% endif %}
{%- for arm in slice.arms %}<td>{{ arm.score|three }}<small>{{ arm.low|three }} to {{ arm.high|three }}</small></td>{% endfor %}</tr>
{%- endfor %}
</tbody></table></div>
{%- endif %}
{%- if rows %}
"""
    + BROWSER
    + """
{%- endif %}

<h2>The rows</h2>
<p>{{ page.data.train_rows }} train rows, {{ page.data.held_out_rows }} held out, {{ page.data.refused_rows }} taken out{% if page.data.documents %}, {{ page.data.documents }} documents to retrieve from{% endif %}.{% if page.data.teacher %} {{ page.data.taught_rows }} train rows and {{ page.data.taught_held_out }} held-out rows have the answers of {{ page.data.teacher }}.{% endif %}</p>
{%- if page.data.reasons %}
<div class="wide" style="max-width: 460px"><table>
<thead><tr><th>taken out because</th><th>rows</th></tr></thead>
<tbody>
{%- for reason, count in page.data.reasons|dictsort %}
<tr><td><code>{{ reason }}</code></td><td>{{ count }}</td></tr>
{%- endfor %}
</tbody></table></div>
{%- endif %}

"""
    + ending("page.digests")
)
