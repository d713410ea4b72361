"""Builds ``fastvol._cffi._core`` from every ``.c`` beside this file (cffi, API mode).

The declarations that Python sees are the parts of the headers between ``/* cffi:begin */`` and
``/* cffi:end */``, so that a signature is written once.
"""

import re
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent
GENERATED = "_core.c"
DECLARATIONS = re.compile(r"/\* cffi:begin \*/(.*?)/\* cffi:end \*/", re.DOTALL)

# Headers in the order in which their declarations depend on each other.
HEADERS = [
    "crc32c.h",
    "compact_map.h",
    "needle.h",
    "volume.h",
    "scan.h",
    "scrub.h",
    "visit.h",
    "compare.h",
    "survey.h",
    "vacuum.h",
    "content_type.h",
    "serve.h",
]


def _present_headers() -> list[str]:
    return [name for name in HEADERS if (HERE / name).exists()]


ffibuilder = FFI()
for _name in _present_headers():
    for _part in DECLARATIONS.findall((HERE / _name).read_text()):
        ffibuilder.cdef(_part)

ffibuilder.set_source(
    "fastvol._cffi._core",
    "\n".join(f'#include "{name}"' for name in _present_headers()),
    sources=sorted(
        f"fastvol/_cffi/{path.name}" for path in HERE.glob("*.c") if path.name != GENERATED
    ),
    include_dirs=["fastvol/_cffi"],
    depends=sorted(f"fastvol/_cffi/{path.name}" for path in HERE.glob("*.h")),
    define_macros=[("_GNU_SOURCE", "1")],
    # Asserts stay on: a broken invariant must stop before it reaches a disk.
    undef_macros=["NDEBUG"],
    # Rows are decoded and sizes computed for each of millions of needles: inlined across modules.
    extra_compile_args=[
        "-std=c11",
        "-O3",
        "-flto=auto",
        "-fvisibility=hidden",
        "-Wall",
        "-Wextra",
        "-Wno-unused-parameter",
        "-pthread",
    ],
    extra_link_args=["-O3", "-flto=auto", "-pthread"],
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
