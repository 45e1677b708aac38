# SPDX-License-Identifier: MIT
"""weft.py - fibers in gdb: of a stopped process, and of a core file

usage: gdb -x weft.py PROGRAM [CORE], or in gdb: source weft.py

  weft fibers [-s STATE] [-n PATTERN]   one line for each fiber
  weft bt ID|all [OPTION...]            a fiber's backtrace; options are those of gdb's backtrace
  weft workers                          the workers of each runtime, and what is in their queues
  weft core [FILE]                      write a core file, as generate-core-file, but with all stacks

What     It needs gdb 12 or newer with Python, and libweft's debug information (weft's own builds have it; others: -g). It does
         not need weft's sources, only weft_stacks.py beside it. It only reads: no register or memory of the program changes, and
         no code runs in it.
Rules    G1 types, fields and tables are found by debug information; the bits of the life and ticket words (fiber.h, ticket.h) and
            the size of a slab (limits.h) are macros, which it does not name, and stand here again.
Tests    tests/gdb
"""
import argparse
import bisect
import collections
import contextlib
import fnmatch
import os
import re
import struct
import sys
import time

import gdb

for path in (os.path.realpath(__file__), os.path.abspath(__file__)):
    if os.path.dirname(path) not in sys.path:
        sys.path.insert(0, os.path.dirname(path))
caching = sys.dont_write_bytecode
sys.dont_write_bytecode = True  # no __pycache__ beside the scripts
from weft_stacks import (
    NO_STACK,
    Error,
    Fields,
    Library,
    NoStack,
    Places,
    Stands,
    Threads,
    as_int,
    read,
    selection_kept,
    text,
    unwound,
)

sys.dont_write_bytecode = caching

LIFE_CANCEL, LIFE_LIVE, LIFE_ENDED, LIFE_JOINER, LIFE_SCOPED = 1, 8, 16, 128, 2048
PHASES = ("RUNNING", "PARKING", "PARKED", "WON", "TAKEN", "READY", "UNSTARTED", "FREE")
SEQUENCE_SHIFT = 8
FLAG_FRESH = 0x1000
SPARE_EXISTS = (1, 2, 4)  # WF_SPARE_RUNS, _RETIRES, _MEETS
HOLDER_SHIFT, HOLDER_INDEX_BITS = 6, 26  # of a mutex's word
SLAB_BLOCKS = 1024
PAGE = 4096
STATES = ("running", "ready", "parked", "waking", "unstarted", "ended")

Fiber = collections.namedtuple(
    "Fiber", "id index word life flags sp fn site frame stack join_index name host state"
)


