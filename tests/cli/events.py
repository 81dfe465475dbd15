"""The event file of train.tensorboard, read by a small parser that checks every CRC."""

import struct

import numpy

import harness
from harness import edited, read_csv, run, run_well

X, Y = harness.three_classes(60)
NAME = "events.out.tfevents.lockstep"
CONFIG = edited(("epochs: 2", "epochs: 3\n  tensorboard: true"), ("train: data.h5", "train: data.h5\n  validation: 0.2"),
                ("seed: 1", "seed: 1\nmetrics: [f1]\ncheckpoint: {keep: 9}"))
HISTOGRAMS = edited(("tensorboard: true", "tensorboard: {histograms: true}"), text=CONFIG)


def crc32c(data):
    """Castagnoli's CRC, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        length, crc = struct.unpack_from("<QI", data, at)
        assert crc == masked(data[at:at + 8]), f"the CRC of the length at byte {at}"
        record, = struct.unpack_from(f"{length}s", data, at + 12)
        assert struct.unpack_from("<I", data, at + 12 + length)[0] == masked(record), f"the CRC of the data at byte {at}"
        found.append(record)
        at += length + 16
    return found


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at


def fields(data):
    """(number, value) of each field of a message."""
    at, found = 0, []
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
        elif tag & 7 == 2:
            length, at = varint(data, at)
            value, at = data[at:at + length], at + length
        else:
            form = {1: "<d", 5: "<f"}[tag & 7]
            value, at = struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
        found.append((tag >> 3, value))
    return found


def events(path):
    """[(step, {tag: number or the fields of a histogram})] of all records after the first one."""
    first, *rest = records(path)
    assert dict(fields(first))[3] == b"brain.Event:2", first
    found = []
    for record in rest:
        event = dict(fields(record))
        assert event[1] > 1.7e9, "the time is not in seconds"
        values = [dict(fields(value)) for number, value in fields(event[5]) if number == 1]
        histograms = {v[1].decode(): fields(v[5]) for v in values if 5 in v}
        found.append((event[2], {v[1].decode(): v[2] for v in values if 2 in v} | histograms))
    return found


def write(folder, config, **arrays):
    harness.write_file(folder / "config.yaml", config)
    harness.write_arrays(folder / "data.h5", arrays or {"x": X, "y": Y})


def tag_of(column):
    part, _, rest = column.partition("_")
    return f"{rest}/{part}" if part in ("train", "val") else column


def must_match_rows(folder, result):
    """Each row of metrics.csv is an event, with all its values, and nothing else is."""
    header, rows = read_csv(folder / "run/metrics.csv")
    found = events(folder / "run" / NAME)
    result.must([step for step, _ in found] == [int(row[1]) for row in rows], f"the steps are {[s for s, _ in found]}")
    for row, (_, values) in zip(rows, found):
        scalars = {tag: value for tag, value in values.items() if isinstance(value, float)}
        expected = {tag_of(column): float(value) for column, value in zip(header, row) if value and column != "step"}
        result.must(scalars.keys() == expected.keys(), f"the tags are {scalars.keys()}")
        for tag, value in expected.items():
            result.must(abs(scalars[tag] - value) <= 1e-6 * abs(value), f"{tag} is {scalars[tag]}, not {value}")
    return found


def known_crcs(_):
    assert crc32c(b"123456789") == 0xE3069283 and crc32c(bytes(32)) == 0x8A9136AA and crc32c(b"\xff" * 32) == 0x62A8AB43


def rows_as_scalars(folder):
    write(folder, CONFIG)
    found = must_match_rows(folder, run_well(folder, "train", "config.yaml", ranks=2))
    assert {"loss/train", "loss/val", "accuracy/val", "f1/val", "lr", "epoch"} <= found[0][1].keys(), found[0]


def weights_as_histograms(folder):
    write(folder, HISTOGRAMS)
    found = must_match_rows(folder, run_well(folder, "train", "config.yaml", ranks=2))
    arrays = harness.model_arrays(sorted((folder / "run/checkpoints").glob("step-*"))[-1])
    assert len(arrays) == 4 and f"weights/{'0-dense/W'}" in found[-1][1], found[-1][1].keys()
    for name, w in arrays.items():
        told = found[-1][1][f"weights/{name}"]
        single = dict(told)
        limits, counts = ([value for number, value in told if number == field] for field in (6, 7))
        w = w.astype("f8").ravel()
        assert (single[1], single[2], single[3]) == (w.min(), w.max(), w.size), name
        assert numpy.allclose((single[4], single[5]), (w.sum(), (w * w).sum())), name
        assert limits[-1] == w.max() and sum(counts) == w.size, name
        near = numpy.histogram(w, bins=len(limits))[0]
        assert abs(near - counts).sum() <= 2, (name, near, counts)


def equal_weights(folder):
    """A histogram of values that are all equal: biases, before the first step changes them."""
    write(folder, edited(("lr: 0.01", "lr: 0"), text=HISTOGRAMS))
    run_well(folder, "train", "config.yaml")
    told = events(folder / "run" / NAME)[0][1]["weights/0-dense/b"]
    assert [value for number, value in told if number == 7][:2] == [8.0, 0.0] and dict(told)[1] == dict(told)[2] == 0.0


def resumed(folder):
    """A run that goes back to an earlier checkpoint has each event once; so has one that was killed in a write."""
    write(folder, HISTOGRAMS)
    run_well(folder, "train", "config.yaml")
    whole = events(folder / "run" / NAME)
    for path in sorted((folder / "run/checkpoints").glob("step-*"))[1:]:
        path.unlink()
    (folder / "run/model.h5").unlink()
    result = run(folder, "train", "config.yaml").exits(0)
    assert [(step, list(values)) for step, values in must_match_rows(folder, result)] == [
        (step, list(values)) for step, values in whole]
    data = (folder / "run" / NAME).read_bytes()
    last = data[-len(records(folder / "run" / NAME)[-1]) - 16:]
    for torn in (last[:4], last[:12], last[:-1], bytes(64), b"\xff" * 50):
        (folder / "run" / NAME).write_bytes(data + torn)
        epochs = 4 + len(list((folder / "run/checkpoints").glob("step-*"))) - 3
        result = run(folder, "train", "config.yaml", "--set", f"train.epochs={epochs}").exits(0)
        must_match_rows(folder, result)
        data = (folder / "run" / NAME).read_bytes()
    run_well(folder, "train", "config.yaml", "--overwrite", "--set", "train.epochs=1")
    assert len(events(folder / "run" / NAME)) == 1
    run_well(folder, "train", "config.yaml", "--overwrite", "--set", "train.tensorboard=false")
    assert not (folder / "run" / NAME).exists()


def damaged(folder):
    """A file with a damaged record before others is renamed; a new one begins with the next epoch."""
    write(folder, CONFIG)
    run_well(folder, "train", "config.yaml")
    path = folder / "run" / NAME
    first = len(records(path)[0]) + 16
    for epochs, place in ((4, first + 20), (5, 3)):  # in the data of the second record, in the length of the first one
        harness.flip_byte(path, place)
        content, n = path.read_bytes(), epochs - 3
        result = run(folder, "train", "config.yaml", "--set", f"train.epochs={epochs}").exits(0)
        result.reports("warning: ", NAME, f"byte {first if n == 1 else 0}", f"events.damaged-{n}")
        result.must((folder / f"run/events.damaged-{n}").read_bytes() == content, "the damaged file is kept")
        result.must([values["epoch"] for _, values in events(path)] == [epochs], "the new file has the new epoch")


def wrong_values(folder):
    write(folder, CONFIG)
    for value, words in (("maybe", "true or false"), ("[1]", "train.tensorboard"), ("{histogram: true}", "histograms"),
                         ("{histograms: 3}", "true or false")):
        run(folder, "train", "config.yaml", "--set", f"train.tensorboard={value}").exits(2).says(words)
    (folder / "run" / NAME).mkdir(parents=True)
    run(folder, "train", "config.yaml").exits(5).says(NAME)


TESTS = [(test.__name__.replace("_", " "), test) for test in (
    known_crcs, rows_as_scalars, weights_as_histograms, equal_weights, resumed, damaged, wrong_values)]

if __name__ == "__main__":
    harness.main(TESTS)
