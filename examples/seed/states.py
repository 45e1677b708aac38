# SPDX-License-Identifier: MIT
from inspect import getgeneratorstate


def simple_demo(a):
    print("start: a = ", a)
    b = yield a
    print("b = ", b)
    c = yield a + b
    print("c = ", c)


sd = simple_demo(2)
print(getgeneratorstate(sd))
print(next(sd))
print(getgeneratorstate(sd))
print(sd.send(3))
try:
    sd.send(4)
except StopIteration:
    print("StopIteration")
print(getgeneratorstate(sd))
