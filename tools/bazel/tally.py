#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts the test cases of one `bazel test` run.

usage: tally.py EVENTS BAZEL_EXIT

EVENTS is what --build_event_json_file wrote. A googletest program counts with each of its cases, any other test as one;
a test that died without a report, or could not be built, counts as one failure. Prints what failed and what was
skipped, why, and as the last line `PASSED FAILED SKIPPED` in figures.
"""
import json
import sys
import urllib.parse
import xml.etree.ElementTree as xml

# Exit codes of `bazel test` that the events explain: all passed, build failed, some tests failed.
EXPLAINED = ("0", "1", "3")
# The tests to run were all filtered out.
NOTHING_TO_TEST = "4"


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def add_report(self, label, root):
        """Adds the cases of a test.xml and returns whether one of them failed."""
        failed = False
        for case in root.iter("testcase"):
            # Bazel's own report of a test that is no googletest has the target's name for its only case.
            suite = case.get("classname")
            name = f"{label} {suite}.{case.get('name')}" if suite else label
            error = case.find("error")
            if error is not None or case.find("failure") is not None:
                # Bazel's words for a program that died: "exited with error code 134."
                why = "" if error is None else (error.get("message") or "").rstrip(".")
                self.failed.append(f"{name} ({why})" if why else name)
                failed = True
            elif case.get("result") == "skipped" or case.find("skipped") is not None:
                node = case.find("skipped")
                text = "" if node is None else (node.get("message") or node.text or "")
                # googletest puts file and line first.
                reason = " ".join(line for line in text.splitlines() if line.strip())
                self.skipped.append((name, reason or "no reason given"))
            elif case.get("status") == "notrun":
                self.skipped.append((name, "disabled"))
            else:
                self.passed += 1
        return failed

    def add_test(self, label, status, report_path):
        root = None
        if report_path:
            try:
                root = xml.parse(report_path).getroot()
            except (OSError, xml.ParseError):
                # A test killed while it wrote its report leaves half of one.
                root = None
        if root is not None and root.find(".//testcase") is not None:
            failed = self.add_report(label, root)
            if status not in ("PASSED", "FLAKY") and not failed:
                self.failed.append(f"{label} ({status.lower()})")
        elif status in ("PASSED", "FLAKY"):
            self.passed += 1
        else:
            self.failed.append(f"{label} ({status.lower()})")


def events_of(path):
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            try:
                yield json.loads(line)
            except ValueError:
                # Bazel was killed within a line; its exit code will say so.
                return


def path_of(uri):
    return urllib.parse.unquote(urllib.parse.urlparse(uri).path)


def read(path):
    tally = Tally()
    results = {}
    unbuilt = set()
    for event in events_of(path):
        identity = event.get("id", {})
        if "testResult" in event:
            key = identity["testResult"]
            report = None
            for output in event["testResult"].get("testActionOutput", []):
                if output.get("name") == "test.xml":
                    report = path_of(output.get("uri", ""))
            # The last attempt is the one that counts.
            which = (key["label"], key.get("run", 1), key.get("shard", 1))
            results[which] = (event["testResult"].get("status", "NO_STATUS"), report)
        elif "targetCompleted" in identity and not event.get("completed", {}).get("success"):
            unbuilt.add(identity["targetCompleted"]["label"])
    for (label, _, _), (status, report) in sorted(results.items()):
        tally.add_test(label, status, report)
    tested = {label for label, _, _ in results}
    tally.failed += [f"{label} (not built)" for label in sorted(unbuilt - tested)]
    return tally


def main():
    if len(sys.argv) != 3 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__.strip())
    path, bazel_exit = sys.argv[1:]
    try:
        tally = read(path)
    except OSError as error:
        print(f"  no record of the run: {error}")
        tally = Tally()
    if bazel_exit not in EXPLAINED + (NOTHING_TO_TEST,) or (
        bazel_exit not in ("0", NOTHING_TO_TEST) and not tally.failed
    ):
        tally.failed.append(f"bazel itself (exit code {bazel_exit})")
    for name in tally.failed:
        print(f"  FAILED   {name}")
    for name, reason in tally.skipped:
        print(f"  skipped  {name}: {reason}")
    print(tally.passed, len(tally.failed), len(tally.skipped))


if __name__ == "__main__":
    main()
