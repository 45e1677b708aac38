# SPDX-License-Identifier: MIT
"""How the C of the tools is compiled: as weft's own, against nothing but its public headers."""

_COPTS = [
    "-std=gnu11",
    "-D_GNU_SOURCE",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Wconversion",
    "-Wvla",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-fstack-clash-protection",
    "-fstack-protector-strong",
] + select({
    "//tools/bazel:alloc_libc": [],
    # What runs on a fiber keeps its frames small; sanitizers need room of their own in each.
    "//conditions:default": ["-Wframe-larger-than=2048"],
})

def tool_library(name, srcs, hdrs, deps = [], **kwargs):
    """The parts of a tool, apart from main(), so that tests can link them.

    Args:
      name: of the target.
      srcs: C files.
      hdrs: their headers, included from the root of the tree.
      deps: beyond weft.
      **kwargs: passed to cc_library.
    """
    native.cc_library(
        name = name,
        srcs = srcs,
        hdrs = hdrs,
        copts = _COPTS,
        linkstatic = True,
        deps = ["//:weft"] + deps,
        **kwargs
    )

def tool_binary(name, srcs, deps, **kwargs):
    """A tool's program.

    Args:
      name: of the program.
      srcs: the file with main().
      deps: its parts.
      **kwargs: passed to cc_binary.
    """
    native.cc_binary(
        name = name,
        srcs = srcs,
        copts = _COPTS,
        linkstatic = True,
        deps = ["//:weft"] + deps,
        **kwargs
    )
