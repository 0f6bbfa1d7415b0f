"""What runs a layer: dispatcher, loader, gather, emitter."""
