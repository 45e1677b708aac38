# SPDX-License-Identifier: MIT
"""weft_stacks.py - for weft.py beside it: libweft's debug information, threads, and the stacks of parked fibers

Rules    B1 a parked fiber's registers lie on its stack as sched/core/context_*.S puts them there. An unwinder presents them as
            those of the caller of the selected thread's innermost frame; so gdb's own backtrace goes on in the fiber, on a
            process and on a core file alike. It is on only while a command runs, and the selected thread and frame are put back.
         B2 where a parked fiber stands is found by gdb once for each way of getting there. The places of the return addresses
            between stack pointer and answer are kept; a fiber with the same addresses at the same places stands in the same place.
Tests    tests/gdb
"""
import collections
import contextlib
import os
import re
import struct

import gdb
import gdb.unwinder

NO_DEBUG = (
    "libweft has no debug information here: build it with -g (bazel build --copt=-g), do not strip it, "
    "or give gdb its symbol file"
)
NO_STACK = (
    "its stack is not in the core file: gdb's generate-core-file leaves out what comes after a guard page; "
    "weft core does not, nor does the kernel"
)
# More of a stack is not looked at for B2.
LOOK_BYTES = 4096


# The registers that a switch saves, each with its place above the saved stack pointer (B1).
Layout = collections.namedtuple("Layout", "pc sp pc_at size saved")
LAYOUTS = {
    "i386:x86-64": Layout(
        "rip", "rsp", 48, 56, {"r15": 0, "r14": 8, "r13": 16, "r12": 24, "rbx": 32, "rbp": 40}
    ),
    "aarch64": Layout("pc", "sp", 88, 160, {"x%d" % (19 + i): 8 * i for i in range(11)}),
}


class Error(gdb.GdbError):
    """What a command cannot do, said without a traceback."""


class NoStack(Error):
    """A parked fiber's stack is not in the core file."""

    def __init__(self):
        super().__init__(NO_STACK)


def layout():
    name = gdb.selected_inferior().architecture().name()
    if name not in LAYOUTS:
        raise Error("weft does not run on %s" % name)
    return LAYOUTS[name]


def read(address, size):
    try:
        return bytes(gdb.selected_inferior().read_memory(address, size))
    except gdb.MemoryError:
        raise Error("cannot read %d bytes at 0x%x: is the core file cut off?" % (size, address))


def read_some(address, size):
    """As much of `size` bytes as can be read, at least 64."""
    while True:
        try:
            return bytes(gdb.selected_inferior().read_memory(address, size))
        except gdb.MemoryError:
            size //= 2
            if size < 64:
                raise Error("cannot read the stack at 0x%x: is the core file cut off?" % address)


def read_word(address):
    return struct.unpack("<Q", read(address, 8))[0]


def text(raw):
    return raw.split(b"\0")[0].decode("utf-8", "backslashreplace")


def as_int(value):
    """The number in a gdb.Value: one of the atomics' structs, a pointer, or an integer."""
    if value.type.strip_typedefs().code == gdb.TYPE_CODE_STRUCT:
        value = value["v"]
    return int(value)


class Fields:
    """Where the fields of a struct lie, by name; "a.b" for what is inside a field."""

    def __init__(self, struct_type):
        self.size = struct_type.sizeof
        self.at = {}
        self.add(struct_type, "", 0)

    def add(self, struct_type, prefix, base):
        for field in struct_type.fields():
            if not hasattr(field, "bitpos"):
                continue
            at = base + field.bitpos // 8
            inner = field.type.strip_typedefs()
            name = prefix + field.name if field.name else None
            if name:
                self.at[name] = at
            if inner.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
                self.add(inner, prefix if name is None else name + ".", at)

    def get(self, raw, name, kind="Q"):
        return struct.unpack_from("<" + kind, raw, self.at[name])[0]


