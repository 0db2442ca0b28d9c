"""Start and end of processes, their signals, the output of libraries, and the available cores."""
