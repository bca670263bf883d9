"""A report as one self-contained HTML file: rendering, the style, and the parts that both reports share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from tasks.pages.style import STYLE

LONGEST_TEXT = 1500  # characters shown of a prompt or an answer

_ENDING = """<h2>Artifacts behind the numbers</h2>
<div class="wide"><table>
<thead><tr><th>artifact</th><th style="text-align: left">digest</th></tr></thead>
<tbody>
{%- for name, digest in DIGESTS.items() %}
<tr><td>{{ name }}</td><td class="text"><code>{{ digest }}</code></td></tr>
{%- endfor %}
</tbody></table></div>
</main>
</body>
</html>
"""


def ending(digests: str) -> str:
    """Return the end of a page's template, which lists the artifacts that its numbers come from.

    `digests` is the template's expression for the mapping of artifact to digest.
    """
    return _ENDING.replace("DIGESTS", digests)


def rendered(template: str, filters: Mapping[str, Callable[..., Any]], **words: Any) -> str:
    """Return a page of equal bytes for equal input; it loads nothing, and all not marked by `own` is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"cut": cut, **filters}
    return environment.from_string(template).render(style=own(STYLE), **words)


def own(text: str) -> Markup:
    """Mark markup that was made here as safe; everything else on the page is escaped."""
    return Markup(text)  # noqa: S704


def cut(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text, or its beginning and how many characters are left out."""
    return text if len(text) <= longest else f"{text[:longest]} … (+{len(text) - longest} characters)"
