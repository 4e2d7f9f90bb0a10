"""What all pages have: head, style, navigation."""

from ptolemy_dagster.http.pages.markup import Html, link, tag

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--ground:#fff;--line:#d5dae1;--accent:#1d5fb4;
--bad:#a4161a;--good:#1b6e3c;--data:#2f6fc9;--structure:#b36b00;--padding:#e4e8ee}
@media (prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#a5b0bf;--ground:#14181e;--line:#38414d;
--accent:#82b4f5;--bad:#ff9a93;--good:#7fd6a0;--data:#6fa5ee;--structure:#e0a03c;--padding:#2a323c}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;margin:0;color:var(--ink);background:var(--ground)}
header,main,footer{max-width:76rem;margin:0 auto;padding:0 1rem}
header{padding-top:1rem;display:flex;gap:1.5rem;align-items:baseline;flex-wrap:wrap}
header p{margin:0;font-weight:600}h1{font-size:1.6rem;margin:1rem 0 .5rem}h2{font-size:1.2rem;margin:2rem 0 .5rem}
a{color:var(--accent)}a:focus-visible,.wide:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--ground)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}
caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
th,td{border-bottom:1px solid var(--line);padding:.35rem .6rem;text-align:left;vertical-align:top;font-weight:400}
thead th{color:var(--soft);font-weight:600;white-space:nowrap}tbody th{font-weight:600}
code{font:.85em ui-monospace,monospace}.cid{user-select:all;-webkit-user-select:all;overflow-wrap:anywhere}
td,tbody th{white-space:nowrap}td.free{white-space:normal}.cids .cid{display:block}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:.6rem 1.5rem;margin:1rem 0}
dt{color:var(--soft);font-size:.85rem}dd{margin:0;overflow-wrap:anywhere}
progress{width:8rem;height:.8rem;accent-color:var(--data);vertical-align:middle}
.bad{color:var(--bad)}.good{color:var(--good)}.soft{color:var(--soft)}.reason{white-space:pre-wrap}
svg rect{shape-rendering:crispEdges}
svg{max-width:100%;height:auto;display:block}svg text{fill:var(--soft);font:12px system-ui,sans-serif}
.plot-line{stroke:var(--line)}.plot-data{fill:var(--data)}.plot-structure{fill:var(--structure)}
.plot-padding{fill:var(--padding)}.plot-area{fill:var(--data);fill-opacity:.25}
.plot-rate{fill:none;stroke:var(--data);stroke-width:2}
footer{margin-top:3rem;padding-bottom:2rem;color:var(--soft);font-size:.9rem}
"""


def page(title: str, *content: object, ui_url: str, refresh: int = 0, refreshable: bool = True) -> str:
    """A whole page.

    Args:
        title: of the page, and its first heading.
        content: below that.
        ui_url: Dagster's web UI.
        refresh: seconds until the browser asks again; 0: it doesn't.
        refreshable: whether the page changes, and says how to refresh it.
    """
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="refresh", content=refresh) if refresh else None,
        tag("title", f"{title} - Ptolemy"),
        Html(f"<style>{_STYLE}</style>"),
    )
    body = tag(
        "body",
        tag("a", "Skip to the content", href="#content", class_="skip"),
        tag(
            "header",
            tag("p", link("Ptolemy", "/")),
            tag(
                "nav",
                link("Projects", "/"),
                " · ",
                link("Dagster", ui_url),
                " · ",
                link("HTTP API", "/docs"),
                aria_label="Main",
            ),
        ),
        tag("main", tag("h1", title), content, id="content"),
        tag("footer", _refreshing(refresh) if refreshable else None),
    )
    return "<!doctype html>" + tag("html", head, body, lang="en")


def _refreshing(refresh: int) -> Html:
    if refresh:
        return tag("p", f"This page is asked for again every {refresh} s. ", link("Stop that", "?"))
    return tag("p", link("Refresh every 10 s", "?refresh=10"))
