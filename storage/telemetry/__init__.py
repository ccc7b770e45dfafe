"""Readings of wearable devices in volume, the statistics of their days, and who is told when those change."""
