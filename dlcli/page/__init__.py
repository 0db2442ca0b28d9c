"""The report of runs: what their ledgers and folders tell, as one HTML page or as tables for a paper.

Nothing here loads torch or MLflow. A run's folder may come from anyone: its texts are shown as texts, of its pictures
only PNG files are taken, and nothing that it holds becomes part of the page's code.
"""