class Program:
    """All fibers and workers, as they are now. Within selection_kept()."""

    def __init__(self):
        self.libweft = Library()
        self.threads = Threads()
        self.runtimes = self.libweft.runtimes()
        self.workers = {}  # address of the current fiber: its worker and thread
        for runtime in self.runtimes:
            for i in range(as_int(runtime["reach"])):
                worker = runtime["worker"][i]
                current = as_int(worker["current"])
                if current:
                    self.workers[current] = (int(worker["index"]), self.own_thread(worker))
        self.fibers = {}
        for address, raw in self.blocks():
            fiber = self.fiber(address, raw)
            self.fibers[fiber.index] = fiber
        self.find_stuck()
        self.joins = {}  # index of who waits: for whom
        for fiber in self.fibers.values():
            if fiber.life & LIFE_JOINER and not fiber.life & LIFE_SCOPED and fiber.state != "ended":
                self.joins[fiber.join_index] = fiber

    def blocks(self):
        """Address and bytes of each live control block."""
        slabs = self.libweft.static(self.libweft.fiber_c, "slab")
        count = as_int(self.libweft.static(self.libweft.fiber_c, "slab_count"))
        self.slabs = [as_int(slabs[i]) for i in range(count)]
        size = self.libweft.fiber.size
        for base in self.slabs:
            raw = read(base, SLAB_BLOCKS * size)
            for at in range(0, len(raw), size):
                block = raw[at : at + size]
                if self.libweft.fiber.get(block, "life") & LIFE_LIVE:
                    yield base + at, block

    def index_of(self, block):
        return self.libweft.fiber.get(read(block, self.libweft.fiber.size), "index", "I")

    def next_of(self, index):
        """The next in the queue that the fiber of that index is in."""
        base = self.slabs[index // SLAB_BLOCKS] + index % SLAB_BLOCKS * self.libweft.fiber.size
        return self.libweft.fiber.get(read(base, self.libweft.fiber.size), "next", "I")

    def fiber(self, address, raw):
        get = self.libweft.fiber.get
        life, word = get(raw, "life"), get(raw, "word")
        state = self.state(address, life, word)
        # The stack of an ended fiber, and with it its name, may be another's.
        frame = get(raw, "frame") if state != "ended" else 0
        name, host = "", None
        if frame:
            host = read(frame, self.libweft.frame.size)
            name = text(host[self.libweft.frame.at["name"] :][:32])
        elif state == "unstarted" and get(raw, "sp"):
            name = text(read(get(raw, "sp"), 32))
        return Fiber(
            id=(life >> 32 << 32) | get(raw, "index", "I"),
            index=get(raw, "index", "I"),
            word=word,
            life=life,
            flags=get(raw, "flags", "I"),
            sp=get(raw, "sp"),
            fn=get(raw, "fn"),
            site=get(raw, "site"),
            frame=frame,
            stack=get(raw, "stack.low"),
            join_index=get(raw, "join_index", "I"),
            name=name,
            host=host,
            state=state,
        )

    def state(self, address, life, word):
        phase = PHASES[word & 7]
        if life & LIFE_ENDED:
            return "ended"
        if address in self.workers:
            return "running"
        if phase in ("PARKED", "PARKING"):
            return "parked"
        if phase in ("WON", "TAKEN"):
            return "waking"
        return "unstarted" if phase == "UNSTARTED" else "ready"

    def find_stuck(self):
        """Fibers that a thread stands on although no worker calls them its current one: between two lines of the scheduler, or
        left behind by a worker that another thread has taken over."""
        self.on_thread = {}  # index: worker or None, and thread
        for address, (worker, thread) in self.workers.items():
            self.on_thread[self.index_of(address)] = (worker, thread)
        stacks = sorted((f.stack, f.frame, f.index) for f in self.fibers.values() if f.frame)
        lows = [low for low, _, _ in stacks]
        for sp, thread in self.threads.sps:
            at = bisect.bisect_right(lows, sp) - 1
            if at < 0 or not stacks[at][0] <= sp < stacks[at][1]:
                continue
            index = stacks[at][2]
            if self.fibers[index].state == "ended":
                continue
            worker, known = self.on_thread.get(index, (None, None))
            self.on_thread[index] = (worker, known or thread)
            self.fibers[index] = self.fibers[index]._replace(state="running")

    def own_thread(self, worker):
        """The thread that a worker says it has, or None."""
        thread = as_int(worker["thread"])
        if not thread:
            return None
        return self.threads.of(self.libweft.at(thread, "struct wf_thread")["pthread"])

    def thread_of(self, worker):
        """The same, or else the one that stands on its fiber's stack."""
        current = as_int(worker["current"])
        thread = self.own_thread(worker)
        return self.on_thread[self.index_of(current)][1] if thread is None and current else thread

    def timers(self):
        """What is armed for a park: by fiber's index and sequence number, the deadline."""
        found = {}
        slot = Fields(self.libweft.type("struct wf_timer_slot"))
        timer = Fields(self.libweft.type("struct wf_timer"))
        for runtime in self.runtimes:
            for i in range(as_int(runtime["reach"])):
                heap = runtime["worker"][i]["timers"]
                count = int(heap["count"])
                raw = read(int(heap["slot"]), count * slot.size) if count else b""
                for at in range(0, len(raw), slot.size):
                    armed = read(slot.get(raw[at:], "timer"), timer.size)
                    key = (timer.get(armed, "owner", "I"), timer.get(armed, "key") >> SEQUENCE_SHIFT)
                    found[key] = timer.get(armed, "until", "q")
        return found


def is_core():
    connection = gdb.selected_inferior().connection
    return connection is None or connection.type != "native"


def duration(ns):
    for unit, size in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if ns >= size:
            return ("%d %s" if ns >= 100 * size else "%.3g %s") % (ns / size, unit)
    return "%d ns" % ns


class Fibers:
    """Fibers in words."""

    def __init__(self, program):
        self.program = program
        self.libweft = program.libweft
        self.places = Places()
        self.stands = Stands(self.libweft)
        self.timers = program.timers()
        self.without_stack = 0  # rows of fibers whose stack is missing
        # The clock of another machine, or of the time when a core was written, is not known.
        self.now = None if is_core() else time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        # In a core there is the runtimes' own, which has stood still since all fibers waited.
        coarse = [as_int(runtime["coarse_now"]) for runtime in program.runtimes]
        self.clock = self.now or max(coarse, default=0)
        kinds = program.libweft.type("enum wf_wait_kind").fields()
        self.kinds = {field.enumval: field.name[len("WF_WAITS_") :].lower() for field in kinds}

    def label(self, fiber):
        return '%d "%s"' % (fiber.id, fiber.name)

    def thread(self, fiber):
        worker, thread = self.program.on_thread[fiber.index]
        on = "on worker %d, " % worker if worker is not None else "on "
        return on + Threads.describe(thread)

    def saved(self, fiber):
        """The stack pointer to unwind from, or None."""
        if fiber.state not in ("parked", "waking", "ready") or not fiber.frame:
            return None
        return None if fiber.flags & FLAG_FRESH else fiber.sp

    def holder(self, mutex):
        """Who holds it, or None."""
        holder = int.from_bytes(read(mutex, 8), "little") >> HOLDER_SHIFT
        index = holder & (1 << HOLDER_INDEX_BITS) - 1
        generation = holder >> HOLDER_INDEX_BITS
        if index == 0:
            return "LWP %d" % generation if generation else None
        fiber = self.program.fibers.get(index)
        return "fiber " + self.label(fiber) if fiber and fiber.id >> 32 == generation else None

    def since(self, fiber):
        since = self.libweft.frame.get(fiber.host, "wait_since")
        if not since or since > self.clock:
            return ""
        text = "parked for %s" if self.now else "parked for at least %s"
        return text % duration(self.clock - since)

    def wait(self, fiber):
        """On what it waits, as waiting.h has it."""
        kind = self.kinds.get(self.libweft.frame.get(fiber.host, "wait_kind", "I"))
        target = self.libweft.frame.get(fiber.host, "wait_object")
        if not target or kind in ("none", "join", "scope", "select", "select_fd", "io"):
            return []
        words = ["on 0x%x" % target]
        if kind == "mutex":
            with contextlib.suppress(Error, gdb.error):
                holder = self.holder(target)
                words += ["held by " + holder] if holder else []
        return words

    def more(self, fiber):
        """What else is known of its wait."""
        words = self.wait(fiber) if fiber.state == "parked" else []
        if fiber.index in self.program.joins and fiber.state == "parked":
            words.append("for fiber " + self.label(self.program.joins[fiber.index]))
        until = self.timers.get((fiber.index, fiber.word >> SEQUENCE_SHIFT))
        if until is not None and fiber.state == "parked":
            if self.now is None:
                words.append("with a deadline")
            elif until >= self.now:
                words.append("for %s more" % duration(until - self.now))
            else:
                words.append("due %s ago" % duration(self.now - until))
        if fiber.life & LIFE_CANCEL:
            words.append("cancelled")
        return words

    def words_of(self, call, fiber):
        words = " ".join([call] + self.more(fiber))
        since = self.since(fiber) if fiber.state == "parked" else ""
        return words + ", " + since if since else words

    def row(self, fiber):
        waits, stands = "-", "-"
        sp = self.saved(fiber)
        if sp is not None:
            try:
                call, stands = self.stands.of(sp)
            except NoStack:
                call, stands = "?", "?"
                self.without_stack += 1
            except (Error, gdb.error) as error:
                call, stands = "?", str(error)
            waits = self.words_of(call, fiber)
        elif fiber.state == "running":
            waits = self.thread(fiber)
            stands = self.running_at(fiber)
        elif fiber.state in ("unstarted", "ready"):
            stands = self.places.of(fiber.fn)
        if fiber.host is not None and self.libweft.frame.get(fiber.host, "host.strand"):
            in_generator = self.libweft.frame.get(fiber.host, "host.gen") != 0
            stands += " in a generator" if in_generator else " in a coroutine"
        name = '"%s"' % fiber.name if fiber.name else "-"
        return (str(fiber.id), name, fiber.state, waits, stands, self.places.of(fiber.site))

    def running_at(self, fiber):
        _, thread = self.program.on_thread[fiber.index]
        if thread is None:
            return "-"
        thread.switch()
        frame = first = gdb.newest_frame()
        while frame is not None and self.libweft.owns(frame):
            frame = frame.older()
        return Stands.describe(frame or first)

    def describe(self, fiber):
        sp = self.saved(fiber)
        state = fiber.state
        if state == "running":
            state += " " + self.thread(fiber)
        elif sp is not None and state == "parked":
            state += " in " + self.words_of(self.stands.of(sp)[0], fiber)
        return "Fiber %s: %s; %s, spawned at %s" % (
            self.label(fiber),
            state,
            self.places.of(fiber.fn),
            self.places.of(fiber.site),
        )

    # Backtraces

    def stacks(self, fiber):
        """What a fiber stands on, innermost first: a heading or None, and the saved stack pointer."""
        sp = self.saved(fiber)
        strand = self.libweft.frame.get(fiber.host, "host.strand")
        own = fiber.frame + self.libweft.frame.at["host.own"]
        yield None, sp
        while strand and strand != own:
            block = self.libweft.at(strand, "struct wf_strand")
            generator = self.container(block, strand, "run_body", "struct weft_gen")
            if generator is None:
                strand = own
                heading = "in a coroutine; its main coroutine:"
            else:
                strand = int(generator["resumer"])
                heading = "in a generator, body %s; resumed by:" % self.places.of(
                    int(generator["body"])
                )
            yield heading, int(self.libweft.at(strand, "struct wf_strand")["sp"])

    def container(self, strand, address, entry, name):
        """The generator that a strand is part of, or None."""
        function = gdb.block_for_pc(int(strand["entry"]))
        function = function.function if function is not None else None
        if function is None or function.name != entry:
            return None
        kind = self.libweft.type(name)
        return self.libweft.at(address - Fields(kind).at["strand"], name)

    def backtrace(self, fiber, options):
        lines = [self.describe(fiber)]
        if fiber.state == "running":
            _, thread = self.program.on_thread[fiber.index]
            if thread is None:
                lines.append("its thread is unknown to gdb")
            else:
                lines.append("(gdb's own: thread %d, then bt)" % thread.num)
                thread.switch()
                lines += gdb.execute("backtrace " + options, to_string=True).splitlines()
        elif self.saved(fiber) is None:
            ended = fiber.state == "ended"
            lines.append("(it waits to be joined)" if ended else "(it has not started)")
        else:
            number = 0
            for heading, sp in self.stacks(fiber):
                if heading is not None:
                    lines.append(heading)
                more, number = self.frames(sp, options, number)
                lines += more
        return "\n".join(lines)

    @staticmethod
    def frames(sp, options, number):
        """gdb's backtrace from a saved stack pointer, its frames numbered from `number` on; and the next number."""
        with unwound(sp) as frame:
            first = frame.level()
            # A number of frames is meant without those of the thread.
            options = re.sub(r"(?:^|(?<= ))\d+$", lambda n: str(int(n.group()) + first), options)
            said = gdb.execute("backtrace " + options, to_string=True).splitlines()
        lines, mine = [], False
        for line in said:
            match = re.match(r"#(\d+)(\s+)", line)
            if match:
                mine = int(match.group(1)) >= first
                if mine:
                    line = "#%-3d" % number + line[match.end() :]
                    number += 1
            if mine:
                lines.append(line)
        return lines, number


def table(heads, rows):
    widths = [max(len(row[i]) for row in [heads] + rows) for i in range(len(heads) - 1)]
    for row in [heads] + rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths)]
        yield "  ".join(cells + [row[-1]]).rstrip()


