/* reach.c - `kiln prove --reach` starts here instead of at a harness: that no input comes to its
 * end is to be refuted, and so is each PROOF_REACHED on the way. */
void harness(void);
void reach(void);

#ifndef __CPROVER__ /* who only reads it, as the lint check does */
void __CPROVER_assert(_Bool holds, const char *law);
#endif

void reach(void)
{
    harness();
    __CPROVER_assert(0, "reached: the end");
}
