"""The host's side of the protocol: packets, answers, streams of sequences."""
