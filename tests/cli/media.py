"""Import of folders of images and recordings, and the messages about errors in them."""

import base64
import struct
import zlib

import h5py
import numpy

import harness
from harness import run, run_well

USAGE, DATA = 2, 3

# ------------------------------------------------------------------------ files

def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(pixels, *extra, colour=None, depth=None):
    """A PNG of (height, width) or (height, width, channels) bytes or 16-bit numbers. `extra`: chunks before the pixels."""
    pixels = numpy.asarray(pixels)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels] if colour is None else colour
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(pixels.dtype.newbyteorder(">")).tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, depth or 8 * pixels.dtype.itemsize, colour, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(extra) + chunk(b"IDAT", zlib.compress(rows)) +
            chunk(b"IEND", b""))


def wav(values, rate=8000, riff=None):
    """A WAV of (frames) or (frames, channels) 16-bit numbers."""
    values = numpy.asarray(values, "<i2")
    channels = 1 if values.ndim == 1 else values.shape[1]
    data = values.tobytes()
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, 2 * rate * channels, 2 * channels, 16)
    body = b"WAVE" + head + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


def picture(seed, *shape, dtype="u1"):
    return numpy.random.default_rng(seed).integers(0, numpy.iinfo(dtype).max + 1, shape, dtype=dtype)


# Pictures of 6 x 10 pixels by Pillow; their third row as Pillow decodes it; the same as grey.
COLOUR = base64.b64decode("""
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/
2wBDAQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBT/wAARCAAGAAoDAREAAhEBAxEB/8QA
FQABAQAAAAAAAAAAAAAAAAAABQf/xAAhEAAABAUFAAAAAAAAAAAAAAAAAQMFAgYIIdETIzFCkv/EABUBAQEAAAAAAAAAAAAAAAAAAAYI/8QAHhEAAQMEAwAA
AAAAAAAAAAAAMQAEBgIDByIBEhP/2gAMAwEAAhEDEQA/ACpMpcZ9u6Pk8BXOMnPtygMAnTrQqop0us+nDdHgup4Eo3Mnvu9RKsW1OnXnSRwv/9k=""")
PROGRESSIVE = base64.b64decode("""
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/
2wBDAQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBT/wgARCAAGAAoDASIAAhEBAxEB/8QA
FgABAQEAAAAAAAAAAAAAAAAAAAQG/8QAFQEBAQAAAAAAAAAAAAAAAAAAAwb/2gAMAwEAAhADEAAAAZNSSy//xAAZEAACAwEAAAAAAAAAAAAAAAADBgABBBH/
2gAIAQEAAQUCxq4ZSuHn/8QAGhEAAAcAAAAAAAAAAAAAAAAAAAEEBQYUMv/aAAgBAwEBPwGLuCqpsx//xAAaEQAABwAAAAAAAAAAAAAAAAAAAQQFBhQz/9oA
CAECAQE/AZI6rrWpj//EABcQAQADAAAAAAAAAAAAAAAAAAABMUH/2gAIAQEABj8CimP/xAAXEAEAAwAAAAAAAAAAAAAAAAAAEcHh/9oACAEBAAE/IcyhKv/a
AAwDAQACAAMAAAAQi//EABYRAAMAAAAAAAAAAAAAAAAAAAARYf/aAAgBAwEBPxBXI//EABgRAAIDAAAAAAAAAAAAAAAAAAARMWHw/9oACAECAQE/EGlmg//E
ABkQAAIDAQAAAAAAAAAAAAAAAAAxAUHRkf/aAAgBAQABPxC86YMCRbD/2Q==""")
GREY = base64.b64decode("""
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/
wAALCAAGAAoBAREA/8QAFQABAQAAAAAAAAAAAAAAAAAABQf/xAAhEAAABAUFAAAAAAAAAAAAAAAAAQMFAgYIIdETIzFCkv/aAAgBAQAAPwAqTKXGfbuj5PAq
KdLrPpw3R4LqeB//2Q==""")
CMYK = base64.b64decode("""
/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAbEhQXFBEbFxYXHhwbIChCKyglJShROj0wQmBVZWRfVV1baniZgWpxkHNbXYW1hpCeo6utq2eAvMm6pseZqKuk/8AA
FAgABgAKBEMRAE0RAFkRAEsRAP/EABkAAAIDAQAAAAAAAAAAAAAAAAAGAQMEBf/EACEQAAEBBwUAAAAAAAAAAAAAAAABAgMEBRUxYREhMkJx/9oADgRDAE0A
WQBLAAA/AMcm6k0FzgumEW1vcZhoZ4p4FBc4OMsW1qtwP//Z""")
COLOUR_ROW = [[0, 85, 220], [21, 85, 208], [51, 86, 188], [75, 85, 172], [97, 85, 157], [123, 85, 142], [151, 85, 123],
              [171, 86, 109], [196, 87, 93], [224, 85, 82]]
