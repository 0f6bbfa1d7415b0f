"""Energy: counted accesses times energies of memories, toggles times energies of gates."""
