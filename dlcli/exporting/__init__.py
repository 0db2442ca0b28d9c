"""Export a run's network to a file that can be used without dlcli and is verified against the saved model."""
