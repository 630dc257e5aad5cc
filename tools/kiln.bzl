"""Kiln's own build rules: the C rules with the project's warnings, and bash tests.

Flags that depend on what a build is for (sanitizers, 32 bits, engines) are in .bazelrc."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")

KILN_WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wundef",
    "-Wshadow",
    "-Wconversion",
    "-Werror",
]

# Only what says otherwise leaves libkiln.so.
KILN_COPTS = KILN_WARNINGS + ["-fvisibility=hidden"]

# Three bits of an address, where HWASan's aliasing mode has its tags on x86-64 (allocator/heap/given.h).
KILN_TAGGED = [
    "-DKILN_TAG_BITS=3",
    "-DKILN_TAG_SHIFT=39",
    "-Wno-unused-command-line-argument",
]

def kiln_library(name, srcs = [], hdrs = [], deps = [], copts = [], **kwargs):
    """A noun of the allocator: its sources and the header that is its contract."""
    visibility = kwargs.pop("visibility", ["//visibility:public"])
    cc_library(
        name = name,
        srcs = srcs,
        hdrs = hdrs,
        copts = KILN_COPTS + copts,
        linkstatic = True,
        visibility = visibility,
        deps = deps,
        **kwargs
    )

def kiln_core_files(exclude = []):
    """The files of this package that //allocator:watched_core compiles once more, in a way of its own.

    Args:
      exclude: sources that no heap for embedders needs.
    """
    for name, kind in [("core_sources", "c"), ("core_headers", "h")]:
        native.filegroup(
            name = name,
            srcs = native.glob(["*." + kind], exclude = exclude),
            visibility = ["//allocator:__pkg__"],
        )

def kiln_binary(name, srcs = [], deps = [], data = [], copts = [], **kwargs):
    """A program, or with linkshared = True a shared library."""
    visibility = kwargs.pop("visibility", ["//visibility:public"])
    cc_binary(
        name = name,
        srcs = srcs,
        copts = KILN_COPTS + copts,
        data = data,
        visibility = visibility,
        deps = deps,
        **kwargs
    )

def kiln_test(name, srcs, deps = [], data = [], args = [], size = "small", copts = [], **kwargs):
    """A test program in C; it passes when it exits with 0."""
    cc_test(
        name = name,
        size = size,
        srcs = srcs,
        args = args,
        copts = KILN_COPTS + copts,
        data = data,
        linkstatic = True,
        deps = deps + ["//tests:kiln_test"],
        **kwargs
    )

def kiln_sh_test(name, srcs, data = [], deps = [], tags = [], size = "medium", **kwargs):
    """A test in bash, run from the root of its runfiles.

    Args:
      name: the target's name.
      srcs: exactly one bash script.
      data: files it reads and programs it runs.
      deps: sh_library targets it sources.
      tags: "no-sanitizer" keeps it out of asan, msan, ubsan and tsan; "no-tsan" out of tsan;
        "no-valgrind" out of valgrind; "watch" out of all but those;
        "no-fast" and "no-fuzz" out of the phase of that profile; "real" out of all but release
        and those; "once" out of every config; "hwasan" into that one, which has no others;
        "no-emulator" out of 32 bits where qemu-i386 runs
        them, which lacks what it asks the kernel for, or takes minutes.
      size: how long it may take.
      **kwargs: as for sh_test.
    """
    native.sh_test(
        name = name,
        size = size,
        srcs = srcs,
        data = data,
        tags = tags,
        deps = deps,
        **kwargs
    )