class Arguments(argparse.ArgumentParser):
    """argparse for a command of gdb: what is wrong is an error of the command, not gdb's end."""

    def error(self, message):
        raise Error("%s\n%s" % (message, self.format_usage().strip()))


class Command(gdb.Command):
    """What the commands share."""

    def __init__(self, name, completion=gdb.COMPLETE_NONE):
        super().__init__(name, gdb.COMMAND_STACK, completion)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        try:
            with selection_kept():
                lines = list(self.lines(words))
        except (gdb.MemoryError, OverflowError, struct.error) as error:
            raise Error("this makes no sense (%s): is it the program of this core file?" % error)
        gdb.write("\n".join(lines) + "\n")


class Weft(gdb.Command):
    """Fibers of libweft: weft fibers, weft bt, weft workers, weft core."""

    def __init__(self):
        super().__init__("weft", gdb.COMMAND_STACK, gdb.COMPLETE_NONE, True)


class WeftFibers(Command):
    """List all fibers, one line each.
Usage: weft fibers [-s STATE] [-n PATTERN]

  -s STATE    only those: running, ready, parked, waking, unstarted or ended
  -n PATTERN  only those whose name matches, as file names do in a shell

A line gives the fiber's id (as weft_id), name, state, the call of weft it waits in, on what and
since when, where its own code stands, and the call that spawned it.  "ended" fibers wait to be joined; "waking" ones
have been woken and are not in a queue yet."""

    def __init__(self):
        super().__init__("weft fibers")
        self.arguments = Arguments(prog="weft fibers", add_help=False)
        self.arguments.add_argument("-s", dest="state", choices=STATES)
        self.arguments.add_argument("-n", dest="name", metavar="PATTERN")

    def lines(self, words):
        chosen = self.arguments.parse_args(words)
        fibers = Fibers(Program())
        rows, counts = [], collections.Counter()
        for _, fiber in sorted(fibers.program.fibers.items()):
            counts[fiber.state] += 1
            if chosen.state and fiber.state != chosen.state:
                continue
            if chosen.name is not None and not fnmatch.fnmatchcase(fiber.name, chosen.name):
                continue
            rows.append(fibers.row(fiber))
        if rows:
            heads = ("ID", "NAME", "STATE", "WAITS IN", "STANDS AT", "SPAWNED AT")
            yield from table(heads, rows)
        total = sum(counts.values())
        by_state = ", ".join("%d %s" % (counts[state], state) for state in STATES if counts[state])
        if fibers.without_stack:
            yield "Of %d fibers nothing else is known: %s." % (fibers.without_stack, NO_STACK)
        yield "%d fiber%s%s" % (total, "" if total == 1 else "s", by_state and ": " + by_state)


