// The machine as the driver sees it. The reset goes through a register: next-state logic reads it,
// and hung on an input it would all be evaluated again whenever the driver moves any input. That
// makes the simulation two and a half times as fast.
module sparnn_bench (
    input clk,
    input rst,
    input [31:0] rx__payload,
    input rx__valid,
    output rx__ready,
    output [31:0] tx__payload,
    output tx__valid,
    input tx__ready
);
  reg held = 1;
  always @(posedge clk) held <= rst;

  sparnn machine (
      .clk(clk),
      .rst(held),
      .rx__payload(rx__payload),
      .rx__valid(rx__valid),
      .rx__ready(rx__ready),
      .tx__payload(tx__payload),
      .tx__valid(tx__valid),
      .tx__ready(tx__ready)
  );
endmodule
