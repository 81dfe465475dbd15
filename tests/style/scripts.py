"""Shell scripts are valid, and shellcheck, if it is installed, has no finding."""

import shutil
import subprocess

import tree


def is_shell(path):
    with open(tree.ROOT / path, "rb") as file:
        first = file.readline()
    return path.suffix == ".sh" or first.startswith((b"#!/usr/bin/env bash", b"#!/bin/bash", b"#!/bin/sh")) or (
        str(path) == "scripts/packages")  # is read by others


def failures(command, path):
    run = subprocess.run([*command, path], cwd=tree.ROOT, capture_output=True, text=True)
    return [run.stdout + run.stderr] if run.returncode else []


commands = [["bash", "-n"]]
if shutil.which("shellcheck"):
    commands.append(["shellcheck", "--external-sources", "--source-path=SCRIPTDIR"])
else:
    print("shellcheck is not installed: only the syntax is checked")
scripts = [path for path in tree.files() if is_shell(path)]
tree.finish([found for path in scripts for command in commands for found in failures(command, path)], len(scripts))
