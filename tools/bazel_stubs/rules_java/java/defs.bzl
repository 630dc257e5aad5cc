"""The rules of rules_java that Bazel's own tools load, as Bazel 4 has them built in.

Kiln has no Java. Bazel loads these when it looks for the tools of a test."""

java_binary = native.java_binary
java_import = native.java_import
java_library = native.java_library
java_runtime = native.java_runtime
java_toolchain = native.java_toolchain
