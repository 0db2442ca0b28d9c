"""Start and end of processes, signals, output of libraries, and available cores and memory."""
