"""Floor 3: the three daemons (reference, broker, server) and what they share."""
