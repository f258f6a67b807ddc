"""Adds the messages of the contract, made from `proto`, to the package."""

from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc
from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
PROTO = HERE.parents[1] / "proto"


class WithMessages(build_py):
    def run(self):
        super().run()
        sources = sorted(map(str, PROTO.glob("arizuko/v1/*.proto")))
        if not sources:
            raise SystemExit(f"there are no protos in {PROTO}: install this from a checkout of arizuko")
        out = HERE if self.editable_mode else Path(self.build_lib)
        outputs = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
        well_known = files("grpc_tools") / "_proto"
        if protoc.main(["protoc", f"-I{PROTO}", f"-I{well_known}", *outputs, *sources]):
            raise SystemExit("the protos do not compile")
        (out / "arizuko" / "py.typed").touch()


setup(cmdclass={"build_py": WithMessages})
