"""Templates of `dlcli new`. The files are runnable; names such as `mynet` and `MyNet` are replaced."""
