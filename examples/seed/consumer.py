# SPDX-License-Identifier: MIT
import sys


def consumer():
    while True:
        line = yield
        print(line.upper())


def producer(filename):
    with open(filename, "r") as f:
        for i, line in enumerate(f):
            yield line
            print("processed line %d" % i)


c = consumer()
next(c)
for line in producer(sys.argv[1]):
    c.send(line)
