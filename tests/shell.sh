# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# shell.sh - what tests written in shell share; to be sourced. Gives `fail`, `skip` and a $scratch folder.
set -euo pipefail

scratch=$(mktemp -d "${TEST_TMPDIR:-${TMPDIR:-/tmp}}/test.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

# skip REASON: ends the test as skipped. Bazel knows no such thing, so the reason goes into the test's XML report,
# where tools/test finds it as it finds googletest's.
skip() {
	echo "SKIPPED: $*"
	if [[ ${XML_OUTPUT_FILE:-} ]]; then
		local name=${TEST_TARGET##*[:/]}
		cat >"$XML_OUTPUT_FILE" <<-EOF
			<?xml version="1.0" encoding="UTF-8"?>
			<testsuites tests="1" failures="0" errors="0">
			<testsuite name="$name" tests="1" failures="0" errors="0" skipped="1">
			<testcase name="$name" result="skipped"><skipped message="${*//[<>&\"]/ }"/></testcase>
			</testsuite>
			</testsuites>
		EOF
	fi
	exit 0
}

# need PROGRAM...: skips unless all of them are installed.
need() {
	local program
	for program; do
		command -v "$program" >/dev/null || skip "$program is not installed (tools/setup test)"
	done
}
