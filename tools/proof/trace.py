#!/usr/bin/env python3
"""trace.py NAME - turns a counterexample of cbmc (--json-ui --trace
--stop-on-fail, on standard input) into a trace
that `kiln replay` plays. The harness leaves what a trace needs in variables named proof_*; the last
value of each counts."""

import json
import sys

FOLLOWS = ["seed", "go19", "kiln"]
ARCHS = ["amd64", "arm64", "darwin-arm64"]


def number(value):
    """The number that cbmc wrote: its binary form is the one without suffixes and names."""
    return int(value["binary"], 2)


def assignments(messages):
    """Yields every (variable, value) of the counterexample, and the text of what it refutes."""
    for message in messages:
        for step in message.get("trace", []):
            if step["stepType"] == "failure":
                yield "description", step["reason"]
            elif step["stepType"] == "assignment" and "binary" in step.get("value", {}):
                yield step["lhs"].replace("l]", "]"), number(step["value"])


def print_request(found, believed):
    """Prints a state and one request."""
    for key in ("start", "used", "alloc", "end"):
        print(f"set arena_{key} {found['proof_' + key]:#x}")
    if believed:
        print("set reserved 0")
    print(f"set init_map {found['proof_init_map']}")
    print(f"alloc {found['proof_bytes']:#x}")


def print_answers(found, believed):
    """Prints what the OS answered, in order."""
    for i in range(found.get("proof_answers", 0)):
        direct = found[f"proof_answer_direct[{i}]"]
        call = "sysalloc" if direct else "reserve"
        flag = " unreserved" if found[f"proof_answer_believed[{i}]"] else ""
        addr = found[f"proof_answer[{i}]"]
        print(f"  {call} -> {addr:#x}{flag}" if addr else f"  {call} -> fail")
    given_back = found["description"].startswith("L4: release ")  # there the counterexample ends
    if given_back and believed and not found.get("proof_answer_direct[1]"):
        print("  sysalloc -> fail")


def main():
    try:
        found = dict(assignments(json.load(sys.stdin)))
    except ValueError as error:
        sys.exit(f"trace.py: this is no output of cbmc --json-ui: {error}")
    if "description" not in found:
        sys.exit("trace.py: nothing was refuted, so there is no counterexample")
    if "proof_width" not in found:
        sys.exit(f"trace.py: the harness of {sys.argv[1]} leaves no proof_* variables: not replayable")

    print(f"# a counterexample that kiln prove found: {sys.argv[1]}")
    print(f"# it breaks: {found['description']}")
    print(f"width {found['proof_width']}")
    print(f"set follow {FOLLOWS[found['proof_follow']]}")
    print("set race 1")
    print(f"set phys {found['proof_phys']:#x}")
    believed = found.get("proof_believed", 0)
    if "proof_arch" in found:
        print(
            f"mallocinit end={found['proof_image_end']:#x} brk={found['proof_brk']:#x}"
            f" arch={ARCHS[found['proof_arch']]}"
        )
    else:
        print_request(found, believed)
    print_answers(found, believed)


main()
