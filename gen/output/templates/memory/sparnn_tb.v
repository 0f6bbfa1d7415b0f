
  // External memory: what a request asks for, a word in most cycles, in order.
  localparam WORD_BYTES = @WORD_BYTES@, WORDS = @WORDS@;
  reg [8 * WORD_BYTES - 1:0] memory[0:WORDS - 1];  // the first byte on top
  integer weights;
  initial begin
    weights = $fopen(WEIGHTS, "rb");
    if (weights == 0) $fatal(1, "FAIL: there is no %0s", WEIGHTS);
    bytes = $fread(memory, weights);
    if (bytes != WORDS * WORD_BYTES) $fatal(1, "FAIL: %0s has another length", WEIGHTS);
    $fclose(weights);
  end
  wire [55:0] request;
  wire request_valid, words_ready, damaged;
  reg [31:0] at = 0;
  reg [23:0] left = 0;
  reg gives = 0;
  wire words_valid = gives && left != 0;
  wire [8 * WORD_BYTES - 1:0] stored = memory[at < WORDS ? at : WORDS - 1];
  wire [8 * WORD_BYTES - 1:0] word;
  generate
    for (k = 0; k < WORD_BYTES; k = k + 1) begin : turn_word
      assign word[8 * k +: 8] = stored[8 * (WORD_BYTES - 1 - k) +: 8];
    end
  endgenerate
  always @(posedge clk) begin
    gives <= (gives && !words_ready) || noise[7:5] != 0;
    if (request_valid && left == 0) {left, at} <= request;
    if (words_valid && words_ready) begin
      at <= at + 1;
      left <= left - 1;
    end
    if (damaged) $fatal(1, "FAIL: the machine finds its weights damaged");
  end
