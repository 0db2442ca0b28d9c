"""Datasets: functions that return `Data`, one file per dataset."""
