#include "allocator/api/unwind.h"

#include "allocator/api/module.h"

#include <string.h>

/* The tables are described in the DWARF standard, "Call Frame Information", and in the Linux
 * Standard Base, "Exception Frames", which says how .eh_frame differs from .debug_frame. */

enum {
    WORD_BYTES = sizeof(uintptr_t),
    REMEMBERED_MAX = 4,
    EXPRESSION_DEPTH = 8,
    POINTER_OMITTED = 0xff,
    POINTER_PCREL = 0x10,
    POINTER_DATAREL = 0x30,
    SEARCH_TABLE =
        0x3b, /* pairs of signed 4-byte offsets from the header: all linkers make it so */
};

/* Bytes of a table, from `at` on. A read past the end gives 0 and leaves `ok` false. */
typedef struct bytes {
    const unsigned char *at, *end;
    bool ok;
} bytes_t;

typedef enum rule_kind {
    RULE_SAME,
    RULE_UNDEFINED,
    RULE_AT,       /* at the frame's address plus `value` */
    RULE_PLUS,     /* is the frame's address plus `value` */
    RULE_REGISTER, /* in register `value` */
    RULE_AT_EXPRESSION,
    RULE_EXPRESSION,
} rule_kind_t;

typedef struct rule {
    rule_kind_t kind;
    intptr_t value;
    const unsigned char *expression; /* its length, then its bytes */
} rule_t;

typedef struct row {
    rule_t registers[KILN_UNWIND_REGISTERS];
    unsigned frame_register;
    intptr_t frame_offset;
    const unsigned char *frame_expression; /* NULL: register plus offset */
} row_t;

typedef struct table {
    uintptr_t pc_start;  /* of the function that the table is for */
    bytes_t first, then; /* instructions common to many functions, and of this one */
    uint64_t code_unit;
    int64_t data_unit;
    unsigned char pointers;
    bool is_signal;
} table_t;

static uint64_t take(bytes_t *from, size_t count)
{
    uint64_t number = 0;
    if (count > 8 || (size_t)(from->end - from->at) < count) {
        from->ok = false;
        from->at = from->end;
        return 0;
    }
    memcpy(&number, from->at, count); /* x86 is little-endian */
    from->at += count;
    return number;
}

static uint64_t take_uleb(bytes_t *from)
{
    uint64_t number = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint64_t byte = take(from, 1);
        if (shift < 64) number |= (byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) return number;
    }
}

static int64_t take_sleb(bytes_t *from)
{
    uint64_t number = 0, byte;
    unsigned shift = 0;
    do {
        byte = take(from, 1);
        if (shift < 64) number |= (byte & 0x7f) << shift;
        shift += 7;
    } while ((byte & 0x80) != 0);
    if (shift < 64 && (byte & 0x40) != 0) number |= ~UINT64_C(0) << shift;
    return (int64_t)number;
}

/* A pointer as `encoding` has it; `datarel` is the address of the header. */
static uintptr_t take_pointer(bytes_t *from, unsigned encoding, const unsigned char *datarel)
{
    uintptr_t place = (uintptr_t)from->at, value;
    switch (encoding & 0x0f) {
    case 0x00:
        value = (uintptr_t)take(from, WORD_BYTES);
        break;
    case 0x01:
        value = (uintptr_t)take_uleb(from);
        break;
    case 0x02:
        value = (uintptr_t)take(from, 2);
        break;
    case 0x03:
        value = (uintptr_t)take(from, 4);
        break;
    case 0x04:
    case 0x0c:
        value = (uintptr_t)take(from, 8);
        break;
    case 0x09:
        value = (uintptr_t)take_sleb(from);
        break;
    case 0x0a:
        value = (uintptr_t)(int16_t)take(from, 2);
        break;
    case 0x0b:
        value = (uintptr_t)(int32_t)take(from, 4);
        break;
    default:
        from->ok = false;
        return 0;
    }
    switch (encoding & 0x70) {
    case 0x00:
        return value;
    case POINTER_PCREL:
        return value + place;
    case POINTER_DATAREL:
        return value + (uintptr_t)datarel;
    default:
        from->ok = false;
        return 0;
    }
}

/* One record of .eh_frame: its bytes after the length. */
static bytes_t open_record(const unsigned char *at, const kiln_module_t *module)
{
    bytes_t record = {at, (const unsigned char *)module->end, true};
    if ((uintptr_t)at < module->start || (uintptr_t)at >= module->end) record.end = at;
    uint64_t length = take(&record, 4);
    if (length == 0 || length > (uint64_t)(record.end - record.at)) record.ok = false;
    if (record.ok) record.end = record.at + length;
    return record;
}

