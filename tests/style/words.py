"""Text is finished and in plain English: words that mark a gap and phrases that a reader would have to translate are
rejected, everywhere but in the tests of style.

The phrases are those that are never the best choice; the rest of the rules needs a reader."""

import re

import tree

GAPS = re.compile(r"\b(TODO|FIXME|XXX)\b|(?i:not (yet )?implemented|\bstub(s|bed)?\b)")

PHRASES = re.compile("|".join((
    r"(?<!here )\b(is|are|was|were) no (?!longer|more|less|fewer|larger|smaller)", # is not a
    r"\b(is|are|was|be|been|being) told\b",                   # the message, the log, is reported
    r"\bof (no )?account\b",                                    # harmless, relevant
    r"\bbe had\b",                                              # available
    r"\bborne?\b",                                              # accepted
    r"\b(come|comes|came|coming) by\b",                         # reach
    r"\b(go|goes|going|went|gone) on (from|with|to|at|in|as)\b",   # resume, continue
    r"\bfor good\b|\bfor ever\b",                               # permanently
    r"\bmistakes?\b",                                           # error
    r"\bby hand\b",                                             # manually
    r"\bdeal(s|t)?\b(?! with)",                                 # all-to-all, scatter
    r"\bmend(s|ed|ing)?\b",                                     # fix
    r"\bguilty\b|\bheirs?\b|\bseats?\b",                        # responsible, successor, affinity
    r"\bsees? to it\b|\bseen to\b",                             # ensure
    r"\bdata sets?\b",                                          # dataset
)))
CONTRACTIONS = re.compile(r"\b(\w+n't|(it|that|there|what|who|let)'s|(we|you|they)'(re|ve|ll))\b", re.IGNORECASE)


def check(path):
    try:
        lines = (tree.ROOT / path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return [] # not text
    rules = (GAPS, PHRASES, CONTRACTIONS)
    found = [(number, line, match[0]) for number, line in enumerate(lines, 1) for rule in rules
             if (match := rule.search(line))]
    return [f"{path}:{number}: '{phrase.strip()}': {line.strip()}" for number, line, phrase in found]


texts = [path for path in tree.files() if path.parts[:2] != ("tests", "style")]
tree.finish([error for path in texts for error in check(path)], len(texts))
