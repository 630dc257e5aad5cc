"""heaps.py - the heaps that are compared: where they are, how a program is put on one.

A heap is a library that is preloaded, or a build of the workloads with a heap of its own (asan).
That it is the one that served a workload, the workload says itself: which file its calls of malloc
reach. Real programs are asked through the dynamic linker (tests/real/lib.sh).
"""

import os
import re
import subprocess

from measure import Failure

BASE = "glibc"
KILN = "kiln"

# Debian's: NAME, PACKAGE, pattern of the library's path in it.
PEERS = [
    ("mimalloc", "libmimalloc2.0", r"/libmimalloc\.so\.2$"),
    ("jemalloc", "libjemalloc2", r"/libjemalloc\.so\.2$"),
    ("tcmalloc", "libtcmalloc-minimal4", r"/libtcmalloc_minimal\.so\.4$"),
    ("scudo", "libclang-rt-19-dev", r"/libclang_rt\.scudo_standalone-x86_64\.so$"),
    ("dislocator", "afl++", r"/libdislocator\.so$"),
]
ASAN = "asan"
# Heaps that do nothing that can be left out (floor_heap.c), and nothing but the checks of a hardened
# one (floor_hardened_heap.c): bounds for the others, for blocks of one size on one thread.
FLOORS, FLOOR_GROUPS = ["floor", "floor-hardened"], ("sizes",)
# Kiln's profiles, as heaps of their own.
PROFILES = {KILN: {"KILN_OPTIONS": "profile=fast"}, "kiln-hardened": {"KILN_OPTIONS": "profile=hardened"},
            "kiln-fuzz": {"KILN_OPTIONS": "profile=fuzz"}}
NAMES = list(PROFILES) + [name for name, _, _ in PEERS] + [ASAN] + FLOORS
FUNCTIONS = ("malloc", "calloc", "realloc", "free")


class Unknown(Exception):
    """A heap that was asked for and is not there; the text says the remedy."""


class Heap:
    def __init__(self, name, library=None, settings=None, program=None, groups=None):
        self.name, self.library, self.settings = name, library, settings or {}
        self.program = program  # the build of the workloads that has this heap in it
        self.groups = groups    # of workloads that it can serve; None: all

    def serves(self, group):
        return self.groups is None or group in self.groups

    def runs_programs(self):
        """Whether programs that are already built can be put on it."""
        return self.program is None

    def environment(self):
        env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", **self.settings}
        if os.environ.get("KILN_OPTIONS"):  # a heap's own settings come last, and win
            env["KILN_OPTIONS"] = ":".join(filter(None, (os.environ["KILN_OPTIONS"],
                                                         self.settings.get("KILN_OPTIONS"))))
        if self.library:
            env["LD_PRELOAD"] = self.library
        return env

    def check_served(self, report, program):
        """Fails unless a workload's report says that this heap served it."""
        for function in FUNCTIONS:
            found = report[function]
            if self.library:
                good = os.path.realpath(found) == os.path.realpath(self.library)
            elif self.program:
                good = os.path.realpath(found) == os.path.realpath(program)
            else:
                good = re.search(r"/libc\.so\.6$", found)
            if not good:
                raise Failure("not-loaded", f"{function} was that of {found}")


def path_of(package, pattern):
    listed = subprocess.run(["dpkg-query", "-L", package], capture_output=True, text=True,
                            stdin=subprocess.DEVNULL)
    for path in listed.stdout.splitlines():
        if re.search(pattern, path):
            return path
    return None


def find_peer(name):
    for peer, package, pattern in PEERS:
        if peer == name:
            path = path_of(package, pattern)
            if path is None:
                raise Unknown(f"the heap '{name}' is not here; apt-get install {package}")
            return Heap(name, path)
    raise Unknown(f"there is no heap '{name}'; there are {', '.join(NAMES)}, and NAME=LIB.so")


def parse_own(text):
    """A heap of the caller's: NAME=LIB.so, then any number of ,VARIABLE=VALUE."""
    name, _, rest = text.partition("=")
    library, *settings = rest.split(",")
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise Unknown(f"'{text}': a heap's name is of letters, digits and - _ .")
    if not os.path.isfile(library):
        raise Unknown(f"'{text}': there is no file '{library}'; NAME=LIB.so wants a library's path")
    path = os.path.abspath(library)
    if re.search(r"[\s:]", path):
        raise Unknown(f"LD_PRELOAD cannot carry a path with a space or a colon: '{path}'; move it")
    for setting in settings:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*=.*", setting):
            raise Unknown(f"'{text}': '{setting}' is not VARIABLE=VALUE")
    return Heap(name, path, dict(setting.split("=", 1) for setting in settings))


def choose(wanted, own, kiln_library, asan_program, floor_libraries):
    """The heaps to compare, the base first. `wanted` names known ones, None: all; `own` is a list of
    NAME=LIB.so."""
    chosen = [Heap(BASE)]
    for name in NAMES if wanted is None else wanted:
        if name in PROFILES:
            if not kiln_library or not os.path.isfile(kiln_library):
                raise Unknown(f"there is no libkiln.so at '{kiln_library}'; set KILN_LIB")
            chosen.append(Heap(name, os.path.abspath(kiln_library), PROFILES[name]))
        elif name == ASAN:
            if not asan_program or not os.path.isfile(asan_program):
                raise Unknown("the heap 'asan' wants a build of the workloads; set KILN_WORKLOAD_ASAN")
            chosen.append(Heap(ASAN, None, {"ASAN_OPTIONS": "detect_leaks=0"}, asan_program))
        elif name in FLOORS:
            library = os.path.join(floor_libraries or "", name.replace("-", "_") + "_heap.so")
            if not os.path.isfile(library):
                raise Unknown(f"the heap '{name}' wants its library; set KILN_FLOORS to its folder")
            chosen.append(Heap(name, os.path.abspath(library), groups=FLOOR_GROUPS))
        elif name != BASE:
            chosen.append(find_peer(name))
    chosen += [parse_own(text) for text in own]
    names = [heap.name for heap in chosen]
    for name in names:
        if names.count(name) > 1:
            raise Unknown(f"two heaps are called '{name}'; give one another name")
    return chosen
