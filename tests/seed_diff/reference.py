# SPDX-License-Identifier: MIT
"""reference.py - runs programs of generators and coroutines on CPython and greenlet; program.h says what they are.

usage: reference.py [--expand] FILE

A generator is a generator, delegation is `yield from`, a coroutine is a greenlet. An error is an exception with a number and a payload.
Where weft's contract says something else than CPython 3.11 does, or says more, the contract is followed:

 1  Errors that weft raises itself have no payload. Exceptions leave a body as the numbers that they are to weft: GeneratorExit and
    GreenletExit are the same one.
 2  While a throw or close passes through a delegator, CPython 3.11 counts it as running, but looks into its frame nevertheless if somebody
    throws into it or closes it again: the sub is closed or thrown into a second time, or popped off the stack of a frame that still needs
    it. To weft it is running: -EBUSY, nothing else. Such a program is run again (--expand: always) with PEP 380's own expansion in place
    of `yield from`, which knows no such corner.
 3  A plain iterable is a generator to weft: -EBUSY while one of its functions runs, ended by DONE or an error of them and only by these,
    CREATED until it was first asked for something. A sub that is running and an iterable is -EBUSY for its delegator, whatever functions
    it lacks (by expansion, as 2).
 4  Who was freed and yielded instead of ending is ended for those who delegate to it, and what it delegated to is left alone (by
    expansion, as 2).
 5  A StopIteration that leaks out of a coroutine's function is -EPROTO.
 6  Nothing is closed because nobody refers to it any more: all is kept until the program's end.
 7  Freeing a coroutine is what greenlet does for one that nobody refers to any more (GreenletExit, with the current one as parent), but
    one that hands control back instead of ending is gone.
 8  Where a coroutine has ended by GreenletExit and its ancestor was not started, the payload is the ancestor's argument; greenlet 2.0.2
    forgets to make the argument tuple then, and starts it with none.
"""
import sys

from reference_gens import FUEL, PASSED_OVER, Corner, Generators

try:
    import greenlet

    from reference_coros import Coroutines
except ImportError:
    greenlet = None

    class Coroutines:
        """Programs of generators alone need none."""


class Machine(Generators, Coroutines):
    def __init__(self, program, expand):
        self.number, self.gen_kinds, self.coro_codes, self.top = program
        self.expand = expand
        self.out = [f"# {self.number}"]
        self.over = self.ending = False
        self.fuel = FUEL
        self.made = []  # all generators there have been
        self.forced = {}  # delegators that a throw or close is passing through
        self.priming = set()
        self.gens = [None] * len(self.gen_kinds)
        for k in range(len(self.gens)):
            self.gens[k] = self.new_gen(k)
        self.coros = [None] * (len(self.coro_codes) + 1)
        self.gone = []
        self.exit_value = 0  # 8
        self.freed_by = [-1] * len(self.coros)
        if len(self.coros) > 1:
            self.begin_coros()

    def event(self, actor, op, k, code, value):
        self.out.append(f"{actor} {op}{k} {code} {value}")

    def run(self, actor, code, at):
        """A function, or an iterable's function: how it ended, where, code and value."""
        pending = None
        while at < len(code):
            op, k, x, y, h = code[at]
            at += 1
            self.fuel -= 1
            raised = True
            if op == "r":
                return "returned", at, 0, k
            if op == "=":
                return "answered", at, k, x
            if op == "z":
                pending = None
                continue
            if op == "a":
                result = k, x
            elif op == "^":
                result, raised = pending, pending is not None
            else:
                result = self.step(actor, op, k, x, y)
                raised = result[0] != 0 and h != 0
            if not raised:
                continue
            if h <= 0:
                return "raised", at, result[0], result[1]
            pending = result
            at += h - 1
        return "ended", at, 0, 0

    def step(self, actor, op, k, x, y):
        if op == "q":
            self.states()
            return 0, 0
        result = STEPS[op](self, actor, k, x, y)
        self.event(actor, op, k, result[0], result[1])
        if op in "yd":
            self.states()
        return (0, 0) if result[0] == PASSED_OVER else result

    def states(self):
        line = ": " + "".join("-" if thing is None else self.state(thing) for thing in self.gens)
        if len(self.coros) > 1:
            line += f" at {self.current()}"
            for coro in self.coros[1:]:
                if coro is None:
                    line += " -"
                else:
                    line += (" dead/" if coro.dead else " live/") + str(self.index_of(coro.parent))
        self.out.append(line)

    def top_step(self, op, k, x, y):
        self.fuel -= 1
        self.step("-", op, k, x, y)
        self.states()

    def main_program(self):
        for op, k, x, y, _ in self.top:
            self.top_step(op, k, x, y)
        self.ending = True
        for k in range(1, len(self.coros)):
            while self.going(k):
                self.top_step("W", self.freed_by[k], 0, 0)
        for coro in self.coros[1:]:
            if coro is not None:
                coro.parent = self.main
        for k in range(1, len(self.coros)):
            self.free_coro(k)
            self.event("-", "F", k, 0, 0)
        for k in range(len(self.gens)):
            self.top_step("f", k, 0, 0)

    def tear_down(self):
        """6: what is left of it goes, and leaves no trace."""
        self.over = True
        if len(self.coros) > 1:
            self.tear_down_coros()
        self.tear_down_gens()


STEPS = {
    "y": Machine.not_in_a_body,
    "d": Machine.not_in_a_body,
    "w": Machine.nothing,
    "n": Machine.next,
    "s": Machine.send,
    "t": Machine.throw,
    "c": Machine.close,
    "f": Machine.free,
    "m": Machine.make,
    "p": Machine.make_primed,
    "e": Machine.each,
}
if greenlet:
    STEPS.update(
        {
            "W": Machine.switch,
            "T": Machine.throw_coro,
            "P": Machine.set_parent,
            "F": Machine.free_step,
            "M": Machine.make_coro,
        }
    )


def parse_code(words):
    code = []
    for word in words:
        numbers = [int(number or 0) for number in word[1:].split(",")]
        code.append((word[0], *numbers, *[0] * (4 - len(numbers))))
    return code


def parse(lines):
    """The programs of a file."""
    for line in lines:
        word, *rest = line.split()
        if word == "program":
            number, gens, coros, top = int(rest[0]), [], [], []
        elif word == "gen":
            gens.append(("gen", 0, [parse_code(rest)]))
        elif word == "iter":
            gens.append(("iter", int(rest[0]), []))
        elif word == "coro":
            coros.append(parse_code(rest))
        elif word == "top":
            top = parse_code(rest)
        elif word == "end":
            yield number, gens, coros, top
        else:
            gens[-1][2].append(parse_code(rest))


def trace(program, expand):
    machine = Machine(program, expand)
    try:
        machine.main_program()
    finally:
        machine.tear_down()
    return machine.out


def main():
    arguments = sys.argv[1:]
    expand = arguments[:1] == ["--expand"]
    corners = 0
    with open(arguments[-1], encoding="ascii") as file:
        for program in parse(file):
            try:
                out = trace(program, expand)
            except Corner:
                corners += 1
                out = trace(program, True)
            out.append("")
            sys.stdout.write("\n".join(out))
    print(f"{corners} by expansion", file=sys.stderr)


if __name__ == "__main__":
    main()
