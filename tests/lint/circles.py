"""Fails if source files of a crate import each other in a circle.

An arrow goes from a file to each file that its `use` declarations and its inline `crate::` and
`super::` paths name. The bare path `child::item` of a module's own child is no arrow: whoever reads
the module reads the child with it. Unit tests are left out.
"""

import graphlib
import pathlib
import re
import sys

TEST = re.compile(r"#\[cfg\(test\)\]\s*(pub(\(\w+\))? )?mod \w+ \{.*", re.DOTALL)
PATH = re.compile(r"\b(?:crate|super|self)(?:::\w+)+(?:::\{)?")


def paths(text):
    """Yields the paths that a file names, `use a::{b, c::d}` as `a::b` and `a::c::d`."""
    prefixes, words = [], ""
    for token in re.findall(r"\w+|::|[{},;]|\s+|.", text):
        if token == "{" and words.endswith("::"):
            prefixes.append(words)
        elif token == "{":
            prefixes.append(None)
        elif token in "},;" or token.isspace() or not re.fullmatch(r"\w+|::", token):
            if PATH.fullmatch(words):
                yield words.split("::")
            if token == "}" and prefixes:
                prefixes.pop()
        else:
            words += token
            continue
        known = prefixes[-1] if prefixes else None
        words = known or ""


def main():
    failed = False
    for crate in ["proto", "control", "gateway", "examples/rust", "cli"]:
        source = pathlib.Path(crate, "src")
        files = {}
        for file in source.rglob("*.rs"):
            module = file.relative_to(source).with_suffix("").parts
            files[() if module in [("lib",), ("main",)] else module] = file
        arrows = {}
        for module, file in files.items():
            text = re.sub(r"//.*", "", TEST.sub("", file.read_text()))
            arrows[module] = set()
            for path in paths(text):
                here = [] if path[0] == "crate" else list(module)
                while path and path[0] in ("crate", "super", "self"):
                    here = here[:-1] if path.pop(0) == "super" else here
                here += path
                while tuple(here) not in files:
                    here.pop()
                arrows[module].add(tuple(here))
            arrows[module].discard(module)
        try:
            graphlib.TopologicalSorter(arrows).prepare()
        except graphlib.CycleError as error:
            circle = [str(files[module]) for module in reversed(error.args[1])]
            print("files import each other in a circle:", " -> ".join(circle))
            failed = True
    return failed


sys.exit(main())
