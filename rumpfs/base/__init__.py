"""What every kernel layer shares: errors, clock, wait queues, memory, components."""