class WeftBt(Command):
    """Show the backtrace of a fiber, or of all.
Usage: weft bt ID|all [OPTION...]

ID is what weft fibers lists, or an expression such as a variable of type weft_fiber *.
The options are those of gdb's backtrace, such as -full or a number of frames.

A parked fiber in a generator shows the generator's body first, then who resumed it.  A fiber
that runs is shown by its thread."""

    def __init__(self):
        super().__init__("weft bt", gdb.COMPLETE_EXPRESSION)

    def lines(self, words):
        if not words:
            raise Error("which fiber? weft bt ID, or weft bt all")
        options = " ".join(words[1:])
        if words[0] != "all":
            wanted = self.id_of(words[0])
            fibers = Fibers(Program())
            fiber = fibers.program.fibers.get(wanted & 0xFFFFFFFF)
            if fiber is None or fiber.id != wanted:
                raise Error("there is no fiber %d now (weft fibers lists them)" % wanted)
            yield fibers.backtrace(fiber, options)
            return
        fibers = Fibers(Program())
        for n, (_, fiber) in enumerate(sorted(fibers.program.fibers.items())):
            if n > 0:
                yield ""
            yield self.backtrace(fibers, fiber, options)

    @staticmethod
    def backtrace(fibers, fiber, options):
        """One that cannot be shown does not keep the others from being shown."""
        try:
            return fibers.backtrace(fiber, options)
        except (Error, gdb.error) as error:
            return "Fiber %s: %s" % (fibers.label(fiber), error)

    @staticmethod
    def id_of(which):
        if re.fullmatch(r"\d+", which):
            return int(which)
        try:
            return int(gdb.parse_and_eval(which)) & (2**64 - 1)
        except (gdb.error, ValueError) as error:
            raise Error("%s is no fiber: %s" % (which, error))


