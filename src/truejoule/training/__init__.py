"""Recipes that train spiking and quantised networks in plain torch."""
