"""`lockstep plan`: the table is consistent and monotonic, and errors are reported. No test depends on the machine's speed."""

import json
import math
import re

import harness
from harness import edited, run

X, Y = harness.three_classes(96)
BATCH = 32
LINKS = ("--bandwidth", "25Gb/s", "--latency", "2us")


def prepare(folder, *edits):
    harness.write_file(folder / "config.yaml", edited(("batch_size: 8", f"batch_size: {BATCH}"), *edits))
    harness.write_arrays(folder / "data.h5", {"x": X, "y": Y})


def plan(folder, *words, **how):
    """(the object that --json prints, the run)."""
    result = run(folder, "plan", "config.yaml", "--json", *words, **how).exits(0)
    result.must(result.out.count("\n") == 1, "it prints one line")
    return json.loads(result.out), result


def near(a, b):
    return math.isclose(a, b, rel_tol=1e-6)


def check_row(result, told, row, first):
    """Checks that the values of a row are consistent."""
    batch = told["batch_size"] * told["accumulate"]
    result.must(row["ranks"] == row["nodes"] * row["ranks_per_node"], "the ranks")
    result.must(row["rows"] == math.ceil(told["batch_size"] / row["ranks"]), "rows of the busiest rank")
    parts = row["compute_seconds"] + row["reduce_seconds"] + row["update_seconds"]
    result.must(near(row["step_seconds"], max(parts, row["read_seconds"])), "the step is the sum of its parts, or reading")
    result.must(near(row["samples_per_second"], batch / row["step_seconds"]), "samples/s")
    result.must(near(row["run_seconds"], told["steps"] * row["step_seconds"]), "the whole run")
    result.must(near(row["efficiency"], row["samples_per_second"] / row["ranks"] / first["samples_per_second"]),
                "efficiency")
    measured = told["measured"]
    alone = (measured["private_bytes"] + row["model_bytes"] + row["optimizer_bytes"] + row["buffer_bytes"] + told["reader_bytes"])
    once = row["save_bytes"] + measured["shared_bytes"]
    windows = told["window_bytes"] + (told["partner_bytes"] if row["nodes"] > 1 else 0)
    result.must(near(row["rank_bytes"], alone + once), "memory of rank 0")
    result.must(near(row["node_bytes"], row["ranks_per_node"] * alone + once + told["data_bytes"] + windows / row["nodes"]),
                "memory of a node")


def check_rise(result, rows, key, sign):
    values = [sign * row[key] for row in rows]
    result.must(values == sorted(values), f"{key}: {[row[key] for row in rows]}")


def seconds_of_all(passes):
    """Seconds of a pass over the whole batch; extrapolated if a slow machine stopped measuring before."""
    return passes[-1]["seconds"] * BATCH / passes[-1]["rows"]


def the_table_adds_up(folder):
    prepare(folder)
    told, result = plan(folder, "--nodes", "6", "--ranks-per-node", "3", *LINKS)
    rows = told["clusters"]
    result.must([(row["nodes"], row["ranks"]) for row in rows] == [(1, 1), (1, 2), (1, 3), (2, 6), (4, 12), (6, 18)],
                "the clusters")
    for row in rows:
        check_row(result, told, row, rows[0])
    result.must(told["steps"] == 6 and told["parameters"] == 67, "2 epochs of 3 steps")
    check_rise(result, rows, "compute_seconds", -1)
    check_rise(result, rows, "rows", -1)
    check_rise(result, rows, "model_bytes", -1)
    first = rows[0]
    result.must(first["reduce_seconds"] == 0 and first["efficiency"] == 1, "one rank does not reduce")
    passes = told["measured"]["passes"]
    measured = [p["rows"] for p in passes]
    result.must(measured == [1, 2, 4, 8, 16, 32][:max(len(measured), 3)], f"the rows that were measured: {measured}")
    check_rise(result, passes, "seconds", 1)
    result.must(near(first["compute_seconds"], seconds_of_all(passes)), "one rank has the measured time")


