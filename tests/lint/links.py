"""Fails if a document links to a file or a heading that is not there.

Checks every document of the repository, and again those that the Debian package installs, which may
link only to what the package has. Paths below /usr/share/doc/arizuko, in documents and in systemd's
units, are paths of the package, too.
"""

import glob
import os
import pathlib
import re
import subprocess
import sys
import tomllib

LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"#{1,6} +(.+?)\s*$")
ID = re.compile(r'<a id="([^"]+)"')
INSTALLED = re.compile(r"/usr/share/doc/arizuko/[\w./-]+\w")
# `deploy/third-party` writes these before the package is built.
BUILT = ["target/", "../target/"]


def anchor(heading):
    """Returns the anchor that GitHub gives to a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(path):
    found, seen = set(), {}
    for line in path.read_text().splitlines():
        found.update(ID.findall(line))
        if heading := HEADING.match(line):
            name = anchor(heading[1])
            count = seen[name] = seen.get(name, -1) + 1
            found.add(f"{name}-{count}" if count else name)
    return found


def links(path):
    """Yields the link, the file and the anchor of each link to a file."""
    for link in LINK.findall(path.read_text()):
        if not re.match(r"[a-z]+:", link):
            file, _, part = link.partition("#")
            yield link, pathlib.Path(os.path.normpath(path.parent / file)) if file else path, part


def package():
    """Returns the package's files, each with the file that it is made from."""
    manifest = tomllib.loads(pathlib.Path("cli/Cargo.toml").read_text())
    files = {}
    for source, target, _ in manifest["package"]["metadata"]["deb"]["assets"]:
        paths = [source] if source.startswith(tuple(BUILT)) else glob.glob(source, root_dir="cli")
        if not paths:
            sys.exit(f"cli/Cargo.toml: no file for the asset {source}")
        for path in paths:
            # Leaves out folders, as cargo-deb does.
            if not pathlib.Path("cli", path).is_dir():
                name = os.path.basename(path) if target.endswith("/") else ""
                files[os.path.normpath(os.path.join("/", target, name))] = pathlib.Path("cli", path)
    return files


def main():
    wrong = []
    listed = subprocess.check_output(["git", "ls-files", "*.md"], text=True).split()
    for document in map(pathlib.Path, listed):
        for link, file, part in links(document):
            if not file.exists():
                wrong.append(f"{document} links to {link}: no such file")
            elif part and file.suffix == ".md" and part not in anchors(file):
                wrong.append(f"{document} links to {link}: no such heading")

    installed = package()
    folders = {str(folder) for file in installed for folder in pathlib.Path(file).parents}
    has = lambda path: path in installed or path in folders
    for file, source in installed.items():
        if source.suffix == ".md":
            for link in LINK.findall(source.read_text()):
                target = link.partition("#")[0] or os.path.basename(file)
                target = os.path.normpath(os.path.join(os.path.dirname(file), target))
                if not re.match(r"[a-z]+:", link) and not has(target):
                    wrong.append(f"{file} in the package links to {link}: the package has no such file")
    for text in [*map(pathlib.Path, listed), *pathlib.Path("deploy").glob("*.service")]:
        for path in INSTALLED.findall(text.read_text()):
            if not has(path):
                wrong.append(f"{text} names {path}: the package has no such file")

    for line in wrong:
        print(line)
    sys.exit(bool(wrong))


main()
