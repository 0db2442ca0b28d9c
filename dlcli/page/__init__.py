"""Reports of runs, from their ledgers and folders: one HTML page, or tables for a paper.

Nothing here loads torch or MLflow. A run's folder may come from another user: all of its texts are escaped, only PNG
files are accepted as pictures, and nothing in it becomes code of the page.
"""
