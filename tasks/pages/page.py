"""A page for people as one HTML file that needs nothing else: the template, the style, and what both reports say
alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from tasks.pages.style import STYLE

LONGEST_TEXT = 1500  # characters of a prompt or an answer that are shown

_ENDING = """<h2>Where every number comes from</h2>
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
    """Return the end of a page's template: where its numbers come from. `digests` is the template's own name for the
    mapping of artifact to digest.
    """
    return _ENDING.replace("DIGESTS", digests)


def rendered(template: str, filters: Mapping[str, Callable[..., Any]], **words: Any) -> str:
    """Return a page. Equal input gives equal bytes; nothing in it points outside, and all that was not made by `own` is
    escaped.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"cut": cut, **filters}
    return environment.from_string(template).render(style=own(STYLE), **words)


def own(text: str) -> Markup:
    """Let markup through that was made here; everything else on the page is escaped."""
    return Markup(text)  # noqa: S704


def cut(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text, or its beginning and how much is left out."""
    return text if len(text) <= longest else f"{text[:longest]} … (+{len(text) - longest} characters)"
