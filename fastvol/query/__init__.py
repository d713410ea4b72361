"""Selecting and projecting JSON records, on the text as it lies in a needle."""
