"""Fails if a dependency of the installed programs has more features when the tests are built.

Cargo builds everything with the features that anything asks for. So a program could use a feature
that only the tests ask for, and would then not build when it is installed.
"""

import subprocess
import sys

PROGRAMS = ["arizuko", "arizuko-control", "arizuko-gateway"]


def features(*arguments):
    """Returns the features of each crate, by its name and version."""
    tree = ["cargo", "tree", "--locked", "--prefix=none", "--format={p}|{f}", *arguments]
    lines = subprocess.run(tree, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    found = {}
    for line in filter(None, lines):
        crate, listed = line.removesuffix(" (*)").split("|")
        found.setdefault(crate, set()).update(filter(None, listed.split(",")))
    return found


def main():
    programs = [f"--package={program}" for program in PROGRAMS]
    # Looks only at the direct dependencies of our own crates. What these depend on isn't our concern.
    ours = [name for name in features(*programs, "--edges=no-dev") if "(/" in name]
    ours = [f"--package={name.split()[0]}" for name in ours]
    direct = features(*ours, "--edges=no-dev", "--depth=1")
    alone = features(*programs, "--edges=no-dev")
    tested = features("--workspace")
    failed = False
    for crate in sorted(direct):
        if more := tested[crate] - alone[crate]:
            failed = True
            print(f"{crate} has these features only for the tests: {', '.join(sorted(more))}")
    sys.exit(failed)


main()
