"""What the data holds, and what in it ruins results: looked at before anything is trained."""
