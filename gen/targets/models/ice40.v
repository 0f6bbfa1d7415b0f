// Simulation models of cells of iCE40 UltraPlus whose models in Yosys Verilator refuses.

// 16384 words of 16 bits with one port, never in standby, asleep or off. A word is not read where
// it is written: what is shown then is that it must not matter.
module SB_SPRAM256KA (
    input [13:0] ADDRESS,
    input [15:0] DATAIN,
    input [3:0] MASKWREN,
    input WREN,
    input CHIPSELECT,
    input CLOCK,
    input STANDBY,
    input SLEEP,
    input POWEROFF,
    output reg [15:0] DATAOUT
);
  reg [15:0] mem[0:16383];
  wire [15:0] mask = {{4{MASKWREN[3]}}, {4{MASKWREN[2]}}, {4{MASKWREN[1]}}, {4{MASKWREN[0]}}};
  always @(posedge CLOCK)
    if (CHIPSELECT & ~STANDBY & ~SLEEP & POWEROFF) begin
      if (WREN) begin
        mem[ADDRESS] <= (mem[ADDRESS] & ~mask) | (DATAIN & mask);
        DATAOUT <= ~mem[ADDRESS];
      end else DATAOUT <= mem[ADDRESS];
    end
endmodule
