"""The encoder's arithmetic on a CPU: packed weights, tiles, precision, what the machine can do."""
