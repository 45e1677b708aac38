# SPDX-License-Identifier: MIT
import sys

import gevent

seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1


def f1():
    for i in range(5):
        print("run func: f1, index: %s " % i)
        gevent.sleep(seconds)


def f2():
    for i in range(5):
        print("run func: f2, index: %s " % i)
        gevent.sleep(seconds)


t1 = gevent.spawn(f1)
t2 = gevent.spawn(f2)
gevent.joinall([t1, t2])
