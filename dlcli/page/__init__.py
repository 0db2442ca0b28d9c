"""The report of runs: the contents of their ledgers and folders, as one HTML page or as tables for a paper.

Nothing here loads torch or MLflow. A run's folder may come from anyone: its texts are shown as texts, of its pictures
only PNG files are taken, and nothing that it holds becomes part of the page's code.
"""
