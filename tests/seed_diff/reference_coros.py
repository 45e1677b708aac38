# SPDX-License-Identifier: MIT
"""reference_coros.py - greenlet's side of reference.py"""
import greenlet

from reference_gens import EINVAL, ELOOP, EPROTO, EXIT, PASSED_OVER, Error, Fatal


class Coroutine(greenlet.greenlet):
    """A subclass, as greenlets of a program are mostly."""


class Coroutines:
    """The part of a machine that has to do with coroutines."""

    def begin_coros(self):
        self.main = self.coros[0] = greenlet.getcurrent()
        for k in range(1, len(self.coros)):
            self.coros[k] = self.new_coro(k, self.main)

    def tear_down_coros(self):
        for coro in self.gone + self.coros[1:]:
            while coro:
                coro.parent = self.main
                try:
                    coro.throw(Fatal)
                except BaseException:
                    pass

    def new_coro(self, k, parent):
        return Coroutine(lambda *arguments: self.function(k, *arguments or (self.exit_value,)), parent)

    def function(self, k, arg):
        actor = "c" + str(k)
        self.event(actor, "(", 0, 0, arg)
        self.states()
        how, _, code, value = self.run(actor, self.coro_codes[k - 1], 0)
        if how != "raised":
            return value
        if code >= 0:
            raise Error(EPROTO)
        if code == EXIT:
            self.exit_value = value
            raise greenlet.GreenletExit(value)
        raise Error(code, value)

    def index_of(self, coro):
        return next((k for k, other in enumerate(self.coros) if coro is not None and other is coro), -1)

    def current(self):
        return self.index_of(greenlet.getcurrent()) if len(self.coros) > 1 else 0

    def going(self, k):
        return k >= 0 and self.freed_by[k] >= 0

    def hand_over(self, call, *arguments):
        code, value = self.result_of(call, *arguments)
        if isinstance(value, greenlet.GreenletExit):
            value = value.args[0] if value.args else 0
        if self.over:
            raise Fatal
        return code, value

    def muted(self):
        current = self.current()
        return self.going(current) and (bool(self.gens) or self.going(self.freed_by[current]))

    def switch(self, _actor, k, x, y):
        if self.muted():
            return PASSED_OVER, 0
        if self.coros[k] is None:
            return EINVAL, 0
        code, value = self.hand_over(self.coros[k].switch, x)
        return code, 0 if y == 1 else value

    def throw_coro(self, _actor, k, x, y):
        if self.muted():
            return PASSED_OVER, 0
        if self.coros[k] is None or x >= 0:
            return EINVAL, 0
        if x != EXIT:
            return self.hand_over(self.coros[k].throw, Error(x, y))
        self.exit_value = y
        return self.hand_over(self.coros[k].throw, greenlet.GreenletExit(y))

    def set_parent(self, _actor, k, x, _y):
        if self.ending or self.going(k) or self.going(x):
            return PASSED_OVER, 0
        if k == 0 or self.coros[k] is None or self.coros[x] is None:
            return EINVAL, 0
        try:
            self.coros[k].parent = self.coros[x]
        except ValueError as error:
            if str(error) != "cyclic parent chain":
                raise Fatal from error
            return ELOOP, 0
        return 0, 0

    def free_coro(self, k):
        coro = self.coros[k]
        if coro is None:
            return True
        if k in (0, self.current()) or self.going(k):
            return False
        if any(child is not None and child.parent is coro for child in self.coros[1:]):
            return False
        if coro:  # started, and not dead
            self.freed_by[k] = self.current()
            coro.parent = greenlet.getcurrent()
            self.exit_value = 0
            self.hand_over(coro.throw, greenlet.GreenletExit())
            self.freed_by[k] = -1
        self.gone.append(coro)
        self.coros[k] = None
        return True

    def free_step(self, _actor, k, _x, _y):
        return (PASSED_OVER if self.ending or not self.free_coro(k) else 0), 0

    def make_coro(self, _actor, k, x, _y):
        parent = None if x < 0 else self.coros[x]
        parent_index = self.current() if parent is None else x
        if self.coros[k] is not None or k == 0 or self.fuel <= 0 or self.ending or self.going(parent_index):
            return PASSED_OVER, 0
        self.coros[k] = self.new_coro(k, greenlet.getcurrent() if parent is None else parent)
        return 0, 0
