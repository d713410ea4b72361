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
    "index_rows.h",
    "index_tail.h",
    "compact_map.h",
    "index_counters.h",
    "sorted_map.h",
    "foreign_map.h",
    "needle.h",
    "volume.h",
    "deletion.h",
    "guard.h",
    "scan.h",
    "scrub.h",
    "visit.h",
    "messages.h",
    "compare.h",
    "survey.h",
    "last_rows.h",
    "row_check.h",
    "vacuum.h",
    "content_type.h",
    "serve.h",
]


def _present_headers() -> list[str]:
    return [name for name in HEADERS if (HERE / name).exists()]


# Calls from C into Python (see foreign_map.py).
CALLBACKS = """
extern "Python" {
    int fastvol_map_find(void *self, uint64_t id, fv_entry *out);
    int fastvol_map_set(void *self, uint64_t id, uint64_t offset, int32_t size);
    int fastvol_map_remove(void *self, uint64_t id);
    int64_t fastvol_map_scan(void *self, uint64_t first, fv_entry *out, size_t capacity);
    void fastvol_map_free(void *self);
}
"""

ffibuilder = FFI()
for _name in _present_headers():
    for _part in DECLARATIONS.findall((HERE / _name).read_text()):
        ffibuilder.cdef(_part)
ffibuilder.cdef(CALLBACKS)

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
