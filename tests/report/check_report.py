#!/usr/bin/python3
"""check_report.py json|text WANT=VALUE... < REPORT

json: REPORT is one JSON object on one line, as allocator/api/report_json.h says: every member is
there, of its type, and nothing else. text: REPORT is taken apart by the rules that ClusterFuzz and
libFuzzer publish for AddressSanitizer's reports, written down again here. WANT names a member, or
what was taken from the text; each must be VALUE. Exit status 1, and what is wrong, where not."""
import json
import re
import sys

NULL = type(None)
HEX = re.compile(r"0x[0-9a-f]+\Z")
FRAME = {"pc": "hex", "module": (str, NULL), "offset": "hex?", "function": (str, NULL), "file": (str, NULL),
         "line": (int, NULL), "column": (int, NULL), "inlined": bool}
BLOCK = {"state": str, "start": "hex", "bytes": (int, NULL), "slot_bytes": (int, NULL), "offset": int,
         "alloc_thread": (int, NULL), "alloc_stack": "frames?", "free_thread": (int, NULL), "free_stack": "frames?",
         "from": (str, NULL)}
LEAK = {"direct": bool, "blocks": int, "bytes": int, "first": "hex", "alloc_thread": (int, NULL), "alloc_stack": "frames?"}
REPORT = {"schema": str, "version": int, "kind": str, "asan_kind": str, "message": str, "pid": int, "thread": (int, NULL),
          "call": (str, NULL), "access": (str, NULL), "access_bytes": (int, NULL), "address": "hex", "pc": "hex",
          "bp": "hex?", "sp": "hex?", "stack": "frames", "block": "block?", "leaks": "leaks?", "claimed_bytes": (int, NULL),
          "claimed_align": (int, NULL), "note": (str, NULL), "seed": "hex?", "input": (int, NULL),
          "replay": (str, NULL), "halts": bool}


class Wrong(Exception):
    pass


def check_members(what, value, members):
    if not isinstance(value, dict):
        raise Wrong(f"{what} is no object")
    if list(value) != list(members):
        raise Wrong(f"{what} has the members {list(value)}, not {list(members)}")
    for name, kind in members.items():
        check_value(f"{what}.{name}", value[name], kind)


def check_value(what, value, kind):
    if isinstance(kind, str):
        if kind.endswith("?") and value is None:
            return
        kind = kind.rstrip("?")
        if kind == "hex" and not (isinstance(value, str) and HEX.match(value)):
            raise Wrong(f"{what} is no address: {value!r}")
        if kind == "frames":
            if not isinstance(value, list) or not value:
                raise Wrong(f"{what} is no list of frames: {value!r}")
            for i, frame in enumerate(value):
                check_members(f"{what}[{i}]", frame, FRAME)
            if value[-1]["inlined"]:
                raise Wrong(f"the last frame of {what} is inlined into nothing")
        if kind == "leaks":
            if not isinstance(value, list) or not value:
                raise Wrong(f"{what} is no list of leaks: {value!r}")
            for i, leak in enumerate(value):
                check_members(f"{what}[{i}]", leak, LEAK)
        if kind == "block":
            check_members(what, value, BLOCK)
    elif not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Wrong(f"{what} has the wrong type: {value!r}")


def of_json(text):
    lines = text.splitlines()
    if len(lines) != 1 or not text.endswith("\n"):
        raise Wrong(f"{len(lines)} lines, not one")
    report = json.loads(lines[0])
    check_members("report", report, REPORT)
    if (report["schema"], report["version"]) != ("kiln-report", 1):
        raise Wrong("another schema")
    found = {name: value for name, value in report.items() if not isinstance(value, (dict, list))}
    for name, stack in (("stack", report["stack"]),
                        ("alloc_stack", report["block"] and report["block"]["alloc_stack"]),
                        ("free_stack", report["block"] and report["block"]["free_stack"])):
        found[name] = ",".join(frame["function"] or "?" for frame in stack or []) or None
    leaks = report["leaks"] or []
    found["leaks"] = ",".join(f"{leak['blocks']}/{leak['bytes']}/{leak['direct']}" for leak in leaks)
    found["leak_stack"] = leaks and ",".join(frame["function"] or "?" for frame in leaks[0]["alloc_stack"] or [])
    for name in ("state", "bytes", "slot_bytes", "offset", "alloc_thread", "free_thread"):
        found[name] = report["block"] and report["block"][name]
    return found