static bool read_common(const unsigned char *at, const kiln_module_t *module, table_t *table)
{
    bytes_t from = open_record(at, module);
    uint64_t id = take(&from, 4), version = take(&from, 1);
    if (!from.ok || id != 0 || (version != 1 && version != 3)) return false;
    const char *augmentation = (const char *)from.at;
    const void *mark = memchr(from.at, '\0', (size_t)(from.end - from.at));
    if (!mark) return false;
    from.at = (const unsigned char *)mark + 1;
    table->code_unit = take_uleb(&from);
    table->data_unit = take_sleb(&from);
    if ((version == 1 ? take(&from, 1) : take_uleb(&from)) != KILN_UNWIND_PC) return false;
    table->pointers = 0;
    table->is_signal = false;
    if (augmentation[0] != 'z') return false;
    uint64_t length = take_uleb(&from);
    if (length > (uint64_t)(from.end - from.at)) return false;
    const unsigned char *instructions = from.at + length;
    for (const char *letter = augmentation + 1; *letter != '\0'; letter++) {
        if (*letter == 'R')
            table->pointers = (unsigned char)take(&from, 1);
        else if (*letter == 'P')
            (void)take_pointer(&from, (unsigned)take(&from, 1) & 0x0f, NULL);
        else if (*letter == 'L')
            (void)take(&from, 1);
        else if (*letter == 'S')
            table->is_signal = true;
        else
            return false;
    }
    table->first = (bytes_t){instructions, from.end, true};
    return from.ok;
}

static bool read_function(const unsigned char *at, uintptr_t pc, const kiln_module_t *module,
                          table_t *table)
{
    bytes_t from = open_record(at, module);
    const unsigned char *place = from.at;
    uint64_t back = take(&from, 4);
    if (!from.ok || back == 0 || back > (uint64_t)((uintptr_t)place - module->start)) return false;
    if (!read_common(place - back, module, table)) return false;
    table->pc_start = take_pointer(&from, table->pointers, NULL);
    uintptr_t pc_bytes = take_pointer(&from, table->pointers & 0x0f, NULL);
    uint64_t length = take_uleb(&from);
    if (!from.ok || pc - table->pc_start >= pc_bytes) return false;
    if (length > (uint64_t)(from.end - from.at)) return false;
    from.at += length;
    table->then = from;
    return true;
}

/* The last pair of the header's sorted table that does not start after `pc`. */
static bool find_table(uintptr_t pc, table_t *table)
{
    kiln_module_t module;
    if (!kiln_module_find(pc, &module) || !module.frame_header) return false;
    const unsigned char *header = module.frame_header;
    if ((uintptr_t)header < module.start || (uintptr_t)header >= module.end) return false;
    bytes_t from = {header, (const unsigned char *)module.end, true};
    uint64_t version = take(&from, 1);
    unsigned frame_pointer = (unsigned)take(&from, 1), count_encoding = (unsigned)take(&from, 1);
    if (version != 1 || take(&from, 1) != SEARCH_TABLE || count_encoding == POINTER_OMITTED)
        return false;
    (void)take_pointer(&from, frame_pointer, header);
    uintptr_t count = take_pointer(&from, count_encoding, header);
    if (!from.ok || count == 0 || count > (uintptr_t)(from.end - from.at) / 8) return false;
    uintptr_t low = 0, high = count;
    while (high - low > 1) {
        uintptr_t middle = low + (high - low) / 2;
        bytes_t pair = {from.at + 8 * middle, from.end, true};
        if (take_pointer(&pair, SEARCH_TABLE, header) <= pc)
            low = middle;
        else
            high = middle;
    }
    bytes_t pair = {from.at + 8 * low, from.end, true};
    (void)take_pointer(&pair, SEARCH_TABLE, header);
    uintptr_t record = take_pointer(&pair, SEARCH_TABLE, header);
    return pair.ok && read_function((const unsigned char *)record, pc, &module, table);
}

/* ---- the instructions: how the row for a pc comes about ---- */

typedef struct machine {
    table_t table;
    row_t row, first;
    row_t remembered[REMEMBERED_MAX];
    unsigned remembered_count;
    uintptr_t at; /* the pc from which the row is right */
} machine_t;

