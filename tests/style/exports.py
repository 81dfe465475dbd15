"""A shared library exports ls_* only; a name shared inside a module begins with ls_ or the module's name."""

import pathlib
import subprocess
import tempfile

import tree


def names(*words):
    """Global symbols of an object file or library, without those that a compiler adds."""
    listing = subprocess.run(["nm", *words], capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[-1] for line in listing.splitlines() if len(line.split()) == 3]
    return [name for name in symbols if not name.startswith("_") and name != "main"]


def check_object(path, object_file):
    module = path.parts[1]
    return [f"{path}: {name} begins neither with ls_ nor with {module}_"
            for name in names("-g", "--defined-only", object_file)
            if not name.startswith(("ls_", f"{module}_"))]


def check_shared(object_files):
    """Links the objects as for a shared library."""
    compiler = next(iter(tree.compile_commands().values())).split(" -", 1)[0].split()
    with tempfile.TemporaryDirectory() as folder:
        library = pathlib.Path(folder) / "lockstep.so"
        linked = subprocess.run([*compiler, "-shared", "-o", library, *object_files,
                                 f"-Wl,--version-script={tree.ROOT / 'src/exports.map'}"], check=False)
        if linked.returncode != 0:
            return ["the objects cannot be linked to a shared library"]
        exported = names("-D", "--defined-only", library)
    if not exported:
        return ["the shared library exports nothing"]
    return [f"the shared library exports {name}" for name in exported if not name.startswith("ls_")]


found = {path: file for path, file in tree.object_files().items() if path.parts[0] == "src" and "examples" not in path.parts}
wrong = [error for path, file in sorted(found.items()) for error in check_object(path, file)]
wrong += check_shared([file for path, file in found.items() if path.parts[1] != "app"])
tree.finish(wrong, len(found))
