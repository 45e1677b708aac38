# SPDX-License-Identifier: MIT
from collections import namedtuple

Result = namedtuple("Result", "count average")


def averager():
    total = 0.0
    count = 0
    average = None
    while True:
        print("in averager, before yield")
        term = yield
        if term is None:
            break
        total += term
        count += 1
        average = total / count

    print("in averager, return result")
    return Result(count, average)


def grouper(results, key):
    while True:
        print("in grouper, before yield from averager, key is ", key)
        results[key] = yield from averager()
        print("in grouper, after yield from, key is ", key)


def main(data):
    results = {}
    for key, values in data.items():
        group = grouper(results, key)
        print("\ncreate group: ", group)
        next(group)
        print("pre active group ok")
        for value in values:
            print("send to %r value %f now" % (group, value))
            group.send(value)
        print("send to %r none" % group)
        group.send(None)
    print("report result: ")
    report(results)


def report(results):
    for key, result in sorted(results.items()):
        group, unit = key.split(";")
        print("{:2} {:5} averaging {:.2f}{}".format(result.count, group, result.average, unit))


data = {
    "girls;kg": [40, 41, 42, 43, 44, 54],
    "girls;m": [1.5, 1.6, 1.8, 1.5, 1.45, 1.6],
    "boys;kg": [50, 51, 62, 53, 54, 54],
    "boys;m": [1.6, 1.8, 1.8, 1.7, 1.55, 1.6],
}

if __name__ == "__main__":
    main(data)