PROGRESSIVE_ROW = [[9, 82, 213], [23, 85, 208], [49, 86, 193], [74, 85, 177], [98, 84, 161], [124, 84, 144], [151, 84, 128],
                   [174, 84, 110], [200, 84, 95], [214, 88, 91]]
GREY_ROW = [75, 80, 87, 92, 97, 103, 109, 114, 120, 126]


def write(folder, files):
    for name, content in files.items():
        harness.write_file(folder / name, content)


def imported(folder, files, *options, source="in", result=None):
    """(the arrays of the dataset, its attributes, the run)."""
    write(folder, files)
    result = run(folder, "import", source, "-o", "out.h5", *options).exits(0)
    lines = result.err.splitlines()
    sorted_by_class = [line for line in lines if harness.has(line, "sorted by class") and harness.has(line, "--shuffle")]
    result.must(len(lines) == len(sorted_by_class) <= 1, "stderr has the warning of sorted rows alone")
    arrays, attributes = {}, {}
    with h5py.File(folder / "out.h5") as file:
        for split in file:
            for name in file[split]:
                arrays[f"{split}/{name}"] = file[split][name][()]
                attributes[f"{split}/{name}"] = dict(file[split][name].attrs)
    return arrays, attributes, result


def near(result, found, expected, what, tolerance=1):
    found, expected = numpy.asarray(found, "f8"), numpy.asarray(expected, "f8")
    result.must(found.shape == expected.shape and numpy.abs(found - expected).max() <= tolerance,
                f"{what} is {found.tolist()}, but must be {expected.tolist()}")


# ----------------------------------------------------------------------- images

def classes_are_folders(folder):
    """Classes in byte order, files in the order of their names, hidden files ignored, any depth, links followed."""
    images = [picture(i, 4, 5) for i in range(6)]
    write(folder, {"in/.hidden/x.png": b"", "in/dog/.x.png": b"", "elsewhere/1.png": png(images[5])})
    (folder / "in/zebra").symlink_to("../elsewhere")
    arrays, attributes, result = imported(folder, {
        "in/dog/b.PNG": png(images[2]), "in/dog/a.png": png(images[1]), "in/Cat/deep/1.png": png(images[0]),
        "in/dog/c/1.png": png(images[3])})
    result.reports("/train", "5 samples of 20 features, 3 classes")
    result.must(arrays["train/x"].dtype == "u1" and arrays["train/x"].shape == (5, 4, 5), "grey images are (N, H, W)")
    result.must(numpy.array_equal(arrays["train/x"], [images[i] for i in (0, 1, 2, 3, 5)]), "x in order")
    result.must(arrays["train/y"].tolist() == [0, 1, 1, 1, 2], "y")
    result.must(list(attributes["train/y"]["classes"]) == ["Cat", "dog", "zebra"], "classes")


def numbered_classes_are_in_the_order_of_numbers(folder):
    arrays, attributes, result = imported(folder, {f"in/{k}/1.png": png(picture(k, 2, 2)) for k in (10, 9, 0)})
    result.must(list(attributes["train/y"]["classes"]) == ["0", "9", "10"] and arrays["train/y"].tolist() == [0, 1, 2], "y")