/* Ruined tables say anything: products wrap. */
static int64_t scaled(uint64_t number, int64_t unit)
{
    return (int64_t)(number * (uint64_t)unit);
}

/* Rules for registers that nobody asks for (vector registers) go nowhere. */
static void set_rule(machine_t *machine, uint64_t number, rule_t rule)
{
    if (number < KILN_UNWIND_REGISTERS) machine->row.registers[number] = rule;
}

static void set_offset(machine_t *machine, uint64_t number, rule_kind_t kind, int64_t value)
{
    set_rule(machine, number, (rule_t){kind, (intptr_t)value, NULL});
}

static void restore(machine_t *machine, uint64_t number)
{
    if (number < KILN_UNWIND_REGISTERS)
        machine->row.registers[number] = machine->first.registers[number];
}

static const unsigned char *take_expression(bytes_t *from)
{
    const unsigned char *expression = from->at;
    uint64_t length = take_uleb(from);
    if (length > (uint64_t)(from->end - from->at)) from->ok = false;
    if (from->ok) from->at += length;
    return expression;
}

static bool remember(machine_t *machine)
{
    if (machine->remembered_count == REMEMBERED_MAX) return false;
    machine->remembered[machine->remembered_count++] = machine->row;
    return true;
}

static bool restore_remembered(machine_t *machine)
{
    if (machine->remembered_count == 0) return false;
    machine->row = machine->remembered[--machine->remembered_count];
    return true;
}

/* How the frame's address is told, and where the row begins. False: not one of these. */
static bool run_frame(machine_t *machine, unsigned operation, bytes_t *from)
{
    uint64_t unit = machine->table.code_unit;
    row_t *row = &machine->row;
    switch (operation) {
    case 0x01: /* set_loc */
        machine->at = take_pointer(from, machine->table.pointers, NULL);
        return true;
    case 0x02: /* advance_loc1, 2, 4 */
    case 0x03:
        machine->at += (uintptr_t)(take(from, operation - 1) * unit);
        return true;
    case 0x04:
        machine->at += (uintptr_t)(take(from, 4) * unit);
        return true;
    case 0x0c: /* def_cfa */
    case 0x12: /* def_cfa_sf */
        row->frame_register = (unsigned)take_uleb(from);
        row->frame_offset = operation == 0x0c ? (intptr_t)take_uleb(from)
                                              : (intptr_t)scaled((uint64_t)take_sleb(from),
                                                                 machine->table.data_unit);
        row->frame_expression = NULL;
        return true;
    case 0x0d: /* def_cfa_register */
        row->frame_register = (unsigned)take_uleb(from);
        return true;
    case 0x0e: /* def_cfa_offset */
        row->frame_offset = (intptr_t)take_uleb(from);
        return true;
    case 0x0f: /* def_cfa_expression */
        row->frame_expression = take_expression(from);
        return true;
    case 0x13: /* def_cfa_offset_sf */
        row->frame_offset = (intptr_t)scaled((uint64_t)take_sleb(from), machine->table.data_unit);
        return true;
    default:
        return false;
    }
}

/* What becomes of a register. False: unknown, or a stack of rows that does not fit. */
static bool run_register(machine_t *machine, unsigned operation, bytes_t *from)
{
    int64_t unit = machine->table.data_unit;
    if (operation == 0x00) return true; /* nop */
    if (operation == 0x0a) return remember(machine);
    if (operation == 0x0b) return restore_remembered(machine);
    uint64_t number = take_uleb(from); /* all others, but the last, begin with a register */
    switch (operation) {
    case 0x05: /* offset_extended */
        set_offset(machine, number, RULE_AT, scaled(take_uleb(from), unit));
        return true;
    case 0x06:
        restore(machine, number);
        return true;
    case 0x07:
        set_offset(machine, number, RULE_UNDEFINED, 0);
        return true;
    case 0x08:
        set_offset(machine, number, RULE_SAME, 0);
        return true;
    case 0x09:
        set_offset(machine, number, RULE_REGISTER, (int64_t)take_uleb(from));
        return true;
    case 0x10:
        set_rule(machine, number, (rule_t){RULE_AT_EXPRESSION, 0, take_expression(from)});
        return true;
    case 0x11:
        set_offset(machine, number, RULE_AT, scaled((uint64_t)take_sleb(from), unit));
        return true;
    case 0x14:
        set_offset(machine, number, RULE_PLUS, scaled(take_uleb(from), unit));
        return true;
    case 0x15:
        set_offset(machine, number, RULE_PLUS, scaled((uint64_t)take_sleb(from), unit));
        return true;
    case 0x16:
        set_rule(machine, number, (rule_t){RULE_EXPRESSION, 0, take_expression(from)});
        return true;
    case 0x2e: /* GNU_args_size: how much is pushed; of no use here */
        return true;
    default:
        return false;
    }
}