def slow_links_make_reductions_slow(folder):
    """Within one run, reductions over more nodes take longer."""
    prepare(folder)
    told, result = plan(folder, "--nodes", "64", "--bandwidth", "1Mbit/s", "--latency", "500ms")
    rows = told["clusters"]
    check_rise(result, rows, "reduce_seconds", 1)
    for row in rows[1:]:
        result.must(row["reduce_seconds"] > 2 * 0.5, "at least one exchange and one small sum")
        result.must(row["reduce_seconds"] < 1.0 + 2 * 0.5 * math.ceil(math.log2(row["nodes"])) * 2, "at most two messages per doubling")
    result.must(told["useful"] == {"nodes": 1, "ranks": 1}, "more nodes do not help")
    run(folder, "plan", "config.yaml", "--nodes", "2", "--bandwidth", "1Mbit/s", "--latency", "500ms").exits(0).reports(
        "1 node", "not help|no faster").reports("0.001 Gbit/s")


def max_steps_and_accumulate_count(folder):
    """Steps follow max_steps, and compute follows accumulate."""
    prepare(folder, ("epochs: 2", "epochs: 2\n  accumulate: 3"))
    told, result = plan(folder, "--set", "train.max_steps=1", "--nodes", "2", "--bandwidth", "1GB/s", "--latency",
                        "1ms")
    result.must(told["steps"] == 1 and told["accumulate"] == 3, "one step of three batches")
    for row in told["clusters"]:
        check_row(result, told, row, told["clusters"][0])
    passes = told["measured"]["passes"]
    result.must(near(told["clusters"][0]["compute_seconds"], 3 * seconds_of_all(passes)), "three passes")


def ten_thousand_ranks_are_planned(folder):
    prepare(folder)
    told, result = plan(folder, "--nodes", "500", "--ranks-per-node", "20", *LINKS)
    last = told["clusters"][-1]
    result.must(last["ranks"] == 10000 and last["rows"] == 1, "10,000 ranks, most without rows")
    run(folder, "plan", "config.yaml", "--nodes", "64", "--ranks-per-node", "8", *LINKS).exits(0).says("not help|no faster")


def many_ranks_measure_at_once(folder):
    """The ranks of the run are those of a node; the layers that see the whole batch have sums of their own."""
    prepare(folder, ("  - {layer: dense, units: 3", "  - {layer: batch_norm}\n  - {layer: dense, units: 3"))
    told, result = plan(folder, "--nodes", "2", *LINKS, ranks=2)
    result.must(told["measured"]["ranks"] == 2, "both measure")
    result.must([row["ranks"] for row in told["clusters"]] == [1, 2, 4], "a node has the ranks of this run")
    for row in told["clusters"]:
        check_row(result, told, row, told["clusters"][0])


def streamed_data_are_planned(folder):
    """Also by ranks that use no sample of a batch of one."""
    prepare(folder)
    plan(folder, *LINKS, "--set", "data.memory=stream", "--set", "train.batch_size=1", "--set", "comm.shared_memory=false", ranks=2)


def lanes_stay_whole(folder):
    prepare(folder, ("epochs: 2", "epochs: 2\n  reproducible: true\n  lanes: 4"))
    told, result = plan(folder, "--nodes", "8", *LINKS)
    result.must([row["rows"] for row in told["clusters"]] == [32, 16, 8, 8], "no rank has less than a lane")
    result.must([p["rows"] for p in told["measured"]["passes"]] == [8, 16, 32], "whole lanes were measured")
    result.must({row["mode"] for row in told["clusters"]} == {"tree"}, "sums go by the tree")