def splits_are_folders(folder):
    files = {f"in/{split}/{name}/{i}.png": png(picture(i, 3, 3)) for i, (split, name) in enumerate(
        (("train", "a"), ("train", "b"), ("test", "b"), ("val", "a"), ("val", "b")))}
    arrays, _, result = imported(folder, files)
    result.reports("/train", "2 samples", "/test", "1 samples", "/validation", "2 samples")
    result.must([arrays[f"{split}/y"].tolist() for split in ("train", "test", "validation")] == [[0, 1], [1], [0, 1]], "y")
    arrays, attributes, result = imported(folder, {"other/train/1.png": png(picture(1, 3, 3)),
                                                   "other/bus/1.png": png(picture(2, 3, 3))}, source="other")
    result.must(list(attributes["train/y"]["classes"]) == ["bus", "train"], "a folder named train may be a class")


def images_without_classes(folder):
    arrays, _, result = imported(folder, {f"in/{i}.png": png(picture(i, 3, 3, 3)) for i in range(4)})
    result.must(list(arrays) == ["train/x"] and arrays["train/x"].shape == (4, 3, 3, 3), "x alone")


def a_test_fraction_of_a_folder(folder):
    files = {f"in/{k}/{i}.png": png(picture(10 * k + i, 3, 3)) for k in range(2) for i in range(10)}
    arrays, _, result = imported(folder, files, "--test-fraction", "0.2")
    again, _, _ = imported(folder, {}, "--test-fraction", "0.2")
    shuffled, _, other = imported(folder, {}, "--shuffle")
    other.must(other.err == "" and len(shuffled["train/x"]) == sum(len(arrays[f"{split}/x"]) for split in ("train", "test")),
               "shuffled rows are not sorted by class")
    result.must(len(arrays["test/x"]) == 4 and len(arrays["train/x"]) == 16, "a fifth")
    result.must(all(numpy.array_equal(arrays[name], again[name]) for name in arrays), "the same each time")
    rows = {tuple(x.ravel()) for name in ("train/x", "test/x") for x in arrays[name]}
    result.must(len(rows) == 20, "each image is in one of both")


def kinds_of_png(folder):
    """Palettes, few bits, 16 bits, interlacing, alpha and grey beside colour."""
    grey, colour = picture(1, 3, 4), picture(2, 3, 4, 3)
    bits = (grey > 127).astype("u1")
    packed = numpy.packbits(bits, axis=1)
    one_bit = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 1, 0, 0, 0, 0)) +
               chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in packed))) + chunk(b"IEND", b""))
    palette = png(bits, chunk(b"PLTE", bytes([255, 0, 0, 0, 0, 255])), colour=3)
    alpha = numpy.concatenate([colour, numpy.full((3, 4, 1), 255, "u1")], axis=2)
    alpha[0, :, 3] = 0
    blended = colour.copy()
    blended[0] = 255
    arrays, _, result = imported(folder, {"in/a.png": png(grey), "in/b.png": png(colour), "in/c.png": one_bit,
                                          "in/d.png": palette, "in/e.png": png(alpha)})
    as_colour = [numpy.repeat(grey[..., None], 3, 2), colour, numpy.repeat(255 * bits[..., None], 3, 2),
                 numpy.where(bits[..., None], [0, 0, 255], [255, 0, 0]), blended]
    result.must(numpy.array_equal(arrays["train/x"], as_colour), "one colour image makes all RGB; alpha is over white")
    arrays, _, result = imported(folder, {}, "--channels", "1")
    near(result, arrays["train/x"][1], colour @ [0.299, 0.587, 0.114], "grey", 0.51)
    result.must(numpy.array_equal(arrays["train/x"][0], grey), "grey stays as it is")


def sixteen_bits(folder):
    deep, flat = picture(1, 3, 4, dtype="u2"), picture(2, 3, 4)
    arrays, _, result = imported(folder, {"in/a.png": png(deep), "in/b.png": png(flat)})
    result.must(arrays["train/x"].dtype == "u2", "16 bits stay")
    result.must(numpy.array_equal(arrays["train/x"], [deep, flat * numpy.uint16(257)]), "8 bits become 16")


