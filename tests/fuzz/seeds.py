"""Writes the HDF5 seeds of fuzz_dataset to a folder: seeds.py FOLDER"""

import pathlib
import sys

import h5py
import numpy

X = (numpy.arange(96).reshape(24, 4) % 7).astype("f4")
Y = numpy.arange(24) % 3


def arrays(file, x, y, **how):
    file.create_dataset("x", data=x, **how)
    file.create_dataset("y", data=y, **how)


def groups(file):
    """The layout that `lockstep import` writes."""
    for name in ("train", "test"):
        group = file.create_group(name)
        arrays(group, X.astype("u1"), Y.astype("u1"), chunks=True, shuffle=True, compression="gzip")
        group["x"].attrs["features"] = ["a", "b", "c", "d"]
        group["y"].attrs["classes"] = ["red", "green", "blue"]


def packed(file):
    arrays(file, X, Y.astype("i8"), chunks=True, shuffle=True, compression="gzip", fletcher32=True)
    file["w"] = numpy.ones(24)
    file["y"].attrs["classes"] = numpy.array([b"red", b"green", b"blue"])


def lzf(file):
    arrays(file, X, Y.astype("i8"), chunks=True, shuffle=True, compression="lzf")


def zstd(file):
    """A frame of one block that is stored as it is."""
    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    create.set_chunk(X.shape)
    create.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
    x = h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple(X.shape), create)
    content = X.tobytes()
    head = b"\x28\xb5\x2f\xfd\x60" + (len(content) - 256).to_bytes(2, "little")
    x.write_direct_chunk((0, 0), head + (len(content) << 3 | 1).to_bytes(3, "little") + content)
    file["y"] = Y


def tiles(file):
    """Chunks that do not span rows, and chunks without filters."""
    file.create_dataset("x", data=X, chunks=(5, 3), shuffle=True, compression="gzip")
    file.create_dataset("y", data=Y, chunks=(7,))


def others(file):
    """Names of other programs, big-endian integers, and one-hot rows of h5py's bool, an enumeration type."""
    file["X_train"] = X.astype(">i2")
    file["y_train"] = numpy.eye(3, dtype=bool)[Y]


def linked(file):
    arrays(file, X.reshape(24, 2, 2), Y.astype("f8"))
    file["again"] = file["/"]
    file["soft"] = h5py.SoftLink("/x")
    file["far"] = h5py.ExternalLink("other.h5", "/x")


folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for write in (groups, packed, lzf, zstd, tiles, others, linked):
    for version in ("earliest", "v110"):
        with h5py.File(folder / f"{write.__name__}-{version}.h5", "w", libver=(version, "v110")) as out:
            write(out)
