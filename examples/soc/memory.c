/* Main memory is woken up before anything lies there: LiteDRAM's own sequence for an SDRAM. */
#include "generated/csr.h"

void memory_init(void);

#ifdef CSR_SDRAM_BASE

#include "generated/sdram_phy.h"

void memory_init(void) {
    sdram_dfii_control_write(DFII_CONTROL_CKE | DFII_CONTROL_ODT | DFII_CONTROL_RESET_N);
    init_sequence();
    sdram_dfii_control_write(DFII_CONTROL_SEL);
}

#else

void memory_init(void) {}

#endif
