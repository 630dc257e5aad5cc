"""real_program.py - one of the real programs of tests/real/NAME.sh, run and measured.

Peak memory is that of the biggest process: the kernel's maximum for the processes that were waited
for, or what the script found itself (a server's VmHWM).
"""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "bench"))

import measure
from measure import Failure, Sample

PROGRAMS = ["python3", "sqlite3", "perl", "git", "gcc", "xmllint", "xz", "redis", "bash",
            "coreutils", "node"]
RUN_LIMIT_S = 240


class Program:
    def __init__(self, name, folder):
        self.name, self.folder = name, os.path.join(folder, name)
        self.script = os.path.join(HERE, name + ".sh")
        self.expected = None

    def command(self, *args):
        return ["/bin/bash", self.script, *args]

    def prepare(self):
        if subprocess.run(self.command("prepare"), stdin=subprocess.DEVNULL).returncode != 0:
            raise SystemExit(2)

    def run(self, heap, evidence=False, limit_s=RUN_LIMIT_S, more_env=()):
        """One run on a heap, `system` or a library's path; gives its Sample. Its output must be
        that of the first run."""
        peak = self.folder + ".peak"
        env = dict(os.environ, **dict(more_env))
        if evidence:
            env["REAL_EVIDENCE"] = "1"
        command = ["/usr/bin/time", "-q", "-f", "%M", "-o", peak,
                   *self.command("run", heap, self.folder, "bench")]
        status, wall_s, cpu_s = measure.run(command, limit_s, env=env)
        measure.check_status(status, self.tail("err"))
        self.compare()
        if evidence:
            self.check_evidence(heap)
        own = os.path.join(self.folder, "peak_kib")
        with open(own if os.path.exists(own) else peak, encoding="ascii") as file:
            peak_kib = int(file.read())
        return Sample(wall_s, cpu_s, peak_kib)

    def compare(self):
        made = subprocess.run(self.command("result", self.folder), stdout=subprocess.PIPE,
                              stdin=subprocess.DEVNULL)
        if made.returncode != 0 or not made.stdout:
            raise Failure("output", f"no output\n{self.tail('err')}")
        if self.expected is None:
            self.expected = made.stdout
        elif made.stdout != self.expected:
            ours, first = made.stdout.splitlines(), self.expected.splitlines()
            where = next((i for i, pair in enumerate(zip(first, ours)) if pair[0] != pair[1]),
                         min(len(first), len(ours)))
            raise Failure("output", f"its output differs from line {where + 1} on")

    def check_evidence(self, heap):
        done = subprocess.run(self.command("evidence", self.folder, heap), text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise Failure("not-loaded", done.stderr.strip())

    def tail(self, name):
        return measure.tail(os.path.join(self.folder, name))
