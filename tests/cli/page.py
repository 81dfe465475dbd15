"""Shared by the tests of `lockstep report`: a strict parser of its pages, and a browser."""

import html.parser
import re
import shutil
import subprocess

import numpy

import harness
from harness import Skip, run_well

VOID = {"meta", "link", "input", "br", "img", "hr"}
BROWSER = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)


class Page(html.parser.HTMLParser):
    """Parses a page strictly. tables: caption -> rows of texts."""

    def __init__(self, path):
        super().__init__()
        self.open, self.errors, self.tables, self.ids, self.links, self.row = [], [], {}, [], [], None
        self.caption, self.words, self.counts = "", "", {}
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)
        self.close()
        self.errors += [f"<{tag}> is not closed" for tag in self.open]
        self.errors += [f"id {name} appears twice" for name in set(self.ids) if self.ids.count(name) > 1]

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if len(named) < len(attributes):
            self.errors.append(f"<{tag}>: an attribute appears twice")
        if tag == "th" and named.get("scope") not in ("row", "col", "colgroup"):
            self.errors.append("<th> without scope")
        if tag == "img" and not (named.get("alt") and named["src"].startswith("data:image/png;base64,")):
            self.errors.append(f"an image without a text, or not embedded: {named}")
        self.ids += [named["id"]] if "id" in named else []
        self.links += [value for name, value in attributes if name in ("src", "href", "action", "data", "srcset")]
        self.links += re.findall(r"url\(([^)]*)\)", named.get("style") or "")
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("caption", "th", "td"):
            self.words = ""
        if tag == "tr":
            self.row = []

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.errors.append(f"</{tag}> at {self.getpos()} closes another element")
        if tag == "caption":
            self.caption = self.words
            self.tables.setdefault(self.caption, [])
        if tag in ("th", "td"):
            self.row.append(" ".join(self.words.split()))
        if tag == "tr":
            self.tables[self.caption].append(self.row)

    def handle_data(self, data):
        self.words += data


def number(text):
    return float("nan") if text == "–" else float(text.replace(",", "").replace("∞", "inf"))


def report(folder, *words, output="out.html", **how):
    """(the page, the run), after the checks that each page passes."""
    result = run_well(folder, "report", *words, "-o", output, **how)
    return check(folder / output, result), result


def check(path, result):
    page = Page(path)
    result.must(not page.errors, f"well-formed, not {page.errors[:3]}")
    outside = [link for link in page.links if not link.startswith(("#", "data:"))]
    result.must(not outside and "url(" not in page.text and "@import" not in page.text, f"nothing is loaded: {outside}")
    result.must(page.text.count('role="img"') == len(re.findall(r'role="img" aria-labelledby="t\d+ d\d+"><title id="t\d+">[^<]+</title>'
                                                               r'<desc id="d\d+">[^<]+</desc>', page.text)), "all pictures are described")
    result.must(all(name in page.ids for name in re.findall(r'<li><a href="#(\w+)">', page.text)), "links")
    return page


# ---------------------------------------------------------------------- browser

PROBE = """
document.body.dataset.width=document.documentElement.scrollWidth+' '+innerWidth;
document.body.dataset.loaded=performance.getEntriesByType('resource').map(function(e){return e.name.slice(0,60)}).join(' ');
"""


def browse(folder, page, result, probe):
    """Shows a page on a phone, after a script, whose results are in the dataset of the body. Returns them."""
    if not BROWSER:
        raise Skip("Chromium is not installed (package chromium-headless-shell or chromium)")
    (folder / "probe.html").write_text(page.text.replace("</body>", f"<script>{probe}{PROBE}</script></body>"))
    shown = subprocess.run([BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile",
                            "--window-size=390,800", "--virtual-time-budget=3000", "--enable-logging=stderr", "--dump-dom",
                            f"file://{folder}/probe.html"], capture_output=True, text=True, timeout=harness.DEADLINE)
    found = dict(re.findall(r'data-(\w+)="([^"]*)"', shown.stdout[shown.stdout.index("<body"):][:4000].split(">")[0]))
    result.must("CONSOLE" not in shown.stderr, f"no error: {shown.stderr}")
    result.must(found.get("loaded") == "", f"nothing is loaded: {found}")
    wide, inner = map(int, found["width"].split())
    result.must(wide <= inner, f"a phone does not scroll sideways: {found['width']}")
    return found


def check_contrast(page, result):
    """Texts have a contrast of at least 4.5, and lines of at least 3, in both colour schemes."""
    def luminance(colour):
        parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return numpy.dot(linear, (0.2126, 0.7152, 0.0722))

    schemes = [dict(re.findall(r"--(\w+):(#\w{6})", block)) for block in re.findall(r":root\{([^}]*)\}", page.text)]
    result.must(len(schemes) == 2, "two schemes")
    for colours in schemes:
        pairs = [(4.5, text, ground) for text in ("ink", "muted", "link", "good", "bad") for ground in ("page", "card")]
        pairs += [(3.0, f"c{k}", "card") for k in range(6)]
        pairs += [(3.0, f"r{k}", "card") for k in range(1, 7)]
        pairs += [(4.5, "low" if k < 6 else "high", f"h{k}") for k in range(1, 10)]
        for least, a, b in pairs:
            bright, dark = sorted((luminance(colours[a]), luminance(colours[b])), reverse=True)
            ratio = (bright + 0.05) / (dark + 0.05)
            result.must(ratio >= least, f"{a} on {b}: {ratio:.2f}")
