"""Pure functions of tensors: densities, divergences and noise blocks. No state, no classes."""
