"""Export: a run's network as a file that needs no dlcli, proven equal to the saved model."""