def reading_limits_streamed_runs(folder):
    """A step reads x and class numbers of 4 bytes; the nodes share it."""
    prepare(folder, ("data.h5", "data.h5\n  memory: stream\n  window: 40"))
    step_bytes = BATCH * (X.shape[1] * X.itemsize + 4)
    for rate, is_slow in (("1Mb/s", True), ("1000GB/s", False)):
        told, result = plan(folder, "--nodes", "4", "--disk-bandwidth", rate, *LINKS, ranks=2)
        rows = told["clusters"]
        bandwidth = told["disk_bytes_per_second"]
        result.must(bandwidth == (125e3 if is_slow else 1e12) and told["step_bytes"] == step_bytes, f"bytes of a step: {told['step_bytes']}")
        for row in rows:
            check_row(result, told, row, rows[0])
            result.must(near(row["read_seconds"], step_bytes / bandwidth / row["nodes"]), "the time to read a step")
        result.must(rows[0]["step_seconds"] == rows[0]["read_seconds"] or not is_slow, "reading limits the speed")
        text = run(folder, "plan", "config.yaml", "--disk-bandwidth", rate).exits(0)
        text.must((" disk\n" in text.out) == is_slow and "reading" in text.out, "the table says what limits the speed")
    checked = re.search(r"per node: ([0-9.]+) MB data", run(folder, "check", "config.yaml", ranks=2).exits(0).out)
    result.must(abs(float(checked[1]) - 1e-6 * (told["window_bytes"] + 2 * told["reader_bytes"])) <= 0.06, f"check agrees: {checked[1]}")
    told, result = plan(folder)
    result.must(told["disk_bytes_per_second"] > 0 and told["partner_bytes"] == 0, "the rate is measured")
    told, result = plan(folder, "--nodes", "2", *LINKS, "--set", "data.augment={mixup: 0.2}")
    result.must(told["partner_bytes"] == told["window_bytes"] > 0, "several nodes copy the partners")
    for row in told["clusters"]:
        check_row(result, told, row, told["clusters"][0])


def plan_writes_no_files(folder):
    prepare(folder)
    before = harness.snapshot(folder)
    result = run(folder, "plan", "config.yaml").exits(0)
    result.must(harness.snapshot(folder) == before, "nothing is written")
    result.must(re.search(r"^ +1 +1 +32 ", result.out, re.MULTILINE), "one row for one rank")
    result.says("help|faster")


def errors_are_reported(folder):
    prepare(folder)
    cases = ((("--nodes", "0"), ("--nodes 0", "1", "10000")),
             (("--nodes", "two", *LINKS), ("--nodes two",)),
             (("--ranks-per-node", "-3"), ("--ranks-per-node -3",)),
             (("--nodes", "101", "--ranks-per-node", "100", *LINKS), ("10100", "10000")),
             (("--nodes", "2"), ("--nodes 2", "--bandwidth", "--latency")),
             (("--nodes", "2", "--bandwidth", "25Gb/s"), ("--nodes 2", "--bandwidth", "--latency")),
             (("--bandwidth", "25"), ("--bandwidth 25", "above 0", "25Gb/s")),
             (("--bandwidth", "25gb/s"), ("--bandwidth 25gb/s", "Gb/s, Gbit/s, Mb/s, Mbit/s, GB/s, MB/s")),
             (("--bandwidth", "0Gb/s"), ("--bandwidth 0Gb/s", "above 0")),
             (("--bandwidth", "nanGb/s"), ("--bandwidth nanGb/s", "above 0")),
             (("--latency", "-2us"), ("--latency -2us", "2us", "us, ms, s, ns")),
             (("--latency", "us"), ("--latency us", "above 0")),
             (("--memory-bandwidth", "fast"), ("--memory-bandwidth fast",)),
             (("--hosts", "2"), ("--hosts",)),
             (("another.yaml",), ("another.yaml",)))
    for words, parts in cases:
        result = run(folder, "plan", "config.yaml", *words).exits(2).reports("error: ", *parts)
        result.must(result.out == "", "stdout stays empty")
    run(folder, "plan").exits(2).reports("error: ", "CONFIG.yaml")
    run(folder, "plan", "nowhere.yaml").exits(2).says("nowhere.yaml")
    run(folder, "plan", "config.yaml", "--set", "data.train=none.h5").exits(3).says("none.h5")


TESTS = (the_table_adds_up, slow_links_make_reductions_slow, max_steps_and_accumulate_count, ten_thousand_ranks_are_planned,
         many_ranks_measure_at_once, streamed_data_are_planned, reading_limits_streamed_runs, lanes_stay_whole, plan_writes_no_files,
         errors_are_reported)

if __name__ == "__main__":
    harness.main([(test.__name__.replace("_", " "), test) for test in TESTS])
