# SPDX-License-Identifier: MIT
def simple_demo():
    print("start")
    x = yield
    print("x:", x)


sd = simple_demo()
next(sd)
try:
    sd.send(10)
except StopIteration:
    print("StopIteration")

sd = simple_demo()
try:
    sd.send(10)
except TypeError as error:
    print("TypeError:", error)
