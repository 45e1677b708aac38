# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# launch.sh FOLDER PROGRAM [ARGUMENT...] - to be sourced by the launchers tools/weft-*: builds //tools/FOLDER:PROGRAM
# in the clone and replaces the shell with it. The launcher's process id is then the program's.
set -euo pipefail
# shellcheck source=tools/bazel/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/../bazel/env.sh"

folder=$1
program=$2
shift 2
"$root/tools/setup" build
if ! weft_build "//tools/$folder:$program" </dev/null; then
	echo "tools/$program: the build failed, see above" >&2
	exit 1
fi
# Bazel's server is left to end by itself after a minute without work: the next launch within it starts at once.
exec "$weft_bin/tools/$folder/$program" "$@"
