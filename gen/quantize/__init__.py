"""From real numbers to integers: calibration, formats, quantized layers."""
