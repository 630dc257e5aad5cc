/* standalone_main.c - runs inputs without a fuzzing engine, built by any compiler.
 *
 *   TARGET FILE|FOLDER...          run each input; exit 0, or die at the first that breaks a law
 *   TARGET --trace FILE            the same, and write the steps
 *   TARGET --text FILE             write the input as operations (fuzz/ops.h)
 *   TARGET --c NAME FILE           write it as C that makes the array NAME
 *   TARGET --bytes TEXTFILE OUT    the way back */
#define _POSIX_C_SOURCE 200809L
#include "fuzz/target.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_BYTES_MAX = 1 << 20, TEXT_BYTES_MAX = 16 << 20, EXIT_USAGE = 2 };

static uint8_t file_bytes[FILE_BYTES_MAX];
static char text_bytes[TEXT_BYTES_MAX]; /* of a file of bytes, which take up to 13 each */
static unsigned long inputs_run;

static int complain(const char *path, const char *what)
{
    fprintf(stderr, "%s_fuzz: %s: %s\n", kiln_fuzz_words.target, path, what);
    return EXIT_USAGE;
}

static int read_file(const char *path, void *out, size_t max, size_t *out_size)
{
    FILE *file = fopen(path, "rb");
    if (!file) return complain(path, strerror(errno));
    *out_size = fread(out, 1, max, file);
    int wrong = ferror(file) ? complain(path, strerror(errno)) : 0;
    if (!wrong && *out_size == max)
        wrong = complain(path, max > FILE_BYTES_MAX ? "larger than 16 MiB; give a smaller file"
                                                    : "larger than 1 MiB; give a smaller file");
    fclose(file);
    return wrong;
}

static int run_file(const char *path)
{
    size_t size;
    int wrong = read_file(path, file_bytes, sizeof file_bytes, &size);
    if (wrong) return wrong;
    /* Before the run: whatever ends the program, the last line names the input. */
    printf("running %s\n", path);
    fflush(stdout);
    /* A copy of exactly that size, so that a sanitizer sees a read beyond it. */
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact) return complain(path, "no memory");
    if (size) memcpy(exact, file_bytes, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    inputs_run++;
    return 0;
}

static int run_path(const char *path)
{
    struct stat about;
    struct dirent **entries;
    if (stat(path, &about) != 0) return complain(path, strerror(errno));
    if (!S_ISDIR(about.st_mode)) return run_file(path);
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) return complain(path, strerror(errno));
    int wrong = 0;
    for (int i = 0; i < count; i++) {
        char file[4096];
        int length = snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        if (!wrong && entries[i]->d_name[0] != '.')
            wrong = length < (int)sizeof file ? run_path(file) : complain(path, "too deep");
        free(entries[i]);
    }
    free(entries);
    return wrong;
}

/* print_text writes the text form; where there is a `c_name`, the C form. */
static int print_text(const char *path, const char *c_name)
{
    size_t size, length;
    int wrong = read_file(path, file_bytes, sizeof file_bytes, &size);
    if (wrong) return wrong;
    if (c_name)
        length = kiln_fuzz_c_of(&kiln_fuzz_words, c_name, file_bytes, size, text_bytes,
                                sizeof text_bytes);
    else
        length =
            kiln_fuzz_text_of(&kiln_fuzz_words, file_bytes, size, text_bytes, sizeof text_bytes);
    if (length >= sizeof text_bytes)
        return complain(path, "its text is larger than 16 MiB; give a smaller file");
    fputs(text_bytes, stdout);
    return 0;
}

static int write_bytes(const char *text_path, const char *out_path)
{
    size_t size;
    unsigned line = 0;
    int wrong = read_file(text_path, text_bytes, sizeof text_bytes - 1, &size);
    if (wrong) return wrong;
    text_bytes[size] = 0;
    if (strlen(text_bytes) != size)
        return complain(text_path, "holds a zero byte, so it is no text: is it an input already?");
    const char *reason = kiln_fuzz_bytes_of(&kiln_fuzz_words, text_bytes, file_bytes,
                                            sizeof file_bytes, &size, &line);
    if (reason) {
        fprintf(stderr, "%s:%u: %s\n", text_path, line, reason);
        return EXIT_USAGE;
    }
    FILE *out = fopen(out_path, "wb");
    if (!out) return complain(out_path, strerror(errno));
    size_t wrote = fwrite(file_bytes, 1, size, out);
    if (fclose(out) != 0 || wrote != size) return complain(out_path, strerror(errno));
    return 0;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: %s_fuzz [--trace] FILE|FOLDER...\n"
            "       %s_fuzz --text FILE\n"
            "       %s_fuzz --c NAME FILE\n"
            "       %s_fuzz --bytes TEXTFILE OUT\n",
            kiln_fuzz_words.target, kiln_fuzz_words.target, kiln_fuzz_words.target,
            kiln_fuzz_words.target);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    int first = 1, wrong = 0;
    if (argc == 3 && strcmp(argv[1], "--text") == 0) return print_text(argv[2], NULL);
    if (argc == 4 && strcmp(argv[1], "--c") == 0) return print_text(argv[3], argv[2]);
    if (argc == 4 && strcmp(argv[1], "--bytes") == 0) return write_bytes(argv[2], argv[3]);
    if (argc > 1 && strcmp(argv[1], "--trace") == 0) {
        kiln_fuzz_tracing = true;
        first = 2;
    }
    if (first >= argc || argv[first][0] == '-') return usage();
    for (int i = first; i < argc && !wrong; i++) wrong = run_path(argv[i]);
    if (!wrong) printf("%lu inputs, no law broken\n", inputs_run);
    if (!wrong && inputs_run == 0) wrong = complain(argv[first], "holds no input");
    return wrong;
}
