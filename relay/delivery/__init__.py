"""What moves: events into deliveries, deliveries into channels."""
