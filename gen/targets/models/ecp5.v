// Simulation models of the ECP5 cells that Yosys has as black boxes only, as far as sparnn's
// netlists use them: rising edges, synchronous reset, one clock where both ports write.

// Block RAM, 1024 words of 18 bits. Each port has its own width; as wide as 36 bits A writes and B
// reads. What one port reads while the other writes it is undefined in the silicon: here it is
// inverted, so that nobody can make use of it unnoticed.
module DP16KD(
  input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4,
    DIA3, DIA2, DIA1, DIA0,
  input ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
  input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
  output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5,
    DOA4, DOA3, DOA2, DOA1, DOA0,
  input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4,
    DIB3, DIB2, DIB1, DIB0,
  input ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
  input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
  output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5,
    DOB4, DOB3, DOB2, DOB1, DOB0
);
  parameter integer DATA_WIDTH_A = 18;
  parameter integer DATA_WIDTH_B = 18;
  parameter REGMODE_A = "NOREG";
  parameter REGMODE_B = "NOREG";
  parameter RESETMODE = "SYNC";
  parameter ASYNC_RESET_RELEASE = "SYNC";
  parameter CSDECODE_A = "0b000";
  parameter CSDECODE_B = "0b000";
  parameter CLKAMUX = "CLKA";
  parameter CLKBMUX = "CLKB";
  parameter WRITEMODE_A = "NORMAL";
  parameter WRITEMODE_B = "NORMAL";
  parameter GSR = "ENABLED";
  parameter [319:0] INITVAL_00 = 0;
  parameter [319:0] INITVAL_01 = 0;
  parameter [319:0] INITVAL_02 = 0;
  parameter [319:0] INITVAL_03 = 0;
  parameter [319:0] INITVAL_04 = 0;
  parameter [319:0] INITVAL_05 = 0;
  parameter [319:0] INITVAL_06 = 0;
  parameter [319:0] INITVAL_07 = 0;
  parameter [319:0] INITVAL_08 = 0;
  parameter [319:0] INITVAL_09 = 0;
  parameter [319:0] INITVAL_0A = 0;
  parameter [319:0] INITVAL_0B = 0;
  parameter [319:0] INITVAL_0C = 0;
  parameter [319:0] INITVAL_0D = 0;
  parameter [319:0] INITVAL_0E = 0;
  parameter [319:0] INITVAL_0F = 0;
  parameter [319:0] INITVAL_10 = 0;
  parameter [319:0] INITVAL_11 = 0;
  parameter [319:0] INITVAL_12 = 0;
  parameter [319:0] INITVAL_13 = 0;
  parameter [319:0] INITVAL_14 = 0;
  parameter [319:0] INITVAL_15 = 0;
  parameter [319:0] INITVAL_16 = 0;
  parameter [319:0] INITVAL_17 = 0;
  parameter [319:0] INITVAL_18 = 0;
  parameter [319:0] INITVAL_19 = 0;
  parameter [319:0] INITVAL_1A = 0;
  parameter [319:0] INITVAL_1B = 0;
  parameter [319:0] INITVAL_1C = 0;
  parameter [319:0] INITVAL_1D = 0;
  parameter [319:0] INITVAL_1E = 0;
  parameter [319:0] INITVAL_1F = 0;
  parameter [319:0] INITVAL_20 = 0;
  parameter [319:0] INITVAL_21 = 0;
  parameter [319:0] INITVAL_22 = 0;
  parameter [319:0] INITVAL_23 = 0;
  parameter [319:0] INITVAL_24 = 0;
  parameter [319:0] INITVAL_25 = 0;
  parameter [319:0] INITVAL_26 = 0;
  parameter [319:0] INITVAL_27 = 0;
  parameter [319:0] INITVAL_28 = 0;
  parameter [319:0] INITVAL_29 = 0;
  parameter [319:0] INITVAL_2A = 0;
  parameter [319:0] INITVAL_2B = 0;
  parameter [319:0] INITVAL_2C = 0;
  parameter [319:0] INITVAL_2D = 0;
  parameter [319:0] INITVAL_2E = 0;
  parameter [319:0] INITVAL_2F = 0;
  parameter [319:0] INITVAL_30 = 0;
  parameter [319:0] INITVAL_31 = 0;
  parameter [319:0] INITVAL_32 = 0;
  parameter [319:0] INITVAL_33 = 0;
  parameter [319:0] INITVAL_34 = 0;
  parameter [319:0] INITVAL_35 = 0;
  parameter [319:0] INITVAL_36 = 0;
  parameter [319:0] INITVAL_37 = 0;
  parameter [319:0] INITVAL_38 = 0;
  parameter [319:0] INITVAL_39 = 0;
  parameter [319:0] INITVAL_3A = 0;
  parameter [319:0] INITVAL_3B = 0;
  parameter [319:0] INITVAL_3C = 0;
  parameter [319:0] INITVAL_3D = 0;
  parameter [319:0] INITVAL_3E = 0;
  parameter [319:0] INITVAL_3F = 0;
  reg [17:0] words [0:1023];
  integer n;
  initial begin
    for (n = 0; n < 16; n = n + 1) begin
      words[0 + n] = INITVAL_00[20 * n +: 18];
      words[16 + n] = INITVAL_01[20 * n +: 18];
      words[32 + n] = INITVAL_02[20 * n +: 18];
      words[48 + n] = INITVAL_03[20 * n +: 18];
      words[64 + n] = INITVAL_04[20 * n +: 18];
      words[80 + n] = INITVAL_05[20 * n +: 18];
      words[96 + n] = INITVAL_06[20 * n +: 18];
      words[112 + n] = INITVAL_07[20 * n +: 18];
      words[128 + n] = INITVAL_08[20 * n +: 18];
      words[144 + n] = INITVAL_09[20 * n +: 18];
      words[160 + n] = INITVAL_0A[20 * n +: 18];
      words[176 + n] = INITVAL_0B[20 * n +: 18];
      words[192 + n] = INITVAL_0C[20 * n +: 18];
      words[208 + n] = INITVAL_0D[20 * n +: 18];
      words[224 + n] = INITVAL_0E[20 * n +: 18];
      words[240 + n] = INITVAL_0F[20 * n +: 18];
      words[256 + n] = INITVAL_10[20 * n +: 18];
      words[272 + n] = INITVAL_11[20 * n +: 18];
      words[288 + n] = INITVAL_12[20 * n +: 18];
      words[304 + n] = INITVAL_13[20 * n +: 18];
      words[320 + n] = INITVAL_14[20 * n +: 18];
      words[336 + n] = INITVAL_15[20 * n +: 18];
      words[352 + n] = INITVAL_16[20 * n +: 18];
      words[368 + n] = INITVAL_17[20 * n +: 18];
      words[384 + n] = INITVAL_18[20 * n +: 18];
      words[400 + n] = INITVAL_19[20 * n +: 18];
      words[416 + n] = INITVAL_1A[20 * n +: 18];
      words[432 + n] = INITVAL_1B[20 * n +: 18];
      words[448 + n] = INITVAL_1C[20 * n +: 18];
      words[464 + n] = INITVAL_1D[20 * n +: 18];
      words[480 + n] = INITVAL_1E[20 * n +: 18];
      words[496 + n] = INITVAL_1F[20 * n +: 18];
      words[512 + n] = INITVAL_20[20 * n +: 18];
      words[528 + n] = INITVAL_21[20 * n +: 18];
      words[544 + n] = INITVAL_22[20 * n +: 18];
      words[560 + n] = INITVAL_23[20 * n +: 18];
      words[576 + n] = INITVAL_24[20 * n +: 18];
      words[592 + n] = INITVAL_25[20 * n +: 18];
      words[608 + n] = INITVAL_26[20 * n +: 18];
      words[624 + n] = INITVAL_27[20 * n +: 18];
      words[640 + n] = INITVAL_28[20 * n +: 18];
      words[656 + n] = INITVAL_29[20 * n +: 18];
      words[672 + n] = INITVAL_2A[20 * n +: 18];
      words[688 + n] = INITVAL_2B[20 * n +: 18];
      words[704 + n] = INITVAL_2C[20 * n +: 18];
      words[720 + n] = INITVAL_2D[20 * n +: 18];
      words[736 + n] = INITVAL_2E[20 * n +: 18];
      words[752 + n] = INITVAL_2F[20 * n +: 18];
      words[768 + n] = INITVAL_30[20 * n +: 18];
      words[784 + n] = INITVAL_31[20 * n +: 18];
      words[800 + n] = INITVAL_32[20 * n +: 18];
      words[816 + n] = INITVAL_33[20 * n +: 18];
      words[832 + n] = INITVAL_34[20 * n +: 18];
      words[848 + n] = INITVAL_35[20 * n +: 18];
      words[864 + n] = INITVAL_36[20 * n +: 18];
      words[880 + n] = INITVAL_37[20 * n +: 18];
      words[896 + n] = INITVAL_38[20 * n +: 18];
      words[912 + n] = INITVAL_39[20 * n +: 18];
      words[928 + n] = INITVAL_3A[20 * n +: 18];
      words[944 + n] = INITVAL_3B[20 * n +: 18];
      words[960 + n] = INITVAL_3C[20 * n +: 18];
      words[976 + n] = INITVAL_3D[20 * n +: 18];
      words[992 + n] = INITVAL_3E[20 * n +: 18];
      words[1008 + n] = INITVAL_3F[20 * n +: 18];
    end
  end

  wire [35:0] di = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6,
    DIB5, DIB4, DIB3, DIB2, DIB1, DIB0, DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10,
    DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0};
  wire [13:0] ada = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2,
    ADA1, ADA0};
  wire [13:0] adb = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2,
    ADB1, ADB0};

  // Which bits of a word a port of this width sees, from the lowest bits of its address.
  function [17:0] seen(input integer width, input [13:0] address);
    case (width)
      1: seen = 18'h1 << (9 * address[3] + address[2:0]);
      2: seen = 18'h3 << (9 * address[3] + 2 * address[2:1]);
      4: seen = 18'hf << (9 * address[3] + 4 * address[2]);
      9: seen = 18'h1ff << (9 * address[3]);
      default: seen = {{9{address[1]}}, {9{address[0]}}};  // byte enables; for writing alone
    endcase
  endfunction

  function [17:0] spread(input integer width, input [17:0] data);
    case (width)
      1: spread = {2{1'b0, {8{data[0]}}}};
      2: spread = {2{1'b0, {4{data[1:0]}}}};
      4: spread = {2{1'b0, {2{data[3:0]}}}};
      9: spread = {2{data[8:0]}};
      default: spread = data;
    endcase
  endfunction

  function [17:0] picked(input integer width, input [13:0] address, input [17:0] word);
    case (width)
      1: picked = {17'h0, word[9 * address[3] + address[2:0]]};
      2: picked = {16'h0, word[9 * address[3] + 2 * address[2:1] +: 2]};
      4: picked = {14'h0, word[9 * address[3] + 4 * address[2] +: 4]};
      9: picked = {9'h0, word[9 * address[3] +: 9]};
      default: picked = word;
    endcase
  endfunction

  wire write_a = CEA & WEA, write_b = CEB & WEB & (DATA_WIDTH_A != 36);
  wire [17:0] mask_a = seen(DATA_WIDTH_A, ada), mask_b = seen(DATA_WIDTH_B, adb);
  wire [17:0] mask_high = {{9{ada[3]}}, {9{ada[2]}}};
  wire [9:0] low_a = DATA_WIDTH_A == 36 ? {ada[13:5], 1'b0} : ada[13:4];
  wire [9:0] low_b = DATA_WIDTH_B == 36 ? {adb[13:5], 1'b0} : adb[13:4];
  reg [17:0] latch_a, latch_b;
  // Bits of a word that a port writes in this cycle.
  function [17:0] written_a(input [9:0] word);
    written_a = {18{write_a}} & ({18{word == low_a}} & mask_a
      | {18{DATA_WIDTH_A == 36 && word == (low_a | 10'h1)}} & mask_high);
  endfunction
  wire [17:0] written_b = {18{write_b && low_a == low_b}} & mask_b;
  reg [17:0] high_b;
  always @(posedge CLKA) begin
    if (write_a) begin
      words[low_a] <= words[low_a] & ~mask_a | spread(DATA_WIDTH_A, di[17:0]) & mask_a;
      if (DATA_WIDTH_A == 36)
        words[low_a | 10'h1] <= words[low_a | 10'h1] & ~mask_high | di[35:18] & mask_high;
    end
    if (write_b)
      words[low_b] <= words[low_b] & ~mask_b | spread(DATA_WIDTH_B, di[35:18]) & mask_b;
    if (DATA_WIDTH_B != 36 && CEA) begin
      if (!WEA || WRITEMODE_A == "READBEFOREWRITE")
        latch_a <= picked(DATA_WIDTH_A, ada, words[low_a] ^ written_b);
      else if (WRITEMODE_A == "WRITETHROUGH")
        latch_a <= di[17:0];
      if (RSTA) latch_a <= 0;
    end
  end
  always @(posedge CLKB)
    if (CEB) begin
      if (!WEB || WRITEMODE_B == "READBEFOREWRITE")
        latch_b <= picked(DATA_WIDTH_B, adb, words[low_b] ^ written_a(low_b));
      else if (WRITEMODE_B == "WRITETHROUGH")
        latch_b <= di[35:18];
      if (RSTB) latch_b <= 0;
      high_b <= words[low_b | 10'h1] ^ written_a(low_b | 10'h1);
    end

  reg [17:0] kept_a, kept_b;
  wire [17:0] side_a = DATA_WIDTH_B == 36 ? latch_b : latch_a;
  wire [17:0] side_b = DATA_WIDTH_B == 36 ? high_b : latch_b;
  always @(posedge (DATA_WIDTH_B == 36 ? CLKB : CLKA)) if (OCEA) kept_a <= side_a;
  always @(posedge CLKB) if (OCEB) kept_b <= side_b;
  assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5,
    DOA4, DOA3, DOA2, DOA1, DOA0} = REGMODE_A == "OUTREG" ? kept_a : side_a;
  assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5,
    DOB4, DOB3, DOB2, DOB1, DOB0} = REGMODE_B == "OUTREG" ? kept_b : side_b;
  initial begin
    latch_a = 0; latch_b = 0; high_b = 0; kept_a = 0; kept_b = 0;
  end
endmodule

// Multiplier, with registers of the operands and of the product; all of them in use have the same
// clock.
module MULT18X18D(
  input A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
  input B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
  input C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
  input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
  input CLK0, CLK1, CLK2, CLK3, CE0, CE1, CE2, CE3, RST0, RST1, RST2, RST3,
  output P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
    P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
  parameter REG_INPUTA_CLK = "NONE";
  parameter REG_INPUTA_CE = "CE0";
  parameter REG_INPUTA_RST = "RST0";
  parameter REG_INPUTB_CLK = "NONE";
  parameter REG_INPUTB_CE = "CE0";
  parameter REG_INPUTB_RST = "RST0";
  parameter REG_OUTPUT_CLK = "NONE";
  parameter REG_OUTPUT_CE = "CE0";
  parameter REG_OUTPUT_RST = "RST0";
  parameter GSR = "ENABLED";

  wire [17:0] a = {A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
  wire [17:0] b = {B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
  reg [17:0] kept_a, kept_b;
  always @(posedge CLK0) if (CE0) kept_a <= a;
  always @(posedge CLK1) if (CE1) kept_b <= b;
  wire [17:0] used_a = REG_INPUTA_CLK == "NONE" ? a : kept_a;
  wire [17:0] used_b = REG_INPUTB_CLK == "NONE" ? b : kept_b;
  wire signed [35:0] wide_a = {{18{SIGNEDA & used_a[17]}}, used_a};
  wire signed [35:0] wide_b = {{18{SIGNEDB & used_b[17]}}, used_b};
  wire [35:0] product = wide_a * wide_b;
  reg [35:0] kept;
  always @(posedge CLK2) if (RST2) kept <= 0; else if (CE2) kept <= product;
  assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
    P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0}
    = REG_OUTPUT_CLK == "NONE" ? product : kept;
  initial begin
    kept_a = 0; kept_b = 0; kept = 0;
  end
endmodule
