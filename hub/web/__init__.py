"""The console's shell: sign-in, sessions, guard, list grammar, style. Both nodes mount it (console 1, 2, 6).

Decides who gets through to a page and how every page is framed; what stands on a page is decided by the room that
brings it. Rooms above bring their pages as sections, found by entry points, so that imports only point down.

## A page

1. A module with a `Section` and plain functions from `Ask` to a response, in your room's `web/` package:

       section = Section("conflicts", "quality.web", nodes=("province",))

       @section.get("/conflicts", allow="query", menu="冲突处理", manual="conflicts")
       def listing(ask: Ask) -> Response:
           return ask.page("conflicts/list.html", rows=rows_of(ask))

       @section.post("/conflicts/{number:int}/adopt", allow="propose")
       def adopt(ask: Ask) -> Response: ...

2. `allow` is compulsory: a verb of `schemas/roles.yaml`, several of which one is enough, `SIGNED_IN` or `EVERYONE`.
   The guard answers 403 with a sentence before your code runs. **Data scope is yours**: put `ask.scopes("query")`
   into the query; an id outside it is `raise not_here()` (404).
3. An entry point in pyproject.toml: `[project.entry-points."hub.pages"]`, `conflicts =
   "quality.web.conflicts:section"`.
4. Templates in `quality/web/templates/conflicts/`, scripts in `quality/web/static/` (served as `/static/NAME`; one
   name space). `menu` labels are those of console 5; `section.MENU` gives their order, others come last.

Pages run in a thread and may read the database: `with ask.site.store.reading() as reader`. `ask.at` is the time
(never the clock), `ask.site.rng` randomness, `ask.operator` who acts (name, person, grants), `ask.source` the
address. `ask.query/queries/number` read the address, `ask.path["number"]` the path, `ask.form["reason"]`,
`ask.lists["tick"]`, `ask.files["file"]` (`.file` is a binary file) the posted form. Reading functions (SQL to frozen
dataclasses) stand apart from routes.

## A template

    {% extends "base.html" %}
    {% import "grammar.html" as g with context %}
    {% block main %}
    {% call g.heading("冲突处理") %}…links…{% endcall %}
    {% call g.conditions(conditions) %}<a class="button" href="…">导出 xlsx</a>{% endcall %}
    {{ g.chips(chips) }}
    <div class="split">{{ g.facets(facets) }}<div>
    <div class="scroll" tabindex="0" role="region" aria-label="数据列表"><table class="grid"><thead><tr>
    <th class="tick"><input type="checkbox" data-all aria-label="全选"></th>…<th class="acts">操作</th></tr></thead>
    <tbody>{% for r in rows %}<tr data-row>…<td class="acts"><a class="open" href="…">处理</a></td></tr>
    {% endfor %}</tbody></table></div>
    {{ g.pages(paging) }}</div></div>
    {% endblock %}

`g.empty(cause, href, cure)`, `g.tag(state)`, `g.note(text, kind)`, `g.csrf()` (in **every** form; htmx sends the form
it is in), `g.private(mask, plain)`. Filters: `n` (59,917), `moment`, `day` (Beijing time), `masked("XS", "SFZJH")`,
`swept`. Values are in `listing`: `Condition`, `chips`, `facet`, `paging` and `turned`: `where = paging(ask, total)`;
read `where.size` rows after key `where.after`, or by `where.offset` when that is None; `where = turned(ask, where,
keys)`. Classes: see `static/console.css` (`panel`, `cards`, `two`, `kv`, `form`, `bar`, `num`, `nowrap`, `notice
good|warn|bad`). No inline style, no `hx-on`, no script in a page; a script of your own is a file. Without scripts
everything works as links and forms: `hx-get` stands beside `href`, `hx-post` beside `action`. For htmx `ask.page`
sends the block `main` alone, `ask.fragment` a whole small template. Keys: `tr[data-row]` with `a.open` (j k x Enter),
`data-key="1"` (1–9), `a[data-key=Escape]`; print the key on the button: `<kbd>1</kbd>`.

## Actions, refusals, audit

After an action `return ask.go("/conflicts", note="…")` (no typed value in an address). Refusals are `raise`d:
`not_here()` 404, `forbidden(what, step)` 403, `overtaken(what)` 409, any `HubError` 422/503, or its own `status`.
htmx swaps the answer's body in, so it is a sentence for people. To keep typed text on a 409, answer your form again
with `status=409`. `@section.queue` gives the workbench its numbers (`Queue`). Every change writes its audit row
(`hub.audit.append`) in its own transaction.

## Private values

Lists and previews use `masked`. A detail page asks `plaintext.reveal(ask, entity, record, fields)`: True only when
the visitor holds a 隐私 role, the step-up is open, the quota holds **and the audit row is committed**. Then pass the
value as `plain` to `g.private`. The link to the step-up is `/plain?next=…`.

## Tests

`tests/web/conftest.py`: `console` (one province node with conflicts and work in its queues, filled once per run and
served; look, do not change), `own_console` (a copy to change), `console.as_("业务员")` an httpx client signed in,
`sign_in(page, console, role)` for Playwright's `page` (1366×768), `screen(page, name)` for `build/screens`,
`axe(page)`, `watch(page)` for foreign requests and CSP violations. `test_table.py` takes every declared route into
role × page × verb by itself.
"""

from hub.web.ask import Ask
from hub.web.refusals import PageRefusedError, forbidden, not_here, overtaken
from hub.web.section import EVERYONE, SIGNED_IN, Allowed, Queue, Section
from hub.web.site import Site

__all__ = [
    "EVERYONE",
    "SIGNED_IN",
    "Allowed",
    "Ask",
    "PageRefusedError",
    "Queue",
    "Section",
    "Site",
    "forbidden",
    "not_here",
    "overtaken",
]
