"""`lockstep report` of the directory of a sweep: the numbers are those of trials.csv, also of sweeps that are unfinished,
large, or without any value; a browser shows the values of a line."""

import csv
import itertools
import math

import harness
from harness import edited, run, run_well, write_file
from page import browse, check, check_contrast, number, report

BASE = edited(("train: data.h5", "train: data.h5\n  validation: 0.25"), ("epochs: 2", "epochs: 4"), ("output: run\n", ""))
HALVING = """\
base: base.yaml
parameters:
  optimizer.lr: {log_uniform: [1e-3, 1e-1]}
  model.0.units: [8, 4, 16]
search: halving
trials: 6
halving: {factor: 2, first: 1}
"""
RUNGS = """\
base: b.yaml
parameters: {optimizer.lr: {uniform: [0.1, 0.2]}, data.y: [absent]}
search: halving
trials: 64
halving: {factor: 2, first: 1}
"""


def rows_of(folder):
    with open(folder / "trials.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def values_of(page):
    head, *rows = page.tables["Trials of the lines"]
    return [dict(zip(head, row)) for row in rows]


def facts_of(page):
    return {row[0]: row[1] for row in page.tables["Sweep"]}


def make(folder, sweep, rows, keys, monitor="val_loss", base=BASE):
    """Writes the directory of a sweep without training. rows: (trial, rung, values, epochs, value, state)"""
    folder.mkdir()
    write_file(folder / "sweep.yaml", sweep)
    write_file(folder / "base.yaml", base)
    lines = [["trial", "rung", *keys, "epochs", monitor, "state", "seconds", "directory"]]
    lines += [[trial, rung, *values, epochs, value, state, "1.500", f"trials/{trial:04}"]
              for trial, rung, values, epochs, value, state in rows]
    with open(folder / "trials.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def grid(folder, lists, results, **how):
    """A sweep of a grid. lists: key -> values; results: (value, state) of the first trials."""
    text = "".join(f"  {key}: [{', '.join(map(str, values))}]\n" for key, values in lists.items())
    rows = [(i, 0, values, 1, *result) for i, (values, result) in enumerate(zip(itertools.product(*lists.values()), results))]
    make(folder, f"base: b.yaml\nparameters:\n{text}search: grid\n", rows, lists, **how)


# ------------------------------------------------------------------------ sweeps

def halving(folder):
    """A real sweep: the ranking, the rungs and the best value so far follow from the table; the same page at 2 ranks."""
    write_file(folder / "base.yaml", BASE)
    write_file(folder / "sweep.yaml", HALVING)
    harness.write_arrays(folder / "data.h5", dict(zip("xy", harness.three_classes(48))))
    run_well(folder, "sweep", "sweep.yaml", "--output", "out")
    page, result = report(folder, "out/")
    rows, facts = rows_of(folder / "out"), facts_of(page)
    result.must([len([row for row in rows if row["rung"] == str(rung)]) for rung in range(3)] == [6, 3, 1], "three rungs")
    best = rows[-1]
    result.must(facts["best trial"] == best["trial"] and facts["directory"] == f"out/{best['directory']}", f"{facts}")
    result.must(facts["state"] == "finished" and facts["search"] == "halving (factor 2, first rung 1 epoch)", f"{facts}")
    last = {row["trial"]: row for row in rows}  # of the last rung of each trial
    ranking = sorted(last.values(), key=lambda row: (-int(row["rung"]), float(row["val_loss"]), int(row["trial"])))
    found = values_of(page)
    result.must([row["trial"] for row in found] == [row["trial"] for row in ranking], f"the ranking: {found}")
    for row, expected in zip(found, ranking):
        same = all(row[key] == expected[key] for key in ("optimizer.lr", "model.0.units", "epochs", "state"))
        result.must(same and row["last rung"] == expected["rung"], f"{row} {expected}")
        result.must(math.isclose(number(row["val_loss"]), float(expected["val_loss"]), rel_tol=1e-4), f"{row} {expected}")
    for rung, row in enumerate(page.tables["Rungs"][1:]):
        values = sorted(float(row["val_loss"]) for row in rows if row["rung"] == str(rung))
        median = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
        result.must(row[:3] == [str(rung), str((1, 2, 4)[rung]), str(len(values))], f"{row}")
        result.must(all(math.isclose(number(text), value, rel_tol=1e-4) for text, value in zip(row[6:], (values[0], median, values[-1]))), f"{row}")
    running = list(itertools.accumulate((float(row["val_loss"]) for row in rows), min))
    chart = page.tables["Best value so far"][1:]
    result.must(all(math.isclose(number(row[1]), value, rel_tol=1e-4) for row, value in zip(chart, running)), f"{chart} {running}")
    result.must(page.text.count('class="trial r') == 2 * 6, "a line for each trial in both figures")
    result.must("search: halving" in page.text and "optimizer:\n" in page.text and "best.yaml" in page.text, "the configs")
    if not harness.IS_SANITIZED: # the search for leaks may crash in a run that ends while MPI starts its threads
        again, _ = report(folder, "out/", output="again.html", ranks=2)
        result.must(again.text == page.text, "the same page at 2 ranks")
    check_contrast(page, result)


def part(folder):
    """A part of a sweep counts its own trials only, wherever it is named from."""
    write_file(folder / "base.yaml", BASE)
    write_file(folder / "sweep.yaml", HALVING.split("search")[0] + "search: random\ntrials: 3\n")
    harness.write_arrays(folder / "data.h5", dict(zip("xy", harness.three_classes(48))))
    run_well(folder, "sweep", "sweep.yaml", "--output", "out", "--part", "1/2")
    run(folder, "report", "out", "-o", "out.html").exits(3).reports("error: ", "parts", "without --part")
    for place, path in ("", "out/parts/1-of-2"), ("out/parts", "1-of-2"), ("out/parts/1-of-2", "."):
        page, result = report(folder / place, path)
        facts = facts_of(page)
        result.must((facts["state"], facts["trials"], facts["finished"], facts["not yet run"]) == ("finished", "1", "1", "0"), f"{facts}")
        result.must(facts["directory"] == f"{path}/../../trials/0001" and facts["part"].startswith("1 of 2"), f"{facts}")


def unfinished(folder):
    """A sweep that was killed while it wrote a row; trials that diverged, failed, or have no value; names that are not HTML."""
    names = ("<b>", "'a & b'", "ü" * 60, "true", "-1")
    results = [(0.5, "done"), (0.25, "done"), ("", "diverged"), ("nan", "done"), ("", "failed"), (2, "done")]
    grid(folder / "s", {"model.0.activation": names, "optimizer.lr": (0.1, 0.01)}, results)
    table = (folder / "s/trials.csv").read_text().replace("'a & b'", "a & b")
    (folder / "s/trials.csv").write_text(table + "6,0,tr")
    page, result = report(folder, "s")
    facts = facts_of(page)
    result.must(facts["state"] == "not finished; the same command resumes it: 4 results are missing", f"{facts}")
    counts = {key: facts[key] for key in ("trials", "finished", "finished without a value", "diverged", "failed", "not yet run", "best trial")}
    result.must(list(counts.values()) == ["10", "4", "1", "1", "1", "4", "1"], f"{counts}")
    found = values_of(page)
    result.must([row["trial"] for row in found] == ["1", "0", "5", "2", "3", "4"], f"{found}")
    result.must([row["rank"] for row in found] == ["1", "2", "3", "–", "–", "–"] and found[0]["model.0.activation"] == "<b>", f"{found}")
    crosses = page.text.count("l8 8m-8 0l8 -8")
    result.must(crosses == 2 * 3 + 1, f"{crosses} crosses, one of them in the legend")
    result.must("best.yaml" not in page.text.split('id="settings"')[1], "there is no best config yet")
    (folder / "s/trials.csv").write_text(table.splitlines(keepends=True)[0])
    page, result = report(folder, "s")
    result.must(facts_of(page)["not yet run"] == "10" and "No trial has ended yet" in page.text, "an empty table")


def without_values(folder):
    grid(folder / "s", {"optimizer.lr": (1e5, 1e6)}, [("", "diverged"), ("", "diverged")])
    page, result = report(folder, "s")
    result.must(facts_of(page)["best trial"] == "none: no trial has a value of val_loss", f"{facts_of(page)}")
    result.must(page.text.count('class="trial r0"') == 3 and "No plots" in page.text, "two lines and the legend")


def single_trial(folder):
    grid(folder / "s", {"optimizer.lr": (0.1,)}, [(0.25, "done")])
    page, result = report(folder, "s")
    result.must(page.tables["Trials, best first"][1][:4] == ["1", "0", "0.25", "0.1"], f"{page.tables['Trials, best first']}")


def many_parameters_and_trials(folder):
    """1,024 trials of 12 parameters: limits are stated; a maximised monitor with values that are far worse than the others."""
    lists = {f"model.{i}.units": (8, 4) for i in range(10)} | {"optimizer.weight_decay": tuple(range(1, 1001, 77)), "seed": (1,)}
    lists = {key: values for key, values in lists.items() if key != "model.0.units"}
    values = [(-1e7, "done") if i % 50 == 7 else (0.5 + 0.1 * math.sin(i), "done") for i in range(1024)]
    grid(folder / "s", lists, values, monitor="val_accuracy", base=BASE + "  monitor: val_accuracy\n")
    page, result = report(folder, "s")
    best = max(range(1024), key=lambda i: values[i][0])
    result.must(facts_of(page)["best trial"] == str(best) and "higher is better" in facts_of(page)["monitor"], f"{facts_of(page)}")
    result.must("Shows 200 of 1024 trials with a result: the best 50" in page.text, "limits are stated")
    result.must("21 values below" in page.text and "drawn at the end of the axis" in page.text, "the end of the axis")
    result.must(len(page.tables["The best 20 of 1024 trials with a result"]) == 21 and len(values_of(page)) == 200, "the tables")
    result.must(page.counts["figure"] == 2 + len(lists) and len(page.text) < 400000, f"{page.counts['figure']} figures, {len(page.text)} bytes")


def many_rungs(folder):
    """More rungs than colours; a trial that diverges in a later rung; equal values. Trials that cannot start have no results,
    but their values are in the table."""
    base = BASE.replace("epochs: 4", "epochs: 100")
    write_file(folder / "b.yaml", base)
    write_file(folder / "sweep.yaml", RUNGS)
    harness.write_arrays(folder / "data.h5", dict(zip("xy", harness.three_classes(12))))
    run(folder, "sweep", "sweep.yaml", "--output", "failed").exits(6)
    rates = [row["optimizer.lr"] for row in rows_of(folder / "failed")]
    rows = [(i, rung, (rates[i], "absent"), 2 ** rung, *(("", "diverged") if (i, rung) == (0, 6) else (0.5, "done")))
            for rung in range(7) for i in range(64 >> rung)]
    make(folder / "s", RUNGS, rows, ("optimizer.lr", "data.y"), base=base)
    page, result = report(folder, "s")
    facts = facts_of(page)
    result.must(facts["best trial"] == "1" and facts["epochs"] == "32" and facts["diverged"] == "1", f"{facts}")
    result.must("Only the first rung and the last ones are shown" in page.text and "rung 1: 2 epochs" not in page.text.split('id="progress"')[0], "colours")


# --------------------------------------------------------------------- bad input

def damaged_sweeps(folder):
    def rejected(change, *words, code=3, options=()):
        path = folder / str(len(list(folder.iterdir())))
        grid(path, {"optimizer.lr": (0.1, 0.01)}, [(0.5, "done"), (0.25, "done")])
        change(path)
        result = run(folder, "report", path.name, *options, "-o", "out.html").exits(code).reports("error: ", *words)
        result.must(not (folder / "out.html").exists(), "no page")

    def replaced(old, new):
        def change(path):
            text = (path / "trials.csv").read_text()
            (path / "trials.csv").write_text(text.replace(old, new))
        return change

    row = "1,0,0.01,1,0.25,done"
    for new in ("1,0,0.02,1,0.25,done", "2,0,0.01,1,0.25,done", "1,1,0.01,1,0.25,done", "1,0,0.01,1,0.25,won",
                "1,0,0.01,1,x,done", "1,0,0.01,0.25,done", "\0", "", "1,0,0.01,1,0.25,done,1"):
        rejected(replaced(row, new), "trials.csv:3", "not a row of this sweep")
    rejected(replaced("val_loss", "val_accuracy"), "trials.csv:1")
    rejected(lambda path: (path / "sweep.yaml").unlink(), "sweep.yaml: missing")
    rejected(lambda path: (path / "base.yaml").unlink(), "base.yaml: missing")
    rejected(lambda path: (path / "trials.csv").unlink(), "trials.csv: missing")
    rejected(lambda path: (path / "sweep.yaml").write_bytes(b"\xff\0"), "sweep.yaml")
    rejected(lambda path: (path / "sweep.yaml").write_text("base: b.yaml\nsearch: grid\n"), "parameters")
    rejected(lambda path: (path / "base.yaml").write_text("model: 7\n"), "base.yaml")
    rejected(lambda path: ((path / "trials.csv").unlink(), (path / "trials.csv").mkdir()), "trials.csv")
    rejected(lambda path: ([item.unlink() for item in path.iterdir()], (path / "parts").mkdir()), "not a run directory")
    rejected(lambda path: ([item.unlink() for item in path.iterdir()], (path / "parts/0-of-2").mkdir(parents=True),
                           (path / "parts/0-of-2/trials.csv").touch()), "parts", "without --part")
    rejected(lambda path: None, "--data", "not allowed with a sweep", code=2, options=("--data", "data.h5"))
    rejected(lambda path: None, "a page of its own", code=2, options=("elsewhere",))
    run(folder, "report", "1", "-o", "out.txt").exits(2).reports("error: ", "out.txt")


# ---------------------------------------------------------------------- browser

PROBE = """
var svg=document.querySelector('svg.lines'),figure=svg.closest('.chart'),tip=figure.querySelector('.tip'),data=document.body.dataset;
function text(){return tip.hidden?'':tip.textContent.replace(/\\n/g,'|')}
function key(name){svg.dispatchEvent(new KeyboardEvent('keydown',{key:name}));return text()}
data.first=key('ArrowDown');data.second=key('ArrowRight');data.last=key('End');data.none=key('Escape');
var box=svg.getBoundingClientRect(),scale=box.width/svg.viewBox.baseVal.width,path=svg.querySelector('.best');
var at=path.getAttribute('d').match(/M(\\S+) ([\\d.]+)/).slice(1).map(Number);
svg.dispatchEvent(new PointerEvent('pointermove',{clientX:box.left+at[0]*scale,clientY:box.top+at[1]*scale}));
data.pointed=text();data.lines=svg.querySelectorAll('.on').length;
svg.dispatchEvent(new PointerEvent('pointerleave'));data.left=text()+svg.querySelectorAll('.on').length;
"""


def browser(folder):
    """The arrow keys and the pointer show the values of a line; on a phone the figure scrolls, but not the page."""
    lists = {"optimizer.lr": (0.1, 0.01), "model.0.activation": ("a" * 100, "b"), **{f"model.{i}.units": (8,) for i in range(7)}}
    grid(folder / "s", lists, [(0.5, "done"), (0.25, "done"), ("", "diverged")])
    page, result = report(folder, "s")
    found = browse(folder, page, result, PROBE)
    head, *rows = page.tables["Trials of the lines"]
    first, second, last = ("|".join(f"{name}  {text}" for name, text in zip(head, row)) for row in rows)
    result.must((found["first"], found["second"], found["last"], found["none"]) == (first, second, last, ""), f"keys: {found}")
    result.must(found["pointed"] == first and found["lines"] == "1" and found["left"] == "0", f"the pointer: {found}")


harness.main([(test.__name__.replace("_", " "), test) for test in (
    halving, part, unfinished, without_values, single_trial, many_parameters_and_trials, many_rungs, damaged_sweeps, browser)])
