"""Training: a loop that knows steps, steps that know gradients, and nothing that knows a model."""
