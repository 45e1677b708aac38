# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# env.sh - how weft's tools call Bazel; to be sourced. Sets `root` to the top of the tree.
#
# Each build mode has an output base and a server of its own outside the tree, so that switching modes discards
# nothing and a tool never waits for, or stops, a server that the developer uses. Servers end when the tool does.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)

weft_cache() {
	local base=${WEFT_CACHE:-${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/weft}
	if ! mkdir -p "$base" 2>/dev/null || [[ ! -w $base ]]; then
		base=${TMPDIR:-/tmp}/weft-$(id -u)
		mkdir -p "$base"
	fi
	# Two clones must not share an output base.
	printf '%s/%s\n' "$base" "$(printf '%s' "$root" | cksum | cut -d' ' -f1)"
}

# weft_bazel MODE COMMAND [ARGUMENT...]: MODE is normal, asan, tsan or debug.
weft_bazel() {
	local mode=$1 command=$2 cache
	shift 2
	cache=$(weft_cache)
	local options=()
	case $command in
	build | test | run | info)
		# No links into the output base: they would change with the mode that was built last.
		options=(--symlink_prefix=/)
		[[ $mode == normal ]] || options+=("--config=$mode")
		;;
	esac
	(cd "$root" && "${BAZEL:-bazel}" --output_user_root="$cache/user" --output_base="$cache/$mode" \
		--max_idle_secs=60 "$command" "${options[@]}" "$@")
}

weft_bazel_stop() {
	weft_bazel "$1" shutdown >/dev/null 2>&1 || true
}

# weft_build TARGET...: builds as shipped, showing progress on a terminal and errors anywhere; leaves the server idle.
# Afterwards $weft_bin is the folder that holds the results, laid out as the tree is.
weft_build() {
	local quiet=("--ui_event_filters=-info,-stdout" --show_result=0 --noshow_loading_progress)
	[[ -t 2 ]] || quiet+=(--noshow_progress)
	weft_bazel normal build "${quiet[@]}" "$@" || return 1
	# shellcheck disable=SC2034  # read by the script that sources this
	weft_bin=$(weft_bazel normal info bazel-bin 2>/dev/null)
}
