#include "allocator/api/report_options.h"

kiln_report_options_t kiln_report_options = {
    .forms = KILN_REPORT_TEXT,
    .symbolize = true,
    .abort_on_error = true,
    .halt_on_error = true,
    .handle_segv = true,
    .handle_sigbus = true,
    .may_return_null = true,
    .exitcode = 1,
    .malloc_context_size = 16,
};
