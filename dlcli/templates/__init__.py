"""What `dlcli new` writes: files that train as they stand; names such as `mynet` and `MyNet` are replaced."""