static bool run(machine_t *machine, bytes_t from, uintptr_t pc)
{
    while (from.ok && from.at < from.end && machine->at <= pc) {
        unsigned byte = (unsigned)take(&from, 1), low = byte & 0x3f;
        if (byte >> 6 == 1)
            machine->at += (uintptr_t)(low * machine->table.code_unit);
        else if (byte >> 6 == 2)
            set_offset(machine, low, RULE_AT, scaled(take_uleb(&from), machine->table.data_unit));
        else if (byte >> 6 == 3)
            restore(machine, low);
        else if (!run_frame(machine, low, &from) && !run_register(machine, low, &from))
            return false;
    }
    return from.ok;
}

/* ---- expressions: a small stack machine ---- */

typedef struct expression {
    uintptr_t stack[EXPRESSION_DEPTH];
    unsigned depth;
    bool ok;
} expression_t;

static void push(expression_t *expression, uintptr_t value)
{
    if (expression->depth == EXPRESSION_DEPTH)
        expression->ok = false;
    else
        expression->stack[expression->depth++] = value;
}

static uintptr_t pop(expression_t *expression)
{
    if (expression->depth == 0) {
        expression->ok = false;
        return 0;
    }
    return expression->stack[--expression->depth];
}

static uintptr_t two_operands(unsigned operation, uintptr_t left, uintptr_t right)
{
    switch (operation) {
    case 0x1a:
        return left & right;
    case 0x1c:
        return left - right;
    case 0x21:
        return left | right;
    case 0x22:
        return left + right;
    case 0x24:
        return right < 8 * sizeof right ? left << right : 0;
    default:
        return (intptr_t)left >= (intptr_t)right; /* 0x2a */
    }
}

/* One operator. False: unknown. */
static bool operate(expression_t *expression, unsigned operation, bytes_t *from,
                    const uintptr_t *registers, const kiln_readable_t *memory)
{
    uintptr_t value;
    if (operation >= 0x30 && operation <= 0x4f) { /* a small number */
        push(expression, operation - 0x30);
    } else if (operation >= 0x70 && operation < 0x70 + KILN_UNWIND_REGISTERS) {
        push(expression, registers[operation - 0x70] + (uintptr_t)take_sleb(from));
    } else if (operation == 0x06) { /* what is at the address */
        if (!kiln_readable_word(memory, pop(expression), &value)) return false;
        push(expression, value);
    } else if (operation == 0x08 || operation == 0x0a || operation == 0x0c) {
        push(expression, (uintptr_t)take(from, (size_t)1 << (operation - 0x08) / 2));
    } else if (operation == 0x09) {
        push(expression, (uintptr_t)(int8_t)take(from, 1));
    } else if (operation == 0x10) {
        push(expression, (uintptr_t)take_uleb(from));
    } else if (operation == 0x11) {
        push(expression, (uintptr_t)take_sleb(from));
    } else if (operation == 0x23) {
        push(expression, pop(expression) + (uintptr_t)take_uleb(from));
    } else if (operation == 0x1a || operation == 0x1c || operation == 0x21 || operation == 0x22 ||
               operation == 0x24 || operation == 0x2a) {
        value = pop(expression);
        push(expression, two_operands(operation, pop(expression), value));
    } else {
        return false;
    }
    return expression->ok;
}

/* `start` is pushed first where `has_start`. The expression lies before `end`. */
static bool evaluate(const unsigned char *at, const unsigned char *end, const uintptr_t *registers,
                     const kiln_readable_t *memory, const uintptr_t *start, uintptr_t *out)
{
    expression_t expression = {.ok = true};
    bytes_t from = {at, end, true};
    uint64_t length = take_uleb(&from);
    if (length > (uint64_t)(from.end - from.at)) return false;
    from.end = from.at + length;
    if (start) push(&expression, *start);
    while (from.ok && from.at < from.end)
        if (!operate(&expression, (unsigned)take(&from, 1), &from, registers, memory)) return false;
    *out = pop(&expression);
    return from.ok && expression.ok;
}

/* ---- a step ---- */

