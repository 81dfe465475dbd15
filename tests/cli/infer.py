"""liblockstep-infer as other programs use it: installed, linked by pkg-config, called from C and Fortran. The examples print
what `predict` writes."""

import os
import shlex
import pathlib
import shutil
import subprocess

import h5py
import numpy

import harness
from harness import BUILD, ROOT, execute, run_well

EXAMPLES = ROOT / "src/infer/examples"
ROWS = 9


def installed(*words):
    """What pkg-config prints for the library in PLACE, where this script installs the build."""
    file = next(PLACE.rglob("lockstep-infer.pc"))
    prefix = next(line.split("=")[1] for line in file.read_text().splitlines() if line.startswith("prefix="))
    command = ["pkg-config", f"--define-variable=prefix={PLACE}{prefix}", *words, "lockstep-infer"]
    return subprocess.run(command, check=True, capture_output=True, text=True,
                          env={**os.environ, "PKG_CONFIG_PATH": str(file.parent)}).stdout.split()


def images(folder):
    """A convolutional classifier of images with channels first, and samples."""
    values = numpy.random.default_rng(1).integers(0, 256, (24, 2, 6, 5)).astype(numpy.float32)
    harness.write_arrays(folder / "data.h5", {"x": values, "y": numpy.arange(24) % 3})
    harness.write_file(folder / "config.yaml", """
        output: run
        data: {train: data.h5, normalize: scale, layout: channels_first}
        model:
          - {layer: conv2d, filters: 8, kernel_size: 3, padding: same, activation: relu}
          - {layer: batch_norm}
          - {layer: max_pool, size: 2}
          - {layer: dense, units: 3, activation: softmax}
        loss: categorical_cross_entropy
        optimizer: {type: adam, lr: 0.01}
        train: {epochs: 2, batch_size: 8}""")
    return values[:ROWS], "probability"


def numbers(folder):
    """A regression with standardised targets, and samples."""
    values = numpy.random.default_rng(2).normal(50, 20, (24, 4)).astype(numpy.float32)
    harness.write_arrays(folder / "data.h5", {"x": values, "y": values[:, :2] * 1000})
    harness.write_file(folder / "config.yaml", """
        output: run
        data: {train: data.h5, normalize: standardize, standardize_targets: true}
        model: [{layer: dense, units: 60, activation: tanh}, {layer: dense, units: 2}]
        loss: mse
        optimizer: {type: adam, lr: 0.01}
        train: {epochs: 2, batch_size: 8}""")
    return values[:ROWS], "y"


def compare(folder, program):
    """What a program prints for a model and samples equals what `predict` writes."""
    for prepare in (images, numbers):
        place = folder / prepare.__name__
        place.mkdir()
        samples, name = prepare(place)
        run_well(place, "train", "config.yaml")
        harness.write_arrays(place / "new.h5", {"x": samples})
        run_well(place, "predict", "run/model.h5", "new.h5", "-o", "out.h5")
        with h5py.File(place / "out.h5") as file:
            wanted = file[name][:]
        numpy.savetxt(place / "samples.txt", samples.reshape(ROWS, -1), fmt="%.9g")
        result = execute(place, "sh", "-c", f"{program} run/model.h5 < samples.txt").exits(0)
        printed = numpy.array([line.split() for line in result.out.splitlines()], dtype=float)
        result.must(printed.shape == wanted.shape, f"must print {wanted.shape} numbers")
        result.must(numpy.allclose(printed, wanted, rtol=2e-5, atol=2e-6), f"must be what predict writes: {wanted}")


def c_programs_predict(folder):
    execute(folder, *shlex.split(os.environ.get("CC", "cc")), "-Wall", "-Werror", EXAMPLES / "predict.c", "-o", "program",
            *installed("--cflags", "--libs")).exits(0)
    compare(folder, folder / "program")
    execute(folder, folder / "program", "absent.h5").exits(4).says("absent.h5:")
    execute(folder, folder / "program").exits(2)
    for text in ("1 2 3", "1 2 3 x"):
        harness.write_file(folder / "wrong.txt", text)
        execute(folder, "sh", "-c", "./program numbers/run/model.h5 < wrong.txt").exits(3).says("samples of 4 numbers")
    harness.write_file(folder / "nan.txt", "1 2 nan 4")
    execute(folder, "sh", "-c", "./program numbers/run/model.h5 < nan.txt").exits(3).reports("row 0", "feature 2", "nan")


def cpp_programs_compile(folder):
    if not shutil.which("c++"):
        raise harness.Skip("there is no C++ compiler")
    harness.write_file(folder / "program.cc", "#include <lockstep/infer.h>\nint main() { return (int)ls_infer_inputs(nullptr); }\n")
    execute(folder, "c++", "program.cc", "-o", "program", *installed("--cflags", "--libs")).exits(0)
    execute(folder, folder / "program").exits(0)


def fortran_programs_predict(folder):
    if not shutil.which("gfortran"):
        raise harness.Skip("gfortran is not installed")
    execute(folder, "gfortran", "-std=f2018", "-Wall", "-Werror", *installed("--variable=fortran"), EXAMPLES / "predict.f90",
            "-o", "program", *installed("--libs")).exits(0)
    compare(folder, folder / "program")
    execute(folder, folder / "program", "absent.h5").exits(1).says("absent.h5:")


def fortran_arrays_have_either_order(folder):
    if not shutil.which("gfortran"):
        raise harness.Skip("gfortran is not installed")
    execute(folder, "gfortran", "-std=f2018", "-Wall", "-Werror", "-fcheck=bounds,pointer", *installed("--variable=fortran"),
            ROOT / "tests/cli/arrays.f90", "-o", "program", *installed("--libs")).exits(0)
    for prepare, printed in ((numbers, "2 4"), (images, "0 5 6 2")):
        prepare(folder)
        run_well(folder, "train", "config.yaml", "--overwrite")
        result = execute(folder, folder / "program", "run/model.h5").exits(0)
        result.must(result.out.strip() == printed, f"must print the task and the shape {printed}")


def symbols(*words):
    listing = subprocess.run(["nm", *map(str, words)], check=True, capture_output=True, text=True).stdout
    return [line.split() for line in listing.splitlines() if len(line.split()) >= 2]


def library_needs_no_mpi_and_hides_its_names(folder):
    """Also in a program that links liblockstep, none of the two libraries uses functions of the other."""
    library = next(pathlib.Path(installed("--variable=libdir")[0]).glob("liblockstep-infer.*"))
    dynamic = ["-D"] if library.suffix != ".a" else []
    exported = [words[-1] for words in symbols("-g", "--defined-only", *dynamic, library)]
    needed = [words[-1] for words in symbols("-u", *dynamic, library)]
    others = [name for name in exported if not name.startswith("ls_infer_")]
    foreign = [name for name in needed if name.upper().startswith(("MPI_", "OMPI_", "GOMP_", "OMP_", "CBLAS_", "OPENBLAS_", "LS_"))]
    if not exported or others or foreign:
        raise harness.Failure(f"{library}: exports {others or exported}, needs {foreign}")


PLACE = harness.temporary_folder()
try:
    execute(PLACE, "meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--tags", "devel,runtime", "--destdir", PLACE).exits(0)
    harness.main([(test.__name__.replace("_", " "), test) for test in (
        c_programs_predict, cpp_programs_compile, fortran_programs_predict, fortran_arrays_have_either_order,
        library_needs_no_mpi_and_hides_its_names)])
finally:
    shutil.rmtree(PLACE, ignore_errors=True)
