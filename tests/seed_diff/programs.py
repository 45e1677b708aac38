# SPDX-License-Identifier: MIT
"""programs.py - makes random programs of generators, iterables and coroutines, as the text that program.h describes.

A program follows from its kind, a seed and its number. Half of the programs of generators lean towards chains (each body delegates to
the next one), since what the corners of PEP 380 are about happens in chains.
"""
import random

ERRORS = (-5, -22, -16, -71, -38, -33, -4096, -4096, -4096)


class Maker:
    def __init__(self, kind, seed, number):
        self.random = random.Random(f"{kind} {seed} {number}")
        self.number = number
        self.gens = self.coros = 0
        self.chains = self.focus = 0.0  # how often a body delegates to the next one, and calls are made on the first two

    def below(self, limit):
        return int(self.random.random() * limit)

    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, weighted):
        return self.random.choices(*weighted)[0]

    def value(self):
        return 0 if self.chance(0.3) else 1 + self.below(90)

    def error(self):
        return ERRORS[self.below(len(ERRORS))]

    def unwanted(self):
        return 1 if self.chance(0.06) else 0

    def handler(self, leaves=0.3, goes_on=0.25):
        where = self.random.random()
        if where < leaves:
            return -1
        return 0 if where < leaves + goes_on else 1 + self.below(3)

    def operation(self, op, numbers, handler):
        numbers = list(numbers) + [0] * (3 - len(numbers)) + [handler]
        while numbers and numbers[-1] == 0:
            numbers.pop()
        return op + ",".join(map(str, numbers))

    def gen_call(self, op, target=None, handler=0):
        k = target
        if k is None:
            k = self.below(min(self.gens, 2) if self.chance(self.focus) else self.gens)
        if op == "s":
            numbers = (k, self.value())
        elif op == "t":
            numbers = (k, 1 if self.chance(0.02) else self.error(), self.value())
        elif op == "e":
            numbers = (k, 1 + self.below(4))
        elif op in "nd":
            numbers = (k, self.unwanted())
        else:
            numbers = (k,)
        return self.operation(op, numbers, handler)

    def coro_call(self, op, handler=0):
        k = self.below(self.coros)
        if op == "W":
            numbers = (k, self.value(), self.unwanted())
        elif op == "T":
            numbers = (k, 1 if self.chance(0.02) else self.error(), self.value())
        elif op == "P":
            numbers = (k, self.below(self.coros))
        elif op == "M":
            numbers = (k, self.below(self.coros + 1) - 1)
        else:
            numbers = (k,)
        return self.operation(op, numbers, handler)

    def instruction(self, weights, position):
        op = self.pick(weights)
        if op == "y":
            return self.operation(op, (self.value(), self.unwanted()), self.handler(0.2, 0.35))
        if op == "d":
            follows = position is not None and position + 1 < self.gens and self.chance(self.chains)
            return self.gen_call(op, position + 1 if follows else None, self.handler())
        if op == "r":
            return self.operation(op, (self.value(),), 0)
        if op == "a":
            error = self.below(2) if self.chance(0.15) else self.error()
            return self.operation(op, (error, self.value()), self.handler(0.6, 0))
        if op == "w":
            return self.operation(op, (self.error(), self.value()), 0)
        if op == "^":
            return self.operation(op, (), -1 if self.chance(0.8) else 1 + self.below(2))
        if op in "zq":
            return op
        if op in "nstcfmpe":
            return self.gen_call(op, None, self.handler(0.2, 0.5))
        return self.coro_call(op, self.handler(0.25, 0.5))

    def code(self, word, length, weights, position=None):
        return " ".join([word] + [self.instruction(weights, position) for _ in range(length)])

    def main_program(self, length, weights):
        words = ["top"]
        for _ in range(length):
            words.append(self.instruction(weights, None))
            op, k = words[-1][0], words[-1][1:].split(",")[0]
            if op in "fF" and self.chance(0.7):
                words.append({"f": "m", "F": "M"}[op] + k)
        return " ".join(words)

    def iterable(self, calls):
        flags = self.below(8)
        lines = [f"iter {flags}"]
        for index, word in enumerate(("next", "send", "throw", "close")):
            code = [word]
            if index == 0 or flags & 1 << (index - 1):
                for _ in range(self.below(5)):
                    code += [self.instruction(calls, None) for _ in range(self.pick(((0, 1, 2), (70, 20, 10))))]
                    code.append(self.answer(word))
            lines.append(" ".join(code))
        return lines

    def answer(self, word):
        if word == "close":
            return self.operation("=", (0 if self.chance(0.5) else self.error(),), 0)
        if self.chance(0.2):
            return self.operation("=", (self.error(), self.value()), 0)
        return self.operation("=", (0 if self.chance(0.75) else 1, self.value()), 0)


