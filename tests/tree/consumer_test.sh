#!/bin/bash
# SPDX-License-Identifier: MIT
# consumer_test.sh - Law: a Bazel workspace elsewhere depends on @weft//:weft with the lines of consumer/WORKSPACE alone.
. tests/shell.sh
need bazel

# Bazel hands in links to the real files: the tree they lead to is the one to depend on.
tree=$(dirname "$(readlink -f WORKSPACE)")
cp -r "$tree/tests/tree/consumer" "$scratch/consumer"
ln -s "$tree" "$scratch/consumer/weft"
# The link is a repository of its own, not packages of this workspace.
echo weft >"$scratch/consumer/.bazelignore"
cd "$scratch/consumer"

startup=(--output_user_root="$scratch/user" --output_base="$scratch/base" --max_idle_secs=5 --nohome_rc)
# An inner Bazel has to be told to forget the outer one.
run() {
	env -u TEST_TMPDIR -u RUNFILES_DIR -u JAVA_RUNFILES bazel "${startup[@]}" "$@"
}
stop() {
	run shutdown >/dev/null 2>&1 || true
	# Bazel makes its output read-only.
	chmod -R u+w "$scratch"
	rm -rf "$scratch"
}
trap stop EXIT

run build --nosandbox_debug //:hello >build.log 2>&1 || { cat build.log; fail "the workspace does not build"; }
output=$(bazel-bin/hello) || fail "the program fails"
[[ $output == "hello from another workspace" ]] || fail "unexpected output: $output"
