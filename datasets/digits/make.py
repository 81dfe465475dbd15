#!/usr/bin/env python3
"""Writes digits.h5 from the test set of the UCI "Optical Recognition of Handwritten Digits" data.

SOURCE is one of these files; both hold the same 1,797 rows of 64 pixels and a digit:
- `optdigits.tes` of https://archive.ics.uci.edu/dataset/80 (doi:10.24432/C50P49);
- `sklearn/datasets/data/digits.csv.gz` of an installed scikit-learn.

A fifth of the rows, selected by a fixed permutation, becomes /test, the others /train; both keep the order of the
source. Needs numpy and h5py (Debian: python3-h5py).
"""

import argparse
import os

import h5py
import numpy

TEST_SAMPLES = 360  # of 1,797


def read(source):
    """The images (N, 8, 8) and digits (N), both of uint8."""
    table = numpy.loadtxt(source, delimiter=",")
    if table.shape != (1797, 65):
        raise SystemExit(f"{source}: {table.shape} is not the expected (1797, 65)")
    return table[:, :64].astype("u1").reshape(-1, 8, 8), table[:, 64].astype("u1")


def choose_test(n):
    """Which of n samples are for testing. RandomState's numbers are the same in every version of numpy."""
    chosen = numpy.zeros(n, bool)
    chosen[numpy.random.RandomState(0).permutation(n)[:TEST_SAMPLES]] = True
    return chosen


def write(group, x, y):
    for name, data in (("x", x), ("y", y)):
        group.create_dataset(name, data=data, chunks=data.shape, compression="gzip", shuffle=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("-o", "--output", default=os.path.join(os.path.dirname(__file__), "digits.h5"))
    arguments = parser.parse_args()
    x, y = read(arguments.source)
    test = choose_test(len(x))
    with h5py.File(arguments.output, "w") as file:
        write(file.create_group("train"), x[~test], y[~test])
        write(file.create_group("test"), x[test], y[test])


if __name__ == "__main__":
    main()
