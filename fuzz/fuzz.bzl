"""cc_fuzz_test, called the way rules_fuzzing calls it.

The engine and its instrumentation are those of the build's config (asan-libfuzzer, msan-afl, ...);
without one, a fuzz test is a plain program that replays its corpus."""

load("//tools:kiln.bzl", "kiln_binary", "kiln_library", "kiln_sh_test")

def _fuzzing_corpus_impl(ctx):
    folder = ctx.actions.declare_directory(ctx.attr.name)
    ctx.actions.run_shell(
        outputs = [folder],
        inputs = ctx.files.srcs,
        command = 'out=$1; shift; mkdir -p "$out"; [ $# = 0 ] || cp -L "$@" "$out"',
        arguments = [folder.path] + [src.path for src in ctx.files.srcs],
        mnemonic = "FuzzingCorpus",
    )
    return [DefaultInfo(
        files = depset([folder]),
        runfiles = ctx.runfiles(files = [folder]),
    )]

fuzzing_corpus = rule(
    implementation = _fuzzing_corpus_impl,
    doc = "One folder with all the inputs of a fuzz test. Names of files must differ.",
    attrs = {"srcs": attr.label_list(allow_files = True)},
)

def cc_fuzz_test(
        name,
        srcs = [],
        corpus = [],
        dicts = [],
        engine = "//fuzz/engines:engine",
        deps = [],
        tags = [],
        size = "small",
        **kwargs):
    """A fuzz test: one source with LLVMFuzzerTestOneInput, its corpus and its dictionaries.

    It makes
      NAME           a test that runs every input of the corpus once, under any config
      NAME_target    a library: the target, without main
      NAME_tool      a program for kiln shrink and kiln sim
      NAME_raw_      the program with the engine's main
      NAME_bin       the same; where a transition would instrument it, configs do here
      NAME_run       `bazel run --config=asan-libfuzzer //fuzz:NAME_run -- --seconds=60` fuzzes
      NAME_corpus    a folder with the corpus
      NAME_dict      the dictionaries as one
      NAME_oss_fuzz  what continuous fuzzing takes: NAME, NAME.dict, NAME.options, NAME_seed_corpus.zip

    Args:
      name: the target's name.
      srcs: the source of the target.
      corpus: files, or targets of files, to start from and to replay.
      dicts: dictionaries in the format that libFuzzer and AFL++ share.
      engine: what supplies main: a cc_library.
      deps: what is fuzzed.
      tags: more tags; "fuzz-test" is always there.
      size: of the test NAME.
      **kwargs: for the target's library.
    """
    tags = tags + ["fuzz-test"]
    kiln_library(
        name = name + "_target",
        srcs = srcs,
        alwayslink = True,
        tags = ["manual"],
        testonly = True,
        deps = deps,
        **kwargs
    )
    for program, main in [("_raw_", engine), ("_tool", "//fuzz:tool")]:
        kiln_binary(
            name = name + program,
            tags = tags + ["manual"],
            testonly = True,
            deps = [":" + name + "_target", main],
        )
    native.alias(
        name = name + "_bin",
        actual = name + "_raw_",
        testonly = True,
        visibility = ["//visibility:public"],
    )
    fuzzing_corpus(
        name = name + "_corpus",
        srcs = corpus,
        visibility = ["//visibility:public"],
    )
    native.genrule(
        name = name + "_dict",
        srcs = dicts,
        outs = [name + ".dict"],
        cmd = "cat /dev/null $(SRCS) > $@",
        visibility = ["//visibility:public"],
    )
    kiln_sh_test(
        name = name,
        size = size,
        srcs = ["//fuzz/engines:replay.sh"],
        args = ["$(rootpath :%s_bin)" % name, "$(rootpath :%s_corpus)" % name],
        data = [name + "_bin", name + "_corpus"],
        tags = tags,
    )
    native.sh_binary(
        name = name + "_run",
        srcs = ["//fuzz/engines:launch.sh"],
        args = [
            "--binary=$(rootpath :%s_bin)" % name,
            "--corpus=$(rootpath :%s_corpus)" % name,
            "--dict=$(rootpath :%s_dict)" % name,
        ],
        data = [name + "_bin", name + "_corpus", name + "_dict"],
        tags = ["manual"],
        testonly = True,
    )
    native.genrule(
        name = name + "_oss_fuzz",
        srcs = [name + "_bin", name + "_corpus", name + "_dict"],
        outs = ["oss_fuzz/" + part for part in [name, name + ".dict", name + ".options", name + "_seed_corpus.zip"]],
        cmd = " && ".join([
            "cp -L $(execpath :%s_bin) $(RULEDIR)/oss_fuzz/%s" % (name, name),
            "cp -L $(execpath :%s_dict) $(RULEDIR)/oss_fuzz/%s.dict" % (name, name),
            "printf '[libfuzzer]\\nmax_len = 4096\\ntimeout = 25\\n' > $(RULEDIR)/oss_fuzz/%s.options" % name,
            "$(execpath //fuzz/engines:zip.sh) $(RULEDIR)/oss_fuzz/%s_seed_corpus.zip $(execpath :%s_corpus)" % (name, name),
        ]),
        exec_tools = ["//fuzz/engines:zip.sh"],
        tags = ["manual"],
        testonly = True,
    )
