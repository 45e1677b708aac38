# SPDX-License-Identifier: MIT
from collections import deque


def countdown(name, n):
    while n > 0:
        print(name, n)
        yield
        n -= 1
    print(name, "lift-off")


def launch(rockets):
    for name, n in rockets:
        print("launch", name)
        yield countdown(name, n)
    print("all launched")


def scheduler(task):
    ready = deque([task])
    while ready:
        task = ready.popleft()
        try:
            new = next(task)
        except StopIteration:
            continue
        if new is not None:
            ready.append(new)
        ready.append(task)


scheduler(launch([("a", 3), ("b", 1), ("c", 2)]))