# ClusterFuzz: a line is matched from its start. Which crash it is, its address, how much was
# touched; the state is the names of the first three frames that are not of the runtime.
INVALID_FREE = re.compile(r".*AddressSanitizer: attempting free on address which was not malloc\(\)-ed: (\w+)")
DOUBLE_FREE = re.compile(r".*AddressSanitizer.*double-free on (?:unknown address |address |)(\w+)")
SEGV = re.compile(r".*Sanitizer.*(?:SEGV|access-violation) on unknown address (\w+)")
SEGV_ACCESS = re.compile(r".*The signal is caused by a ([A-Z]+) memory access\.")
ADDRESS = re.compile(r".*ERROR: [a-zA-Z]+Sanitizer[: ]*(.*) on (?:unknown address |address |)([xX0-9a-fA-F]+)")
ACCESS = re.compile(r" *([^ ]*|Atomic [^ ]*) of size ([^ ]*) at ([^ ]*)")
NO_MEMORY = re.compile(r".*(?:Sanitizer: out of memory|Sanitizer: allocation-size-too-big|Sanitizer: calloc-overflow)")
LEAK_LINE = re.compile(r"(Direct|Indirect) leak of (\d+) byte\(s\) in (\d+) object\(s\) allocated from:$")
STACK_FRAME = re.compile(r"\s*#(\d+)\s+(0x[0-9a-fA-F]+)\s+(?:in (?:(\S+)(?: (.*))?)|\((.*)\+(0x[0-9a-f]+)\))$")
RUNTIME = re.compile(r"(?:__interceptor_|__asan_|__sanitizer_|malloc$|calloc$|realloc$|free$|kiln_)")


def of_text(text):
    found = {"type": "", "address": "", "access": None, "frames": 0}
    state, names, numbers, leaks = [], [], [], []
    for line in text.splitlines():
        for pattern, kind in ((INVALID_FREE, "Invalid-free"), (DOUBLE_FREE, "Heap-double-free"), (SEGV, "UNKNOWN"),
                              (NO_MEMORY, "Out-of-memory")):
            match = pattern.match(line)
            if match:
                found["type"] = kind
                found["address"] = match.group(1) if match.groups() else ""
                break
        else:
            match = ADDRESS.match(line)
            if match:
                found["type"], found["address"] = match.group(1).capitalize(), match.group(2)
        match = SEGV_ACCESS.match(line)
        if match and found["type"] == "UNKNOWN":
            found["type"] += " " + match.group(1)
        match = ACCESS.match(line)
        if match:
            found["access"] = f"{match.group(1)} {match.group(2)}"
        match = re.match(r"==\d+==ERROR: (.*)", line)
        if match:
            found["error"] = match.group(1)
        match = LEAK_LINE.match(line)
        if match:
            found["type"] = found["type"] or f"{match.group(1)}-leak"
            leaks.append(" ".join(match.groups()))
        match = re.match(r"DEDUP_TOKEN: (.*)", line)
        if match and "token" not in found:
            found["token"] = match.group(1)  # libFuzzer takes the first
        match = STACK_FRAME.match(line)
        if match:
            numbers.append(int(match.group(1)))
            names.append(match.group(3) or match.group(5).rsplit("/", 1)[-1])
            if not RUNTIME.match(names[-1]) and len(state) < 3:
                state.append(names[-1])
        elif re.match(r"\s*#\d", line):
            raise Wrong(f"a frame that no tool reads: {line!r}")
        match = re.match(r"SUMMARY: (\w+): (.*)", line)
        if match:
            found["tool"], found["summary"] = match.groups()
        match = re.match(r"0x[0-9a-f]+ is located (.*) (\d+)-byte region \[(0x[0-9a-f]+),(0x[0-9a-f]+)\)$", line)
        if match:
            if int(match.group(4), 16) - int(match.group(3), 16) != int(match.group(2)):
                raise Wrong(f"the region's size is not that of its ends: {line}")
            found["region"] = f"{match.group(1)} {match.group(2)}"
        match = re.match(r"(freed|allocated|previously allocated) by thread (T\d+) here:$", line)
        if match:
            found[match.group(1)] = match.group(2)
    starts = [i for i, number in enumerate(numbers) if number == 0]
    for i, number in enumerate(numbers):
        if number and numbers[i - 1] != number - 1:
            raise Wrong(f"frame {number} follows frame {numbers[i - 1]}")
    found["stacks"], found["leaks"] = len(starts), ",".join(leaks)
    found["frames"] = len(numbers)
    found["state"] = ",".join(state)
    for i, start in enumerate(starts):
        end = starts[i + 1] if i + 1 < len(starts) else len(names)
        found[f"stack{i}"] = ",".join(names[start:end])
    return found


def main():
    raw = sys.stdin.buffer.read()
    text = raw.decode("utf-8", "strict" if sys.argv[1] == "json" else "replace")
    try:
        found = {"json": of_json, "text": of_text}[sys.argv[1]](text)
        for want in sys.argv[2:]:
            name, value = want.split("=", 1)
            got = str(found.get(name))
            if not (got.startswith(value[:-1]) if value.endswith("*") else got == value):
                raise Wrong(f"{name} is {got!r}, not {value!r}")
    except (Wrong, json.JSONDecodeError, UnicodeDecodeError) as wrong:
        print(f"check_report: {wrong}\n{text}")
        sys.exit(1)


main()