class Library:
    """libweft as its debug information shows it."""

    def __init__(self):
        self.fiber_c = self.file_of("wf_fiber_at")
        self.runtime_c = self.file_of("wf_runtime_start")
        path = self.fiber_c.filename.replace("\\", "/")
        if not path.endswith("sched/core/fiber.c"):
            raise Error("wf_fiber_at is not weft's, but of %s" % path)
        root = path[: -len("sched/core/fiber.c")]
        self.folders = tuple(root + name for name in ("sched/", "io/", "./sched/", "./io/"))
        self.fiber = self.fields("struct wf_fiber")
        self.frame = self.fields("struct wf_frame")

    @staticmethod
    def file_of(function):
        symbol = gdb.lookup_global_symbol(function, gdb.SYMBOL_VAR_DOMAIN)
        if symbol is not None and symbol.symtab is not None:
            return symbol.symtab
        for name in ("weft_run", "weft_start", "weft_spawn"):
            with contextlib.suppress(gdb.error):
                gdb.parse_and_eval("(long)&%s" % name)
                raise Error(NO_DEBUG)
        raise Error("no weft in this program, or its libraries are not loaded yet")

    def type(self, name):
        try:
            return gdb.lookup_type(name, self.fiber_c.static_block())
        except gdb.error:
            raise Error("%s is unknown: this weft.py is for another version of libweft" % name)

    def fields(self, name):
        return Fields(self.type(name))

    @staticmethod
    def static(symtab, name):
        for symbol in symtab.static_block():
            if symbol.name == name:
                return symbol.value()
        raise Error("%s is unknown: this weft.py is for another version of libweft" % name)

    def at(self, address, name):
        return gdb.Value(address).cast(self.type(name).pointer()).dereference()

    def owns(self, frame):
        """Is it one of weft's functions? A public one's file may be said to be the header that declares it."""
        if (frame.name() or "").startswith(("weft_", "wf_")):
            return True
        function = frame.function()
        return function is not None and function.symtab is not None and function.symtab.filename.startswith(self.folders)

    def runtimes(self):
        table = self.static(self.runtime_c, "runtimes")
        first, last = table.type.range()
        return [table[i] for i in range(first, last + 1) if table[i]["used"]]


# Threads and the unwinder


class Parked(gdb.unwinder.Unwinder):
    """B1. `registers`: those saved, by name; `thread`: stack pointer and pc of the frame that they are put above."""

    def __init__(self):
        super().__init__("weft parked fiber")
        self.enabled = False
        self.registers = {}
        self.thread = None

    class FrameId:
        def __init__(self, sp, pc):
            self.sp = sp
            self.pc = pc

    def __call__(self, pending):
        where = layout()
        sp, pc = (int(pending.read_register(name)) & (2**64 - 1) for name in (where.sp, where.pc))
        if (sp, pc) != self.thread:
            return None
        # Below every stack: gdb takes callers at lower addresses than their callees for a corrupt stack.
        info = pending.create_unwind_info(self.FrameId(gdb.Value(16), gdb.Value(pc)))
        word = gdb.selected_inferior().architecture().integer_type(64, False)
        for name, value in self.registers.items():
            info.add_saved_register(name, gdb.Value(value).cast(word))
        return info


PARKED = Parked()
gdb.unwinder.register_unwinder(None, PARKED, replace=True)


def register(frame, name):
    return int(frame.read_register(name)) & (2**64 - 1)


@contextlib.contextmanager
def selection_kept():
    """The selected thread and frame are the same afterwards, whatever happens."""
    thread = gdb.selected_thread()
    if thread is None:
        raise Error("there is no process: start one, attach to one, or open a core file")
    if thread.is_running():
        raise Error("the selected thread is running: stop it first (interrupt)")
    level = gdb.selected_frame().level()
    try:
        yield
    finally:
        PARKED.enabled = False
        gdb.invalidate_cached_frames()
        thread.switch()
        gdb.execute("select-frame level %d" % level, to_string=True)


def own_frame():
    """The selected thread's innermost frame that is not an inline function's."""
    frame = gdb.newest_frame()
    while frame.type() == gdb.INLINE_FRAME:
        frame = frame.older()
    return frame


@contextlib.contextmanager
def unwound(saved_sp):
    """Gives a parked fiber's innermost frame; its level among the selected thread's frames is that of gdb's backtrace. Within
    selection_kept()."""
    where = layout()
    PARKED.enabled = False
    gdb.invalidate_cached_frames()
    raw = read(saved_sp, where.size)
    (pc,) = struct.unpack_from("<Q", raw, where.pc_at)
    if pc == 0:
        raise NoStack()
    innermost = own_frame()
    PARKED.thread = (register(innermost, where.sp), register(innermost, where.pc))
    PARKED.registers = {
        name: struct.unpack_from("<Q", raw, at)[0] for name, at in where.saved.items()
    }
    PARKED.registers[where.sp] = saved_sp + where.size
    PARKED.registers[where.pc] = pc
    PARKED.enabled = True  # the thread's own unwinding was cached without it
    gdb.invalidate_cached_frames()
    try:
        frame = own_frame().older()
        if frame is None:
            raise Error("gdb does not follow the stack at 0x%x" % saved_sp)
        yield frame
    finally:
        PARKED.enabled = False
        gdb.invalidate_cached_frames()


