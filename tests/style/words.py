"""No file contains words that mark unfinished work."""

import re

import tree

MARKS = re.compile(r"\b(TODO|FIXME|XXX)\b|(?i:not (yet )?implemented|\bstub(s|bed)?\b)")


def check(path):
    try:
        lines = (tree.ROOT / path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return [] # not text
    return [f"{path}:{number}: {line.strip()}" for number, line in enumerate(lines, 1) if MARKS.search(line)]


texts = [path for path in tree.files() if path.parts[:2] != ("tests", "style")]
tree.finish([mistake for path in texts for mistake in check(path)], len(texts))
