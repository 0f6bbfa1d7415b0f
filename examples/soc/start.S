# Reset: a stack, main memory, variables that are zero or have their values, main; then wait.
.section .start, "ax"
.global _start
_start:
    la sp, stack_top
    call memory_init
    la t0, data_load
    la t1, data_start
    la t2, data_end
1:  bgeu t1, t2, 2f
    lw t3, 0(t0)
    sw t3, 0(t1)
    addi t0, t0, 4
    addi t1, t1, 4
    j 1b
2:  la t2, bss_end
3:  bgeu t1, t2, 4f
    sw zero, 0(t1)
    addi t1, t1, 4
    j 3b
4:  call main
5:  j 5b
