#!/usr/bin/env python3
"""Compares the event file of a run with its metrics.csv, through TensorBoard's own reader (pip install tensorboard):

    python3 tests/bench/read_events.py RUN

prints the tags, and fails if a row is missing, occurs twice, or has another value."""

import csv
import math
import sys

from tensorboard.backend.event_processing import event_accumulator


def main(folder):
    events = event_accumulator.EventAccumulator(folder, size_guidance={"scalars": 0, "histograms": 0, "tensors": 0})
    events.Reload()
    with open(f"{folder}/metrics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    tags = events.Tags()
    for column in rows[0].keys() - {"step"}:
        part, _, rest = column.partition("_")
        tag = f"{rest}/{part}" if part in ("train", "val") else column
        expected = [(int(row["step"]), float(row[column])) for row in rows if row[column]]
        found = [(event.step, event.value) for event in events.Scalars(tag)] if tag in tags["scalars"] else []
        if len(found) != len(expected) or not all(a[0] == b[0] and math.isclose(a[1], b[1], rel_tol=1e-6)
                                                  for a, b in zip(found, expected)):
            sys.exit(f"{tag}: {found[:5]} ..., but metrics.csv has {expected[:5]} ...")
        print(f"{tag}: {len(found)} values")
    for tag in tags["histograms"]:
        found = events.Histograms(tag)
        if [event.step for event in found] != [int(row["step"]) for row in rows]:
            sys.exit(f"{tag}: steps {[event.step for event in found]}")
        print(f"{tag}: {len(found)} histograms of {found[-1].histogram_value.num:.0f} values")


main(*sys.argv[1:])
