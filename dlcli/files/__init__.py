"""Writing files whole or not at all, and what the disk refuses."""
