"""Tasks: what outputs mean, the loss that trains them, the metrics that judge them."""
