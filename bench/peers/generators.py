# SPDX-License-Identifier: MIT
"""The question `gen` put to CPython: generators, `yield from`, and greenlet where it is installed."""

import argparse
import json
import statistics
import sys
import time

try:
    import greenlet
except ImportError:
    greenlet = None

DEPTHS = (1, 10, 100, 1000)


def counter():
    number = 0
    while True:
        number += 1
        yield number


def delegator(sub):
    yield from sub


def chain_of(depth):
    gen = counter()
    for _ in range(depth):
        gen = delegator(gen)
    return gen


def steps(gen, count):
    start = time.perf_counter_ns()
    for _ in range(count):
        next(gen)
    return (time.perf_counter_ns() - start) / count


def lives(count):
    start = time.perf_counter_ns()
    for _ in range(count):
        gen = counter()
        next(gen)
        gen.close()
    return (time.perf_counter_ns() - start) / count


def rounds(count):
    def partner():
        while True:
            main.switch()

    main = greenlet.getcurrent()
    other = greenlet.greenlet(partner)
    start = time.perf_counter_ns()
    for _ in range(count):
        other.switch()
    return (time.perf_counter_ns() - start) / count


def report(case, unit, reps, measure):
    measure()
    samples = [measure() for _ in range(reps)]
    median = statistics.median(samples)
    print(json.dumps({
        "bench": "gen", "case": case, "who": "python", "workers": 1, "unit": unit,
        "median": median, "min": min(samples), "max": max(samples),
        "spread": (max(samples) - min(samples)) / median, "reps": reps, "samples": samples,
    }))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--count", type=int, default=200000)
    parser.add_argument("--workers", type=int, default=1, help="taken for the others' sake")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    count = args.count // 10 if args.quick else args.count
    sys.setrecursionlimit(10 * max(DEPTHS))
    gen = chain_of(0)
    report("by itself", "ns/step", args.reps, lambda: steps(gen, count))
    for depth in DEPTHS:
        deep = chain_of(depth)
        fewer = max(100, count // depth)
        report(f"below {depth} delegation{'s' if depth > 1 else ''}", "ns/step", args.reps, lambda: steps(deep, fewer))
    report("new, next, free", "ns", args.reps, lambda: lives(count))
    if greenlet:
        report("2 coroutines, there and back", "ns", args.reps, lambda: rounds(count))


if __name__ == "__main__":
    main()
