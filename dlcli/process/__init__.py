"""How a process starts and ends, what it says, and which cores it has."""