class Threads:
    """The stack pointer of each thread, and which one a pthread_t means."""

    def __init__(self):
        self.by_pthread = {}
        self.sps = []
        where = layout()
        for thread in gdb.selected_inferior().threads():
            if not thread.is_valid() or thread.is_running():
                continue
            thread.switch()
            frame = gdb.newest_frame()
            self.sps.append((register(frame, where.sp), thread))
            # glibc's pthread_t is the thread pointer; libthread_db, which knows for sure, is missing for many cores.
            with contextlib.suppress(gdb.error, ValueError):
                self.by_pthread[register(frame, "fs_base")] = thread

    def of(self, pthread):
        if as_int(pthread) in self.by_pthread:
            return self.by_pthread[as_int(pthread)]
        with contextlib.suppress(gdb.error):
            return gdb.selected_inferior().thread_from_handle(pthread)
        return None

    @staticmethod
    def describe(thread):
        return "thread %d" % thread.num if thread is not None else "a thread unknown to gdb"


# Places in the code


def symbol(address):
    """The symbol that an address lies in, and how far behind its beginning; None: in none."""
    said = gdb.execute("info symbol 0x%x" % address, to_string=True)
    match = re.match(r"(.+?)(?: \+ (\d+))? in section ", said)
    return (match.group(1), int(match.group(2) or 0)) if match else None


class Places:
    """Names of code addresses: symbol+offset (file:line)."""

    def __init__(self):
        self.known = {}

    def of(self, address):
        """A function's beginning, or a return address: then the line of the call."""
        if address not in self.known:
            self.known[address] = self.find(address)
        return self.known[address]

    @staticmethod
    def find(address):
        if not address:
            return "-"
        back = 0
        found = symbol(address)
        if found is None or found[1] != 0:
            back = 1
            found = symbol(address - 1)
        name = "0x%x" % address
        if found is not None:
            offset = found[1] + back
            name = found[0] + ("+0x%x" % offset if offset else "")
        line = gdb.find_pc_line(address - back)
        file, number = line.symtab, line.line
        block = gdb.block_for_pc(address) if back == 0 else None
        if block is not None and block.function is not None:
            file, number = block.function.symtab, block.function.line
        if file is not None and number:
            name += " (%s:%d)" % (os.path.basename(file.filename), number)
        return name


def called(back):
    """The name of the function that the call before a return address calls, or None: calls by pointer are not followed. The
    frames do not tell where it has ended by calling the next."""
    target = None
    if layout().pc == "rip":
        code = read(back - 6, 6)
        if code[:2] == b"\xff\x15":
            target = read_word(back + struct.unpack("<i", code[2:])[0])
        elif code[1] == 0xE8:
            target = back + struct.unpack("<i", code[2:])[0]
    else:
        (code,) = struct.unpack("<I", read(back - 4, 4))
        if code >> 26 == 0x25:
            distance = code & 0x3FFFFFF
            target = back - 4 + 4 * (distance - (distance >> 25 << 26))
    found = symbol(target) if target is not None else None
    return found[0].split("@")[0] if found is not None and found[1] == 0 else None


class Stands:
    """Which call of weft a parked fiber waits in, and where its own code stands (B2)."""

    def __init__(self, library):
        self.libweft = library
        self.layout = layout()
        self.shapes = {}

    def of(self, saved_sp):
        raw = read_some(saved_sp, LOOK_BYTES)
        (pc,) = struct.unpack_from("<Q", raw, self.layout.pc_at)
        if pc == 0:
            raise NoStack()
        shapes = self.shapes.setdefault(pc, [])
        for n, (links, answer) in enumerate(shapes):
            if all(raw[at : at + 8] == word for at, word in links):
                if n > 0:
                    shapes.insert(0, shapes.pop(n))
                return answer
        links, answer = self.unwind(saved_sp, raw)
        if links is not None:
            shapes.insert(0, (links, answer))
        return answer

    def unwind(self, saved_sp, raw):
        call, links = None, []
        with unwound(saved_sp) as frame:
            sp = saved_sp + self.layout.size
            while frame is not None and self.libweft.owns(frame):
                name = frame.name() or ""
                if name.startswith("weft_"):
                    call = name
                older = frame.older()
                if older is not None and older.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
                    links, sp = self.link(links, raw, saved_sp, sp, older)
                frame = older
            stands = "-"
            if frame is not None:
                stands = self.describe(frame)
                name = called(frame.pc()) or ""
                call = name if name.startswith("weft_") else call
        return links, (call or "-", stands)

    def link(self, links, raw, saved_sp, sp, older):
        """The place between two frames' stack pointers where the return address is kept; without one there are no links."""
        up = register(older, self.layout.sp)
        word = struct.pack("<Q", older.pc())
        if up == sp:
            return links, up
        at = raw.rfind(word, sp - saved_sp, up - saved_sp)
        if at < 0 or links is None:
            return None, up
        return links + [(at, word)], up

    @staticmethod
    def describe(frame):
        line = frame.find_sal()
        name = frame.name() or "0x%x" % frame.pc()
        if line.symtab is None:
            return name
        return "%s (%s:%d)" % (name, os.path.basename(line.symtab.filename), line.line)
