"""Generates stubs from the protos."""

import atexit
import importlib
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc


def load(protos, name):
    """Returns the messages and the services of one of our files."""
    stubs = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, stubs)
    sources = [str(path) for path in Path(protos).rglob("*.proto")]
    well_known = str(files("grpc_tools") / "_proto")
    failed = protoc.main(
        ["protoc", f"-I{protos}", f"-I{well_known}", f"--python_out={stubs}", f"--grpc_python_out={stubs}", *sources]
    )
    assert not failed, "the protos do not compile"
    sys.path.insert(0, stubs)
    return importlib.import_module(f"arizuko.v1.{name}_pb2"), importlib.import_module(f"arizuko.v1.{name}_pb2_grpc")
