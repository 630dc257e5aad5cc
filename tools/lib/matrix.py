"""tools/lib/matrix.py MODE ROOT EVENTS PHASE... - which tool looks at which tests, as a table.

It reads Bazel's list of the tests (XML) from standard input, the tags that each phase leaves out from
.bazelrc, the reasons from tests/left_out.txt, and what became of them from EVENTS/PHASE.events, which
Bazel wrote. PHASE ends in :fuzz for one of //fuzz alone. MODE is
  print   the table, of results
  update  into DESIGN.md, how many tests each tool looks at, which are left out, and why
  check   whether that is what DESIGN.md has"""

import collections
import fnmatch
import json
import os
import sys
import xml.etree.ElementTree

BEGIN = "<!-- made by ./kiln test --matrix --update -->\n"
END = "<!-- end -->\n"
KINDS = ["unit", "contract", "api", "death", "report", "watch", "stress", "replay", "fuzz targets", "rest"]


class Wrong(Exception):
    """What is wrong with the tests, the reasons or the table."""


def kind_of(label):
    package = label[2:].split(":")[0]
    if package == "fuzz":
        return "fuzz targets"
    name = package[len("tests/") :] if package.startswith("tests/") else ""
    return name if name in KINDS else "rest"


def filters_of(bazelrc):
    """The tags of each config, as Bazel takes them: what comes last counts, --config= is put in its place."""
    lines = collections.defaultdict(list)
    for line in bazelrc.splitlines():
        words = line.split()
        if words and words[0].split(":")[0] in ("build", "test"):
            lines[words[0]] += words[1:]

    def last(config, found):
        suffix = ":" + config if config else ""
        for word in lines["build" + suffix] + lines["test" + suffix]:
            if word.startswith("--config="):
                found = last(word[len("--config=") :], found)
            elif word.startswith("--test_tag_filters="):
                found = word[len("--test_tag_filters=") :].split(",")
        return found

    return lambda config: last(config, last("", []))


def tags_of(text):
    tests = {}
    for rule in xml.etree.ElementTree.fromstring(text).iter("rule"):
        tags = rule.find("list[@name='tags']")
        tests[rule.get("name")] = set() if tags is None else {tag.get("value") for tag in tags}
    if not tests:
        raise Wrong("Bazel lists no test")
    return tests


def reasons_of(path):
    reasons = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            words = line.split(None, 2)
            if not words or words[0].startswith("#"):
                continue
            if len(words) != 3:
                raise Wrong(f"{path}:{number}: a line is PATTERN TAG REASON")
            reasons.append((words[0], words[1], words[2].strip()))
    return reasons


def why_left_out(tags, filters):
    """The tag for which the filters leave a test out, or None. What holds for every tool comes first."""
    unwanted = [tag[1:] for tag in filters if tag.startswith("-") and tag[1:] in tags]
    wanted = [tag for tag in filters if not tag.startswith("-")]
    if wanted and not tags & set(wanted):
        return wanted[0]
    return min(unwanted, key=lambda tag: (tag != "no-sanitizer", tag)) if unwanted else None


def results_of(path):
    results = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:  # the end of a run that was stopped
                    continue
                if "testSummary" in event.get("id", {}) and "testSummary" in event:
                    results[event["id"]["testSummary"]["label"]] = event["testSummary"]["overallStatus"]
    return results


class Matrix:
    def __init__(self, root, tests, phases):
        self.reasons = reasons_of(os.path.join(root, "tests/left_out.txt"))
        with open(os.path.join(root, ".bazelrc"), encoding="utf-8") as text:
            filters = filters_of(text.read())
        self.runs, self.left, used = {}, {}, set()
        for phase in phases:
            name, _, scope = phase.partition(":")
            within = [test for test in tests if not scope or kind_of(test) == "fuzz targets"]
            because = {test: why_left_out(tests[test], filters(name)) for test in within}
            self.runs[name] = [test for test in within if because[test] is None]
            self.left[name] = {test: self.reason(test, tag, used) for test, tag in because.items() if tag}
        for line in self.reasons:
            if line not in used:
                raise Wrong(f"tests/left_out.txt: no test is left out by '{line[0]} {line[1]}'")

    def reason(self, test, tag, used):
        for line in self.reasons:
            if fnmatch.fnmatchcase(test, line[0]) and line[1] == tag:
                used.add(line)
                return line[2]
        raise Wrong(f"tests/left_out.txt has no line for {test}, which is left out by its tag '{tag}'")

    def cell(self, phase, kind, results):
        runs = [test for test in self.runs[phase] if kind_of(test) == kind]
        left = sum(kind_of(test) == kind for test in self.left[phase])
        if results is None:
            return ", ".join([str(len(runs))] * bool(runs) + [f"{left} left out"] * bool(left)) or "-"
        said = collections.Counter(results.get(test, "not run") for test in runs)
        parts = [f"{said['PASSED']} passed"] if said["PASSED"] else []
        failed = sum(said.values()) - said["PASSED"] - said["not run"]
        parts += [f"{count} {word}" for count, word in [(failed, "failed"), (said["not run"], "not run"), (left, "left out")] if count]
        return ", ".join(parts) or "-"

    def text(self, results):
        lines = ["| | " + " | ".join(KINDS) + " |", "|---" * (len(KINDS) + 1) + "|"]
        for phase in self.runs:
            cells = [self.cell(phase, kind, results and results[phase]) for kind in KINDS]
            lines.append(f"| {phase} | " + " | ".join(cells) + " |")
        grouped = collections.defaultdict(lambda: collections.defaultdict(set))
        for phase, left in self.left.items():
            for test, reason in left.items():
                grouped[reason][phase].add(test)
        lines += ["", "Left out, and why:"]
        for reason, by_phase in grouped.items():
            phases_of = collections.defaultdict(list)
            for phase, names in by_phase.items():
                phases_of[frozenset(names)].append(phase)
            for names, phases in phases_of.items():
                shown = "all that is not tagged so" if reason.startswith("is not of a heap") else ", ".join(f"`{name[2:]}`" for name in sorted(names))
                lines.append(f"* {', '.join(phases)}: {shown} ({reason})")
        return "\n".join(lines) + "\n"


def split(path):
    with open(path, encoding="utf-8") as text:
        whole = text.read()
    if whole.count(BEGIN) != 1 or END not in whole.split(BEGIN)[1]:
        raise Wrong(f"{path}: the table goes between the lines '{BEGIN.strip()}' and '{END.strip()}', which are not there")
    before, rest = whole.split(BEGIN)
    table, after = rest.split(END, 1)
    return before, table, after


def main(mode, root, events, *phases):
    matrix = Matrix(root, tags_of(sys.stdin.read()), phases)
    design = os.path.join(root, "DESIGN.md")
    if mode == "print":
        results = {phase: results_of(os.path.join(events, phase + ".events")) for phase in matrix.runs}
        for phase, said in results.items():
            odd = sorted(set(said) & set(matrix.left[phase]))
            if odd:
                raise Wrong(f"the phase {phase} ran {odd[0]}, which its tags leave out: run that phase anew")
        print(matrix.text(results), end="")
        return
    before, table, after = split(design)
    wanted = matrix.text(None)
    if mode == "update":
        with open(design, "w", encoding="utf-8") as out:
            out.write(before + BEGIN + wanted + END + after)
    elif table != wanted:
        raise Wrong("the table in DESIGN.md is not that of the tests and their tags: ./kiln test --matrix --update")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Wrong as wrong:
        sys.exit(f"kiln: {wrong}")
