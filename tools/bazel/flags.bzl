# SPDX-License-Identifier: MIT
"""How weft's C is compiled, in this workspace and in any other that depends on it, and the rule that does it."""

# Correctness: hidden symbols keep the ABI to weft_*; clash protection makes every stack overflow hit the guard;
# position-independent code so that the same objects become libweft.so; no lazy binding, whose first call of each
# function of libc takes 3 KiB of stack, more than a WEFT_SMALL fiber of weft's own (a ticker) has.
_CODE = [
    "-std=gnu11",
    "-D_GNU_SOURCE",
    "-fPIC",
    "-fno-plt",
    "-fvisibility=hidden",
    "-fstack-clash-protection",
    "-fstack-protector-strong",
]

_WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Wconversion",
    "-Wvla",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
]

# Sanitizers need red zones in each frame, so only the code as shipped is held to the bound.
_FRAME = select({
    "//tools/bazel:alloc_libc": [],
    "//conditions:default": ["-Wframe-larger-than=2048"],
})

_ALLOC = select({
    "//tools/bazel:alloc_libc": ["WF_ALLOC_LIBC=1"],
    "//conditions:default": [],
})

_X86_64 = ["*_x86_64.c", "*_x86_64.S"]
_AARCH64 = ["*_aarch64.c", "*_aarch64.S"]

def weft_library(name, deps = [], **kwargs):
    """A layer of weft: every .c and .h of its folder, so that a new file needs no edit here.

    Files named *_x86_64 and *_aarch64 are for one processor. All of the folder, for builds by other means, is in the
    filegroup `sources`.

    Args:
      name: of the target; the folder's name, so that //sched/core means //sched/core:core.
      deps: the layers below.
      **kwargs: passed to cc_library.
    """
    native.filegroup(
        name = "sources",
        srcs = native.glob(["*.c", "*.h", "*.S"], allow_empty = True),
    )
    native.cc_library(
        name = name,
        srcs = native.glob(["*.c"], exclude = _X86_64 + _AARCH64, allow_empty = True) + select({
            "//tools/bazel:cpu_aarch64": native.glob(_AARCH64, allow_empty = True),
            "//conditions:default": native.glob(_X86_64, allow_empty = True),
        }),
        hdrs = native.glob(["*.h"], allow_empty = True),
        copts = _CODE + _WARNINGS + _FRAME,
        local_defines = _ALLOC,
        linkstatic = True,
        deps = deps + ["//include"],
        **kwargs
    )
