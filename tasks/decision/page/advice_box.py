"""The report with what `advise` found: the learning curve and the next step stand before the arms."""

from __future__ import annotations

from schemas.findings.advice import Advice
from tasks.pages.page import rendered

BEFORE = "<h2>The arms</h2>"
BOX = """<h2>What next</h2>
<p><b>{{ advice.advice }}</b></p>
{%- if advice.curve %}
<div class="wide"><table>
<thead><tr><th>train rows learned from</th><th>share of the groups</th><th>score on the held-out rows</th></tr></thead>
<tbody>
{%- for point in advice.curve %}
<tr><td>{{ "{:,}".format(point.train_rows) }}</td><td>{{ "{:.0%}".format(point.share) }}</td>
<td>{{ "%.3f"|format(point.score) }}<small>{{ "%.3f to %.3f"|format(point.low, point.high) }}</small></td></tr>
{%- endfor %}
</tbody></table></div>
{%- endif %}
{%- if advice.trend %}
<p class="quiet">From half of the train groups to all of them: {{ advice.trend_in_words }}.</p>
{%- endif %}

"""


def with_advice(page: str, advice: Advice) -> str:
    """Return a report with the box; a report of another form comes back as it is."""
    return page.replace(BEFORE, rendered(BOX, {}, advice=advice) + BEFORE, 1)
