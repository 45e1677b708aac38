# SPDX-License-Identifier: MIT
"""seed_diff.py - random programs of generators and of coroutines, run on weft and on CPython and greenlet: the traces must be equal

usage: seed_diff.py --machine PROGRAM [options]      (CPython 3.11, with greenlet for coroutines)

  --kind gen|coro   which programs; default gen
  --seed S          default 1. Each seed has programs 0, 1, 2...
  --first I         default 0
  --count N         default 1000
  --seconds N       begin nothing new after N seconds
  --modes M,...     where they run on weft: thread, fiber, hop; default thread,fiber
  --expand          PEP 380's expansion in place of `yield from`, for all programs
  --keep DIR        keep the files there
  --show            print the programs and weft's traces instead of comparing

Both sides run as one process each over a few thousand programs. The first program whose traces differ is made smaller and printed with
both of them, and with the command that runs it again. Exits with 1 then, or if weft's side crashes, reports a leak or takes too long.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import programs  # noqa: E402

HERE = os.path.dirname(os.path.realpath(__file__))
CHUNK = 2500
TIMEOUT_S = 100


class Difference(Exception):
    pass


class Sides:
    """Runs programs on both sides."""

    def __init__(self, machine, expand, folder):
        self.machine = machine
        self.expand = expand
        self.folder = folder
        self.corners = 0

    def write(self, listing):
        path = os.path.join(self.folder, "programs")
        with open(path, "w", encoding="ascii") as file:
            for lines in listing:
                file.write("\n".join(lines) + "\n")
        return path

    @staticmethod
    def traces(text):
        found = {}
        for part in text.split("# ")[1:]:
            number, _, trace = part.partition("\n")
            found[int(number)] = trace
        return found

    def weft(self, path, mode, flush=False):
        """The traces, and what went wrong otherwise."""
        environment = dict(os.environ, **({"MACHINE_FLUSH": "1"} if flush else {}))
        try:
            run = subprocess.run(
                [self.machine, mode, path], capture_output=True, text=True, timeout=TIMEOUT_S, env=environment, check=False
            )
        except subprocess.TimeoutExpired:
            return {}, f"does not end within {TIMEOUT_S} s"
        wrong = "" if run.returncode == 0 else f"exit status {run.returncode}\n{run.stderr}"
        return self.traces(run.stdout), wrong

    def reference(self, path):
        command = [sys.executable, "-B", os.path.join(HERE, "reference.py")] + ["--expand"] * self.expand + [path]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            raise Difference(f"the reference does not end within {TIMEOUT_S} s") from None
        if run.returncode != 0:
            raise Difference(f"the reference failed: {run.stderr}")
        self.corners += int(run.stderr.split()[0])
        return self.traces(run.stdout)

    def differs(self, listing, mode):
        """The numbers of the programs whose traces differ, at most one if weft's side crashes."""
        path = self.write(listing)
        expected = self.reference(path)
        found, wrong = self.weft(path, mode)
        if wrong:
            found, wrong = self.weft(path, mode, flush=True)
        numbers = [number for number in expected if number in found and found[number] != expected[number]]
        if not numbers and wrong:
            missing = [number for number in expected if number not in found]
            numbers = missing[:1]
            if not numbers:  # a leak: whose?
                numbers = self.find_single(listing, mode)
        return numbers

    def find_single(self, listing, mode):
        while len(listing) > 1:
            half = listing[: len(listing) // 2]
            _, wrong = self.weft(self.write(half), mode)
            listing = half if wrong else listing[len(half) :]
        return [int(listing[0][0].split()[1])]


def things_of(lines):
    """The lines between "program" and "end", those of one thing together."""
    things = []
    for line in lines[1:-1]:
        if line.split()[0] in ("next", "send", "throw", "close"):
            things[-1].append(line)
        else:
            things.append([line])
    return things


def is_named(things, index, operations):
    return any(
        word[0] in operations and index in [int(n or 0) for n in word[1:].split(",")[:2]]
        for thing in things
        for line in thing
        for word in line.split()[1:]
    )


def smaller(lines):
    """All programs that have one thing, one code or one instruction less."""
    things = things_of(lines)

    def without(at, instead):
        kept = things[:at] + instead + things[at + 1 :]
        return lines[:1] + [line for thing in kept for line in thing] + lines[-1:]

    last = {thing[0].split()[0].replace("iter", "gen"): at for at, thing in enumerate(things)}
    for word, operations, offset in (("gen", "dnstcfmpe", 0), ("coro", "WTPFM", 1)):
        number = sum(thing[0].split()[0].replace("iter", "gen") == word for thing in things) - 1 + offset
        if word in last and not is_named(things, number, operations):
            yield without(last[word], [])
    for at, thing in enumerate(things):
        if thing[0].startswith("iter"):
            yield without(at, [["gen"]])
        for row, line in enumerate(thing):
            words = line.split()
            first = 2 if words[0] == "iter" else 1
            if len(words) > first + 1:
                yield without(at, [thing[:row] + [words[0]] + thing[row + 1 :]])
            for drop in range(first, len(words)):
                yield without(at, [thing[:row] + [" ".join(words[:drop] + words[drop + 1 :])] + thing[row + 1 :]])


def minimise(sides, lines, mode):
    """As few instructions as show a difference."""
    while True:
        candidates = [[f"program {i}"] + c[1:] for i, c in enumerate(smaller(lines))]
        differing = None
        rest = candidates
        while rest and differing is None:
            numbers = sides.differs(rest, mode)
            if not numbers:
                break
            differing = candidates[min(numbers)]
        if differing is None:
            return lines
        lines = differing


def explain(sides, lines, mode):
    path = sides.write([lines])
    found, wrong = sides.weft(path, mode, flush=True)
    number = int(lines[0].split()[1])
    expected = sides.reference(path)[number].split("\n")
    got = found.get(number, "").split("\n")
    text = ["    weft                            reference"]
    for i in range(max(len(got), len(expected))):
        left = got[i] if i < len(got) else ""
        right = expected[i] if i < len(expected) else ""
        text.append(f"{'  ' if left == right else '! '}  {left:<30}  {right}")
    return "\n".join(lines + [""] + text) + "\n" + wrong


def compare(options, sides, first, count):
    listing = [programs.make(options.kind, options.seed, number) for number in range(first, first + count)]
    path = sides.write(listing)
    expected = sides.reference(path)
    for mode in options.modes.split(","):
        found, wrong = sides.weft(path, mode)
        if not wrong and found == expected:
            continue
        numbers = sides.differs(listing, mode)
        if not numbers:
            raise Difference(f"differs, but not always: programs {first} to {first + count - 1} of seed {options.seed} in mode {mode}\n{wrong}")
        number = min(numbers)
        again = f"--kind {options.kind} --seed {options.seed} --first {number} --count 1 --modes {mode}"
        program = programs.make(options.kind, options.seed, number)
        if "does not end" not in wrong:  # else each trial would wait
            program = minimise(sides, program, mode)
        raise Difference(
            f"{len(numbers)} of {count} programs differ. Program {number}, made smaller:\n\n{explain(sides, program, mode)}\n"
            f"again: seed_diff.py --machine {sides.machine} {again}"
        )


def main():
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument("--machine", required=True)
    parser.add_argument("--kind", choices=sorted(programs.KINDS), default="gen")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--modes", default="thread,fiber")
    parser.add_argument("--expand", action="store_true")
    parser.add_argument("--keep")
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        sides = Sides(os.path.abspath(options.machine), options.expand, options.keep or scratch)
        if options.show:
            for number in range(options.first, options.first + options.count):
                lines = programs.make(options.kind, options.seed, number)
                print(explain(sides, lines, options.modes.split(",", maxsplit=1)[0]))
            return
        start, first, end = time.monotonic(), options.first, options.first + options.count
        try:
            while first < end and time.monotonic() - start < options.seconds:
                count = min(CHUNK, end - first)
                compare(options, sides, first, count)
                first += count
        except Difference as difference:
            sys.exit(f"seed_diff: {difference}")
        print(
            f"{first - options.first} programs of kind {options.kind}, seed {options.seed}, from {options.first}:"
            f" equal in {options.modes}; {sides.corners} by PEP 380's expansion"
        )


if __name__ == "__main__":
    main()
