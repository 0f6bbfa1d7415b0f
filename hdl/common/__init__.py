"""Small parts that know no machine: buffers, queues, delays, placed instances."""
