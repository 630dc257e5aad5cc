/* report_text.h - a report as people read it, in the shape of AddressSanitizer's. */
#ifndef KILN_ALLOCATOR_API_REPORT_TEXT_H
#define KILN_ALLOCATOR_API_REPORT_TEXT_H

#include "allocator/api/out.h"
#include "allocator/api/report.h"

/* kiln_report_text_head writes the lines that need no symbolizer, and can be flushed before it is
 * asked; kiln_report_text_body all the rest. */
void kiln_report_text_head(const kiln_report_t *report, kiln_out_t *out);
void kiln_report_text_body(const kiln_report_t *report, kiln_out_t *out);

#endif
