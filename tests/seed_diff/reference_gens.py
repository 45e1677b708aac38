# SPDX-License-Identifier: MIT
"""reference_gens.py - CPython's side of reference.py: errors, plain iterables, generators and what is done with them"""
import types

try:
    from greenlet import GreenletExit
except ImportError:

    class GreenletExit(BaseException):
        pass


DONE, EXIT, EINVAL, EBUSY, EPROTO, ENOSYS, EPERM, ELOOP = 1, -4096, -22, -16, -71, -38, -1, -40
FUEL, PASSED_OVER = 400, 9999
MESSAGES = {
    "generator already executing": EBUSY,
    "can't send non-None value to a just-started generator": EINVAL,
    "generator ignored GeneratorExit": EPROTO,
    "generator raised StopIteration": EPROTO,
}


class Error(Exception):
    def __init__(self, code, payload=0):
        Exception.__init__(self)
        self.code = code
        self.payload = payload


class Fatal(BaseException):
    """Passes through all bodies: the program is over."""


class Corner(Fatal):
    """The program gets to a place where CPython does not do what PEP 380 says."""


def decode(error):
    """An exception as weft's error and payload."""
    if isinstance(error, Fatal):
        raise error
    if isinstance(error, Error):
        return error.code, error.payload
    if isinstance(error, (GeneratorExit, GreenletExit)):
        return EXIT, error.args[0] if error.args else 0
    if isinstance(error, StopIteration):
        return DONE, error.value or 0
    if isinstance(error, AttributeError) and str(error).endswith("no attribute 'send'"):
        return ENOSYS, 0
    if str(error) in MESSAGES:
        return MESSAGES[str(error)], 0
    raise Fatal from error


def encode(code, payload):
    """What an error raises in, and out of, a generator."""
    if code >= 0:
        return StopIteration(payload or None)
    return GeneratorExit(payload) if code == EXIT else Error(code, payload)


class Thing:
    """A generator or an iterable, as long as it has not been freed."""

    def __init__(self, gen):
        self.gen = gen
        self.abandoned = False


class Iterable:
    """A plain iterable; the subclasses have the functions that its flags say."""

    def __init__(self, machine, index, codes):
        self.machine = machine
        self.index = index
        self.codes = codes
        self.positions = [0] * 4
        self.begun = self.running = self.ended = self.just_closed = False

    def __iter__(self):
        return self

    def call(self, which, otherwise):
        """One of its functions: its error and value."""
        if self.running:
            raise Error(EBUSY)
        self.running = True
        self.begun = self.begun or which != 3
        self.just_closed = which == 3
        actor = "iIjJ"[which] + str(self.index)
        self.machine.event(actor, "(", 0, otherwise[0], otherwise[1])
        self.machine.states()
        how, self.positions[which], code, value = self.machine.run(actor, self.codes[which], self.positions[which])
        self.running = False
        if how == "ended":
            code, value = otherwise
        if which == 3:
            code, value = min(code, 0), 0
        self.ended = self.ended or code != 0
        return code, value

    def ask(self, which, otherwise):
        code, value = self.call(which, otherwise)
        if code != 0:
            raise encode(code, value)
        return value or None

    def __next__(self):
        if self.ended:
            raise StopIteration
        return self.ask(0, (DONE, 0))


def iterable_send(self, value):
    if self.ended:
        raise StopIteration
    return self.ask(1, (DONE, value))


def iterable_throw(self, error, *_):
    if self.ended:
        raise error
    return self.ask(2, decode(error))


def iterable_close(self):
    if self.ended:
        return
    code, _ = self.call(3, (0, 0))
    if code < 0:
        raise encode(code, 0)


ITERABLES = [
    type(
        f"Iterable{flags}",
        (Iterable,),
        {
            name: function
            for bit, name, function in ((1, "send", iterable_send), (2, "throw", iterable_throw), (4, "close", iterable_close))
            if flags & bit
        },
    )
    for flags in range(8)
]


