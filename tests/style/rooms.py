"""Includes go one way: a room includes its own files, the rooms that rooms.txt allows it, the C library, and
the external headers that are its own."""

import re

import tree

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def read_matrix():
    """(room -> rooms it may include, room -> its external headers, mistakes in the matrix itself)."""
    rooms, external, mistakes = {}, {"*": set()}, []
    for line in (tree.ROOT / "tests/style/rooms.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        left, _, right = line.partition("|")
        room, *uses = left.split()
        mistakes += [f"rooms.txt: {room} uses {used}, which is not above it" for used in uses if used not in rooms]
        external.setdefault(room, set()).update(right.split())
        if room != "*":
            rooms[room] = set(uses)
    return rooms, external, mistakes


def room_of(path):
    """The room of src/<room>/<file> or include/lockstep/<room>.h; None outside the house."""
    if path.parts[0] == "src" and len(path.parts) == 3:
        return path.parts[1]
    if path.parts[:2] == ("include", "lockstep"):
        return path.stem
    return None


def complaint(path, room, bracket, name):
    """Why the file may not include this, or None."""
    if name.startswith("lockstep/"):
        used = name[len("lockstep/"):-len(".h")]
        allowed = bracket == '"' and (used == room or used in ROOMS[room])
    elif bracket == '"':
        allowed = path.parts[0] == "src" and (tree.ROOT / path.parent / name).is_file() and "/" not in name
    else:
        allowed = name in EXTERNAL["*"] or name in EXTERNAL[room]
    return None if allowed else f"{path}: room {room} may not include {name}"


def check(path):
    room = room_of(path)
    if room not in ROOMS:
        return [f"{path}: not in a room that rooms.txt has"]
    found = INCLUDE.findall((tree.ROOT / path).read_text())
    return [text for bracket, name in found if (text := complaint(path, room, bracket, name))]


ROOMS, EXTERNAL, wrong = read_matrix()
inside = [path for path in tree.c_files() if path.parts[0] in ("src", "include")]
tree.finish(wrong + [mistake for path in inside for mistake in check(path)], len(inside))