static bool frame_address(const row_t *row, const table_t *table, const kiln_unwind_t *frame,
                          const kiln_readable_t *stack, uintptr_t *out)
{
    if (row->frame_expression)
        return evaluate(row->frame_expression, table->then.end, frame->registers, stack, NULL, out);
    if (row->frame_register >= KILN_UNWIND_REGISTERS) return false;
    *out = frame->registers[row->frame_register] + (uintptr_t)row->frame_offset;
    return true;
}

/* Tables of some compilers leave a register where it was saved after it was popped: it has its
 * value again, and what lies below the stack pointer, or its red zone, is a signal's by now. */
static bool is_popped(const kiln_unwind_t *frame, uintptr_t place)
{
    enum { RED_ZONE_BYTES = sizeof(void *) == 8 ? 128 : 0 };
    return frame->exact && place < frame->registers[KILN_UNWIND_SP] - RED_ZONE_BYTES;
}

static bool apply(const rule_t *rule, unsigned number, const table_t *table, uintptr_t address,
                  const kiln_unwind_t *frame, const kiln_readable_t *stack, uintptr_t *out)
{
    uintptr_t place;
    switch (rule->kind) {
    case RULE_UNDEFINED:
        *out = 0;
        return true;
    case RULE_AT:
        place = address + (uintptr_t)rule->value;
        if (is_popped(frame, place)) break;
        return kiln_readable_word(stack, place, out);
    case RULE_PLUS:
        *out = address + (uintptr_t)rule->value;
        return true;
    case RULE_REGISTER:
        if ((uintptr_t)rule->value >= KILN_UNWIND_REGISTERS) return false;
        *out = frame->registers[rule->value];
        return true;
    case RULE_AT_EXPRESSION:
        return evaluate(rule->expression, table->then.end, frame->registers, stack, &address,
                        &place) &&
               kiln_readable_word(stack, place, out);
    case RULE_EXPRESSION:
        return evaluate(rule->expression, table->then.end, frame->registers, stack, &address, out);
    case RULE_SAME:
        break;
    }
    *out = number == KILN_UNWIND_SP ? address : frame->registers[number];
    return true;
}

static bool step_by_table(kiln_unwind_t *frame, const kiln_readable_t *stack, const table_t *table,
                          uintptr_t pc)
{
    static machine_t machine; /* one walk at a time */
    memset(&machine, 0, sizeof machine);
    machine.table = *table;
    machine.at = table->pc_start;
    if (!run(&machine, table->first, UINTPTR_MAX)) return false;
    machine.first = machine.row;
    machine.at = table->pc_start;
    if (!run(&machine, table->then, pc)) return false;
    kiln_unwind_t next = {.exact = table->is_signal};
    uintptr_t address;
    if (!frame_address(&machine.row, table, frame, stack, &address)) return false;
    for (unsigned i = 0; i < KILN_UNWIND_REGISTERS; i++)
        if (!apply(&machine.row.registers[i], i, table, address, frame, stack, &next.registers[i]))
            return false;
    if (next.registers[KILN_UNWIND_PC] == 0) return false; /* the first function of a thread */
    if (!table->is_signal && address <= frame->registers[KILN_UNWIND_SP]) return false;
    *frame = next;
    return true;
}

/* Code without a table: made at run time, or written by hand. */
static bool step_by_frame_pointer(kiln_unwind_t *frame, const kiln_readable_t *stack)
{
    uintptr_t pointer = frame->registers[KILN_UNWIND_BP], next, pc;
    if (pointer < frame->registers[KILN_UNWIND_SP]) return false;
    if (!kiln_readable_word(stack, pointer, &next)) return false;
    if (!kiln_readable_word(stack, pointer + WORD_BYTES, &pc) || pc == 0) return false;
    frame->registers[KILN_UNWIND_SP] = pointer + 2 * sizeof pointer;
    frame->registers[KILN_UNWIND_BP] = next;
    frame->registers[KILN_UNWIND_PC] = pc;
    frame->exact = false;
    return true;
}

/* A return address may be the first byte of the next function: what counts is the call before. */
bool kiln_unwind_step(kiln_unwind_t *frame, const kiln_readable_t *stack)
{
    uintptr_t pc = frame->registers[KILN_UNWIND_PC] - (frame->exact ? 0 : 1);
    table_t table;
    if (find_table(pc, &table)) return step_by_table(frame, stack, &table, pc);
    return step_by_frame_pointer(frame, stack);
}
