"""The browser of answers in the report: search, filter by kind, every arm's answer to a row side by side.

Plain JavaScript over the page's own JSON, without a network. Texts of rows and models become text nodes, never markup.
"""

BROWSER = """
<h2 id="browser">Answers row by row</h2>
<p class="quiet">
{%- if flips %}Lost or won: the score of the row fell or rose from the first arm to the second. Changed: the same score
with another answer. {% endif %}Long texts are cut here; flips.parquet beside this page has them whole.</p>
<form class="browse">
<label>Compare <select name="pair"></select></label>
<label>Show <select name="kind"></select></label>
<label class="search">Search <input type="search" name="words" placeholder="requests, references, answers"></label>
</form>
<p class="browse"><span id="shown" class="quiet" role="status"></span>
<button type="button" id="back">back</button><button type="button" id="next">next</button></p>
<div id="answers"></div>
<noscript><p>This list needs JavaScript. flips.parquet beside this page has the same rows.</p></noscript>
<script type="application/json" id="rows">{{ rows }}</script>
<script>
(() => {
  "use strict";
  const at = (id) => document.getElementById(id);
  const data = JSON.parse(at("rows").textContent);
  const KINDS = { l: "lost", w: "won", c: "changed", s: "same", "-": "not compared" };
  const MOODS = { l: "bad", w: "good", c: "unsure" };
  const SIZE = 50;
  const form = document.querySelector("form.browse");
  const { pair, kind, words } = form.elements;
  const chosen = () => data.pairs[pair.value] || ["", "", ""];
  let first = 0, found = [];

  function made(tag, text, mood) {
    const one = document.createElement(tag);
    one.textContent = text || "";
    if (mood) one.className = mood;
    return one;
  }
  function option(select, value, text) {
    const one = made("option", text);
    one.value = value;
    select.append(one);
  }
  function offer() {
    const kinds = chosen()[2], kept = kind.value;
    kind.replaceChildren();
    option(kind, "", `all rows (${data.rows.length})`);
    for (const letter of kinds ? "lwcs" : "") {
      option(kind, letter, `${KINDS[letter]} (${kinds.split(letter).length - 1})`);
    }
    kind.value = kept;
  }
  function texts(row) {
    const own = [...row.slice(0, 4), ...row[4].map((one) => (one ? one[0] : ""))];
    return (row.texts = row.texts || own.join("\\n").toLowerCase());
  }
  function search() {
    const kinds = chosen()[2], wanted = words.value.trim().toLowerCase();
    const rank = (place) => "lwcs-".indexOf(kinds[place]);
    found = [...data.rows.keys()].filter(
      (place) => (!kind.value || kinds[place] === kind.value) && (!wanted || texts(data.rows[place]).includes(wanted)));
    if (kinds) found.sort((a, b) => rank(a) - rank(b) || data.rows[a][0] - data.rows[b][0]);
    first = 0;
    show();
  }
  function answer(name, text, score, isValid) {
    const box = made("div"), head = made("h4");
    const mood = score >= 0.999 ? "good" : score <= 0.001 ? "bad" : "unsure";
    head.append(made("span", name), made("span", score.toFixed(2), `chip ${mood}`));
    box.append(head);
    if (!isValid) box.append(made("p", "breaks the answer contract", "bad"));
    box.append(made("pre", text || "(no answer)"));
    return box;
  }
  function article(place) {
    const [id, group, prompt, reference, outputs] = data.rows[place];
    const [before, after, kinds] = chosen(), letter = kinds[place];
    const sample = made("article", "", "sample"), head = made("h3", `row ${id}, group ${group} `);
    if (letter) head.append(made("span", KINDS[letter], `chip ${MOODS[letter] || ""}`));
    const all = made("div", "", "answers"), gold = made("div", "", "gold"), top = made("h4");
    top.append(made("span", "reference"));
    gold.append(top, made("pre", reference));
    const rank = (arm) => (arm === before ? 0 : arm === after ? 1 : 2);
    const order = [...data.arms.keys()].sort((a, b) => rank(data.arms[a]) - rank(data.arms[b]));
    all.append(gold, ...order.filter((n) => outputs[n]).map((n) => answer(data.arms[n], ...outputs[n])));
    sample.append(head, made("p", prompt), all);
    return sample;
  }
  function show() {
    const last = Math.min(first + SIZE, found.length);
    const left = data.total > data.rows.length ? `; this page has ${data.rows.length} of ${data.total} rows` : "";
    at("answers").replaceChildren(...found.slice(first, last).map(article));
    at("shown").textContent = `${found.length ? first + 1 : 0} to ${last} of ${found.length}${left}`;
    at("back").disabled = first === 0;
    at("next").disabled = last === found.length;
  }
  function turn(step) {
    first += step;
    show();
    at("browser").scrollIntoView();
  }
  data.pairs.forEach(([before, after], place) => option(pair, place, `${before} → ${after}`));
  for (const select of [pair, kind]) select.parentElement.hidden = !data.pairs.length;
  at("back").onclick = () => turn(-SIZE);
  at("next").onclick = () => turn(SIZE);
  form.onsubmit = (event) => event.preventDefault();
  pair.onchange = () => { offer(); search(); };
  kind.onchange = words.oninput = search;
  offer();
  search();
})();
</script>
"""
