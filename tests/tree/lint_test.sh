#!/bin/bash
# SPDX-License-Identifier: MIT
# lint_test.sh - Law: tools/lint finds each fault it promises to find, in a small tree made for the purpose, and none in
# weft's own tree.
. tests/shell.sh
need clang-format-14

lint=$PWD/tools/lint
# Bazel hands in links to the real files: the tree they lead to is the one to check.
tree=$(dirname "$(readlink -f WORKSPACE)")

sample=$scratch/sample
mkdir -p "$sample"/{include/weft,sched/base,sched/core,sched/odd,io/api,tools/httpd}
cp -L .clang-format "$sample/"

# c_file PATH [LINE...]: a file with a proper beginning.
c_file() {
	local path=$1
	shift
	{
		echo "/* SPDX-License-Identifier: MIT */"
		echo "/* ${path##*/} - a sample */"
		printf '%s\n' "$@"
	} >"$sample/$path"
}

# finds PATH TEXT: the lint complains about PATH with TEXT.
finds() {
	local output
	output=$("$lint" --root "$sample" 2>&1) && fail "$1 passes; expected: $2"
	grep -qF "$1:" <<<"$(grep -F "$2" <<<"$output")" || fail "$1: expected '$2', got: $output"
	rm "$sample/$1"
}

c_file include/weft/good.h "struct weft_good {" "	int value;" "};"
c_file sched/base/good.h "struct wf_good {" "	int value;" "};"
c_file sched/core/good.c '#include "sched/base/good.h"' '#include <weft/good.h>'
"$lint" --root "$sample" || fail "a good tree has faults, see above"

printf 'int x;\n' >"$sample/sched/base/bad.c"
finds sched/base/bad.c "the first line is not"
printf '/* SPDX-License-Identifier: MIT */\nint x;\n' >"$sample/sched/base/bad.c"
finds sched/base/bad.c "does not open the file's contract"
printf '#!/bin/sh\n' >"$sample/tools/bad"
finds tools/bad "no 'SPDX-License-Identifier"
c_file sched/base/bad.c "int  x;"
finds sched/base/bad.c "not in our format"
c_file sched/base/bad.c '#include "sched/core/good.h"'
c_file sched/core/good.h "struct wf_core;"
finds sched/base/bad.c 'sched/base must not include "sched/core/good.h"'
c_file tools/httpd/bad.c '#include "sched/base/good.h"'
finds tools/httpd/bad.c "tools/httpd must not include"
c_file sched/base/bad.c '#include "nowhere.h"'
finds sched/base/bad.c "does not exist"
c_file sched/base/bad.c '#include "weft/good.h"'
finds sched/base/bad.c "are included as <weft/good.h>"
c_file io/api/bad.c "#include <liburing.h>"
finds io/api/bad.c "<liburing.h> is for io/uring"
c_file sched/core/bad.c "#include <stdatomic.h>"
finds sched/core/bad.c "<stdatomic.h> is for sched/base"
c_file sched/odd/bad.c "int x;"
finds sched/odd/bad.c "sched/odd is not a layer"
c_file include/weft/bad.h "size_t weft_bad;"
finds include/weft/bad.h "does not compile alone as C11"
c_file include/weft/bad.h "struct weft_bad {" "	int new;" "};"
finds include/weft/bad.h "does not compile alone as C++17"
c_file sched/base/bad.c "void f(void)" "{" "$(for _ in {1..71}; do echo "	f();"; done)" "}"
finds sched/base/bad.c "function of 71 lines"
# Marks and paths are put together here, so that this file passes.
c_file sched/base/bad.c "/* $(printf 'FIX%s' ME) */"
finds sched/base/bad.c "unfinished mark"
c_file sched/base/bad.c "/* $(printf 'TO%s' DO): later */"
finds sched/base/bad.c "names its issue"
c_file sched/base/bad.c "/* $(printf '/%s/me' home) */"
finds sched/base/bad.c "absolute path"
printf '#!/bin/sh\n# SPDX-License-Identifier: MIT\nif\n' >"$sample/tools/bad"
finds tools/bad "not a shell script"

"$lint" --root "$tree" || fail "the tree has faults, see above"
