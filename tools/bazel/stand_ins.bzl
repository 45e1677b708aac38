# SPDX-License-Identifier: MIT
"""Lets Debian's Bazel build C and C++ without a network.

To resolve any C++ toolchain Bazel 4.2 loads rules_cc, rules_java and remote_coverage_tools, and would download them.
The stand-ins made here hold only what that resolution reads: aliases of rules built into Bazel, and coverage tools
that refuse to run. They are declared for Debian's Bazel alone, which is known by having no version number; every
other Bazel keeps its own rule sets.
"""

_CC_RULES = [
    "cc_binary",
    "cc_import",
    "cc_library",
    "cc_proto_library",
    "cc_test",
    "cc_toolchain",
    "cc_toolchain_suite",
    "fdo_prefetch_hints",
    "fdo_profile",
    "objc_library",
]

_JAVA_RULES = [
    "java_import",
    "java_runtime",
    "java_toolchain",
]

_COVERAGE_TOOLS = [
    "coverage_report_generator",
    "lcov_merger",
]

def _native_rules_impl(ctx):
    folder = ctx.attr.folder
    ctx.file(folder + "/BUILD", "exports_files([\"defs.bzl\"])\n")
    ctx.file(folder + "/defs.bzl", "".join(["%s = native.%s\n" % (rule, rule) for rule in ctx.attr.rules]))

_native_rules = repository_rule(
    implementation = _native_rules_impl,
    attrs = {
        "folder": attr.string(doc = "package that holds defs.bzl"),
        "rules": attr.string_list(doc = "built-in rules that defs.bzl exports"),
    },
)

def _coverage_tools_impl(ctx):
    ctx.file("unavailable.sh", "#!/bin/sh\necho 'bazel coverage needs a Bazel with a network' >&2\nexit 1\n")
    ctx.file("BUILD", "".join([
        "sh_binary(name = \"%s\", srcs = [\"unavailable.sh\"], visibility = [\"//visibility:public\"])\n" % tool
        for tool in _COVERAGE_TOOLS
    ]))

_coverage_tools = repository_rule(implementation = _coverage_tools_impl)

def debian_bazel_stand_ins():
    """To be called in WORKSPACE, before anything else."""
    if native.bazel_version:
        return
    _native_rules(name = "rules_cc", folder = "cc", rules = _CC_RULES)
    _native_rules(name = "rules_java", folder = "java", rules = _JAVA_RULES)
    _coverage_tools(name = "remote_coverage_tools")
