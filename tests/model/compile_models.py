#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""compile_models.py - compiles every model over the shipped headers, and once more for each mutant of the tables

usage: compile_models.py --cc CC --ar AR --table MUTANTS.ini [--table ...] --out ARCHIVE [--root DIR] MODEL.c...

The archive holds the models and `model_cases` (tests/model/explorer.h), which lists them: first the models as shipped,
then the mutants. A mutant whose text no longer stands in its header exactly once is an error: adapt the table.
"""
import argparse
import concurrent.futures
import configparser
import os
import re
import subprocess
import sys
import tempfile

FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-fPIC"]
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Werror"]


class TableError(Exception):
    pass


def mutate(text, find, replace, where):
    """The text with `find` replaced, whatever white space stands in either; on as many lines as before."""
    pattern = r"\s+".join(re.escape(word) for word in find.split())
    places = list(re.finditer(pattern, text))
    if len(places) != 1:
        raise TableError(f"{where}: stands {len(places)} times, not once: {find}")
    start, end = places[0].span()
    return text[:start] + replace + "\n" * text.count("\n", start, end) + text[end:]


def read_table(path):
    table = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    with open(path, encoding="utf-8") as stream:
        # The same words name a mutant of two models: sections are told apart by their number.
        numbered = (f"[{n}|{line[1:]}" if line.startswith("[") else line for n, line in enumerate(stream))
        table.read_file(numbered, path)
    cases = []
    for section in table.sections():
        case = dict(table[section], name=section.split("|", 1)[1])
        missing = {"model", "step", "expect"} - set(case)
        if missing or ("define" in case) == ({"file", "find", "replace"} <= set(case)):
            raise TableError(f"{path}: [{case['name']}] needs model, step, expect, and define or file, find, replace")
        cases.append(case)
    return cases


def compile_case(arguments, scratch, number, case):
    """Compiles one case; returns its object file."""
    folder = os.path.join(scratch, str(number))
    os.makedirs(folder)
    source = next((path for path in arguments.models if os.path.basename(path) == case["model"] + "_model.c"), None)
    if source is None:
        raise TableError(f"[{case['name']}]: there is no {case['model']}_model.c")
    if "file" in case:
        header = os.path.join("sched" if "/" in case["file"] else "sched/core", case["file"])
        with open(os.path.join(arguments.root, header), encoding="utf-8") as stream:
            text = mutate(stream.read(), case["find"], case["replace"], f"[{case['name']}] {header}")
        os.makedirs(os.path.dirname(os.path.join(folder, header)))
        with open(os.path.join(folder, header), "w", encoding="utf-8") as stream:
            stream.write(text)
    paths = [os.path.join(arguments.root, "tests/model/include"), folder, arguments.root]
    result = os.path.join(folder, f"case{number}.o")
    command = [arguments.cc, *FLAGS, f"-DMODEL_SYMBOL=model_case_{number}"]
    # A mutant leaves variables unused.
    command += ["-w"] if case["step"] else WARNINGS
    command += [f"-D{case['define']}"] if "define" in case else []
    for path in paths:
        command += ["-iquote", path]
    command += ["-I", os.path.join(arguments.root, "include")]
    run = subprocess.run(command + ["-c", source, "-o", result], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise TableError(f"[{case['name']}] does not compile:\n{run.stderr}")
    return result


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def compile_list(arguments, scratch, cases):
    """The C file with model_cases."""
    lines = ['#include "tests/model/explorer.h"']
    lines += [f"extern const struct model model_case_{i};" for i in range(len(cases))]
    lines.append("const struct model_case model_cases[] = {")
    for i, case in enumerate(cases):
        words = ", ".join(quoted(case[key]) for key in ("name", "step", "expect"))
        lines.append(f"\t{{{words}, &model_case_{i}}},")
    lines += ["};", f"const uint32_t model_case_count = {len(cases)};", ""]
    source = os.path.join(scratch, "cases.c")
    with open(source, "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines))
    result = os.path.join(scratch, "cases.o")
    subprocess.run([arguments.cc, *FLAGS, "-iquote", arguments.root, "-c", source, "-o", result], check=True)
    return result


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--cc", required=True)
    parser.add_argument("--ar", required=True)
    parser.add_argument("--table", required=True, action="append", dest="tables")
    parser.add_argument("--out", required=True)
    parser.add_argument("--root", default=".")
    parser.add_argument("models", nargs="+")
    arguments = parser.parse_args()
    cases = []
    for path in sorted(arguments.models):
        model = os.path.basename(path)[: -len("_model.c")]
        cases.append({"name": model, "model": model, "step": "", "expect": ""})
    for table in arguments.tables:
        cases += read_table(table)
    with tempfile.TemporaryDirectory() as scratch:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [pool.submit(compile_case, arguments, scratch, i, case) for i, case in enumerate(cases)]
            objects = [job.result() for job in jobs]
        objects.append(compile_list(arguments, scratch, cases))
        if os.path.exists(arguments.out):
            os.remove(arguments.out)
        subprocess.run([arguments.ar, "rcs", arguments.out, *objects], check=True)


if __name__ == "__main__":
    try:
        main()
    except (TableError, configparser.Error) as error:
        sys.exit(f"compile_models.py: {error}")
