"""One static library of a target and all that it depends on."""

def _kiln_archive_impl(ctx):
    objects = []
    for input in ctx.attr.dep[CcInfo].linking_context.linker_inputs.to_list():
        for library in input.libraries:
            objects += library.pic_objects or library.objects
    toolchain = ctx.attr._cc_toolchain[cc_common.CcToolchainInfo]
    archive = ctx.actions.declare_file(ctx.label.name)
    arguments = ctx.actions.args()
    arguments.add("rcsD")
    arguments.add(archive)
    arguments.add_all(objects)
    ctx.actions.run(
        executable = toolchain.ar_executable,
        arguments = [arguments],
        inputs = objects,
        tools = toolchain.all_files,
        outputs = [archive],
        mnemonic = "KilnArchive",
    )
    return [DefaultInfo(
        files = depset([archive]),
        runfiles = ctx.runfiles(files = [archive]),
    )]

kiln_archive = rule(
    implementation = _kiln_archive_impl,
    attrs = {
        "dep": attr.label(mandatory = True, providers = [CcInfo]),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
)
