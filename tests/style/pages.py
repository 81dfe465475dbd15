"""The pages agree with the program: links lead to files and headings that exist, paths name files of the project,
src/config/README.md lists the same keys, values and defaults as `lockstep keys`, and src/README.md the same dependencies
as modules.txt.

The tables of keys have the columns `key`, `values` and `default`. Tables of layers, optimizers and schedules have a
first column with the kinds that a row applies to, or `all`. The key that selects the kind (`optimizer.type`,
`model.N.layer`) is not listed."""

import os
import pathlib
import re
import subprocess

import tree

KEYS_PAGE = "src/config/README.md"
MODULES_PAGE = "src/README.md"
PROGRAM = os.environ.get("LOCKSTEP", tree.BUILD / "lockstep")
MADE = {"datasets/fashion-mnist/fashion-mnist.h5", "datasets/spoken-digits/spoken-digits.h5",
        "datasets/spoken-digits/wav"} # are not in the repository
KINDS = {"model": "layer", "optimizer": "type", "schedule": "type"}


def text_of(path):
    return (tree.ROOT / path).read_text(encoding="utf-8")


def anchors(text):
    """The names by which links refer to the headings of a page."""
    outside = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", outside, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page):
    for link in re.findall(r"\]\(([^)#\s]*(?:#[^)\s]*)?)\)", text_of(page)):
        file, _, anchor = link.partition("#")
        target = pathlib.PurePath(os.path.normpath(page.parent / file)) if file else page
        if ":" in file:
            continue
        if not (tree.ROOT / target).exists():
            yield f"{page}: {link}: no such file"
        elif anchor and anchor not in anchors(text_of(target)):
            yield f"{page}: {link}: no such heading in {target}"


def wrong_paths(page):
    for path in re.findall(r"(?<![\w./-])((?:src|include|tests|scripts|datasets)/[\w./-]*\w)", text_of(page)):
        if path not in MADE and not (tree.ROOT / path).exists() and not (tree.ROOT / page.parent / path).exists():
            yield f"{page}: {path}: no such file"


def printed_rows(block):
    """The cells of a section of `lockstep keys`; its columns start where those of the first line do."""
    starts = [cell.start() for cell in re.finditer(r"\S+(?: \S+)*", block[0])]
    rows = []
    for line in block:
        cells = [line[start:end].strip() for start, end in zip(starts, starts[1:] + [None])]
        if line.startswith(" "):
            rows[-1] = [f"{old} {new}".strip() for old, new in zip(rows[-1], cells)]
        else:
            rows.append(cells)
    return rows


def printed_keys(text):
    """(kind or "", key) -> (values, default), and the kinds of each section."""
    keys, kinds = {}, {section: [] for section in KINDS}
    for block in re.split(r"\n\n+", text.strip()):
        title, *lines = block.splitlines()
        section, _, kind = title.removeprefix("# ").partition(": ")
        kind = kind.split(":")[0].split(" ")[-1]
        if kind:
            kinds[section].append(kind)
        for key, values, default, _ in printed_rows(lines):
            if not kind or key.split(".")[-1] != KINDS[section]:
                keys[kind, key] = values, default
    return keys, kinds


def page_keys(text, kinds):
    """Likewise from the page's tables."""
    keys, header = {}, []
    for line in text.splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not header or not cells:
            header = cells
        elif "key" in header:
            row = dict(zip(header, cells))
            section = row["key"].split(".")[0]
            named = row.get(KINDS.get(section), "")
            for kind in kinds[section] if named == "all" else named.split(", "):
                keys[kind, row["key"]] = row["values"], row["default"]
    keys = {name: row for name, row in keys.items() if not set(name[1]) <= set("-")}
    return keys


def differences(printed, page):
    for kind, key in sorted(printed.keys() | page.keys()):
        expected, found = printed.get((kind, key)), page.get((kind, key))
        if expected != found:
            yield f"{KEYS_PAGE}: {kind} {key}: {found or 'absent'}; `lockstep keys` has {expected or 'no such key'}"


def module_errors():
    """Compares the column `may use`: names, `all below`, or `all below except` names."""
    rows = re.findall(r"^(\w+) +([\w ]*?) *(?:\|.*)?$", text_of("tests/style/modules.txt"), re.MULTILINE)
    matrix = {name: set(used.split()) for name, used in rows}
    page = dict(re.findall(r"^\| `(\w+)` \|.*\| ([\w ]*) ?\|$", text_of(MODULES_PAGE), re.MULTILINE))
    for name in sorted(matrix.keys() | page.keys()):
        words = page.get(name, "").split()
        below = set(list(matrix)[:list(matrix).index(name)]) if name in matrix else set()
        used = below - set(words) if words[:1] == ["all"] else set(words)
        if name not in page or used != matrix.get(name):
            yield f"{MODULES_PAGE}: {name}: differs from tests/style/modules.txt"


pages = [path for path in tree.files() if path.suffix == ".md"]
output = subprocess.run([PROGRAM, "keys"], capture_output=True, text=True, check=True).stdout
known, known_kinds = printed_keys(output)
errors = [error for page in pages for check in (broken_links, wrong_paths) for error in check(page)]
errors += module_errors()
errors += differences(known, page_keys(text_of(KEYS_PAGE), known_kinds))
tree.finish(errors, len(pages) + len(known))