BODY = ("ydnstcfmperaw^zq", (44, 26, 5, 3, 4, 4, 2, 2, 1, 2, 2, 3, 1, 4, 1, 1))
CALLBACK = ("nstcfdyawq^emp", (24, 10, 16, 20, 4, 4, 4, 3, 2, 1, 2, 2, 1, 1))
TOP = ("nstcfmpeqyd", (84, 40, 28, 18, 12, 4, 2, 6, 2, 1, 1))
FUNCTION = ("WTPFMraw^zq", (56, 12, 6, 8, 5, 2, 3, 1, 4, 1, 1))
MAIN = ("WTPFMq", (56, 16, 12, 12, 4, 2))
MIXED_BODY = ("ydnstcraWTFPw^q", (36, 18, 5, 3, 3, 3, 2, 2, 30, 6, 2, 2, 1, 3, 1))
MIXED_CALLBACK = ("WTnstcqdFP", (40, 8, 10, 5, 8, 8, 2, 1, 2, 1))
MIXED_FUNCTION = ("WTPFMraw^zqnstcfmydep", (68, 16, 6, 8, 6, 4, 4, 2, 6, 2, 2, 48, 20, 16, 10, 8, 4, 1, 1, 3, 1))
MIXED_MAIN = ("WTPFMqnstcf", (30, 8, 4, 6, 2, 2, 24, 10, 8, 4, 5))


def things(maker, iterables, longest, body, callback):
    lines = []
    for k in range(maker.gens):
        if k > 0 and maker.chance(iterables):
            lines += maker.iterable(callback)
        else:
            lines.append(maker.code("gen", maker.below(longest + 1), body, k))
    return lines


def generators(maker):
    maker.gens = 1 + maker.below(10 if maker.chance(0.2) else 7)
    maker.chains = 0.8 if maker.chance(0.5) else 0.1
    maker.focus = 0.7 if maker.chance(0.5) else 0.1
    length = 5 + maker.below(60 if maker.chance(0.1) else 18)
    return things(maker, 0.2, 10, BODY, CALLBACK) + [maker.main_program(length, TOP)]


def coroutines(maker):
    maker.coros = 2 + maker.below(9 if maker.chance(0.2) else 6)
    mixed = maker.chance(0.35)
    maker.gens = 1 + maker.below(5) if mixed else 0
    maker.chains = maker.focus = 0.5
    length = 5 + maker.below(50 if maker.chance(0.1) else 16)
    lines = things(maker, 0.15, 8, MIXED_BODY, MIXED_CALLBACK)
    for _ in range(1, maker.coros):
        lines.append(maker.code("coro", maker.below(11), MIXED_FUNCTION if mixed else FUNCTION))
    return lines + [maker.main_program(length, MIXED_MAIN if mixed else MAIN)]


KINDS = {"gen": generators, "coro": coroutines}


def make(kind, seed, number):
    """The lines of one program."""
    return [f"program {number}"] + KINDS[kind](Maker(kind, seed, number)) + ["end"]
