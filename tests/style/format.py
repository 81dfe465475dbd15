"""All C files have the format of .clang-format. To fix a file: clang-format-14 -i FILE"""

import subprocess

import tree

# Versions lay out differently, so it is one version everywhere.
names = [str(path) for path in tree.c_files()]
run = subprocess.run([tree.need("clang-format-14"), "--dry-run", "-Werror", *names],
                     cwd=tree.ROOT, capture_output=True, text=True)
tree.finish([line for line in run.stderr.splitlines() if ": error: " in line], len(names))
