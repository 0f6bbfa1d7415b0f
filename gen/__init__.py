"""From a trained model to an accelerator: import, prune, quantize, pack, program, emit."""
