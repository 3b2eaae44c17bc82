"""What attempts cost, against which budget, and how they turned out."""
