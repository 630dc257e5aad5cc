#!/usr/bin/env python3
"""laws_test.py [FOLDER] - each law that the proofs assert has a planted bug which refutes it.

A law is the text of an assertion in tests/proof. Those of a harness count as refuted where a bug of
tests/proof/planted names a proof of that harness and the text, or a part that no other law of the
harness or its headers has; those of a header where a bug of any harness does. So do laws that a
proof of the sources as they are is expected to refute because an OS lies. A text that begins with
"harness: " or "reached: " is no law: it checks the harness itself. What a bug names and no assertion
says is a check that cbmc adds. FOLDER is a checkout, this one without it. Ends with "N passed, N failed"."""

import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2])
PROOFS = ROOT / "tests/proof"


def harnesses():
    """The harness of each proof."""
    rows = re.findall(r'^(\w+) +(?:quick|full) +(?:"[^"]*"|\S+) +(\S+\.c) ',
                      (PROOFS / "proofs.txt").read_text(), re.M)
    return dict(rows)


def bugs(harness_of):
    """(harness, part of a law's text) of each planted bug."""
    for path in sorted((PROOFS / "planted").glob("*.patch")):
        text = path.read_text()
        proof = re.search(r"^proof: (.*)$", text, re.M)
        law = re.search(r"^refutes: (.*)$", text, re.M)
        if not proof or not law or proof[1] not in harness_of:
            sys.exit(f"{path}: needs the lines 'proof: NAME' (of proofs.txt) and 'refutes: TEXT'")
        yield harness_of[proof[1]], law[1]


def expected():
    """(file, law) of each law that a row of the table says is refuted."""
    for text, harness in re.findall(r'^\w+ +(?:quick|full) +"refuted:(an OS that lies: )" +(\S+\.c) ',
                                    (PROOFS / "proofs.txt").read_text(), re.M):
        for name in files_of(harness, []):
            yield from ((name, law) for law in laws(PROOFS / name) if text in law)


def laws(path):
    """The texts of the laws in a file: all string literals at the end of each assertion."""
    source = path.read_text()
    for start in re.finditer(r"\b(?:PROOF_ASSERT|LAW|__CPROVER_assert)\(", source):
        line = source[source.rfind("\n", 0, start.start()) + 1:source.find("\n", start.start())]
        if line.startswith(("#define", "void ")) or line.endswith("\\"):  # a macro, a declaration
            continue
        depth, at, literals = 1, start.end(), []
        while depth > 0:
            literal = re.compile(r'"((?:[^"\\]|\\.)*)"').match(source, at)
            if literal:
                literals.append(literal[1])
                at = literal.end()
                continue
            depth += {"(": 1, ")": -1}.get(source[at], 0)
            if source[at] == ",":
                literals = []
            at += 1
        if not literals:
            sys.exit(f"{path}: an assertion without a text: {source[start.start():at]}")
        yield "".join(literals)


def files_of(name, seen):
    """A harness and the headers of tests/proof that it includes."""
    if name not in seen:
        seen.append(name)
        for header in re.findall(r'#include "tests/proof/(\w+\.h)"', (PROOFS / name).read_text()):
            files_of(header, seen)
    return seen


def refuted(planted):
    """(file, law) of each law that a bug refutes."""
    found = set()
    for harness, part in planted:
        named = [(name, law) for name in files_of(harness, []) for law in laws(PROOFS / name)
                 if part in law]
        exact = [(name, law) for name, law in named if law == part]
        if len({law for _, law in exact or named}) > 1:
            sys.exit(f"a bug for {harness} refutes '{part}', which more than one law says")
        found.update(exact or named)
    return found


def main():
    found = refuted(bugs(harnesses())) | set(expected())
    passed = failed = 0
    for path in sorted(PROOFS.glob("*.[ch]")):
        for law in dict.fromkeys(laws(path)):
            if law.startswith(("harness: ", "reached: ")):
                continue
            if (path.name, law) in found:
                passed += 1
            else:
                failed += 1
                print(f"{path.name}: no planted bug refutes: {law}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


sys.exit(main())