def kinds_of_jpeg(folder):
    arrays, _, result = imported(folder, {"in/a.jpg": COLOUR, "in/b.jpeg": PROGRESSIVE, "in/c.JPG": GREY})
    result.must(arrays["train/x"].shape == (3, 6, 10, 3), "RGB")
    near(result, arrays["train/x"][:2, 2], [COLOUR_ROW, PROGRESSIVE_ROW], "RGB as in Pillow", 2)
    arrays, _, result = imported(folder, {}, "--channels", "1")
    near(result, arrays["train/x"][:, 2], [GREY_ROW] * 3, "grey as in Pillow", 2)


OLD = [[248, 194, 190, 207, 147, 26, 237, 21, 245], [211, 239, 45, 5, 157, 159, 60, 54, 236],
       [109, 46, 199, 82, 32, 205, 36, 7, 134], [222, 57, 146, 8, 149, 14, 15, 22, 10],
       [144, 208, 24, 24, 7, 41, 11, 85, 59], [104, 225, 110, 226, 201, 8, 159, 26, 27],
       [163, 122, 33, 41, 201, 67, 70, 166, 228]]
# Pillow's Image.resize with Resampling.BILINEAR.
NEW = {"3x4": [[179, 118, 115, 118], [135, 80, 62, 45], [141, 115, 85, 97]],
       "7x4": [[213, 184, 113, 147], [190, 70, 121, 123], [100, 103, 104, 60], [136, 80, 44, 16], [147, 34, 28, 61],
               [157, 184, 98, 53], [119, 81, 104, 170]],
       "10x13": [[248, 219, 193, 190, 200, 189, 147, 63, 107, 220, 71, 124, 245],
                 [228, 223, 194, 119, 101, 114, 152, 115, 115, 132, 62, 132, 240],
                 [186, 188, 166, 92, 47, 56, 126, 157, 126, 54, 45, 120, 211],
                 [114, 83, 87, 181, 122, 66, 38, 152, 139, 35, 16, 70, 139],
                 [182, 113, 79, 156, 84, 57, 108, 90, 58, 22, 18, 33, 53],
                 [195, 149, 109, 104, 48, 40, 99, 47, 19, 16, 37, 36, 27],
                 [142, 178, 168, 42, 32, 29, 17, 33, 31, 24, 67, 71, 57],
                 [114, 171, 190, 99, 142, 168, 153, 58, 57, 116, 60, 38, 35],
                 [131, 156, 154, 83, 117, 160, 201, 85, 67, 117, 96, 102, 117],
                 [163, 141, 101, 40, 38, 90, 201, 108, 68, 77, 144, 195, 228]]}


def resampling_as_in_pillow(folder):
    old = numpy.array(OLD, "u1")
    for size, new in NEW.items():
        arrays, _, result = imported(folder, {"in/1.png": png(old), "in/2.png": png(picture(1, 20, 3))}, "--size", size)
        near(result, arrays["train/x"][0], new, size)
    arrays, _, result = imported(folder, {}, "--size", "7x9")
    result.must(numpy.array_equal(arrays["train/x"][0], old), "the same size changes nothing")
    arrays, _, result = imported(folder, {"in/1.png": png(numpy.stack([old, 255 - old, old], 2))}, "--size", "3x4")
    near(result, arrays["train/x"][0][..., 1], 255 - numpy.array(NEW["3x4"]), "a channel")
    arrays, _, result = imported(folder, {"in/1.png": png(old.astype("u2") * 257)}, "--size", "3x4", "--channels", "1")
    near(result, arrays["train/x"][0], 257 * numpy.array(NEW["3x4"]), "16 bits", 257)


