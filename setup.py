"""Builds the compiled kernels; all else about the project is in pyproject.toml.

Each kernel file is compiled once per precision and instruction set, and the objects, of which one
set is chosen when minidl is loaded, are linked with the Cython module into one extension. Where
that fails, for want of a compiler or for any other reason, minidl is installed without it and
computes with its NumPy kernels.
"""

from __future__ import annotations

import compileall
import os
import platform
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CSRC = Path("csrc")
INCLUDED = Path("minidl/kernels/pyx")
MODULE = Extension(
    "minidl.kernels._cpu",
    ["minidl/kernels/_cpu.pyx"],
    depends=[str(path) for folder in (CSRC, INCLUDED) for path in sorted(folder.iterdir())],
)
ONCE = {"dispatch", "memory", "parallel"}  # the others are compiled for each variant
NUMPY = {"NPY_NO_DEPRECATED_API": "NPY_1_7_API_VERSION"}  # of its C interface, which _cpu.pyx looks at arrays with

GNU_FLAGS = [
    "-std=gnu11",
    "-O3",
    "-g0",
    "-fvisibility=hidden",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
]
LEVELS = {  # csrc/dispatch.c asks the machine for the same features
    "v2": ["-msse4.2", "-mpopcnt"],
    "v3": ["-mavx2", "-mfma"],
    "v4": [
        "-mavx2",
        "-mfma",
        *(f"-mavx512{part}" for part in ("f", "bw", "cd", "dq", "vl")),
        "-mprefer-vector-width=512",
    ],
}


class BuildKernels(build_ext):
    def finalize_options(self) -> None:
        if sys.platform == "darwin" and "ARCHFLAGS" not in os.environ:  # else a universal Python asks for two at once
            os.environ["ARCHFLAGS"] = f"-arch {platform.machine()}"
        super().finalize_options()

    def run(self) -> None:
        inplace = self.inplace
        try:
            super().run()
        except Exception as error:  # of many kinds: no compiler, no Cython, no headers, a full disk
            self.inplace = inplace
            self.give_up(error)
        if self.editable_mode:
            # pip does this for a wheel alone. Where Python may not write bytecode (PYTHONDONTWRITEBYTECODE, a folder
            # of another user) each `import minidl` would compile all of it anew, five times as long as reading it.
            compileall.compile_dir(Path("minidl").resolve(), quiet=2)

    def give_up(self, error: Exception) -> None:
        """Leave nothing behind that could be installed, an earlier build's neither, and say so."""
        package = Path(*MODULE.name.split(".")).parent
        for folder in [Path(self.build_lib, package), *([package] if self.inplace else [])]:
            for built in [*folder.glob("_cpu.*.so"), *folder.glob("_cpu.*.pyd")]:
                built.unlink()
        self.extensions = []
        text = f"The kernels in C were not built, so minidl will compute with NumPy alone: {error}"
        self.warn(f"\n{'*' * 80}\n{text}\nWith gcc or clang and Python's headers, install it again.\n{'*' * 80}")

    def build_extension(self, ext: Extension) -> None:
        import numpy
        from Cython.Build import cythonize

        self.include_dirs.append(numpy.get_include())
        source = cythonize(ext.sources, build_dir=self.build_temp, quiet=True, force=bool(self.force))[0].sources[0]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [pool.submit(self.compile, *job) for job in [(source, "once", NUMPY, []), *self.variants()]]
            objects = [job.result() for job in jobs]
        self.compiler.link_shared_object(
            objects,
            self.get_ext_fullpath(ext.name),
            libraries=self.get_libraries(ext),
            library_dirs=self.library_dirs,
            extra_postargs=["-pthread"] if self.gnu else [],
            export_symbols=self.get_export_symbols(ext),
            build_temp=self.build_temp,
        )

    @property
    def gnu(self) -> bool:
        return self.compiler.compiler_type != "msvc"

    def variants(self):
        """Every C file with the folder of its objects, its macros and its flags."""
        levels = LEVELS if self.gnu and targets_x86_64() else {"plain": []}
        once = {"MINIDL_X86_LEVELS": "1"} if "v2" in levels else {}
        for path in sorted(CSRC.glob("*.c")):
            if path.stem in ONCE:
                yield str(path), "once", once, []
                continue
            for bits, (level, flags) in product((32, 64), levels.items()):
                yield str(path), f"f{bits}_{level}", {"MINIDL_REAL": str(bits), "MINIDL_ISA": level}, flags

    def compile(self, source: str, folder: str, macros: dict[str, str], flags: list[str]) -> str:
        """Compile one source. Always: an object left by another compiler, or with other CFLAGS, looks as new."""
        (built,) = self.compiler.compile(
            [source],
            output_dir=os.path.join(self.build_temp, folder),
            macros=list(macros.items()),
            include_dirs=[str(CSRC), *self.include_dirs],
            extra_postargs=[*GNU_FLAGS, "-pthread", *flags] if self.gnu else ["/O2", "/std:c11"],
        )
        return built


def targets_x86_64() -> bool:
    if sys.platform == "darwin":
        return os.environ["ARCHFLAGS"].split() == ["-arch", "x86_64"]
    if sysconfig.get_platform() == "linux-x86_64":
        return True
    return platform.machine() in ("x86_64", "AMD64") and sys.maxsize > 2**32


setup(ext_modules=[MODULE], cmdclass={"build_ext": BuildKernels})
