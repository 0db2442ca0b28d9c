"""Sweeps: a search through configurations that loses no work; each trial is jobs like any other training's."""