def broken_files_are_skipped(folder):
    good = png(picture(1, 40, 40))
    write(folder, {"in/a/1.png": good, "in/a/2.png": good[:900], "in/b/1.png": good, "in/b/2.png": b"text",
                   "in/b/3.jpg": COLOUR[:-60], "in/b/notes.txt": "text"})
    result = run(folder, "import", "in", "-o", "out.h5", "--skip-broken", "--size", "6x10").exits(0)
    for name in ("a/2.png", "b/2.png", "b/3.jpg"):
        result.must(f"in/{name}: damaged" in result.err and "skipped" in result.err, f"{name} is named")
    result.must("skipped 3 broken files" in result.err and "notes.txt" in result.err, result.err)
    with h5py.File(folder / "out.h5") as file:
        result.must(file["train/x"].shape == (2, 6, 10) and file["train/y"][()].tolist() == [0, 1], "the others remain")


# -------------------------------------------------------------------- recordings

def recordings(folder):
    values = [numpy.random.default_rng(i).integers(-2**15, 2**15, 50).astype("i2") for i in range(3)]
    arrays, attributes, result = imported(folder, {f"in/{i % 2}/{i}.wav": wav(v) for i, v in enumerate(values)})
    expected = [values[i].astype("f4") / 2**15 for i in (0, 2, 1)]
    result.must(arrays["train/x"].dtype == "f4" and numpy.array_equal(arrays["train/x"], expected), "x / 2^15, (N, L)")
    result.must(arrays["train/y"].tolist() == [0, 0, 1] and attributes["train/x"]["sample_rate"] == 8000, "y and rate")


def recordings_of_one_length(folder):
    one, two = numpy.arange(1, 31, dtype="i2"), numpy.arange(1, 61, dtype="i2")
    arrays, _, result = imported(folder, {"in/1.wav": wav(one), "in/2.wav": wav(two, riff=0xFFFFFFFF)}, "--length", "40")
    expected = numpy.stack([numpy.append(one, numpy.zeros(10)), two[:40]]) / 2**15
    result.must(numpy.array_equal(arrays["train/x"], expected.astype("f4")), "zeros after the end, or cut")


def channels_of_recordings(folder):
    stereo = numpy.stack([numpy.arange(10), 3 * numpy.arange(10)], 1)
    arrays, _, result = imported(folder, {"in/1.wav": wav(stereo)})
    result.must(numpy.array_equal(arrays["train/x"], [stereo.astype("f4") / 2**15]), "(N, L, C)")
    arrays, _, result = imported(folder, {"in/2.wav": wav(numpy.arange(10))}, "--channels", "1")
    result.must(numpy.array_equal(arrays["train/x"] * 2**15, [2 * numpy.arange(10), numpy.arange(10)]), "the mean")


# ----------------------------------------------------------------------- errors

A = png(picture(1, 40, 40))
SMALL = png(picture(1, 4, 5))
HUGE = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 900000, 900000, 16, 6, 0, 0, 0)) + A[33:]
FLIPPED = A[:30] + bytes([A[30] ^ 1]) + A[31:] # the checksum of the header