class Generators:
    """The part of a machine that has to do with generators."""

    def new_gen(self, k):
        kind, flags, codes = self.gen_kinds[k]
        thing = Thing(None)
        if kind == "iter":
            thing.gen = ITERABLES[flags](self, k, codes)
        else:
            thing.gen = self.body(thing, "g" + str(k), codes[0])
        self.made.append(thing)
        return thing

    def body(self, thing, actor, code):
        """A generator's body, as run() but with yields."""
        self.event(actor, "(", 0, 0, 0)
        self.states()
        at, pending = 0, None
        while at < len(code):
            op, k, x, y, h = code[at]
            at += 1
            self.fuel -= 1
            raised = True
            try:
                if op == "y":
                    result = 0, (yield k or None) or 0
                elif op == "d" and self.gens[k] is None:
                    result = EINVAL, 0
                elif op == "d" and not self.expand:
                    result = 0, (yield from self.gens[k].gen) or 0
                elif op == "d":
                    # PEP 380, "Formal Semantics", with 3 and 4 of above.
                    sub = self.gens[k]
                    try:
                        item = self.resume_sub(sub.gen, None)
                        while True:
                            try:
                                sent = yield item
                            except GeneratorExit:
                                if not (thing.abandoned or sub.abandoned or self.over):
                                    self.close_sub(sub.gen)
                                raise
                            except BaseException as error:
                                if self.over:
                                    raise
                                item = self.throw_sub(sub.gen, error)
                            else:
                                item = self.resume_sub(sub.gen, sent)
                    except StopIteration as stop:
                        result = 0, stop.value or 0
                else:
                    result = None
            except BaseException as error:
                if self.over or thing.abandoned:
                    raise
                result = decode(error)
            if op in "yd":
                result = result[0], 0 if x == 1 else result[1]
                self.event(actor, op, k, result[0], result[1])
                self.states()
                raised = result[0] != 0 and h != 0
            elif op == "r":
                return k or None
            elif op == "z":
                pending = None
                continue
            elif op == "a":
                result = k, x
            elif op == "^":
                result, raised = pending, pending is not None
            else:
                result = self.step(actor, op, k, x, y)
                raised = result[0] != 0 and h != 0
            if not raised:
                continue
            if h <= 0:
                raise encode(*result)
            pending = result
            at += h - 1
        return None

    @staticmethod
    def check_running(sub):
        if isinstance(sub, Iterable) and sub.running:
            raise Error(EBUSY)

    def resume_sub(self, sub, value):
        self.check_running(sub)
        return next(sub) if value is None else sub.send(value)

    def throw_sub(self, sub, error):
        self.check_running(sub)
        if not hasattr(sub, "throw"):
            raise error
        return sub.throw(error)

    def close_sub(self, sub):
        self.check_running(sub)
        if hasattr(sub, "close"):
            sub.close()

    @staticmethod
    def result_of(call, *arguments):
        try:
            return 0, call(*arguments) or 0
        except BaseException as error:
            return decode(error)

    def forcing(self, gen, call, *arguments):
        """A throw or close; 2."""
        if self.expand or isinstance(gen, Iterable):
            return self.result_of(call, *arguments)
        chain, innermost = [], gen
        while isinstance(innermost, types.GeneratorType):
            if innermost.gi_running:
                if self.forced.get(id(innermost), 0) > 0:
                    raise Corner
                break
            chain.append(innermost)
            innermost = innermost.gi_yieldfrom
        if isinstance(innermost, Iterable) and innermost.running:
            raise Corner
        for delegator in chain:
            self.forced[id(delegator)] = self.forced.get(id(delegator), 0) + 1
        result = self.result_of(call, *arguments)
        for delegator in chain:
            self.forced[id(delegator)] -= 1
        return result

    def not_in_a_body(self, _actor, _k, _x, _y):
        return EPERM, 0

    def nothing(self, _actor, _k, _x, _y):
        return 0, 0

    def send(self, _actor, k, x, _y):
        if self.gens[k] is None:
            return EINVAL, 0
        gen = self.gens[k].gen
        if isinstance(gen, Iterable):
            if gen.running:
                return EBUSY, 0
            if gen.ended:
                return DONE, 0
            if x != 0 and not gen.begun:
                return EINVAL, 0
            if x == 0:
                return self.result_of(gen.__next__)
        elif x != 0 and not self.expand:
            innermost = gen
            while isinstance(innermost, types.GeneratorType):
                innermost = innermost.gi_yieldfrom
            if isinstance(innermost, Iterable) and innermost.running:
                raise Corner
        return self.result_of(lambda: gen.send(x or None))

    def next(self, actor, k, x, _y):
        code, value = self.send(actor, k, 0, 0)
        return code, 0 if x == 1 else value

    def throw(self, _actor, k, x, y):
        if self.gens[k] is None or x >= 0:
            return EINVAL, 0
        gen = self.gens[k].gen
        if isinstance(gen, Iterable):
            if gen.running:
                return EBUSY, 0
            if not hasattr(gen, "throw"):
                return x, y
        return self.forcing(gen, gen.throw, encode(x, y))

    def close_gen(self, gen):
        if isinstance(gen, Iterable):
            if gen.running:
                return EBUSY, 0
            if not hasattr(gen, "close"):
                return 0, 0
            return self.result_of(gen.close)
        return self.forcing(gen, gen.close)

    def close(self, _actor, k, _x, _y):
        if self.gens[k] is None:
            return EINVAL, 0
        return self.close_gen(self.gens[k].gen)[0], 0

    def free(self, _actor, k, _x, _y):
        thing = self.gens[k]
        if thing is None:
            return 0, 0
        gen = thing.gen
        if self.state(thing) == "R":
            return PASSED_OVER, 0
        if isinstance(gen, Iterable):
            if not gen.just_closed:
                self.close_gen(gen)
            gen.ended = True
        else:
            self.close_gen(gen)
            if self.state(thing) != "X":
                if self.expand:
                    thing.abandoned = True
                    try:
                        gen.close()
                    except BaseException as error:
                        decode(error)
                else:
                    self.check_delegators(gen)
        self.gens[k] = None
        return 0, 0

    def check_delegators(self, gen):
        for thing in self.made:
            if isinstance(thing.gen, types.GeneratorType) and thing.gen.gi_yieldfrom is gen:
                raise Corner

    def make(self, actor, k, x, y):
        if self.gens[k] is not None or k in self.priming or self.fuel <= 0 or self.ending:
            return PASSED_OVER, 0
        self.gens[k] = self.new_gen(k)
        return 0, 0

    def make_primed(self, actor, k, x, y):
        if self.gens[k] is not None or k in self.priming or self.fuel <= 0 or self.ending:
            return PASSED_OVER, 0
        thing = self.new_gen(k)
        code = 0
        if isinstance(thing.gen, types.GeneratorType):
            self.priming.add(k)
            code, _ = self.result_of(next, thing.gen)
            self.priming.discard(k)
        self.gens[k] = thing if code == 0 else None
        return code, 0

    def each(self, actor, k, x, _y):
        if self.gens[k] is None:
            return 0, 0
        ended_before = self.state(self.gens[k]) == "X"
        count = 0
        while True:
            code, value = last = self.next(actor, k, 0, 0)
            if code != 0:
                closing = self.close_gen(self.gens[k].gen)
                break
            self.event(actor, "v", k, 0, value)
            count += 1
            if count == x:
                last = self.close_gen(self.gens[k].gen)
                break
        ended = self.state(self.gens[k]) == "X"
        return last if not ended_before and ended and last[0] < 0 else (0, 0)

    @staticmethod
    def state(thing):
        gen = thing.gen
        if isinstance(gen, Iterable):
            return "R" if gen.running else "X" if gen.ended else "S" if gen.begun else "C"
        if gen.gi_running:
            return "R"
        if gen.gi_frame is None:
            return "X"
        return "S" if gen.gi_suspended else "C"

    def tear_down_gens(self):
        for thing in self.made:
            if isinstance(thing.gen, types.GeneratorType):
                try:
                    thing.gen.close()
                except BaseException:
                    pass
