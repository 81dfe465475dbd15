/* The style sheet of the page, and its head.
 *
 * Both colour schemes use a palette that is safe for colour-blind readers (after Okabe & Ito); texts have a
 * contrast of at least 4.5, lines of at least 3. */
#include "page.h"

#define LIGHT                                                                                              \
  "--page:#f5f7f9;--card:#ffffff;--ink:#1b1f24;--muted:#57606a;--line:#c8d0d9;--grid:#e6eaee;"             \
  "--link:#0a5fa8;--good:#00694f;--bad:#b3261e;"                                                           \
  "--c0:#0072b2;--c1:#c44e00;--c2:#00785a;--c3:#a3487f;--c4:#8a6500;--c5:#5d5d66;"                         \
  "--h1:#eaf2fa;--h2:#d3e4f3;--h3:#b5d2ea;--h4:#8fbce0;--h5:#64a2d3;--h6:#3579b5;--h7:#1f65a3;--h8:#"      \
  "0b5394;"                                                                                                \
  "--h9:#073763;--low:#1b1f24;--high:#ffffff;"                                                             \
  "--r1:#d07a00;--r2:#c2571a;--r3:#a8416b;--r4:#7d3f96;--r5:#4a3fae;--r6:#10298f;"
#define DARK                                                                                               \
  "--page:#0d1117;--card:#161b22;--ink:#e6edf3;--muted:#9aa4af;--line:#3a424c;--grid:#262d35;"             \
  "--link:#79b8ff;--good:#4fd1a5;--bad:#ff8f85;"                                                           \
  "--c0:#56b4e9;--c1:#ff9e5e;--c2:#2fd0a0;--c3:#e8a0d0;--c4:#e0cb4d;--c5:#b4bac2;"                         \
  "--h1:#1b2836;--h2:#1f3550;--h3:#22436b;--h4:#255185;--h5:#2a619f;--h6:#5fa0dc;--h7:#7fb6e6;--h8:#"      \
  "a6cdf0;"                                                                                                \
  "--h9:#d0e5f8;--low:#e6edf3;--high:#0d1117;"                                                             \
  "--r1:#a3621a;--r2:#bd6350;--r3:#c4709a;--r4:#b48fd6;--r5:#9db5f5;--r6:#a9e2ff;"

