# SPDX-License-Identifier: MIT
"""Tests of weft: googletest programs that may include any header of the tree."""

_LAYERS = [
    "//include",
    "//io/api",
    "//io/boot",
    "//io/epoll",
    "//io/uring",
    "//sched/base",
    "//sched/core",
    "//sched/obs",
    "//sched/sync",
    "//sched/task",
]

def weft_test(name, srcs, deps = [], copts = [], linkopts = [], size = "small", **kwargs):
    """A googletest program linked with all of weft. Tests that cannot run here use GTEST_SKIP() << reason.

    Args:
      name: of the test.
      srcs: C++ files, and C files where a test wants them.
      deps: beyond weft.
      copts: beyond the warnings.
      linkopts: beyond googletest.
      size: small (a few seconds), medium (a minute) or large; `tools/test --quick` leaves large ones out. All but large ones have 300 s: a machine
        that is shared may give them a tenth of what they are used to.
      **kwargs: passed to cc_test: tags = ["exclusive"] for one that measures time, data, env.
    """
    if size == "small":
        kwargs.setdefault("timeout", "moderate")
    native.cc_test(
        name = name,
        srcs = srcs,
        # weft is compiled as shipped; its tests for speed of compilation: with ASan and UBSan that takes half the time of -O2 -g.
        copts = ["-O1", "-g1", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wshadow", "-fstack-clash-protection"] + copts,
        linkopts = ["-l:libgtest_main.a", "-l:libgtest.a", "-lpthread"] + linkopts,
        linkstatic = True,
        size = size,
        deps = ["//:weft"] + _LAYERS + deps,
        **kwargs
    )

def weft_tests(srcs, special = {}, **kwargs):
    """One weft_test per file: queue_test.cc becomes the test queue_test.

    Args:
      srcs: usually glob(["*_test.cc"]), so that a new test needs no edit.
      special: what single tests want, as {"stress_test": {"size": "large"}}.
      **kwargs: what all of them want.
    """
    names = [src[:-len(".cc")] for src in srcs]
    for name in special:
        if name not in names:
            fail("special settings for %s, but there is no %s.cc" % (name, name))
    for name in names:
        attributes = dict(kwargs)
        attributes.update(special.get(name, {}))
        weft_test(name = name, srcs = [name + ".cc"], **attributes)