# (code, parts of the message, files, options)
REJECTED = (
    (DATA, ("in/a/1.png", "40 x 40", "in/a/2.png", "4 x 5", "--size"), {"in/a/1.png": A, "in/a/2.png": SMALL}, ()),
    (DATA, ("in/a/2.png", "damaged PNG", "--skip-broken"), {"in/a/1.png": A, "in/a/2.png": A[:-100]}, ()),
    (DATA, ("in/a/2.png", "damaged PNG", "CRC"), {"in/a/1.png": A, "in/a/2.png": FLIPPED}, ()),
    (DATA, ("in/a/1.png", "damaged PNG"), {"in/a/1.png": b""}, ()),
    (DATA, ("in/a/1.png", "900000 x 900000"), {"in/a/1.png": HUGE}, ()),
    (DATA, ("in", "all 1 files are broken"), {"in/a/1.png": b"x"}, ("--skip-broken",)),
    (DATA, ("in/a/1.jpg", "damaged JPEG"), {"in/a/1.jpg": GREY[:-40]}, ()),
    (DATA, ("in/a/1.jpg", "4 components", "RGB"), {"in/a/1.jpg": CMYK}, ()),
    (DATA, ("in/a/1.png", "in/2.png", "CLASS/FILE"), {"in/a/1.png": A, "in/2.png": A}, ()),
    (DATA, ("in/test/b/1.png", "class b", "train"), {"in/train/a/1.png": A, "in/test/b/1.png": A}, ()),
    (DATA, ("in", "PNG", "in/a/notes.txt"), {"in/a/notes.txt": "text"}, ()),
    (DATA, ("in/a/1.png", "in/a/2.wav", "one kind"), {"in/a/1.png": A, "in/a/2.wav": wav([1, 2])}, ()),
    (DATA, ("in/a/1.wav", "2 frames", "in/a/2.wav", "3 frames", "--length"),
     {"in/a/1.wav": wav([1, 2]), "in/a/2.wav": wav([1, 2, 3])}, ()),
    (DATA, ("in/a/1.wav", "8000 Hz", "in/a/2.wav", "16000 Hz"),
     {"in/a/1.wav": wav([1, 2]), "in/a/2.wav": wav([1, 2], 16000)}, ()),
    (DATA, ("in/a/2.wav", "2 channels", "--channels 1"), {"in/a/1.wav": wav([1, 2]), "in/a/2.wav": wav([[1, 2]] * 2)}, ()),
    (DATA, ("in/a/1.wav", "truncated"), {"in/a/1.wav": wav(range(100))[:-20]}, ()),
    (DATA, ("in/a/1.wav", "RIFF"), {"in/a/1.wav": A}, ()),
    (DATA, ("in/a/1.wav", "empty"), {"in/a/1.wav": wav([])}, ()),
    (DATA, ("0.9", "all"), {"in/a/1.png": A}, ("--test-fraction", "0.9")),
    (USAGE, ("--test-fraction", "test"), {"in/train/a/1.png": A, "in/test/a/1.png": A}, ("--test-fraction", "0.5")),
    (USAGE, ("--size", "recordings"), {"in/a/1.wav": wav([1, 2])}, ("--size", "4x4")),
    (USAGE, ("--length", "images"), {"in/a/1.png": A}, ("--length", "4")),
    (USAGE, ("--channels", "RGB"), {"in/a/1.png": A}, ("--channels", "2")),
    (USAGE, ("--channels", "in/a/1.wav"), {"in/a/1.wav": wav([1, 2])}, ("--channels", "2")),
    (USAGE, ("--size 4", "HEIGHTxWIDTH"), {"in/a/1.png": A}, ("--size", "4")),
    (USAGE, ("--size 0x4", "HEIGHTxWIDTH"), {"in/a/1.png": A}, ("--size", "0x4")),
    (USAGE, ("--label",), {"in/a/1.png": A}, ("--label", "2")),
    (USAGE, ("in", "1.png", "import the folder"), {"in/1.png": A}, ("in/1.png",)),
    (USAGE, ("--size", "in", "folder"), {"in": "a,b\n1,2\n"}, ("--size", "4x4")),
)


def errors(folder):
    for number, (code, says, files, options) in enumerate(REJECTED):
        place = folder / str(number)
        write(place, files)
        result = run(place, "import", "in", "-o", "out.h5", *options).exits(code)
        result.must(all(part in result.err for part in says), f"{says} must be in: {result.err}")
        result.must(len(result.err.splitlines()) == 1 + ("--skip-broken" in options), "one message")
        result.must(harness.names_in(place) == ["in"], "no file is left")


TESTS = [classes_are_folders, numbered_classes_are_in_the_order_of_numbers, splits_are_folders, images_without_classes,
         a_test_fraction_of_a_folder, kinds_of_png, sixteen_bits, kinds_of_jpeg, resampling_as_in_pillow,
         broken_files_are_skipped, recordings, recordings_of_one_length, channels_of_recordings, errors]

if __name__ == "__main__":
    harness.main([(test.__name__.replace("_", " "), test) for test in TESTS])
