/* See system.h. Registers are LiteX's: csr.h. */
#include "system.h"

#include "generated/csr.h"
#include "sparnn.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

static void put_character(char c) {
    while (REGISTER(CSR_UART_TXFULL_ADDR))
        ;
    REGISTER(CSR_UART_RXTX_ADDR) = (uint8_t)c;
}

static void put_number(int32_t value) {
    char digits[10];
    uint32_t rest = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
    int count = 0;
    put_character(' ');
    if (value < 0)
        put_character('-');
    do
        digits[count++] = (char)('0' + rest % 10);
    while (rest /= 10);
    while (count)
        put_character(digits[--count]);
}

void print(const char *word, int number, uint32_t cycles, uint32_t machine_cycles,
           const int32_t *outputs) {
    while (*word)
        put_character(*word++);
    put_number(number);
    put_number((int32_t)cycles);
    put_number((int32_t)machine_cycles);
    for (int i = 0; outputs && i < SPARNN_LAYER1_UNITS; i++)
        put_number(outputs[i]);
    put_character('\n');
}

uint32_t timer_now(void) {
    if (!REGISTER(CSR_TIMER0_EN_ADDR)) {
        REGISTER(CSR_TIMER0_LOAD_ADDR) = 0xFFFFFFFFu;
        REGISTER(CSR_TIMER0_RELOAD_ADDR) = 0xFFFFFFFFu;
        REGISTER(CSR_TIMER0_EN_ADDR) = 1;
    }
    REGISTER(CSR_TIMER0_UPDATE_VALUE_ADDR) = 1;
    return ~REGISTER(CSR_TIMER0_VALUE_ADDR);
}