static const char style[] =
    ":root{color-scheme:light dark;" LIGHT "}\n"
    "@media (prefers-color-scheme:dark){:root{" DARK "}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif;"
    "overflow-wrap:anywhere}\n"
    "header,main,footer{max-width:1180px;margin:0 auto;padding:0 16px}\n"
    "header{padding-top:24px}h1{font-size:1.7rem;line-height:1.2;margin:0 0 4px}\n"
    "h2{font-size:1.3rem;margin:40px 0 12px}h3{font-size:1.05rem;margin:24px 0 8px}\n"
    "a{color:var(--link)}nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:4px "
    "18px;padding:0;margin:12px 0 0}\n"
    ".skip{position:absolute;left:-99in}.skip:focus{left:8px;top:8px;background:var(--card);padding:8px}\n"
    ":focus-visible{outline:3px solid var(--link);outline-offset:2px}\n"
    ".lead,.note,footer,figure .note{color:var(--muted)}.note{margin:8px 0}figure "
    ".note{font-size:.85rem}\n"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));gap:16px}\n"
    ".charts>.chart:only-child{max-width:640px}\n"
    "figure,.card{margin:0;background:var(--card);border:1px solid "
    "var(--line);border-radius:8px;padding:12px}\n"
    ".chart{position:relative;min-width:0}\n"
    "figcaption{font-weight:600;margin-bottom:4px}\n"
    "svg{display:block;width:100%;height:auto;overflow:visible}\n"
    "svg text{font:13px system-ui,sans-serif;fill:var(--muted);font-variant-numeric:tabular-nums}\n"
    "svg .grid{stroke:var(--grid);stroke-width:1}svg .base{stroke:var(--line);stroke-width:1}\n"
    "svg .diagonal{stroke:var(--muted);stroke-width:1;stroke-dasharray:3 4}\n"
    "svg .cursor{stroke:var(--muted);stroke-width:1}\n"
    ".line{fill:none;stroke:var(--c);stroke-width:2;stroke-linecap:round;stroke-linejoin:round}\n"
    ".faint{stroke-width:1.6;stroke-dasharray:1 4}.dashed{stroke-dasharray:9 "
    "5}.dashed.faint{stroke-dasharray:1 8}\n"
    ".dots{fill:none;stroke:var(--c,var(--c0));stroke-width:4;stroke-linecap:round;stroke-opacity:.45}\n"
    ".bar{fill:var(--c0)}\n"
    ".k0{--c:var(--c0)}.k1{--c:var(--c1)}.k2{--c:var(--c2)}.k3{--c:var(--c3)}.k4{--c:var(--c4)}.k5{--c:var("
    "--c5)}\n"
    ".pan{overflow-x:auto}svg.lines text{paint-order:stroke;stroke:var(--card);stroke-width:4px;"
    "stroke-linejoin:round}\n"
    "svg.lines .name{fill:var(--ink);font-weight:600}svg.lines .axis{stroke:var(--muted);stroke-width:1}\n"
    ".trial{fill:none;stroke:var(--r);stroke-width:1.5;stroke-linejoin:round}.many "
    ".trial{stroke-width:1;stroke-opacity:.5}\n"
    ".rank{stroke:var(--r);stroke-width:10}\n"
    ".r0{--r:var(--muted)}.r1{--r:var(--r1)}.r2{--r:var(--r2)}.r3{--r:var(--r3)}.r4{--r:var(--r4)}"
    ".r5{--r:var(--r5)}.r6{--r:var(--r6)}\n"
    ".trial.r0{stroke-dasharray:3 4}.on{fill:none;stroke:var(--good);stroke-width:4}\n"
    "svg .trial.best{stroke:var(--ink);stroke-width:3;stroke-opacity:1}\n"
    ".ring{fill:none;stroke:var(--ink);stroke-width:2}.cross{fill:none;stroke:var(--bad);stroke-width:1.6}"
    "\n"
    ".scale{position:absolute;opacity:0}\n"
    ".scale+label{font-size:.8rem;border:1px solid var(--line);border-radius:6px;padding:2px "
    "8px;margin-right:4px;"
    "cursor:pointer;color:var(--muted)}\n"
    ".scale:checked+label{background:var(--ink);color:var(--card);border-color:var(--ink)}\n"
    ".scale:focus-visible+label{outline:3px solid var(--link);outline-offset:2px}\n"
    ".to-log:checked~svg.linear,.to-linear:checked~svg.log{display:none}\n"
    ".legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 16px;padding:0;margin:6px 0;"
    "font-size:.85rem}\n"
    ".legend "
    "svg{display:inline-block;width:28px;height:10px;margin-right:6px}\n"
    ".tip{position:absolute;z-index:2;pointer-events:none;background:var(--card);color:var(--ink);"
    "border:1px solid var(--muted);border-radius:6px;padding:6px 10px;font-size:.8rem;white-space:pre;"
    "font-variant-numeric:tabular-nums;max-width:100%;overflow:hidden}\n"
    ".points{fill:none;stroke:var(--c);stroke-width:7;stroke-linecap:round}\n"
    ".row{display:flex;flex-wrap:wrap;gap:0 "
    "16px;align-items:flex-start}.row>*{max-width:100%;min-width:0}\n"
    ".texts thead th{text-align:left}\n"
    "details{margin:8px 0}summary{cursor:pointer;color:var(--link);font-size:.9rem;width:fit-content}\n"
    ".run>summary{font-size:1.05rem;font-weight:600;overflow-wrap:anywhere}\n"
    ".scroll{overflow:auto;width:fit-content;max-width:100%;max-height:70vh;margin:8px "
    "0;background:var(--card);border:1px solid "
    "var(--line);border-radius:8px}\n"
    "table{border-collapse:collapse;overflow-wrap:normal;font-variant-numeric:tabular-nums;font-size:.9rem}"
    "\n"
    "caption{text-align:left;font-weight:600;padding:8px 12px}\n"
    "th,td{padding:4px 12px;border-top:1px solid var(--grid);text-align:right;white-space:nowrap}\n"
    "thead th{border:0;color:var(--muted);font-weight:600;vertical-align:bottom}\n"
    "th[scope=row],th[scope=colgroup],thead th:first-child,.text,#summary td,#summary th{text-align:left}\n"
    "th[scope=colgroup]{color:var(--muted);padding-top:14px}\n"
    "th[scope=row]{font-weight:600}td.text{max-width:34em;min-width:7em;white-space:normal;overflow-wrap:"
    "break-word}\n"
    "td.wide{white-space:pre-wrap;text-align:left;max-width:60em;overflow-wrap:anywhere}\n"
    ".heat td{text-align:center;padding:4px 8px;min-width:2.6em;border:1px solid "
    "var(--card);color:var(--low)}\n"
    ".heat td.h6,.heat td.h7,.heat td.h8,.heat td.h9{color:var(--high)}\n"
    ".heat td.hit{outline:1px solid var(--muted);outline-offset:-1px}\n"
    ".heat thead th{text-align:center;max-width:9em;overflow:hidden;text-overflow:ellipsis}\n"
    ".heat th[scope=row]{max-width:14em;overflow:hidden;text-overflow:ellipsis}\n"
    ".h0{background:var(--card)}.h1{background:var(--h1)}.h2{background:var(--h2)}.h3{background:var(--h3)}"
    ".h4{background:var(--h4)}.h5{background:var(--h5)}.h6{background:var(--h6)}.h7{background:var(--h7)}"
    ".h8{background:var(--h8)}.h9{background:var(--h9)}\n"
    ".cases{list-style:none;padding:0;margin:8px "
    "0;display:grid;grid-template-columns:repeat(auto-fill,minmax(132px,1fr));gap:12px}\n"
    ".cases li{background:var(--card);border:1px solid "
    "var(--line);border-radius:8px;padding:8px;font-size:.82rem;"
    "line-height:1.35;overflow-wrap:anywhere}\n"
    ".cases img{display:block;width:100%;max-width:160px;aspect-ratio:1;object-fit:contain;margin:0 auto "
    "6px;"
    "image-rendering:pixelated;background:#808080}\n"
    ".good{color:var(--good)}.bad{color:var(--bad)}\n"
    ".shares{display:flex;height:22px;border-radius:4px;overflow:hidden;min-width:160px;width:22em;max-"
    "width:50vw}\n"
    ".shares span{background:var(--c);border-right:1px solid var(--card)}\n"
    ".swatch{display:inline-block;width:12px;height:12px;border-radius:3px;background:var(--c);margin-"
    "right:6px}\n"
    "pre{margin:0;padding:12px;font:.82rem/1.45 "
    "ui-monospace,monospace;overflow:auto;max-height:70vh;background:var(--card);"
    "border:1px solid var(--line);border-radius:8px}td pre{border:0;padding:0;max-height:20em}\n"
    "footer{margin:48px auto 24px;font-size:.85rem}\n"
    "@media(max-width:560px){svg text{font-size:16px}th,td{padding:4px 8px}#summary "
    "td.text{overflow-wrap:anywhere}}\n"
    "@media print{.scroll,pre{max-height:none}}\n";

void report_page_begin(report_page *page, const char *title, const char *heading,
                       const char *const sections[][2]) {
  FILE *const out = page->out;
  report_put("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
             "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
             "<link rel=\"icon\" href=\"data:,\">\n<title>",
             out);
  report_text(out, title);
  report_print(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n", style);
  report_put("<a class=\"skip\" href=\"#content\">Skip to the content</a>\n<header><h1>", out);
  report_text(out, heading);
  report_put("</h1>\n<p class=\"lead\">Lockstep report</p>\n<nav aria-label=\"Sections\"><ul>", out);
  for (size_t i = 0; sections[i][0]; i++)
    report_print(out, "<li><a href=\"#%s\">%s</a></li>", sections[i][0], sections[i][1]);
  report_put("</ul></nav>\n</header>\n<main id=\"content\">\n", out);
}
