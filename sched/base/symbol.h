/* SPDX-License-Identifier: MIT */
/* symbol.h - names for program counters
 *
 * What     the function around an address, static ones too, from the symbol table in its module's file. Each module's table is read once and
 *          kept, at most 32 of them.
 * Rejected dladdr (takes the loader's lock, which a thread that hangs in a constructor holds; knows only what is exported).
 * Rules    SY1 no lock is waited for longer than 100 ms, and no memory comes from the heap: reports about hung threads must not hang on what
 *             they hold. A table that another thread is reading and does not finish means addresses instead of names.
 *          SY2 a table is read, not mapped: a file that is cut short meanwhile faults nobody.
 *          SY3 a table counts only if the file's head is what is loaded: it may have been replaced since.
 *          SY4 errno is left alone; not for signal handlers.
 * Order    SY-1 modules: published (release) -> a reader's load (acquire). Carries the module, which never changes again.
 *          SY-2 loading: taken (acq_rel) -> given back (acq_rel). Carries the list's end.
 * Tests    tests/base/unwind_test.cc
 */
#ifndef WF_SCHED_BASE_SYMBOL_H
#define WF_SCHED_BASE_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>

/* Writes "name+0x1f (module)", where no name is known "module+0x1f", where no module is "0x7f0012345678"; returns the length written, without the
 * 0 at its end. Not exact: an address of return, the function is that of the byte before. */
size_t wf_symbol(const void *pc, bool exact, char *buffer, size_t size);

#endif