def in_flight(program, worker):
    """Operations in the worker's engine; "?" where the engine's debug information is missing."""
    thread = worker["thread"]
    name = thread["driver"]["name"].string()
    try:
        if name == "io_uring":
            engine = thread["engine"].cast(program.libweft.type("struct uring").pointer())
            return str(int(engine["in_flight"]))
        engine = thread["engine"].cast(program.libweft.type("struct poller").pointer())
        return str(int(engine["queued"]) + int(engine["waiting"]))
    except (gdb.error, Error):
        return "?"


class WeftWorkers(Command):
    """List the workers of each runtime.
Usage: weft workers

READY are fibers that were woken or have yielded, NEW those spawned and not started (entries may be
out of date), PINNED those that must run here, TIMERS the armed ones, OPS operations in the kernel."""

    def __init__(self):
        super().__init__("weft workers")

    def lines(self, words):
        if words:
            raise Error("weft workers takes no arguments")
        program = Program()
        if not program.runtimes:
            yield "no runtime is running"
        for runtime in program.runtimes:
            yield from self.runtime(program, runtime)

    def runtime(self, program, runtime):
        count = int(runtime["worker_count"])
        injected = as_int(runtime["injected"])
        yield "runtime %d: %d worker%s, %d fiber%s in the injection queue%s" % (
            int(runtime["slot"]),
            count,
            "" if count == 1 else "s",
            injected,
            "" if injected == 1 else "s",
            ", stopping" if as_int(runtime["stopping"]) else "",
        )
        reach = as_int(runtime["reach"])
        workers = [runtime["worker"][i] for i in range(reach)]
        there = [w for i, w in enumerate(workers) if i < count or as_int(w["spare"]) in SPARE_EXISTS]
        rows = [self.row(program, runtime, w) for w in there]
        heads = ("WORKER", "THREAD", "READY", "NEW", "PINNED", "TIMERS", "OPS", "DOES")
        yield from table(heads, rows)

    def row(self, program, runtime, worker):
        index = int(worker["index"])
        thread = program.thread_of(worker)
        where = "%d (LWP %d)" % (thread.num, thread.ptid[1] or thread.ptid[2]) if thread else "?"
        ready = as_int(worker["ready"]["tail"]) - as_int(worker["ready"]["head"]) & 0xFFFFFFFF
        ready += as_int(worker["next"]) != 0
        ready += as_int(worker["handoff"]) != 0
        new = as_int(worker["deque"]["bottom"]) - as_int(worker["deque"]["top"])
        sleepers = as_int(runtime["idle"]["sleepers"][index // 64])
        sleepers |= as_int(runtime["idle"]["standers"][index // 64])
        current = as_int(worker["current"])
        if current:
            fiber = program.fibers.get(program.index_of(current))
            does = 'runs fiber %d "%s"' % (fiber.id, fiber.name) if fiber else "ends a fiber"
        elif sleepers >> index % 64 & 1:
            does = "sleeps"
        else:
            does = "schedules"
        count = int(runtime["worker_count"])
        stuck = ", stuck" if as_int(worker["stuck"]) else ""
        return (
            str(index) if index < count else "spare %d" % (index - count),
            where,
            str(ready),
            str(max(new, 0)),
            str(self.pinned(program, worker)),
            str(int(worker["timers"]["count"])),
            in_flight(program, worker),
            does + stuck,
        )

    @staticmethod
    def pinned(program, worker):
        """In the list, and in the inbox before it."""
        head = as_int(worker["pinned_head"])
        waiting = 0
        for index in (program.index_of(head) if head else 0, as_int(worker["inbox"])):
            while index and waiting < len(program.fibers):
                waiting += 1
                index = program.next_of(index)
        return waiting


class WeftCore(Command):
    """Write a core file of the process, with the stacks of all fibers.
Usage: weft core [FILE]

Like generate-core-file, which leaves out what comes after a guard page, and so most stacks of
fibers.  A core file that the kernel writes has them."""

    def __init__(self):
        super().__init__("weft core", gdb.COMPLETE_FILENAME)

    def lines(self, words):
        if is_core():
            raise Error("only of a process of this machine")
        pid = gdb.selected_inferior().pid
        path = os.path.expanduser(words[0] if words else "core.%d" % pid)
        gdb.execute("generate-core-file " + path, to_string=True)
        with open(path, "r+b") as core, open("/proc/%d/mem" % pid, "rb", buffering=0) as memory:
            for offset, address, size in self.segments(core.read(1 << 20)):
                self.complete(core, memory, offset, address, size)
        yield "Saved " + path

    @staticmethod
    def segments(head):
        """Place in the file, address and size of what the core file holds of memory."""
        (table_at,) = struct.unpack_from("<Q", head, 32)
        entry_size, count = struct.unpack_from("<HH", head, 54)
        if table_at + entry_size * count > len(head):
            raise Error("the core file has too many segments")
        for i in range(count):
            at = table_at + i * entry_size
            kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", head, at)
            if kind == 1 and size and address < 1 << 63:
                yield offset, address, size

    @staticmethod
    def complete(core, memory, offset, address, size):
        """Reads a segment again. What cannot be read, and what is zero, stays a hole in the file."""
        done = 0
        while done < size:
            try:
                piece = os.pread(memory.fileno(), min(size - done, 1 << 20), address + done)
            except OSError:
                piece = b""
            if not piece:
                done += PAGE - done % PAGE
                continue
            for at in range(0, len(piece), PAGE):
                page = piece[at : at + PAGE]
                if page.count(0) != len(page):
                    os.pwrite(core.fileno(), page, offset + done + at)
            done += len(piece)


for command in (Weft, WeftCore, WeftFibers, WeftBt, WeftWorkers):
    command()
